import Engine
import Generation
import Tokenizers

/// What takes a model the longer the more tokens it has.
protocol Counted: Sendable {
  var count: Int { get }
}

extension Encoding: Counted {}
extension ScoredText: Counted {}
extension String: Counted {}

/// Texts of one request that go through a model once. Those of several requests for one model go through it together.
final class TextsWork<Text: Counted, Answer: Sendable>: Work, @unchecked Sendable {
  let group: String?
  let pending: Pending<[Answer]>
  private let texts: [Text]
  private let compute: ([Text]) throws -> [Answer]
  /// The model thread's: answers so far.
  private var answers: [Answer] = []

  /// - Parameters:
  ///   - purpose: names the model, and what is computed.
  ///   - compute: answers of texts that go through the model together; called by the model thread.
  init(_ texts: [Text], purpose: String, pending: Pending<[Answer]>, compute: @escaping ([Text]) throws -> [Answer]) {
    (self.texts, group, self.pending, self.compute) = (texts, ModelThread.shortWork + purpose, pending, compute)
  }

  var isOver: Bool { pending.isOver }
  func fail(_ error: any Error) { pending.finish(.failure(error)) }

  /// Texts and tokens of a pass at most: as many texts as `perigee predict` takes.
  private static var most: (texts: Int, tokens: Int) { (Predictor.batchSize, 8192) }

  func turn(with others: [any Work], between: () -> Void) throws -> [any Work] {
    var batch: [Text] = []
    var tokens = 0
    var parts: [(work: TextsWork, count: Int)] = []
    var left: [any Work] = []
    for work in [self] + others.compactMap({ $0 as? TextsWork }) {
      let start = work.answers.count
      var count = 0
      while start + count < work.texts.count, batch.count < Self.most.texts {
        let next = work.texts[start + count]
        guard batch.isEmpty || tokens + next.count <= Self.most.tokens else { break }
        tokens += next.count
        batch.append(next)
        count += 1
      }
      if count > 0 || work.texts.isEmpty { parts.append((work, count)) } else { left.append(work) }
    }
    var results = try batch.isEmpty ? [] : compute(batch)[...]
    // Who had a turn waits behind those that had none.
    for (work, count) in parts {
      work.answers += results.prefix(count)
      results = results.dropFirst(count)
      if work.answers.count == work.texts.count { work.pending.finish(.success(work.answers)) } else { left.append(work) }
    }
    return left
  }
}
