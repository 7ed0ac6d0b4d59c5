import Diagnostics

/// The rows of keys that each sequence of queries sees. Rows may be seen by several sequences, and by none.
public struct KeyRanges: Sendable, Equatable {
  /// Sequence i sees the rows `starts[i]..<starts[i] + counts[i]`.
  public let starts, counts: [Int32]

  /// Throws where the lists differ in length or a number is negative.
  public init(starts: [Int32], counts: [Int32]) throws {
    let isCountable = zip(starts, counts).allSatisfy { $0 >= 0 && $1 >= 0 && !$0.addingReportingOverflow($1).overflow }
    guard starts.count == counts.count, isCountable else {
      throw EngineError(.shape, "key ranges: expected a start and a number of rows for each sequence, none negative")
    }
    (self.starts, self.counts) = (starts, counts)
  }

  /// Every sequence sees its own rows.
  public init(_ offsets: Offsets) {
    (starts, counts) = (offsets.starts, offsets.lengths.map { Int32($0) })
  }

  /// Every sequence sees the rows `0..<count`.
  public init(sharedBy sequences: Int, count: Int) {
    starts = [Int32](repeating: 0, count: sequences)
    counts = [Int32](repeating: Int32(count), count: sequences)
  }

  private var inOrder: [Range<Int32>] {
    zip(starts, counts).filter { $1 > 0 }.map { $0..<$0 + $1 }.sorted { $0.lowerBound < $1.lowerBound }
  }
  /// One past the last row that anybody sees.
  var end: Int { zip(starts, counts).reduce(0) { max($0, Int($1.0) + Int($1.1)) } }
  /// Whether no row is seen twice.
  var areApart: Bool {
    let ranges = inOrder
    return zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound }
  }
  /// Whether each of the rows `0..<rows` is seen once.
  func partition(_ rows: Int) -> Bool { areApart && counts.reduce(0) { $0 + Int($1) } == rows }
}
