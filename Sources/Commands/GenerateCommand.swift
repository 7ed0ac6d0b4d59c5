import Bindings
import Diagnostics
import Engine
import Files
import Foundation
import Generation
import Pipelines
import TensorCore
import Tokenizers

extension Runner {
  /// Shows what a model writes behind a prompt: one text as it grows, several, or a beam search's, when they are there. An interruption
  /// ends the line of a text that was begun.
  ///
  /// - Parameters:
  ///   - model: see `Session.trainedModel`.
  ///   - chat: the prompt is a user's message, behind these earlier ones, in the form of the model's chat template; nil: it is a text that goes on.
  ///   - settings: `name=value` for options of generation.
  ///   - write: shows a piece of text.
  /// - Returns: the line about its speed.
  public static func generate(
    model: String, adapter: String?, prompt: String, chat: [JSONValue]? = nil, settings: [String], seed: Int, write: @escaping (String) -> Void
  ) throws -> String {
    let options = try GenerationOptions(settings: settings)
    let session = Session(asking: seed)
    let trained = try session.trainedModel(model, adapters: [adapter].compactMap(\.self))
    // Ctrl-C ends the writing between two tokens.
    Interrupt.protectWork()
    var stream = TextStream()
    let isStreamed = options.numBeams == 1 && options.numReturnSequences == 1
    let generator = try TextGenerator(
      trained.network, trained.tokenizer, options, seed: UInt64(seed),
      processor: isStreamed ? { written, _ in stream.piece(of: try TextGenerator.text(of: written, trained.tokenizer)).map(write) } : nil)
    generator.remark.map(session.noteOnce)
    let start = ContinuousClock.now
    let results: [WrittenText]
    do {
      var options = ChatOptions()
      options.addGenerationPrompt = true
      let tokens = try chat.map { try trained.tokenizer.chatTokens($0 + [["role": "user", "content": .string(prompt)]], options) }
      results = Array(try (tokens.map { try generator.generate(tokens: [$0]) } ?? generator.generate([prompt])).joined())
    } catch {
      if stream.hasBegun { write("\n") }
      throw error
    }
    let seconds = start.duration(to: .now).seconds
    let tokens = results.reduce(0) { $0 + $1.tokens.count }
    for result in results {
      // Where what was shown is no part of it, the whole text follows on a line of its own.
      write((stream.rest(of: result.text) ?? "\n" + result.text) + "\n")
      stream = TextStream()
    }
    return String(format: "%d tokens in %.2f s, %.1f tokens/s", tokens, seconds, Double(tokens) / max(seconds, 1e-9))
  }
}
