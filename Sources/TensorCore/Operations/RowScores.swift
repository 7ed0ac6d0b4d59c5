import CKernels

extension Tensor {
  /// `log(sum(exp(x)))` of each row of a float32 tensor, outside the graph: NaN where an element is NaN or infinity.
  package func logSumsOfRows() -> [Float] {
    precondition(dtype == .float32)
    return floats.logSums(rows: rows)
  }
}

extension UnsafeMutableBufferPointer<Float> {
  /// `log(sum(exp(x)))` of each of so many rows, which lie one after another; NaN where all of a row is `-infinity`, too.
  package func logSums(rows: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows) { sums, count in
      if rows > 0, self.count > 0 { pg_log_sums(PG_F32, rows, self.count / rows, baseAddress, sums.baseAddress) }
      count = rows
    }
  }

  /// Adds a number to every element.
  package func add(_ value: Float) { pg_scale(PG_F32, count, 1, baseAddress, Double(value), baseAddress) }

  /// The first place from `start` on where `(x - minus) + plus` is above `least`; nil: there is none.
  package func next(from start: Int, above least: Float, minus: Float = 0, plus: Float = 0) -> Int? {
    let place = pg_next_above(count, baseAddress, minus, plus, least, start)
    return place < count ? place : nil
  }
}
