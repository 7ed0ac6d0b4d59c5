import Diagnostics

/// The rows of keys that each sequence of queries sees. Rows may be seen by several sequences, and by none.
public struct KeyRanges: Sendable, Equatable {
  /// Sequence i sees the rows `starts[i]..<starts[i] + counts[i]`, or those that stand there in `places`.
  public let starts, counts: [Int32]
  /// Rows that need not lie side by side; nil: they do.
  public let places: [Int32]?

  /// Throws where the lists differ in length or a number is negative.
  public init(starts: [Int32], counts: [Int32]) throws {
    let isCountable = zip(starts, counts).allSatisfy { $0 >= 0 && $1 >= 0 && !$0.addingReportingOverflow($1).overflow }
    guard starts.count == counts.count, isCountable else {
      throw EngineError(.shape, "key ranges: expected a start and a number of rows for each sequence, none negative")
    }
    (self.starts, self.counts, places) = (starts, counts, nil)
  }

  /// Sequence i sees the rows `lists[i]`, which may be in any order: no gradient goes to them. Throws where a number is negative.
  public init(lists: [[Int32]]) throws {
    guard lists.allSatisfy({ $0.allSatisfy { $0 >= 0 } }) else { throw EngineError(.shape, "key ranges: a row's number is negative") }
    counts = lists.map { Int32($0.count) }
    var end: Int32 = 0
    starts = counts.map { count in
      defer { end += count }
      return end
    }
    places = lists.flatMap { $0 }
  }

  /// Every sequence sees its own rows.
  public init(_ offsets: Offsets) {
    (starts, counts, places) = (offsets.starts, offsets.lengths.map { Int32($0) }, nil)
  }

  /// Every sequence sees the rows `0..<count`.
  public init(sharedBy sequences: Int, count: Int) {
    starts = [Int32](repeating: 0, count: sequences)
    counts = [Int32](repeating: Int32(count), count: sequences)
    places = nil
  }

  private var inOrder: [Range<Int32>] {
    zip(starts, counts).filter { $1 > 0 }.map { $0..<$0 + $1 }.sorted { $0.lowerBound < $1.lowerBound }
  }
  /// One past the last row that anybody sees.
  var end: Int { places.map { Int($0.max() ?? -1) + 1 } ?? zip(starts, counts).reduce(0) { max($0, Int($1.0) + Int($1.1)) } }
  /// Whether no row is seen twice.
  var areApart: Bool {
    let ranges = inOrder
    return zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound }
  }
  /// Whether each of the rows `0..<rows` is seen once.
  func partition(_ rows: Int) -> Bool { areApart && counts.reduce(0) { $0 + Int($1) } == rows }
}
