/// Porter's stemmer with NLTK's extensions, for words of a to z and digits.
///
/// Porter, 1980, "An algorithm for suffix stripping".
struct PorterStemmer {
  private typealias Letters = ArraySlice<UInt8>
  private struct Rule {
    let suffix: [UInt8]
    let replacement: [UInt8]

    init(_ suffix: String, _ replacement: String) {
      (self.suffix, self.replacement) = (Array(suffix.utf8), Array(replacement.utf8))
    }
  }

  private static let irregular: [String: String] = [
    "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news", "innings": "inning",
    "inning": "inning", "outings": "outing", "outing": "outing", "cannings": "canning", "canning": "canning", "howe": "howe",
    "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
  ]
  private static let irregularStems = Dictionary(uniqueKeysWithValues: irregular.map { (Array($0.utf8), Array($1.utf8)) })

  private static let step1a = rules(["sses": "ss", "ies": "i", "ss": "ss", "s": ""])
  private static let step1b = rules(["at": "ate", "bl": "ble", "iz": "ize"])
  private static let step2 = rules([
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al", "entli": "ent",
    "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful",
    "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful", "logi": "log",
  ])
  private static let step3 = rules([
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
  ])
  private static let step4 = rules([
    "al": "", "ance": "", "ence": "", "er": "", "ic": "", "able": "", "ible": "", "ant": "", "ement": "", "ment": "", "ent": "",
    "ion": "", "ou": "", "ism": "", "ate": "", "iti": "", "ous": "", "ive": "", "ize": "",
  ])

  private static func rules(_ table: KeyValuePairs<String, String>) -> [Rule] { table.map { Rule($0.key, $0.value) } }

  /// The stem of a word.
  func stem(_ word: [UInt8]) -> [UInt8] {
    if let stem = Self.irregularStems[word] { return stem }
    guard word.count > 2 else { return word }
    var stem = word
    stem = plural(stem)
    stem = pastAndGerund(stem)
    if stem.last == UInt8(ascii: "y"), stem.count > 2, isConsonant(stem.dropLast()) { stem[stem.count - 1] = UInt8(ascii: "i") }
    stem = derivation(stem)
    stem = applying(Self.step3, to: stem) { measure($0) > 0 }
    stem = applying(Self.step4, to: stem) { [isIon = stem.ends(with: "ion")] rest in
      measure(rest) > 1 && (!isIon || rest.last == UInt8(ascii: "s") || rest.last == UInt8(ascii: "t"))
    }
    return withoutEnd(stem)
  }

  private func plural(_ word: [UInt8]) -> [UInt8] {
    if word.count == 4, word.ends(with: "ies") { return word.dropLast(1) }
    return applying(Self.step1a, to: word) { _ in true }
  }

  private func pastAndGerund(_ word: [UInt8]) -> [UInt8] {
    if word.ends(with: "ied") { return word.dropLast(word.count == 4 ? 1 : 2) }
    if word.ends(with: "eed") { return measure(word.dropLast(3)) > 0 ? word.dropLast() : word }
    guard let suffix = [2, 3].first(where: { word.ends(with: $0 == 2 ? "ed" : "ing") && hasVowel(word.dropLast($0)) }) else { return word }
    let stem = Array(word.dropLast(suffix))
    for rule in Self.step1b where stem.ends(with: rule.suffix) { return stem.dropLast(rule.suffix.count) + rule.replacement }
    if endsDouble(stem) {
      return "lsz".utf8.contains(stem[stem.count - 1]) ? stem : stem.dropLast()
    }
    return measure(stem[...]) == 1 && endsShort(stem[...]) ? stem + [UInt8(ascii: "e")] : stem
  }

  private func derivation(_ word: [UInt8]) -> [UInt8] {
    if word.ends(with: "alli"), measure(word.dropLast(4)) > 0 { return derivation(word.dropLast(2)) }
    return applying(Self.step2, to: word) { [isLogi = word.ends(with: "logi")] rest in
      measure(isLogi ? word.dropLast(3) : rest) > 0
    }
  }

  private func withoutEnd(_ word: [UInt8]) -> [UInt8] {
    var word = word
    if word.last == UInt8(ascii: "e") {
      let stem = word.dropLast()
      let measure = measure(stem)
      if measure > 1 || measure == 1 && !endsShort(stem) { word = Array(stem) }
    }
    return word.ends(with: "ll") && measure(word.dropLast()) > 1 ? word.dropLast() : word
  }

  /// The first rule whose suffix the word has decides, whether or not the rest fulfils the condition.
  private func applying(_ rules: [Rule], to word: [UInt8], where isFit: (Letters) -> Bool) -> [UInt8] {
    guard let rule = rules.first(where: { word.ends(with: $0.suffix) }) else { return word }
    let rest = word.dropLast(rule.suffix.count)
    return isFit(rest) ? rest + rule.replacement : word
  }

  /// Whether each letter is a consonant: y is one at the beginning and after vowels.
  private func consonants(_ word: Letters) -> [Bool] {
    var flags: [Bool] = []
    flags.reserveCapacity(word.count)
    for letter in word {
      switch letter {
      case UInt8(ascii: "a"), UInt8(ascii: "e"), UInt8(ascii: "i"), UInt8(ascii: "o"), UInt8(ascii: "u"): flags.append(false)
      case UInt8(ascii: "y"): flags.append(!(flags.last ?? false))
      default: flags.append(true)
      }
    }
    return flags
  }

  /// Whether the last letter is a consonant.
  private func isConsonant(_ word: Letters) -> Bool { consonants(word).last ?? false }

  private func hasVowel(_ word: Letters) -> Bool { consonants(word).contains(false) }

  /// How many times a vowel is followed by a consonant.
  private func measure(_ word: Letters) -> Int {
    let flags = consonants(word)
    return zip(flags, flags.dropFirst()).reduce(0) { $0 + (!$1.0 && $1.1 ? 1 : 0) }
  }

  private func endsDouble(_ word: [UInt8]) -> Bool {
    word.count >= 2 && word[word.count - 1] == word[word.count - 2] && isConsonant(word[...])
  }

  /// Whether a word ends as "hop" does, in consonant, vowel, consonant other than w, x, y; or is a vowel and a consonant.
  private func endsShort(_ word: Letters) -> Bool {
    let flags = consonants(word)
    if flags.count == 2 { return flags == [false, true] }
    return flags.suffix(3) == [true, false, true] && !"wxy".utf8.contains(word[word.endIndex - 1])
  }
}

extension [UInt8] {
  /// Whether these are the last letters of a word.
  func ends(with suffix: String) -> Bool { count >= suffix.utf8.count && self.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) }

  /// Whether these are the last letters of a word.
  func ends(with suffix: [UInt8]) -> Bool { count >= suffix.count && self.suffix(suffix.count).elementsEqual(suffix) }
}
