import CKernels
import Diagnostics

extension Tensor {
  /// Rows of a table: `result[i] = self[ids[i]]`, plus the rows of further tables.
  ///
  /// - `self`: [V, C]; `ids`: n values in 0..<V. Result: [n, C].
  /// - `adding`: more tables of [_, C] and their ids, summed into the same rows (position and type embeddings).
  public func gatherRows(_ ids: [Int32], adding others: [(table: Tensor, ids: [Int32])] = []) throws -> Tensor {
    let tables = [(table: self, ids: ids)] + others
    for (table, ids) in tables {
      guard table.rank == 2, table.columns == columns, ids.count == tables[0].ids.count else {
        throw EngineError(.shape, "embedding: table \(table.shape) with \(ids.count) ids beside \(shape) with \(tables[0].ids.count)")
      }
      if let bad = ids.first(where: { $0 < 0 || Int($0) >= table.shape[0] }) {
        throw EngineError(.data, "embedding: id \(bad) is outside the table of \(table.shape[0]) rows")
      }
    }
    if others.isEmpty { try requireActivations("embedding", [self]) } else { try requireSameDType("embedding", tables.map(\.table)) }
    let (n, cols) = (ids.count, columns)
    // Of a table that a file has in another form, the rows are read from there: its elements would take much memory.
    let stored = byteOffset == 0 ? try storage.stored?.gather(ids, of: shape) : nil
    let y = try stored ?? Tensor(uninitialized: [n, cols], dtype)
    for (i, (table, ids)) in tables.enumerated() where i > 0 || stored == nil {
      pg_gather_rows(dtype.kernel, n, cols, ids, table.pointer, i > 0, y.pointer)
    }
    let trains = tables.map(\.table.requiresGrad)
    Autograd.attach("embedding", to: y, inputs: tables.map(\.table)) { [dtype] dy in
      let dy = try dy.converted(to: dtype)
      return try zip(tables, trains).map { entry, trains in
        guard trains else { return nil }
        let gradient = try Tensor.zeros(entry.table.shape, dtype)
        pg_scatter_add_rows(dtype.kernel, n, cols, entry.ids, dy.pointer, gradient.pointer)
        return gradient
      }
    }
    return y
  }
}
