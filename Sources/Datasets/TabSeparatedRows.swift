import Diagnostics

/// The rows of a tab-separated table whose quotes are ordinary characters.
func tabSeparatedRows(
  _ bytes: UnsafeBufferPointer<UInt8>, path: String, columns: ColumnSelection
) throws -> [Row] {
  var layout: (positions: [Int], count: Int)?
  if case .positions(let positions, let count) = columns { layout = (positions, count) }
  var rows: [Row] = []
  var ends: [Int] = []
  try forEachLine(of: bytes) { number, line in
    fieldEnds(of: line, into: &ends)
    guard let layout else {
      guard case .named(let names) = columns else { return }
      let header = ends.indices.map { string(field($0, of: line, ends: ends)) }
      let found = try positions(of: names, in: header, path: path, line: number)
      layout = (found, header.count)
      return
    }
    if let problem = problem(in: line, ends: ends, expected: layout.count) {
      rows.append(Row(line: number, content: .malformed(problem), range: range(of: line, in: bytes)))
    } else {
      let values = layout.positions.map { string(field($0, of: line, ends: ends)) }
      rows.append(Row(line: number, content: .values(values), range: range(of: line, in: bytes)))
    }
  }
  return rows
}

/// The first line, and its fields.
func tabSeparatedHeader(_ bytes: UnsafeBufferPointer<UInt8>) -> (range: Range<Int>, names: [String]) {
  let line = firstLine(of: bytes)
  var ends: [Int] = []
  fieldEnds(of: line, into: &ends)
  return (range(of: line, in: bytes), columnNames(ends.indices.map { string(field($0, of: line, ends: ends)) }))
}

/// Too few fields are a line break inside a text, too many a tab; empty ones at the end do no harm.
private func problem(
  in line: UnsafeBufferPointer<UInt8>, ends: [Int], expected: Int
) -> String? {
  if ends.count < expected {
    return "\(ends.count) of \(expected) tab-separated fields (a line break inside a text?)"
  }
  let surplus = ends.indices.dropFirst(expected)
  if surplus.contains(where: { !field($0, of: line, ends: ends).isEmpty }) {
    return "\(ends.count) tab-separated fields, expected \(expected) (a tab inside a text?)"
  }
  return nil
}

private func fieldEnds(of line: UnsafeBufferPointer<UInt8>, into ends: inout [Int]) {
  ends.removeAll(keepingCapacity: true)
  var start = 0
  while start < line.count {
    let rest = UnsafeBufferPointer(rebasing: line[start...])
    guard let length = firstIndex(of: UInt8(ascii: "\t"), in: rest) else { break }
    ends.append(start + length)
    start += length + 1
  }
  ends.append(line.count)
}

private func field(
  _ index: Int, of line: UnsafeBufferPointer<UInt8>, ends: [Int]
) -> UnsafeBufferPointer<UInt8> {
  let start = index == 0 ? 0 : ends[index - 1] + 1
  return UnsafeBufferPointer(rebasing: line[start..<max(start, ends[index])])
}
