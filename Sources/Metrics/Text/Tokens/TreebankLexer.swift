/// Tokens of the Penn Treebank as Stanford's tokenizer 3.4.1 finds them, the one that MS COCO's evaluation runs.
///
/// At each place the rule that sees the longest stretch of text wins, of equals the earlier rule; a rule may see more than it
/// takes. A text is cut by itself, without the one that follows it in a file. Left out are the second period after an
/// abbreviation that ends a sentence, smileys of East Asia, telephone numbers with spaces, and entities of SGML but the common
/// ones.
struct TreebankLexer {
  let text: [Unicode.Scalar]

  /// What a rule found: how far it saw, how far it takes, and the token if that is not the text itself.
  struct Match {
    let seen: Int
    let end: Int
    let token: String?

    init(_ seen: Int, _ end: Int, _ token: String?) { (self.seen, self.end, self.token) = (seen, end, token) }

    init(_ end: Int, token: String? = nil) { self.init(end, end, token) }
  }

  init(_ text: [Unicode.Scalar]) { self.text = text }

  /// The tokens, with quotes, brackets, dashes and currencies as the treebank writes them.
  mutating func words() -> [Word] {
    var words: [Word] = []
    var place = 0
    while place < text.count {
      guard let match = longest(at: place) else {
        place += 1
        continue
      }
      let word = match.token.map { Array($0.unicodeScalars) } ?? Array(text[place..<match.end])
      words.append(match.token == nil && word.count > 1 ? word.compactMap(plain) : word)
      place = match.end
    }
    return words
  }

  /// Curly apostrophes inside words are straight ones, and soft hyphens are none.
  private func plain(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    switch scalar {
    case "\u{2018}", "\u{2019}", "\u{91}", "\u{92}": "'"
    case "\u{AD}": nil
    default: scalar
    }
  }

  private func longest(at place: Int) -> Match? {
    let scalar = text[place]
    if scalar.isPythonSpace { return isSpacedEllipsis(place) }
    var rules: [Match?] = []
    if isLetter(scalar) || isDigit(scalar) {
      rules = [
        assimilation(place), cliticHost(place), negatedHost(place), word(place).map { Match($0) }, apostropheWord(place), address(place),
        number(place), fraction(place), slashed(place), dollar(place), abbreviation(place), stoppedWord(place), hyphenated(place),
        thing(place), company(place), language(place),
      ]
    } else {
      rules = [
        assimilation(place), tag(place), entity(place), apostropheWord(place), address(place), clitic(place), number(place), dollar(place),
        symbol(place), smiley(place), brackets(place), dashes(place), ellipsis(place), thing(place), quotes(place), other(place),
      ]
    }
    var best: Match?
    for case let rule? in rules where rule.seen > best?.seen ?? place { best = rule }
    return best
  }

  // MARK: Words

  func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return isASCIILetter(scalar) }
    // The program reads 16 bits at a time and knows nothing beyond them.
    guard scalar.value <= 0xFFFF else { return false }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark: return true
    default: return scalar == "\u{AD}"
    }
  }

  func isASCIILetter(_ scalar: Unicode.Scalar) -> Bool { ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) }

  private func isDigit(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCIIDigit || !scalar.isASCII && scalar.properties.generalCategory == .decimalNumber
  }

  private func isApostrophe(_ place: Int) -> Bool {
    at(place) { $0 == "'" || $0 == "\u{2019}" || $0 == "\u{92}" }
  }

  func at(_ place: Int, _ isFit: (Unicode.Scalar) -> Bool) -> Bool { text.indices.contains(place) && isFit(text[place]) }

  func run(_ place: Int, _ isFit: (Unicode.Scalar) -> Bool) -> Int {
    var end = place
    while at(end, isFit) { end += 1 }
    return end
  }

  private func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool { isLetter(scalar) || isDigit(scalar) }

  /// The text of a stretch in lower case, for comparison with ASCII words.
  private func lowered(_ start: Int, _ end: Int) -> String {
    String(String.UnicodeScalarView(Array(text[start..<min(end, text.count)]).lowercased))
  }

  func has(_ word: String, at place: Int) -> Bool { lowered(place, place + word.unicodeScalars.count) == word }

  /// Letters and digits, also with single stops inside: "U.S", "hi!there".
  private func word(_ place: Int) -> Int? {
    guard at(place, isLetter) else { return nil }
    var end = run(place, isLetterOrDigit)
    while at(end, { $0 == "." || $0 == "!" || $0 == "?" }), at(end + 1, isLetter) { end = run(end + 1, isLetterOrDigit) }
    return end
  }

  /// "can|not", "gon|na", "'t|is".
  private func assimilation(_ place: Int) -> Match? {
    for (word, length) in [("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3)] where has(word, at: place) {
      return Match(place + word.count, place + length, nil)
    }
    guard isApostrophe(place) else { return nil }
    for word in ["tis", "twas"] where has(word, at: place + 1) { return Match(place + 1 + word.count, place + 2, nil) }
    return nil
  }

  /// How far "'s", "'ll" and the like reach; nil where there is none.
  private func cliticEnd(_ place: Int) -> Int? {
    guard isApostrophe(place) else { return nil }
    if ["re", "ve", "ll"].contains(where: { has($0, at: place + 1) }) { return place + 3 }
    return at(place + 1, { "msdMSD".unicodeScalars.contains($0) }) ? place + 2 : nil
  }

  /// The word before a clitic: "it|'s".
  private func cliticHost(_ place: Int) -> Match? {
    guard let end = word(place), let seen = cliticEnd(end) else { return nil }
    return Match(seen, end, nil)
  }

  /// The word before "n't".
  private func negatedHost(_ place: Int) -> Match? {
    let end = run(place, isASCIILetter)
    guard end > place + 1, isApostrophe(end), has("t", at: end + 1), has("n", at: end - 1), !has("n", at: end - 2) else { return nil }
    return Match(end + 2, end - 1, nil)
  }

  private func clitic(_ place: Int) -> Match? {
    guard let end = cliticEnd(place) else { return nil }
    // Before a letter it sees less than the rule of a straight quote.
    return at(end, isASCIILetter) ? text[place] == "'" ? nil : Match(end) : Match(min(end + 1, text.count), end, nil)
  }

  /// Words with an apostrophe that stay whole, and "n't" by itself.
  private func apostropheWord(_ place: Int) -> Match? {
    var best: Int?
    func offer(_ end: Int) { best = max(best ?? 0, end) }
    if isApostrophe(place) {
      if has("n", at: place + 1) { offer(place + (isApostrophe(place + 2) ? 3 : 2)) }
      for word in ["em", "till", "til", "cause"] where has(word, at: place + 1) { offer(place + 1 + word.count) }
      if at(place + 1, { ("1"..."9").contains($0) }), has("0s", at: place + 2) { offer(place + 4) }
    } else {
      if has("n", at: place), isApostrophe(place + 1), has("t", at: place + 2), run(place + 2, isLetter) <= place + 4, !at(place + 3, isASCIILetter) {
        return Match(min(place + 4, text.count), place + 3, nil)
      }
      let end = run(place, isLetter)
      guard end > place, isApostrophe(end) else { return nil }
      let rest = run(end + 1, isLetter)
      if end == place + 1 {
        if at(place, { "lLdDjJ".unicodeScalars.contains($0) }) { offer(end + 1) }
        if at(place, { "nABCDEFGHJKLMNOPQRSTUVWXZ".unicodeScalars.contains($0) }), rest >= end + 3 { offer(rest) }
        if has("y", at: place), rest > end + 1 { return Match(end + 2, end + 1, written(place, end + 1)) }
      }
      if ["dunkin", "somethin", "ol"].contains(lowered(place, end)) { offer(end + 1) }
      // As in "Shi'ite", behind a vowel and before a vowel or a capital.
      if rest > end + 1, at(end - 1, { "aeiouyAEIOUY".unicodeScalars.contains($0) }),
        at(end + 1, { "aeiou".unicodeScalars.contains($0) || ("A"..."Z").contains($0) })
      {
        offer(rest)
      }
      for word in ["cont'd", "nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l", "cap'n", "c'est"]
      where has(word, at: place) || has(word.replacing("'", with: "\u{2019}"), at: place) {
        offer(place + word.count)
      }
    }
    return best.map { Match($0, token: written(place, $0)) }
  }

  /// A stretch of the text as a token, with its apostrophes as they are.
  func written(_ start: Int, _ end: Int) -> String { String(String.UnicodeScalarView(text[start..<end])) }

  /// "foo." before a comma, semicolon or colon.
  private func stoppedWord(_ place: Int) -> Match? {
    let ends = [word(place), hyphenEnd(place), thingEnd(place)].compactMap { $0 }
    let fitting = ends.filter { at($0) { $0 == "." } && at($0 + 1) { $0 == "," || $0 == ";" || $0 == ":" } }
    return fitting.max().map { Match($0 + 2, $0 + 1, nil) }
  }

  // MARK: Numbers and compounds

  private func isHyphen(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "-" || scalar == "_" || scalar == "\u{58A}" || scalar == "\u{2010}" || scalar == "\u{2011}"
  }

  /// Digits with single stops, commas and colons between them; they may begin with a stop.
  private func numberEnd(_ place: Int) -> Int? {
    var end = run(place, isDigit)
    while at(end, { ".:,\u{AD}\u{66B}\u{66C}".unicodeScalars.contains($0) }), at(end + 1, isDigit) { end = run(end + 1, isDigit) }
    return end > place ? end : nil
  }

  private func number(_ place: Int) -> Match? {
    let start = at(place) { $0 == "-" || $0 == "+" } ? place + 1 : place
    return numberEnd(start).map { Match($0) }
  }

  private func fraction(_ place: Int) -> Match? {
    func part(_ place: Int) -> Int? {
      let end = run(place, isDigit)
      return (place + 1...place + 4).contains(end) ? end : nil
    }
    guard let first = part(place) else { return nil }
    var slash = first
    if at(first, { $0 == "-" || $0 == " " || $0 == "\u{A0}" }), let second = part(first + 1) { slash = second }
    for slash in [slash, first] {
      guard at(slash, { $0 == "/" }), let end = part(slash + 1) else { continue }
      let token = String(String.UnicodeScalarView(text[place..<end].map { $0 == " " ? "\u{A0}" : $0 }))
      return Match(end, token: token)
    }
    return nil
  }

  /// "and/or", "10/10/2010", "part-time/full-time".
  private func slashed(_ place: Int) -> Match? {
    func isPlain(_ scalar: Unicode.Scalar) -> Bool { isASCIILetter(scalar) || scalar.isASCIIDigit }
    func part(_ place: Int) -> Int? {
      var end = run(place, isPlain)
      guard end > place else { return nil }
      for _ in 0..<2 where at(end, { $0 == "-" }) && at(end + 1, isASCIILetter) { end = run(end + 1, isASCIILetter) }
      return end
    }
    guard var end = part(place) else { return nil }
    var count = 0
    while count < 2, at(end, { $0 == "/" }), let next = part(end + 1) { (end, count) = (next, count + 1) }
    return count > 0 ? Match(end) : nil
  }

  /// Letters and digits, with hyphens between them, each also with "d'", "o'" or "l'" in front.
  private func thingEnd(_ place: Int) -> Int? {
    func part(_ place: Int) -> Int? {
      if at(place, { "dDoOlL".unicodeScalars.contains($0) }), isApostrophe(place + 1), at(place + 2, isLetter), at(place + 3, isLetterOrDigit) {
        return run(place + 3, isLetterOrDigit)
      }
      let end = run(place, isLetterOrDigit)
      return end > place ? end : nil
    }
    guard var end = part(place) else { return nil }
    while at(end, isHyphen), let next = part(end + 1) { end = next }
    return end
  }

  private func thing(_ place: Int) -> Match? { thingEnd(place).map { Match($0) } }

  /// Compounds whose first part has stops or commas, or whose last ones are acronyms: "U.S.-based", "non-U.S."
  private func hyphenEnd(_ place: Int) -> Int? {
    func isPlain(_ scalar: Unicode.Scalar) -> Bool { isASCIILetter(scalar) || scalar.isASCIIDigit }
    guard at(place, isPlain) else { return nil }
    var end = run(place) { isPlain($0) || $0 == "." || $0 == "," }
    var count = 0
    while at(end, { $0 == "-" }) {
      let plain = run(end + 1, isPlain)
      let acronym = acronymEnd(end + 1).flatMap { $0 > end + 3 ? $0 : nil }
      let next = max(plain, acronym ?? 0)
      guard next > end + 1 else { break }
      (end, count) = (next, count + 1)
    }
    return count > 0 ? end : nil
  }

  private func hyphenated(_ place: Int) -> Match? { hyphenEnd(place).map { Match($0) } }

  /// Single letters, each with a stop.
  private func acronymEnd(_ place: Int) -> Int? {
    var end = place
    while at(end, isASCIILetter), at(end + 1, { $0 == "." }) { end += 2 }
    return end > place ? end : nil
  }

  /// "AT&T".
  private func company(_ place: Int) -> Match? {
    let isCapital = { (scalar: Unicode.Scalar) in ("A"..."Z").contains(scalar) }
    var end = run(place, isCapital)
    guard end > place else { return nil }
    var token = String(String.UnicodeScalarView(text[place..<end]))
    var count = 0
    while true {
      let isEntity = has("&amp;", at: end)
      let start = isEntity ? end + 5 : at(end, { $0 == "&" || $0 == "+" }) ? end + 1 : end
      let next = run(start, isCapital)
      guard start > end, next > start else { break }
      token += isEntity ? "&" : String(Character(text[end]))
      token += String(String.UnicodeScalarView(text[start..<next]))
      (end, count) = (next, count + 1)
    }
    return count > 0 ? Match(end, token: token) : nil
  }

  /// "C++", "C#", "F#".
  private func language(_ place: Int) -> Match? {
    ["c++", "c#", "f#"].first { has($0, at: place) }.map { Match(place + $0.count) }
  }

  // MARK: Abbreviations

  private func abbreviation(_ place: Int) -> Match? {
    if let end = acronymEnd(place) {
      guard end == place + 2 else { return Match(end) }
      let next = run(end) { $0 == " " || $0 == "\u{A0}" || $0 == "\u{85}" }
      let opener = run(next) { isASCIILetter($0) || $0 == "." }
      if next > end, TreebankAbbreviations.openers.contains(String(String.UnicodeScalarView(text[next..<opener]))) {
        return Match(opener + 1, place + 1, nil)
      }
      return Match(end)
    }
    // "etc.a" is a word too, and shorter than what the abbreviation sees.
    let first = run(place, isLetterOrDigit)
    if let end = [word(place), first].lazy.compactMap({ $0 }).first(where: { mayEndSentence(place, $0) }) { return Match(end + 3, end + 1, nil) }
    guard let end = word(place), at(end, { $0 == "." }) else { return nil }
    let name = lowered(place, end)
    if TreebankAbbreviations.inAnyCase.contains(name) { return Match(end + 1) }
    let next = at(end + 1) { $0 == " " || $0 == "\u{A0}" } ? end + 2 : end + 1
    return TreebankAbbreviations.beforeNumbers.contains(name) && at(next, isDigit) ? Match(next + 1, end + 1, nil) : nil
  }

  private func mayEndSentence(_ place: Int, _ end: Int) -> Bool {
    at(end) { $0 == "." }
      && (TreebankAbbreviations.beforeAnything.contains(lowered(place, end)) || TreebankAbbreviations.capitalized.contains(written(place, end)))
  }

  // MARK: Marks

  private func dollar(_ place: Int) -> Match? {
    let end = run(place) { ("A"..."Z").contains($0) }
    if at(end, { $0 == "$" }) { return Match(end + 1) }
    switch text[place] {
    case "#": return Match(place + 1)
    case "\u{A2}": return Match(place + 1, token: "cents")
    case "\u{A3}": return Match(place + 1, token: "#")
    case "\u{80}", "\u{20AC}", "\u{A4}", "\u{20A0}": return Match(place + 1, token: "$")
    default: return nil
    }
  }

  private func symbol(_ place: Int) -> Match? {
    let fractions: [Unicode.Scalar: String] = ["\u{BC}": "1/4", "\u{BD}": "1/2", "\u{BE}": "3/4", "\u{2153}": "1/3", "\u{2154}": "2/3"]
    if let token = fractions[text[place]] { return Match(place + 1, token: token) }
    for scalar in "@#_*".unicodeScalars where text[place] == scalar { return Match(run(place) { $0 == scalar }) }
    if "?!".unicodeScalars.contains(text[place]) { return Match(run(place) { $0 == "?" || $0 == "!" }) }
    return nil
  }

  private func smiley(_ place: Int) -> Match? {
    var end = place
    if at(end, { $0 == "<" || $0 == ">" }) { end += 1 }
    guard at(end, { ":;=".unicodeScalars.contains($0) }) else { return nil }
    end += 1
    if at(end, { "-o*'".unicodeScalars.contains($0) }), at(end + 1, isMouth) { end += 1 }
    guard at(end, isMouth), !at(end + 1, { isASCIILetter($0) || $0.isASCIIDigit }) else { return nil }
    let token = text[place...end].map { $0 == "(" ? "-LRB-" : $0 == ")" ? "-RRB-" : String(Character($0)) }.joined()
    return Match(min(end + 2, text.count), end + 1, token)
  }

  private func isMouth(_ scalar: Unicode.Scalar) -> Bool { "()DPdpO\\{@|[]".unicodeScalars.contains(scalar) }

  private func brackets(_ place: Int) -> Match? {
    let names: [Unicode.Scalar: String] = ["(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"]
    if let token = names[text[place]] { return Match(place + 1, token: token) }
    for scalar in "<>".unicodeScalars where text[place] == scalar && at(place + 1, { $0 == scalar }) { return Match(place + 2) }
    return nil
  }

  private func dashes(_ place: Int) -> Match? {
    if text[place].value == 0x96 || text[place].value == 0x97 || (0x2013...0x2015).contains(text[place].value) {
      return Match(place + 1, token: "--")
    }
    let end = run(place, isHyphen)
    return end > place ? Match(end, token: (2...4).contains(end - place) ? "--" : nil) : nil
  }

  private func ellipsis(_ place: Int) -> Match? {
    if text[place] == "\u{2026}" || text[place] == "\u{85}" { return Match(place + 1, token: "...") }
    let end = run(place) { $0 == "." }
    if end - place >= 3 { return Match(min(end, place + 5), token: "...") }
    var spaced = place
    while spaced < place + 8, at(spaced, { $0 == "." }), at(spaced + 1, { $0 == " " || $0 == "\u{A0}" }), at(spaced + 2, { $0 == "." }) {
      spaced += 2
    }
    return spaced >= place + 4 ? Match(spaced + 1, token: "...") : nil
  }

  private func isSpacedEllipsis(_ place: Int) -> Match? { text[place] == "\u{85}" ? ellipsis(place) : nil }

  private func quotes(_ place: Int) -> Match? {
    func isFancy(_ scalar: Unicode.Scalar) -> Bool { fancyQuotes[scalar] != nil }
    if text[place] == "\"" { return Match(place + 1, token: "''") }
    if text[place] == "'" {
      if at(place + 1, { $0 == "'" }) { return Match(place + 2, token: "''") }
      // It looks beyond a letter, so that "'em" and "'s" are found before it, but not "'n" of "'neill".
      return Match(at(place + 1, isLetter) && at(place + 2, { !$0.isPythonSpace }) ? place + 3 : place + 1, place + 1, nil)
    }
    guard isFancy(text[place]) else { return nil }
    // Two in a row are one token.
    let end = at(place + 1, isFancy) ? place + 2 : place + 1
    return Match(end, token: text[place..<end].compactMap { fancyQuotes[$0] }.joined())
  }

  /// Punctuation and symbols that stand alone; control characters and what is beyond 16 bits are no tokens.
  private func other(_ place: Int) -> Match? {
    guard text[place].value <= 0xFFFF else { return nil }
    switch text[place].properties.generalCategory {
    case .control, .unassigned, .privateUse, .surrogate, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator, .enclosingMark: return nil
    default: return Match(place + 1)
    }
  }
}

/// Quotes beyond ASCII's straight ones, as the treebank writes them.
private let fancyQuotes: [Unicode.Scalar: String] = {
  let groups = [
    ("`\u{2018}\u{201B}\u{91}\u{2039}", "`"), ("\u{2019}\u{92}\u{203A}", "'"), ("\u{201C}\u{93}\u{AB}", "``"), ("\u{201D}\u{94}\u{BB}", "''"),
  ]
  var quotes: [Unicode.Scalar: String] = ["\u{201A}": "\u{201A}", "\u{201E}": "\u{201E}", "\u{201F}": "\u{201F}"]
  for (marks, token) in groups { for mark in marks.unicodeScalars { quotes[mark] = token } }
  return quotes
}()
