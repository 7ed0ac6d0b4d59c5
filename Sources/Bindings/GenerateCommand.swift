import Diagnostics
import Engine
import Files
import Foundation
import Generation
import Pipelines

extension Runner {
  /// What a model writes behind a prompt, one text for each result, and the line about its speed.
  ///
  /// - Parameters:
  ///   - model: see `Session.trainedModel`.
  ///   - settings: `name=value` for options of generation.
  public static func generate(model: String, adapter: String?, prompt: String, settings: [String], seed: Int) throws -> (
    texts: [String], speed: String
  ) {
    let options = try GenerationOptions(settings: settings)
    let session = Session(
      mode: .run, settings: [], runDirectory: nil, store: StageStore(), progress: Pipelines.Progress(style: .detect()), seed: seed, print: { _ in })
    let trained = try session.trainedModel(model, adapters: [adapter].compactMap(\.self))
    // Ctrl-C ends the writing between two tokens.
    Interrupt.protectWork()
    let generator = try TextGenerator(trained.network, trained.tokenizer, options, seed: UInt64(seed))
    generator.remark.map(session.noteOnce)
    let start = ContinuousClock.now
    let results = try generator.generate([prompt]).joined()
    let time = start.duration(to: .now)
    let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    let tokens = results.reduce(0) { $0 + $1.tokens.count }
    return (results.map(\.text), String(format: "%d tokens in %.2f s, %.1f tokens/s", tokens, seconds, Double(tokens) / max(seconds, 1e-9)))
  }
}
