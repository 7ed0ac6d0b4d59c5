import Diagnostics

/// BLEU of texts that are split into words already.
struct MultiBLEU: TextScorer {
  var lowercase = false

  static let recordName = "multi_bleu options"
  static let fields: [Field<Self>] = [
    .value("lowercase", \.lowercase, "whether the case of ASCII letters counts for nothing, as -lc")
  ]

  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    // The script reads bytes: its letters and spaces are those of ASCII.
    func words(_ text: [Unicode.Scalar]) -> [Word] {
      let text = lowercase ? text.map { $0.isASCII ? $0.properties.lowercaseMapping.unicodeScalars.first ?? $0 : $0 } : text
      return text.words(where: \.isASCIISpace)
    }
    return try texts.map { BLEUCounts.row(words($0), $1.map(words), orders: 4) }
  }

  func score(_ sums: [Double]) -> TextScore { BLEUCounts(sums).unsmoothed }
}

/// BLEU of plain text with the tokens of mteval-v13a.
struct MultiBLEUDetok: TextScorer {
  var lowercase = false

  static let recordName = "multi_bleu_detok options"
  static let fields: [Field<Self>] = [
    .value("lowercase", \.lowercase, "whether case counts for nothing, as -lc")
  ]

  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    func words(_ text: [Unicode.Scalar]) -> [Word] {
      // Perl knows no sigma of a word's end, and no separators of files and records.
      let text = lowercase ? text.flatMap { $0.properties.lowercaseMapping.unicodeScalars } : text
      return mteval13aWords(text) { $0.isPythonSpace && !(0x1C...0x1F).contains($0.value) }
    }
    return try texts.map { BLEUCounts.row(words($0), $1.map(words), orders: 4) }
  }

  func score(_ sums: [Double]) -> TextScore { BLEUCounts(sums).unsmoothed }
}

extension Metric {
  /// BLEU of tokenised texts, 0 to 100.
  public static let multiBLEU = Metric(
    name: "multi_bleu",
    doc: "BLEU of texts that are split into words by spaces already, 0 to 100; 0 where no n-gram of some n from 1 to 4 matches",
    reference: "multi-bleu.perl of Moses",
    scorer: MultiBLEU())

  /// BLEU of plain texts, 0 to 100, as WebNLG and DART report it.
  public static let multiBLEUDetok = Metric(
    name: "multi_bleu_detok",
    doc: "BLEU of plain texts with the tokens of mteval-v13a, 0 to 100; 0 where no n-gram of some n from 1 to 4 matches",
    reference: "multi-bleu-detok.perl of Moses",
    scorer: MultiBLEUDetok())
}
