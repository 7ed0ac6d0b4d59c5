import Diagnostics
import Engine
import Files
import Foundation
import Generation
import Pipelines

extension Runner {
  /// New tokens of `perigee generate`, where the settings do not say it.
  public static let standardMaxNewTokens = 64

  /// What a model writes behind a prompt, one text for each result, and the line about its speed.
  ///
  /// - Parameters:
  ///   - model: see `Session.languageModel`.
  ///   - settings: `name=value` for options of generation.
  public static func generate(model: String, adapter: String?, prompt: String, settings: [String], seed: Int) throws -> (
    texts: [String], speed: String
  ) {
    let options = try options(settings)
    let session = Session(
      mode: .run, settings: [], runDirectory: nil, store: StageStore(), progress: Pipelines.Progress(style: .detect()), seed: seed, print: { _ in })
    let trained = try session.languageModel(model, adapter: adapter)
    // Ctrl-C ends the writing between two tokens.
    Interrupt.protectWork()
    let generator = try TextGenerator(trained.network, trained.tokenizer, options, seed: UInt64(seed))
    let start = ContinuousClock.now
    let results = try generator.generate([prompt]).joined()
    let time = start.duration(to: .now)
    let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    let tokens = results.reduce(0) { $0 + $1.tokens.count }
    return (results.map(\.text), String(format: "%d tokens in %.2f s, %.1f tokens/s", tokens, seconds, Double(tokens) / max(seconds, 1e-9)))
  }

  private static func options(_ settings: [String]) throws -> GenerationOptions {
    var options = GenerationOptions()
    for text in settings {
      let setting = try Setting(text)
      guard let field = GenerationOptions.fields.first(where: { $0.name == setting.name }) else {
        throw setting.unknown(among: GenerationOptions.fields.map(\.name), hint: GenerationOptions.remedy(for: setting.name))
      }
      try field.set(text: setting.value, in: &options)
    }
    if options.maxNewTokens == nil, options.maxLength == nil { options.maxNewTokens = standardMaxNewTokens }
    return options
  }
}
