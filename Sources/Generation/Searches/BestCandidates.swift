import TensorCore

/// The best of many candidates, found in one pass. Of equal ones the first offered is better.
struct BestCandidates {
  typealias Candidate = (score: Float, index: Int)
  let count: Int
  /// A heap whose first one is the worst that was kept.
  private var heap: [Candidate] = []

  init(count: Int) { self.count = count }

  private static func isWorse(_ a: Candidate, _ b: Candidate) -> Bool { a.score < b.score || (a.score == b.score && a.index > b.index) }

  /// Offers a candidate; indices must come in ascending order. Those with `-infinity` are none.
  private mutating func offer(_ score: Float, _ index: Int) {
    if heap.count == count {
      if score <= heap[0].score { return }
      heap[0] = (score, index)
      sink()
    } else if score > -.infinity {
      heap.append((score, index))
      rise()
    }
  }

  /// Offers `(x - minus) + plus` of each of a row's elements, the first of which has the index `first`. Those that cannot be among
  /// the best cost next to nothing.
  mutating func offer(_ row: UnsafeMutableBufferPointer<Float>, minus: Float = 0, plus: Float = 0, first: Int = 0) {
    var start = 0
    while let i = row.next(from: start, above: heap.count == count ? heap[0].score : -.infinity, minus: minus, plus: plus) {
      offer((row[i] - minus) + plus, first + i)
      start = i + 1
    }
  }

  private mutating func rise() {
    var i = heap.count - 1
    while i > 0, Self.isWorse(heap[i], heap[(i - 1) / 2]) {
      heap.swapAt(i, (i - 1) / 2)
      i = (i - 1) / 2
    }
  }

  private mutating func sink() {
    var i = 0
    while true {
      var least = i
      for child in [2 * i + 1, 2 * i + 2] where child < heap.count && Self.isWorse(heap[child], heap[least]) { least = child }
      if least == i { return }
      heap.swapAt(i, least)
      i = least
    }
  }

  /// The best one first.
  var sorted: [Candidate] { heap.sorted { Self.isWorse($1, $0) } }
}
