import Diagnostics
import TensorCore

/// The loop that all searches share: each step asks the model once, for the rows of all live searches; a search that has ended
/// leaves, and the next one enters.
struct Decoding {
  /// What begins: what an encoder reads, if there is one; a prompt, how many tokens may be written, and the search.
  struct Start {
    let input, prompt: [Int32]
    let maxNewTokens: Int
    let search: any Search
  }

  let model: any NextTokenScores
  /// Searches at a time.
  let batchSize: Int

  private struct Live {
    let number: Int
    var search: any Search
    var rows = 1
    /// Tokens that may be written in the steps after the next one.
    var room: Int
  }

  /// - Parameters:
  ///   - start: the search of a number below `count`.
  ///   - finished: called when a search has ended, with its number.
  func run(count: Int, start: (Int) throws -> Start, finished: (Int, [Hypothesis]) throws -> Void) throws {
    var live: [Live] = []
    var rows: [GrowingRow] = []
    var entered = 0
    while true {
      try Interrupt.check()
      while live.count < batchSize, entered < count {
        let new = try start(entered)
        live.append(Live(number: entered, search: new.search, room: new.maxNewTokens - 1))
        rows.append(GrowingRow(parent: nil, input: new.input, tokens: new.prompt, room: new.maxNewTokens - 1))
        entered += 1
      }
      guard !live.isEmpty else { return }
      let logits = try model.scores(rows)
      var (first, next, stay): (Int, [GrowingRow], [Live]) = (0, [], [])
      var logSums: [Float] = []
      for (place, var item) in live.enumerated() {
        let (end, width) = (first + item.rows, logits.columns)
        if end > logSums.count { logSums += try self.logSums(logits, of: live[place...], from: first) }
        let continuations = try item.search.advance(
          StepScores(
            logits: UnsafeMutableBufferPointer(rebasing: logits.floats[first * width..<end * width]), logSums: logSums[first..<end],
            vocabulary: width))
        if continuations.isEmpty {
          try finished(item.number, item.search.results)
        } else {
          item.room -= 1
          next += continuations.map { GrowingRow(parent: first + $0.parent, tokens: [$0.token], room: item.room) }
          first += item.rows
          item.rows = continuations.count
          stay.append(item)
          continue
        }
        first += item.rows
      }
      (live, rows) = (stay, next)
    }
  }

  /// The log-sums of the next searches' rows, which are in a cache when the searches look at them: of enough rows for all threads, and no more.
  private func logSums(_ logits: Tensor, of searches: ArraySlice<Live>, from first: Int) throws -> [Float] {
    let enough = 8
    var count = 0
    for search in searches where count < enough { count += search.rows }
    let width = logits.columns
    let sums = UnsafeMutableBufferPointer(rebasing: logits.floats[first * width..<(first + count) * width]).logSums(rows: count)
    guard sums.allSatisfy(\.isFinite) else {
      throw EngineError(
        .data, "generate: the model's scores are not finite (NaN or infinite)",
        hint: "look for weights that are not: a training that diverged, for one")
    }
    return sums
  }
}
