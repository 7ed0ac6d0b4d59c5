import Diagnostics

/// Where each sequence of a packed batch lies: row ranges of a `[tokens, C]` tensor.
public struct Offsets: Sendable, Equatable {
  /// `count + 1` ascending numbers from 0: sequence i has the rows `values[i]..<values[i + 1]`.
  public let values: [Int32]

  public init(lengths: [Int]) {
    var total: Int32 = 0
    values =
      [0]
      + lengths.map { length in
        total += Int32(length)
        return total
      }
  }

  /// Throws where the numbers do not ascend from 0.
  public init(values: [Int32]) throws {
    guard values.first == 0, zip(values, values.dropFirst()).allSatisfy(<=) else {
      throw EngineError(.shape, "offsets: expected ascending numbers from 0, got \(values.prefix(8))")
    }
    self.values = values
  }

  /// Number of sequences.
  public var count: Int { values.count - 1 }
  /// Number of rows of all sequences together.
  public var total: Int { Int(values.last ?? 0) }
  public var lengths: [Int] { zip(values, values.dropFirst()).map { Int($1 - $0) } }
  /// How some rows, in ascending order, divide among the sequences.
  public func counting(_ rows: [Int32]) -> Offsets {
    var counts = [Int](repeating: 0, count: count)
    var sequence = 0
    for row in rows {
      while sequence < count - 1, row >= values[sequence + 1] { sequence += 1 }
      counts[sequence] += 1
    }
    return Offsets(lengths: counts)
  }
  /// For each row its position in its sequence, from 0.
  public var positions: [Int32] { lengths.flatMap { 0..<Int32($0) } }
  /// The first row of each sequence.
  public var starts: [Int32] { Array(values.dropLast()) }
}
