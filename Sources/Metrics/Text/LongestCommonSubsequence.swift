import Diagnostics

/// The longest common subsequences of a text with others, 64 words at a time.
///
/// Row i of the table of lengths is kept as bits: bit j is set where the length does not grow from j to j + 1 (Crochemore and
/// others, 2001). So a pair of 100,000 words each takes 1.6·10⁸ steps and a few megabytes.
struct LongestCommonSubsequence {
  private let words: Int
  private let count: Int
  /// For each word of the text by number, where it stands, as bits.
  private let places: [Int: [UInt64]]

  /// - Parameter text: the words of the text, as numbers; equal words have equal numbers.
  init(_ text: [Int]) {
    count = text.count
    words = (text.count + 63) / 64
    var places: [Int: [UInt64]] = [:]
    for (place, number) in text.enumerated() {
      places[number, default: Array(repeating: 0, count: words)][place / 64] |= 1 << UInt64(place % 64)
    }
    self.places = places
  }

  /// How many words the longest common subsequence has.
  func length(with other: [Int]) throws -> Int {
    var row = [UInt64](repeating: .max, count: words)
    for (place, number) in other.enumerated() {
      if place % 1024 == 0 { try Interrupt.check() }
      advance(&row, number)
    }
    return zeros(row, below: count)
  }

  /// Which words of `other` are in a longest common subsequence: of several, the one found from the end by leaving out words of
  /// the text only where the other side's would lose by it.
  func places(in other: [Int]) throws -> [Int] {
    // Rows are kept at steps, and those between are computed again: the table of a long pair has no room.
    let step = max(1, Int(Double(other.count).squareRoot()))
    var kept: [[UInt64]] = []
    var row = [UInt64](repeating: .max, count: words)
    for (place, number) in other.enumerated() {
      if place % 1024 == 0 { try Interrupt.check() }
      if place % step == 0 { kept.append(row) }
      advance(&row, number)
    }
    var found: [Int] = []
    var column = count
    for block in kept.indices.reversed() where column > 0 {
      try Interrupt.check()
      var rows = [kept[block]]
      let end = min((block + 1) * step, other.count)
      for place in block * step..<end {
        var next = rows[rows.count - 1]
        advance(&next, other[place])
        rows.append(next)
      }
      var line = rows.count - 1
      while line > 0, column > 0 {
        if has(other[block * step + line - 1], at: column - 1) {
          found.append(block * step + line - 1)
          line -= 1
          column -= 1
        } else if zeros(rows[line], below: column - 1) > zeros(rows[line - 1], below: column) {
          column -= 1
        } else {
          line -= 1
        }
      }
    }
    return found.reversed()
  }

  private func has(_ number: Int, at place: Int) -> Bool {
    places[number].map { $0[place / 64] >> UInt64(place % 64) & 1 == 1 } ?? false
  }

  /// The next row: the text against one more word of the other side.
  private func advance(_ row: inout [UInt64], _ number: Int) {
    guard let matches = places[number] else { return }
    var carry = false
    row.withUnsafeMutableBufferPointer { row in
      for word in 0..<words {
        let value = row[word]
        let kept = value & matches[word]
        let (first, overflow) = value.addingReportingOverflow(kept)
        let (sum, second) = first.addingReportingOverflow(carry ? 1 : 0)
        carry = overflow || second
        row[word] = sum | (value & ~matches[word])
      }
    }
  }

  private func zeros(_ row: [UInt64], below column: Int) -> Int {
    var ones = 0
    for word in 0..<column / 64 { ones += row[word].nonzeroBitCount }
    if column % 64 != 0 { ones += (row[column / 64] & (1 << UInt64(column % 64) - 1)).nonzeroBitCount }
    return column - ones
  }
}
