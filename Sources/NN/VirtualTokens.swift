import Diagnostics
import TensorCore

extension Offsets {
  /// Where the sequences lie once each has `count` more rows.
  public func growing(by count: Int) -> Offsets { count == 0 ? self : Offsets(lengths: lengths.map { $0 + count }) }
}

extension Tensor {
  /// Rows of packed sequences, [rows, C], with `count` rows in front of each sequence's.
  ///
  /// - `offsets`: where the sequences lie in `self`.
  /// - `virtual`: [count, C], the same rows for every sequence, or [sequences * count, C], a sequence's own.
  public func prepending(_ virtual: Tensor, count: Int, _ offsets: Offsets) throws -> Tensor {
    let isShared = virtual.rows == count
    guard rank == 2, virtual.rank == 2, virtual.columns == columns, isShared || virtual.rows == count * offsets.count else {
      throw EngineError(.shape, "virtual tokens: \(virtual.summary), \(count) for each of \(offsets.count) sequences of \(summary)")
    }
    var ids: [Int32] = []
    ids.reserveCapacity(rows + count * offsets.count)
    for (i, (start, end)) in zip(offsets.values, offsets.values.dropFirst()).enumerated() {
      let first = isShared ? 0 : i * count
      ids.append(contentsOf: (first..<first + count).map { Int32($0) })
      ids.append(contentsOf: (start..<end).map { $0 + Int32(virtual.rows) })
    }
    return try Tensor.cat([virtual.to(dtype), self]).gatherRows(ids)
  }
}
