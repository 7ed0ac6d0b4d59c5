import Diagnostics

/// The search for the cheapest edits as tercom does it: the move that saves most is made, until none saves.
struct TercomSearch {
  private var words: [Int]
  private let reference: [Int]
  private var distances: BandedDistance
  private var candidates = 0

  private static let longestPhrase = 10
  private static let longestWay = 50
  private static let mostCandidates = 1000

  /// - Parameters: the words of both sides as numbers; equal words have equal numbers.
  init(_ words: [Int], _ reference: [Int]) {
    (self.words, self.reference) = (words, reference)
    distances = BandedDistance(reference, length: words.count)
  }

  /// The number of edits, each move one of them.
  mutating func edits() throws -> Int {
    if reference.isEmpty { return words.count }
    var moves = 0
    while let better = try bestMove(), candidates < Self.mostCandidates, better.gain > 0 {
      moves += 1
      words = better.words
    }
    return moves + (try distances.distance(words))
  }

  private struct Move {
    let gain: Int
    let length: Int
    let start: Int
    let target: Int
    let words: [Int]

    /// More gain, then the longer phrase, then the earlier one, then the earlier target; of equals, the greater list.
    ///
    /// Words are compared by number, not by letter: two moves equal in all else give the same words.
    func isBetter(than other: Move) -> Bool {
      (gain, length, -start, -target) > (other.gain, other.length, -other.start, -other.target)
    }
  }

  private mutating func bestMove() throws -> Move? {
    let before = try distances.distance(words)
    let path = distances.path(of: words.count)
    var best: Move?
    search: for start in words.indices {
      try Interrupt.check()
      let first = min(max(0, start - Self.longestWay), reference.count)
      for place in first..<min(reference.count, start + Self.longestWay + 1) {
        var length = 0
        while length < Self.longestPhrase, start + length < words.count, place + length < reference.count,
          words[start + length] == reference[place + length]
        {
          length += 1
          try tryMoves(start, place, length, path, before, &best)
          if candidates >= Self.mostCandidates { break search }
        }
      }
    }
    return best
  }

  /// Moves the phrase behind each of the words that it could follow, if both its places are wrong now.
  private mutating func tryMoves(
    _ start: Int, _ place: Int, _ length: Int, _ path: EditPath, _ before: Int, _ best: inout Move?
  ) throws {
    guard path.isWrong[start..<start + length].contains(true), path.isReferenceWrong[place..<place + length].contains(true),
      !(start..<start + length).contains(path.partner[place])
    else { return }
    var last = -1
    for offset in -1..<length {
      let target = place + offset == -1 ? 0 : path.partner[place + offset] + 1
      if target == last { continue }
      last = target
      let moved = Self.moving(words, start, length, to: target)
      let move = Move(
        gain: before - (try distances.distance(moved, from: min(start, target))), length: length, start: start, target: target, words: moved)
      candidates += 1
      if best.map({ move.isBetter(than: $0) }) ?? true { best = move }
    }
  }

  private static func moving(_ words: [Int], _ start: Int, _ length: Int, to target: Int) -> [Int] {
    let end = start + length
    let phrase = words[start..<end]
    if target < start { return Array(words[..<target] + phrase + words[target..<start] + words[end...]) }
    if target > end { return Array(words[..<start] + words[end..<target] + phrase + words[target...]) }
    // Inside itself, the phrase changes places with as many of the words behind it.
    let split = min(length + target, words.count)
    return Array(words[..<start] + words[min(end, split)..<split] + phrase + words[split...])
  }
}

/// Which words go together in the cheapest edits without moves.
struct EditPath {
  /// For each word of the text, whether it is none of the reference's.
  var isWrong: [Bool]
  /// For each word of the reference, whether the text lacks it.
  var isReferenceWrong: [Bool]
  /// For each word of the reference, the text's word that stands there; -1 before the first.
  var partner: [Int]
}

/// The edit distance of texts of one length to a reference, along a band around the diagonal.
///
/// The rows of the text whose path was asked for last are kept: a text that differs from it late needs only its own last rows.
struct BandedDistance {
  private enum Edit: UInt8 { case insertion, deletion, same, exchange, none }

  private struct Row {
    var start: Int
    var costs: [Int]
    var edits: [Edit]

    func cost(_ column: Int) -> Int {
      let place = column - start
      return costs.indices.contains(place) ? costs[place] : BandedDistance.never
    }
  }

  private let reference: [Int]
  private let ratio: Double
  private let width: Int
  private var rows: [Row]
  private var current: [Int] = []

  private static let never = Int(1e16)

  /// - Parameter length: the number of words that all texts have.
  init(_ reference: [Int], length: Int) {
    self.reference = reference
    ratio = length > 0 ? Double(reference.count) / Double(length) : 1
    // Where one side is very much longer, neighbouring rows must still meet.
    width = 25 < ratio / 2 ? Int((ratio / 2 + 25).rounded(.up)) : 25
    rows = [Row(start: 0, costs: Array(0...reference.count), edits: Array(repeating: .insertion, count: reference.count + 1))]
  }

  /// The distance of a text, whose rows are kept.
  mutating func distance(_ words: [Int]) throws -> Int {
    let known = zip(words, current).prefix { $0 == $1 }.count
    rows.removeLast(rows.count - 1 - min(known, rows.count - 1))
    try extend(&rows, words)
    current = words
    return rows[rows.count - 1].cost(reference.count)
  }

  /// The distance of a text that equals the kept one before a place.
  func distance(_ words: [Int], from place: Int) throws -> Int {
    var rows = Array(rows[place...place])
    try extend(&rows, words, from: place)
    return rows[rows.count - 1].cost(reference.count)
  }

  private func extend(_ rows: inout [Row], _ words: [Int], from place: Int? = nil) throws {
    let first = place ?? rows.count - 1
    for i in first..<words.count {
      if i % 256 == 0 { try Interrupt.check() }
      let next = row(words[i], i + 1, isLast: i + 1 == words.count, after: rows[rows.count - 1])
      // Without a path to find, the row before is enough.
      if place == nil { rows.append(next) } else { rows[0] = next }
    }
  }

  private func row(_ word: Int, _ number: Int, isLast: Bool, after above: Row) -> Row {
    let diagonal = Int((Double(number) * ratio).rounded(.down))
    let start = max(0, diagonal - width)
    let end = isLast ? reference.count + 1 : min(reference.count + 1, diagonal + width)
    var row = Row(start: start, costs: [], edits: [])
    row.costs.reserveCapacity(max(0, end - start))
    row.edits.reserveCapacity(max(0, end - start))
    for column in start..<max(start, end) {
      var (cost, edit) = (Self.never, Edit.none)
      func offer(_ other: Int, _ kind: Edit) {
        if other < cost { (cost, edit) = (other, kind) }
      }
      if column == 0 {
        (cost, edit) = (above.cost(0) + 1, .deletion)
      } else {
        let isSame = reference[column - 1] == word
        offer(above.cost(column - 1) + (isSame ? 0 : 1), isSame ? .same : .exchange)
        offer(above.cost(column) + 1, .deletion)
        if column > start { offer(row.costs[column - 1 - start] + 1, .insertion) }
      }
      row.costs.append(cost)
      row.edits.append(edit)
    }
    return row
  }

  /// The cheapest edits of the kept text.
  func path(of length: Int) -> EditPath {
    var path = EditPath(
      isWrong: Array(repeating: false, count: length), isReferenceWrong: Array(repeating: false, count: reference.count),
      partner: Array(repeating: -1, count: reference.count))
    var (i, j) = (length, reference.count)
    while i > 0 || j > 0 {
      let place = j - rows[i].start
      switch rows[i].edits.indices.contains(place) ? rows[i].edits[place] : .none {
      case .same:
        (i, j) = (i - 1, j - 1)
        path.partner[j] = i
      case .exchange:
        (i, j) = (i - 1, j - 1)
        path.partner[j] = i
        (path.isWrong[i], path.isReferenceWrong[j]) = (true, true)
      case .insertion:
        j -= 1
        path.partner[j] = i - 1
        path.isReferenceWrong[j] = true
      case .deletion:
        i -= 1
        path.isWrong[i] = true
      case .none: preconditionFailure("the band of row \(i) has no way to column \(j)")
      }
    }
    return path
  }
}
