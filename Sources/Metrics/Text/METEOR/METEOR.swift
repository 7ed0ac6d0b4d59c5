import Diagnostics
import Files
import Foundation

/// METEOR 1.5 for English: words that match as they are, by their stems, as synonyms or in paraphrases, and the order that they
/// stand in.
///
/// Denkowski and Lavie, 2014; the parameters are those of its task "rank".
struct METEOR: TextScorer {
  var tokenize = Tokens.norm
  var synonyms = true
  var wordnet: String?
  var paraphrases: String?

  /// How texts become words.
  enum Tokens: String, FieldChoice, CaseIterable {
    /// METEOR's own rules, in lower case.
    case norm
    /// As MS COCO's evaluation prepares captions, and then by METEOR's own rules.
    case coco
    /// Words between spaces, in lower case.
    case none
  }

  static let recordName = "meteor options"
  static let fields: [Field<Self>] = [
    .value("tokenize", \.tokenize, "how texts become words: METEOR's -norm, coco (captions, E2E), or none"),
    .value("synonyms", \.synonyms, "whether words match that share a meaning in WordNet, where its files are"),
    .value("wordnet", \.wordnet, "the folder of WordNet's files; without one, \(WordNet.installedFolder) if it is there"),
    .value("paraphrases", \.paraphrases, "METEOR's table of paraphrases, unpacked; without one, phrases do not match"),
  ]

  private static let (alpha, beta, gamma, delta) = (0.85, 0.2, 0.6, 0.75)
  private static let weights = [1.0, 0.6, 0.8, 0.6]
  /// Pairs of matching words that a segment may have.
  private static let mostMatches = 4_000_000

  func validate() throws(EngineError) {
    guard synonyms || wordnet == nil else { throw EngineError(.argument, "'wordnet' says nothing without synonyms") }
  }

  private var wordnetFolder: String? {
    guard synonyms else { return nil }
    if let wordnet { return wordnet }
    return (try? requireRegularFile(FilePath.join(WordNet.installedFolder, "index.noun"))) == nil ? nil : WordNet.installedFolder
  }

  func remarks() throws -> [String] {
    var stages = ["exact", "stem"]
    if let folder = wordnetFolder { stages.append("synonym (\(folder))") }
    if let paraphrases { stages.append("paraphrase (\(paraphrases))") }
    var remarks = ["stages: \(stages.joined(separator: ", "))"]
    if synonyms, wordnetFolder == nil {
      remarks.append("no synonyms: \(WordNet.installedFolder) is not there; install wordnet-base, or name WordNet's folder as wordnet")
    }
    if paraphrases == nil { remarks.append("no paraphrases: METEOR's table is given as paraphrases") }
    return remarks
  }

  /// Words, and function words among them, of hypothesis and reference; for each stage matched content and function words of
  /// both; chunks; 0 chunks where all is one.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    let tokenized = try texts.hypotheses.indices.map { segment in
      try Interrupt.check()
      return (own: words(texts.hypotheses[segment]), others: texts.references[segment].map(words))
    }
    var aligner = Aligner()
    if let folder = wordnetFolder { aligner.wordNet = try WordNet(folder: folder) }
    if let paraphrases {
      let all = Set(tokenized.flatMap { $0.own + $0.others.flatMap { $0 } })
      aligner.table = try ParaphraseTable(path: paraphrases, words: all)
    }
    return try tokenized.enumerated().map { segment, texts in
      try Interrupt.check()
      var (best, bestScore) = ([Double](), -1.0)
      for other in texts.others {
        let row: [Double]
        do { row = try aligner.counts(texts.own, other) } catch let error as EngineError { throw error.at("segment \(segment + 1)") }
        let score = Self.parts(row).score
        if score > bestScore { (best, bestScore) = (row, score) }
      }
      // A text that equals its reference in one chunk adds none.
      if Self.isWhole(best) { best[20] = 0 }
      return best
    }
  }

  private func words(_ text: String) -> [Word] {
    let text = Array(text.unicodeScalars)
    switch tokenize {
    case .norm: return meteorWords(text)
    case .coco: return meteorWords(Array(cocoWords(text).joined(separator: [" "])))
    case .none:
      let start = text.drop { $0.value <= 0x20 }
      return Array(start.reversed().drop { $0.value <= 0x20 }.reversed()).lowercased.words { $0.isASCIISpace && $0 != "\u{B}" }
    }
  }

  func score(_ sums: [Double]) -> TextScore {
    let parts = Self.parts(sums)
    return TextScore(
      parts.score,
      [
        "precision": parts.precision, "recall": parts.recall, "fragmentation_penalty": parts.penalty, "chunks": sums[20], "length": sums[0],
        "reference_length": sums[1],
      ])
  }

  /// Whether all words of both sides match, in one chunk.
  private static func isWhole(_ row: [Double]) -> Bool {
    let matched = matchedWords(row)
    return matched.own == row[0] && matched.other == row[1] && row[20] == 1
  }

  private static func matchedWords(_ row: [Double]) -> (own: Double, other: Double) {
    var (own, other) = (0.0, 0.0)
    for stage in 0..<4 {
      own += row[4 + 4 * stage] + row[6 + 4 * stage]
      other += row[5 + 4 * stage] + row[7 + 4 * stage]
    }
    return (own, other)
  }

  private static func parts(_ row: [Double]) -> (score: Double, precision: Double, recall: Double, penalty: Double) {
    func weighted(_ length: Double, _ function: Double) -> Double { delta * (length - function) + (1 - delta) * function }
    func matches(_ content: Int, _ function: Int) -> Double {
      var sum = 0.0
      for stage in 0..<4 { sum += row[content + 4 * stage] * weights[stage] * delta }
      for stage in 0..<4 { sum += row[function + 4 * stage] * weights[stage] * (1 - delta) }
      return sum
    }
    let (own, other) = (weighted(row[0], row[2]), weighted(row[1], row[3]))
    let precision = own > 0 ? matches(4, 6) / own : 0
    let recall = other > 0 ? matches(5, 7) / other : 0
    let matched = matchedWords(row)
    guard precision > 0, recall > 0 else { return (0, precision, recall, 0) }
    let mean = 1 / ((1 - alpha) / precision + alpha / recall)
    let fragmentation = isWhole(row) ? 0 : row[20] / ((matched.own + matched.other) / 2)
    let penalty = gamma * pow(fragmentation, beta)
    return (max(mean * (1 - penalty), 0), precision, recall, penalty)
  }

  /// Aligns texts in the stages that there are.
  private struct Aligner {
    var wordNet: WordNet?
    var table: ParaphraseTable?
    private let stemmer = EnglishStemmer()
    private var stems: [Word: Word] = [:]
    private var meanings: [Word: Set<Int>] = [:]

    /// The row of `statistics` for one reference.
    mutating func counts(_ own: [Word], _ other: [Word]) throws -> [Double] {
      let matches = try found(own, other).aligned()
      var row = [Double](repeating: 0, count: 21)
      let (isOwnFunction, isOtherFunction) = (own.map(meteorFunctionWords.contains), other.map(meteorFunctionWords.contains))
      row[0] = Double(own.count)
      row[1] = Double(other.count)
      row[2] = Double(isOwnFunction.count { $0 })
      row[3] = Double(isOtherFunction.count { $0 })
      for match in matches {
        let base = 4 + 4 * match.stage
        for place in match.hypothesisStart..<match.hypothesisStart + match.hypothesisLength { row[base + (isOwnFunction[place] ? 2 : 0)] += 1 }
        for place in match.start..<match.start + match.length { row[base + (isOtherFunction[place] ? 3 : 1)] += 1 }
      }
      row[20] = Double(meteorChunks(matches))
      return row
    }

    private mutating func found(_ own: [Word], _ other: [Word]) throws -> MeteorMatches {
      var matches = MeteorMatches(hypothesisLength: own.count, referenceLength: other.count)
      func add(_ stage: Int, _ isMatch: (Int, Int) -> Bool) throws {
        for (start, _) in other.enumerated() {
          try Interrupt.check()
          for place in own.indices where isMatch(place, start) {
            matches.add(MeteorMatch(start: start, length: 1, hypothesisStart: place, hypothesisLength: 1, stage: stage))
          }
          guard matches.count <= mostMatches else {
            throw EngineError(.data, "more than \(mostMatches) pairs of words match", hint: "cut the text into segments")
          }
        }
      }
      try add(0) { own[$0] == other[$1] }
      // Equal texts have exact matches alone: others would only disturb the search.
      if own == other { return matches }
      let (ownStems, otherStems) = (own.map { stem($0) }, other.map { stem($0) })
      try add(1) { ownStems[$0] == otherStems[$1] && own[$0] != other[$1] }
      if wordNet != nil {
        let (ownMeanings, otherMeanings) = (own.map { meaning($0) }, other.map { meaning($0) })
        try add(2) { own[$0] != other[$1] && !ownMeanings[$0].isDisjoint(with: otherMeanings[$1]) }
      }
      if let table { addParaphrases(table, own, other, &matches) }
      return matches
    }

    private func addParaphrases(_ table: ParaphraseTable, _ own: [Word], _ other: [Word], _ matches: inout MeteorMatches) {
      for start in other.indices {
        for (length, phrase) in table.paraphrases(other, at: start) {
          for place in own.indices where own[place...].starts(with: phrase) {
            matches.add(MeteorMatch(start: start, length: length, hypothesisStart: place, hypothesisLength: phrase.count, stage: 3))
          }
        }
      }
      for place in own.indices {
        for (length, phrase) in table.paraphrases(own, at: place) {
          for start in other.indices where other[start...].starts(with: phrase) {
            matches.add(MeteorMatch(start: start, length: phrase.count, hypothesisStart: place, hypothesisLength: length, stage: 3))
          }
        }
      }
    }

    private mutating func stem(_ word: Word) -> Word {
      if let stem = stems[word] { return stem }
      let stem = stemmer.stem(word)
      stems[word] = stem
      return stem
    }

    private mutating func meaning(_ word: Word) -> Set<Int> {
      if let known = meanings[word] { return known }
      let found = wordNet?.meanings(of: word) ?? []
      meanings[word] = found
      return found
    }
  }
}

extension Metric {
  /// METEOR 1.5, 0 to 1.
  public static let meteor = Metric(
    name: "meteor",
    doc: "METEOR 1.5 for English: matches of words, stems, and synonyms where WordNet is, with a penalty for their order, 0 to 1",
    reference: "meteor-1.5.jar -l en -norm -m 'exact stem synonym'",
    scorer: METEOR())
}
