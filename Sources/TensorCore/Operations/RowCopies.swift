import Foundation

/// Copies of rows between tensors that take no part in the graph of gradients: those of a cache. Callers answer for the places.
extension Tensor {
  /// Writes `count` rows of a tensor with as many columns of the same type, from its row `first`, to the rows from `target` on.
  package func copyRows(of other: Tensor, from first: Int, to target: Int, count: Int) {
    let bytes = columns * dtype.size
    precondition(other.columns == columns && other.dtype == dtype && first + count <= other.rows && target + count <= rows)
    memcpy(pointer + target * bytes, other.pointer + first * bytes, count * bytes)
    version += 1
  }

  /// Writes each row of a matrix's columns to a place.
  package func writeRows(_ source: Columns, to places: [Int32]) {
    let (bytes, stride) = (columns * dtype.size, source.matrix.columns * dtype.size)
    precondition(source.range.count == columns && source.matrix.dtype == dtype && places.count == source.matrix.rows)
    precondition(places.allSatisfy { $0 >= 0 && Int($0) < rows })
    let (from, to) = (source.pointer, pointer)
    for (row, place) in places.enumerated() { memcpy(to + Int(place) * bytes, from + row * stride, bytes) }
    version += 1
  }
}
