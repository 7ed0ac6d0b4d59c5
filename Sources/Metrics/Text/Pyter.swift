import Diagnostics

/// TER without tercom's limits, as the scripts of WebNLG 2017 and DART compute it.
struct Pyter: TextScorer {
  var lowercase = false

  static let recordName = "pyter options"
  static let fields: [Field<Self>] = [
    .value("lowercase", \.lowercase, "whether case counts for nothing: WebNLG's scripts lower all texts first")
  ]

  /// Pairs of equal words that a segment may have: for each of them, the whole text is compared anew after every move.
  private static let mostPairs = 1_000_000

  /// The rate of the nearest reference, and 1.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { hypothesis, references in
      func words(_ text: [Unicode.Scalar]) -> [Word] { nltkWords(lowercase ? text.lowercased : text) }
      let own = words(hypothesis)
      let others = references.map(words)
      // Words as numbers in the order of their letters, which decides between moves that gain the same.
      let sorted = Set(own + others.flatMap { $0 }).sorted { $0.lexicographicallyPrecedes($1) }
      let numbers = Dictionary(uniqueKeysWithValues: sorted.enumerated().map { ($0.element, $0.offset) })
      func numbered(_ words: [Word]) -> [Int] { words.compactMap { numbers[$0] } }
      let rates = try others.map { $0.isEmpty ? 1 : try Self.rate(numbered(own), numbered($0)) }
      return [rates.min() ?? 1, 1]
    }
  }

  private static func rate(_ start: [Int], _ reference: [Int]) throws -> Double {
    let counts = NGramIndex<Int>.counts(start)
    let pairs = reference.reduce(0) { $0 + (counts[$1] ?? 0) }
    guard pairs <= mostPairs else {
      throw EngineError(
        .data, "\(pairs) pairs of equal words, at most \(mostPairs) are searched for moves", hint: "use ter, whose search has limits")
    }
    var words = start
    var moves = 0
    while true {
      let distances = LongDistance(words, reference)
      var best: (gain: Int, words: [Int])?
      for (from, to, length) in phrases(words, reference) {
        try Interrupt.check()
        var moved = words
        moved.removeSubrange(from..<from + length)
        // A place behind the end is the end.
        moved.insert(contentsOf: words[from..<from + length], at: min(to, moved.count))
        let gain = distances.distance - distances.distance(moved)
        if best.map({ $0.gain < gain || $0.gain == gain && $0.words.lexicographicallyPrecedes(moved) }) ?? true { best = (gain, moved) }
      }
      guard let best, best.gain > 0 else { return Double(moves + distances.distance) / Double(reference.count) }
      moves += 1
      words = best.words
    }
  }

  /// For each pair of equal words at different places, the longest equal phrases that begin there.
  private static func phrases(_ words: [Int], _ reference: [Int]) -> [(from: Int, to: Int, length: Int)] {
    var result: [(Int, Int, Int)] = []
    for from in words.indices {
      for to in reference.indices where from != to && words[from] == reference[to] {
        var length = 1
        while from + length < words.count, to + length < reference.count, words[from + length] == reference[to + length] { length += 1 }
        result.append((from, to, length))
      }
    }
    return result
  }

  func score(_ sums: [Double]) -> TextScore { TextScore(sums[0] / sums[1]) }
}

/// The edit distance of a text to a reference, and of others that begin as it does.
private struct LongDistance {
  private let words: [Int]
  private let reference: [Int]
  private var rows: [[Int]]
  let distance: Int

  init(_ words: [Int], _ reference: [Int]) {
    (self.words, self.reference) = (words, reference)
    rows = [Array(0...reference.count)]
    for word in words { rows.append(Self.row(word, reference, after: rows[rows.count - 1])) }
    distance = rows[words.count][reference.count]
  }

  func distance(_ other: [Int]) -> Int {
    let known = zip(words, other).prefix { $0 == $1 }.count
    return other[known...].reduce(rows[known]) { Self.row($1, reference, after: $0) }[reference.count]
  }

  private static func row(_ word: Int, _ reference: [Int], after above: [Int]) -> [Int] {
    var row = above
    row[0] = above[0] + 1
    for column in reference.indices {
      row[column + 1] = min(above[column + 1] + 1, row[column] + 1, above[column] + (reference[column] == word ? 0 : 1))
    }
    return row
  }
}

extension Metric {
  /// TER by pyter, 0 or more, lower is better.
  public static let pyter = Metric(
    name: "pyter",
    doc: "translation edit rate without limits on moves, words of NLTK, mean of the segments, 0 or more; lower is better",
    reference: "pyter.ter with nltk.word_tokenize, as WebNLG's and DART's scripts call it",
    greaterIsBetter: false, scorer: Pyter())
}
