/// The English stemmer of Snowball (Porter 2), for words in lower case.
///
/// Porter, 2001, snowballstem.org/algorithms/english/stemmer.html.
struct EnglishStemmer {
  private static let whole: [String: String] = [
    "skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl", "gently": "gentl", "ugly": "ugli",
    "early": "earli", "only": "onli", "singly": "singl", "sky": "sky", "news": "news", "howe": "howe", "atlas": "atlas",
    "cosmos": "cosmos", "bias": "bias", "andes": "andes",
  ]
  /// Words that are left as they are once plurals are gone.
  private static let settled: Set<String> = ["inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"]
  private static let regionStarts = ["gener", "commun", "arsen"].map { Array($0.unicodeScalars) }

  /// Suffixes, longest first, with what takes their place.
  private typealias Rules = [(suffix: Word, replacement: Word)]
  private static let step2 = rules([
    "ization": "ize", "ational": "ate", "fulness": "ful", "ousness": "ous", "iveness": "ive", "tional": "tion", "biliti": "ble",
    "lessli": "less", "entli": "ent", "ation": "ate", "alism": "al", "aliti": "al", "ousli": "ous", "iviti": "ive", "fulli": "ful",
    "enci": "ence", "anci": "ance", "abli": "able", "izer": "ize", "ator": "ate", "alli": "al", "bli": "ble", "ogi": "og", "li": "",
  ])
  private static let step3 = rules([
    "ational": "ate", "tional": "tion", "alize": "al", "icate": "ic", "iciti": "ic", "ative": "", "ical": "ic", "ness": "", "ful": "",
  ])
  private static let step4 = rules([
    "ement": "", "ance": "", "ence": "", "able": "", "ible": "", "ment": "", "ant": "", "ent": "", "ism": "", "ate": "", "iti": "",
    "ous": "", "ive": "", "ize": "", "ion": "", "al": "", "er": "", "ic": "",
  ])

  private static func rules(_ table: KeyValuePairs<String, String>) -> Rules {
    table.map { (Array($0.key.unicodeScalars), Array($0.value.unicodeScalars)) }
  }

  /// The stem of a word.
  func stem(_ word: Word) -> Word {
    guard word.count > 2 else { return word }
    if let stem = Self.whole[text(word)] { return Array(stem.unicodeScalars) }
    var word = word.first == "'" ? Array(word.dropFirst()) : word
    // A y that is a consonant is written as Y.
    for place in word.indices where word[place] == "y" && (place == 0 || isVowel(word[place - 1])) { word[place] = "Y" }
    let (first, second) = regions(word)
    for suffix in ["'s'", "'s", "'"] where ends(word, suffix) {
      word.removeLast(suffix.unicodeScalars.count)
      break
    }
    word = plural(word)
    if Self.settled.contains(text(word)) { return restored(word) }
    word = pastAndGerund(word, first)
    if let last = word.last, last == "y" || last == "Y", word.count > 2, !isVowel(word[word.count - 2]) { word[word.count - 1] = "i" }
    word = derivation(word, first)
    word = shortened(word, first, second)
    word = removed(word, second)
    return restored(ended(word, first, second))
  }

  private func text(_ word: Word) -> String { String(String.UnicodeScalarView(word)) }

  private func restored(_ word: Word) -> Word { word.map { $0 == "Y" ? "y" : $0 } }

  private func isVowel(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a", "e", "i", "o", "u", "y": true
    default: false
    }
  }

  private func ends(_ word: Word, _ suffix: String) -> Bool {
    let scalars = suffix.unicodeScalars
    return word.count >= scalars.count && word.suffix(scalars.count).elementsEqual(scalars)
  }

  /// Where the regions R1 and R2 begin: behind the first consonant that follows a vowel, and the same again.
  private func regions(_ word: Word) -> (Int, Int) {
    func region(_ start: Int) -> Int {
      guard start < word.count, let vowel = word[start...].firstIndex(where: isVowel),
        let consonant = word[vowel...].firstIndex(where: { !isVowel($0) })
      else { return word.count }
      return consonant + 1
    }
    let first = Self.regionStarts.first { word.starts(with: $0) }?.count ?? region(0)
    return (first, region(first))
  }

  private func plural(_ word: Word) -> Word {
    if ends(word, "sses") { return word.dropLast(2) }
    if ends(word, "ied") || ends(word, "ies") { return word.dropLast(word.count > 4 ? 2 : 1) }
    if ends(word, "us") || ends(word, "ss") || !ends(word, "s") { return word }
    // The letter before the s is not looked at.
    return word.dropLast(2).contains(where: isVowel) ? word.dropLast() : word
  }

  private func pastAndGerund(_ word: Word, _ first: Int) -> Word {
    for suffix in ["eedly", "eed"] where ends(word, suffix) {
      let rest = word.count - suffix.count
      return rest >= first ? word[..<rest] + ["e", "e"] : word
    }
    for suffix in ["ingly", "edly", "ing", "ed"] where ends(word, suffix) {
      let stem = Array(word.dropLast(suffix.count))
      guard stem.contains(where: isVowel) else { return word }
      if ends(stem, "at") || ends(stem, "bl") || ends(stem, "iz") { return stem + ["e"] }
      if stem.count >= 2, stem[stem.count - 1] == stem[stem.count - 2], "bdfgmnprt".unicodeScalars.contains(stem[stem.count - 1]) {
        return stem.dropLast()
      }
      return first >= stem.count && endsShort(stem[...]) ? stem + ["e"] : stem
    }
    return word
  }

  /// Whether the last syllable is short: consonant, vowel, consonant other than w, x and Y; or a vowel and a consonant are all.
  private func endsShort(_ word: ArraySlice<Unicode.Scalar>) -> Bool {
    guard word.count > 1, let last = word.last, !isVowel(last), isVowel(word[word.endIndex - 2]) else { return false }
    if word.count == 2 { return true }
    return !isVowel(word[word.endIndex - 3]) && last != "w" && last != "x" && last != "Y"
  }

  private func derivation(_ word: Word, _ first: Int) -> Word {
    guard let rule = Self.step2.first(where: { word.count >= $0.suffix.count && word.suffix($0.suffix.count).elementsEqual($0.suffix) })
    else { return word }
    let rest = word.count - rule.suffix.count
    guard rest >= first else { return word }
    let before = rest > 0 ? word[rest - 1] : " "
    if rule.suffix == ["o", "g", "i"], before != "l" { return word }
    if rule.suffix == ["l", "i"], !"cdeghkmnrt".unicodeScalars.contains(before) { return word }
    return word[..<rest] + rule.replacement
  }

  private func shortened(_ word: Word, _ first: Int, _ second: Int) -> Word {
    guard let rule = Self.step3.first(where: { word.count >= $0.suffix.count && word.suffix($0.suffix.count).elementsEqual($0.suffix) })
    else { return word }
    let rest = word.count - rule.suffix.count
    guard rest >= first, !(ends(word, "ative") && rest < second) else { return word }
    return word[..<rest] + rule.replacement
  }

  private func removed(_ word: Word, _ second: Int) -> Word {
    guard let rule = Self.step4.first(where: { word.count >= $0.suffix.count && word.suffix($0.suffix.count).elementsEqual($0.suffix) })
    else { return word }
    let rest = word.count - rule.suffix.count
    guard rest >= second else { return word }
    if rule.suffix == ["i", "o", "n"], rest == 0 || word[rest - 1] != "s" && word[rest - 1] != "t" { return word }
    return Array(word[..<rest])
  }

  private func ended(_ word: Word, _ first: Int, _ second: Int) -> Word {
    let rest = word.count - 1
    if ends(word, "e"), rest >= second || rest >= first && !endsShort(word[..<rest]) { return word.dropLast() }
    if ends(word, "ll"), rest >= second { return word.dropLast() }
    return word
  }
}
