import Files
import Foundation
import Generation

/// Prompts of one request behind which a model writes. Those of several requests that ask for the same in the same way are written
/// together.
final class WritingWork: Work, @unchecked Sendable {
  let group: String?
  let pending: Pending<[[WrittenText]]>
  private let model: ServedModel
  private let prompts: [[Int32]]
  private let options: GenerationOptions
  private let bias: ScoreBias

  /// Prompts of a turn at most, unless one request alone has more.
  private static let mostPrompts = 64

  init(_ model: ServedModel, prompts: [[Int32]], _ options: GenerationOptions, _ bias: ScoreBias, pending: Pending<[[WrittenText]]>) {
    (self.model, self.prompts, self.options, self.bias, self.pending) = (model, prompts, options, bias, pending)
    group = bias.isEmpty ? "write \(model.name) \(JSONValue.object(options.json).encoded(.canonical))" : nil
  }

  var isOver: Bool { pending.isOver }
  func fail(_ error: any Error) { pending.finish(.failure(error)) }

  /// Nobody waits for what is written.
  struct Abandoned: Error {}

  func turn(with others: [any Work], between: () -> Void) throws -> [any Work] {
    var works = [self]
    var left: [any Work] = []
    var count = prompts.count
    for work in others.compactMap({ $0 as? WritingWork }) {
      count += work.prompts.count
      if count <= Self.mostPrompts { works.append(work) } else { left.append(work) }
    }
    let owners = works.indices.flatMap { work in works[work].prompts.indices.map { (work: work, prompt: $0) } }
    var results = works.map { [[WrittenText]](repeating: [], count: $0.prompts.count) }
    var missing = works.map(\.prompts.count)
    try withoutActuallyEscaping(between) { between in
      let generator = try TextGenerator(model.trained.network, model.tokenizer, options, seed: 0) { [bias] written, scores in
        guard works.contains(where: { !$0.isOver }) else { throw Abandoned() }
        between()
        bias.apply(to: scores, after: written)
      }
      // Numbers are those that each request alone would have, so that draws are the same.
      _ = try generator.generate(tokens: works.flatMap(\.prompts), numbers: owners.map(\.prompt)) { place, texts in
        let owner = owners[place]
        results[owner.work][owner.prompt] = texts
        missing[owner.work] -= 1
        if missing[owner.work] == 0 { works[owner.work].pending.finish(.success(results[owner.work])) }
      }
    }
    return left
  }
}

/// A text of one request that is sent as it grows.
final class StreamWork: Work, @unchecked Sendable {
  let group: String? = nil
  private let model: ServedModel
  private let prompt: [Int32]
  private let number: Int
  private let options: GenerationOptions
  private let bias: ScoreBias
  /// Its end is that of the request's time, or of its connection.
  let pending: Pending<WrittenText>
  private let grow: (String) -> Void

  /// - Parameters:
  ///   - number: see `TokenGenerator.generate`.
  ///   - grow: called by the model thread with the text so far.
  init(
    _ model: ServedModel, prompt: [Int32], number: Int, _ options: GenerationOptions, _ bias: ScoreBias, pending: Pending<WrittenText>,
    grow: @escaping (String) -> Void
  ) {
    (self.model, self.prompt, self.number, self.options, self.bias) = (model, prompt, number, options, bias)
    (self.pending, self.grow) = (pending, grow)
  }

  var isOver: Bool { pending.isOver }
  func fail(_ error: any Error) { pending.finish(.failure(error)) }

  func turn(with others: [any Work], between: () -> Void) throws -> [any Work] {
    try withoutActuallyEscaping(between) { between in
      let generator = try TextGenerator(model.trained.network, model.tokenizer, options, seed: 0) { [self] written, scores in
        guard !isOver else { throw WritingWork.Abandoned() }
        between()
        if !written.new.isEmpty { grow(try TextGenerator.text(of: written, model.tokenizer)) }
        bias.apply(to: scores, after: written)
      }
      pending.finish(.success(try generator.generate(tokens: [prompt], numbers: [number])[0][0]))
    }
    return []
  }
}

/// What OpenAI's requests add to the scores of tokens.
struct ScoreBias: Sendable {
  /// Added to a token's score.
  var bias: [Int32: Float] = [:]
  /// Subtracted once from the score of a token that was written.
  var presence: Float = 0
  /// Subtracted as often as it was written.
  var frequency: Float = 0

  var isEmpty: Bool { bias.isEmpty && presence == 0 && frequency == 0 }

  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) {
    for (token, value) in bias { scores[Int(token)] += value }
    guard presence != 0 || frequency != 0 else { return }
    var counts: [Int32: Float] = [:]
    for token in written.new { counts[token, default: 0] += 1 }
    for (token, count) in counts { scores[Int(token)] -= presence + frequency * count }
  }
}
