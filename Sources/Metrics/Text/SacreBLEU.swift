import Diagnostics
import Foundation

/// BLEU as sacreBLEU computes it: on plain text, with its own tokens, and with precisions of 0 smoothed.
///
/// Papineni and others, 2002; Post, 2018, arXiv:1804.08771.
struct SacreBLEU: TextScorer {
  var tokenize = BLEUTokens.mteval13a
  var lowercase = false
  var smoothMethod = Smoothing.exp
  var smoothValue: Double?
  var maxNgramOrder = 4
  var effectiveOrder = false

  /// What takes the place of precisions that are 0 (Chen and Cherry, 2014).
  enum Smoothing: String, FieldChoice, CaseIterable {
    case none, floor, exp
    case addK = "add-k"
  }

  static let recordName = "sacrebleu options"
  static let fields: [Field<Self>] = [
    .value("tokenize", \.tokenize, "how texts become words"),
    .value("lowercase", \.lowercase, "whether case counts for nothing"),
    .value("smooth_method", \.smoothMethod, "what takes the place of precisions that are 0"),
    .float("smooth_value", \.smoothValue, "the value of floor (default 0.1) or add-k (default 1)", in: 0...),
    .int("max_ngram_order", \.maxNgramOrder, "the longest n-grams", in: 1...16),
    .value("effective_order", \.effectiveOrder, "whether n-grams that the hypotheses are too short for are left out, for single sentences"),
  ]

  func validate() throws(EngineError) {
    guard smoothValue == nil || smoothMethod == .floor || smoothMethod == .addK else {
      throw EngineError(.argument, "'smooth_value' says nothing to smooth_method '\(smoothMethod.rawValue)'", hint: "use floor or add-k")
    }
  }

  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { hypothesis, references in
      BLEUCounts.row(words(hypothesis), references.map(words), orders: maxNgramOrder)
    }
  }

  private func words(_ text: [Unicode.Scalar]) -> [Word] {
    tokenize.words((lowercase ? text.lowercased : text).withoutTrailingSpaces)
  }

  func score(_ sums: [Double]) -> TextScore {
    let counts = BLEUCounts(sums)
    var precisions = [Double](repeating: 0, count: maxNgramOrder)
    guard counts.correct.contains(where: { $0 != 0 }) else { return counts.report(0, precisions: precisions) }
    var (divisor, order) = (1.0, maxNgramOrder)
    for n in precisions.indices {
      let added = smoothMethod == .addK && n > 0 ? smoothValue ?? 1 : 0
      let (correct, total) = (counts.correct[n] + added, counts.totals[n] + added)
      if total == 0 { break }
      if effectiveOrder { order = n + 1 }
      if correct != 0 {
        precisions[n] = 100 * correct / total
      } else if smoothMethod == .exp {
        divisor *= 2
        precisions[n] = 100 / (divisor * total)
      } else if smoothMethod == .floor {
        precisions[n] = 100 * (smoothValue ?? 0.1) / total
      }
    }
    let used = precisions[..<order]
    let score = used.contains(0) ? 0 : counts.brevityPenalty * exp(used.reduce(0) { $0 + log($1) } / Double(order))
    return counts.report(score, precisions: precisions)
  }
}

/// The tokens that sacreBLEU knows and that need no models.
enum BLEUTokens: String, FieldChoice, CaseIterable {
  case mteval13a = "13a"
  case international = "intl"
  case character = "char"
  /// Words between spaces.
  case none

  func words(_ text: [Unicode.Scalar]) -> [Word] {
    switch self {
    case .mteval13a: mteval13aWords(text)
    case .international: internationalWords(text)
    case .character: text.filter { !$0.isPythonSpace }.map { [$0] }
    case .none: text.words()
    }
  }
}

/// The words of a text by the rules of mteval-v14.pl: punctuation and symbols of all scripts stand alone, except in numbers.
private func internationalWords(_ text: [Unicode.Scalar]) -> [Word] {
  func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
      .otherPunctuation:
      true
    default: false
    }
  }
  func isSymbol(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: true
    default: false
    }
  }
  func isNumber(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: true
    default: false
    }
  }
  let line = text.spacingPairs({ !isNumber($0) }, isPunctuation, .betweenAndAfter)
    .spacingPairs(isPunctuation, { !isNumber($0) }, .beforeAndBetween)
  return line.flatMap { isSymbol($0) ? [" ", $0, " "] : [$0] }.words()
}

extension Metric {
  /// BLEU of plain texts, 0 to 100, the one that machine translation reports.
  public static let sacrebleu = Metric(
    name: "sacrebleu",
    doc: "BLEU of plain texts with standard tokens, 0 to 100; 0 where no word matches",
    reference: "sacrebleu.metrics.BLEU (sacreBLEU 2.6)",
    scorer: SacreBLEU())
}
