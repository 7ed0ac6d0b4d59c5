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

  /// Subtracts a number from all elements of each of so many rows.
  package func subtract(fromRows numbers: [Float]) {
    if !numbers.isEmpty { pg_subtract_from_rows(numbers.count, count / numbers.count, baseAddress, numbers) }
  }

  /// The best of many candidates, the elements of some rows that lie one after another: the best first, and of equal ones the first.
  /// Those with `-infinity` are none.
  ///
  /// `minus`, `plus`: a number for each row; a candidate's score is `(x - minus) + plus`. nil: zeros.
  package func best(_ wanted: Int, rows: Int = 1, minus: [Float]? = nil, plus: [Float]? = nil) -> [(score: Float, index: Int)] {
    precondition(minus?.count ?? rows == rows && plus?.count ?? rows == rows)
    let width = count / rows
    let each = Swift.min(wanted, width)
    var places = [Int32](repeating: -1, count: rows * each)
    let scores = [Float](unsafeUninitializedCapacity: rows * each) { scores, count in
      pg_best_of_rows(rows, width, baseAddress, minus, plus, each, scores.baseAddress, &places)
      count = rows * each
    }
    let all = places.indices.filter { places[$0] >= 0 }.map { (score: scores[$0], index: $0 / each * width + Int(places[$0])) }
    guard rows > 1 else { return all }
    return Array(all.sorted { $0.score > $1.score || ($0.score == $1.score && $0.index < $1.index) }.prefix(wanted))
  }
}
