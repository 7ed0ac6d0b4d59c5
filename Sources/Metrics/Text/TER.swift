import Diagnostics

/// How many edits turn a text into a reference: words inserted, deleted or exchanged, and phrases moved.
///
/// Snover and others, 2006, with the limits of their program tercom.
struct TER: TextScorer {
  var normalized = false
  var noPunct = false
  var asianSupport = false
  var caseSensitive = false

  static let recordName = "ter options"
  static let fields: [Field<Self>] = [
    .value("normalized", \.normalized, "whether punctuation stands alone"),
    .value("no_punct", \.noPunct, "whether punctuation is left out"),
    .value("asian_support", \.asianSupport, "whether that holds for punctuation and scripts of East Asia too"),
    .value("case_sensitive", \.caseSensitive, "whether case counts"),
  ]

  func validate() throws(EngineError) {
    guard !asianSupport || normalized || noPunct else {
      throw EngineError(.argument, "'asian_support' says nothing by itself", hint: "set normalized or no_punct too")
    }
  }

  /// The edits to the nearest reference, and the references' mean length.
  func statistics(of texts: ScoredTexts) throws -> [[Double]] {
    try texts.map { hypothesis, references in
      var index = NGramIndex<Word>(orders: 1)
      let own = index.add(words(hypothesis))[0]
      // sacreBLEU prepares references twice, so that what the first time has put beside a space is seen by the second.
      let others = references.map { index.add(words(Array(words($0).joined(separator: [" "]))))[0] }
      let edits =
        try others.map { other in
          var search = TercomSearch(own, other)
          return try search.edits()
        }.min() ?? 0
      return [Double(edits), Double(others.reduce(0) { $0 + $1.count }) / Double(others.count)]
    }
  }

  private func words(_ text: [Unicode.Scalar]) -> [Word] {
    var text = text.withoutTrailingSpaces
    if !caseSensitive { text = text.lowercased }
    if normalized, !text.isEmpty {
      text = text.replacing("\n-", with: "").replacing("\n", with: " ")
      for (name, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replacing(name, with: character)
      }
      text = spacedWesternPunctuation([" "] + text + [" "], possessives: true)
      if asianSupport { text = spacedAsianScripts(text) }
    }
    if noPunct { text = text.filter { !(".,?:;!\"()".unicodeScalars.contains($0) || asianSupport && isAsianPunctuation($0)) } }
    return text.words()
  }

  func score(_ sums: [Double]) -> TextScore {
    let (edits, length) = (sums[0], sums[1])
    // References without words: 100 for any edit at all.
    return TextScore(
      100 * (length > 0 ? edits / length : edits > 0 ? 1 : 0), ["edits": edits, "reference_length": length])
  }
}

private func isAsianPunctuation(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x3001, 0x3002, 0x3008...0x3011, 0x3014...0x301F, 0xFF61...0xFF65, 0x30FB: true
  case 0xFF0E, 0xFF0C, 0xFF1F, 0xFF1A, 0xFF1B, 0xFF01, 0xFF02, 0xFF08, 0xFF09: true
  default: false
  }
}

/// Spaces around each ideograph. Kana stay together, as in sacreBLEU's program, whose patterns for them match only a whole text,
/// except where they are in the wide range from 3200 to 3F22 that it takes for enclosed letters.
private func spacedAsianScripts(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  text.flatMap { scalar -> [Unicode.Scalar] in
    switch scalar.value {
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0x31C0...0x31EF, 0x2E80...0x2EFF, 0x3200...0x3F22, 0xF900...0xFAFF, 0xFE30...0xFE4F:
      return [" ", scalar, " "]
    default: return isAsianPunctuation(scalar) ? [" ", scalar, " "] : [scalar]
    }
  }
}

extension Metric {
  /// TER, 0 or more, lower is better.
  public static let ter = Metric(
    name: "ter",
    doc: "translation edit rate: edits per word of the references, times 100, 0 or more; lower is better",
    reference: "sacrebleu.metrics.TER (sacreBLEU 2.6), which is tercom's",
    greaterIsBetter: false, scorer: TER())
}
