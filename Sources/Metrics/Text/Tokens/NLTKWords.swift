/// The words of a text as NLTK's `word_tokenize` cuts it: sentence by sentence, by the rules of its `NLTKWordTokenizer`.
///
/// Sentences end as NLTK's English model says by its lists of abbreviations and of words that begin sentences. The model also
/// has a table of the words that its training texts write with a capital; without it, a sentence that ends with an
/// abbreviation or an initial is not cut from the next where no word of the list begins that.
func nltkWords(_ text: [Unicode.Scalar]) -> [Word] {
  sentences(text).flatMap { treebankWords($0) }
}

private func sentences(_ text: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
  var result: [[Unicode.Scalar]] = []
  var start = 0
  var place = 0
  while place < text.count {
    defer { place += 1 }
    guard ".?!".unicodeScalars.contains(text[place]) else { continue }
    // Quotes and brackets that close after the mark belong to its sentence.
    var end = place + 1
    while end < text.count, isClosing(text[end]) { end += 1 }
    guard end < text.count, text[end].isPythonSpace, endsSentence(text, place, end) else { continue }
    result.append(Array(text[start..<end]))
    start = end
    while start < text.count, text[start].isPythonSpace { start += 1 }
    place = max(place, start - 1)
  }
  if start < text.count { result.append(Array(text[start...])) }
  return result
}

private func isClosing(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar {
  case "\"", "'", ")", "]", "}", "\u{2018}", "\u{2019}", "\u{201C}", "\u{201D}", "\u{AB}", "\u{BB}": true
  default: false
  }
}

/// Whether the mark at `place` ends a sentence; spaces begin at `end`.
private func endsSentence(_ text: [Unicode.Scalar], _ place: Int, _ end: Int) -> Bool {
  guard text[place] == "." else { return true }
  let rest = text[end...].drop { $0.isPythonSpace }
  guard let first = rest.first else { return true }
  let next = rest.prefix { !$0.isPythonSpace && !"?!,:;\")]}".unicodeScalars.contains($0) }
  let startsSentence = first.properties.isUppercase && sentenceStarters.contains(name(Array(next).lowercased.filter { $0 != "." }))
  // Points in a row are no end by themselves.
  if place > 0, text[place - 1] == "." { return startsSentence }
  let before = text[..<place].reversed().prefix { !($0.isPythonSpace || "(\"[{,;:@*".unicodeScalars.contains($0)) }
  // What follows an apostrophe is a word with it: the t of "isn't." is no initial.
  let apostrophe = before.firstIndex(of: "'").map { before[...$0] } ?? before
  let word = Array(apostrophe.reversed()).lowercased
  let isAbbreviation = abbreviations.contains(name(word)) || abbreviations.contains(name(Array(word.split(separator: "-").last ?? [])))
  if word.count == 1, word[0].properties.isAlphabetic { return !(first.properties.isUppercase || first.properties.isLowercase || isAbbreviation) }
  if isAbbreviation { return startsSentence }
  return !(first.properties.isLowercase && isNumber(word))
}

private func name(_ word: [Unicode.Scalar]) -> String { String(String.UnicodeScalarView(word)) }

private func isNumber(_ word: [Unicode.Scalar]) -> Bool {
  let digits = word.drop { $0 == "-" }.drop { $0 == "." || $0 == "," }
  guard word.count - digits.count <= 2, let first = digits.first, first.properties.generalCategory == .decimalNumber else { return false }
  return digits.allSatisfy { $0.properties.generalCategory == .decimalNumber || $0 == "," || $0 == "." || $0 == "-" }
}

/// The words that NLTK's English sentence model knows to begin sentences.
private let sentenceStarters: Set<String> = Set(
  """
  according although among both but despite even he however i if in indeed instead it many meanwhile moreover most nevertheless \
  nonetheless nor sales separately similarly since so some the there these they this though thus under when while yet
  """.split(separator: " ").map(String.init))

/// The abbreviations of NLTK's English sentence model.
private let abbreviations: Set<String> = Set(
  """
  a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif chg cie co col colo conn corp \
  cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c h.f h.m i.m.s ill inc j.b j.c \
  j.j j.k j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg mich minn mr mrs ms n n.c n.d n.h n.j n.m \
  n.v n.y nev nov oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep \
  sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs vt w w.c w.r w.va w.w wash wed wis yr
  """.split(separator: " ").map(String.init))

/// The words of one sentence.
private func treebankWords(_ sentence: [Unicode.Scalar]) -> [Word] {
  var line = openingQuotes(sentence)
  line = finalPeriod(line)
  line = line.spacingPairs({ $0 == ":" || $0 == "," }, { $0.properties.generalCategory != .decimalNumber }, .beforeAndBetween)
  if let last = line.last, last == ":" || last == "," { line = line.dropLast() + [" ", last, " "] }
  line = padded(line, runsOf: ".", atLeast: 2)
  line = padded(line) { ";@#$%&?!*".unicodeScalars.contains($0) || (0x2012...0x2015).contains($0.value) || "[](){}<>".unicodeScalars.contains($0) }
  line = line.replacing("--", with: " -- ")
  line = [" "] + line + [" "]
  line = padded(line) { $0 == "\u{BB}" || $0 == "\u{201D}" || $0 == "\u{2019}" }
  line = line.replacing("''", with: " '' ").replacing("\"", with: " '' ")
  return line.words().flatMap(cliticWords).flatMap(contractionWords)
}

private func padded(_ text: [Unicode.Scalar], where isAlone: (Unicode.Scalar) -> Bool) -> [Unicode.Scalar] {
  text.flatMap { isAlone($0) ? [" ", $0, " "] : [$0] }
}

private func padded(_ text: [Unicode.Scalar], runsOf scalar: Unicode.Scalar, atLeast least: Int) -> [Unicode.Scalar] {
  var result: [Unicode.Scalar] = []
  for run in text.chunked(by: { ($0 == scalar) == ($1 == scalar) }) {
    result += run.first == scalar && run.count >= least ? [" "] + run + [" "] : Array(run)
  }
  return result
}

/// Quotes that open become two back-quotes; an apostrophe before a word stands alone unless it begins a clitic.
private func openingQuotes(_ sentence: [Unicode.Scalar]) -> [Unicode.Scalar] {
  var line: [Unicode.Scalar] = []
  for run in sentence.chunked(by: { $0 == "`" && $1 == "`" }) {
    let isAlone = run.first == "`" || run.first == "\u{AB}" || run.first == "\u{201C}" || run.first == "\u{2018}" || run.first == "\u{201E}"
    line += isAlone ? [" "] + run + [" "] : Array(run)
  }
  if line.first == "\"" { line.replaceSubrange(0..<1, with: ["`", "`"]) }
  line = line.replacing("``", with: " `` ")
  for opening in [" ", "(", "[", "{", "<"] {
    line = line.replacing(opening + "\"", with: opening + " `` ").replacing(opening + "''", with: opening + " `` ")
  }
  var result: [Unicode.Scalar] = []
  for (place, scalar) in line.enumerated() {
    result.append(scalar)
    guard scalar == "'", place == 0 || !isWordPart(line[place - 1]), place + 1 < line.count, isWordPart(line[place + 1]) else { continue }
    let word = Array(line[(place + 1)...].prefix(while: isWordPart)).lowercased
    if !["re", "ve", "ll", "m", "t", "s", "d", "n"].contains(String(String.UnicodeScalarView(word))) { result.append(" ") }
  }
  return result
}

private func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber, .letterNumber, .otherNumber: true
  default: scalar == "_"
  }
}

/// The last period stands alone if only closing marks and spaces follow, and no period comes before it.
private func finalPeriod(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  guard let place = text.lastIndex(of: "."), place > 0, text[place - 1] != "." else { return text }
  let rest = text[(place + 1)...]
  let marks = rest.prefix {
    $0 == " " || $0 == ">" || $0 == "]" || $0 == ")" || $0 == "}" || $0 == "\"" || $0 == "'" || $0 == "\u{BB}" || $0 == "\u{201D}" || $0 == "\u{2019}"
  }
  guard rest.dropFirst(marks.count).allSatisfy(\.isPythonSpace) else { return text }
  return text[..<place] + [" ", ".", " "] + marks + [" "]
}

/// "dog's", "I'll", "isn't" and "dogs'" become two words.
private func cliticWords(_ word: Word) -> [Word] {
  let endings = ["'", "'s", "'S", "'m", "'M", "'d", "'D", "'ll", "'LL", "'re", "'RE", "'ve", "'VE", "n't", "N'T"]
  for ending in endings {
    let clitic = Array(ending.unicodeScalars)
    // "''" is a quote, and the marks before it stay with it.
    guard word.count > clitic.count, word.suffix(clitic.count) == clitic[...], word[word.count - clitic.count - 1] != "'" else { continue }
    let host = Array(word.dropLast(clitic.count))
    return (ending == "'" ? cliticWords(host) : [host]) + [clitic]
  }
  return [word]
}

/// "cannot", "gonna" and the like become two words.
private func contractionWords(_ word: Word) -> [Word] {
  let cuts = [
    "cannot": 3, "d'ye": 1, "gimme": 3, "gonna": 3, "gotta": 3, "lemme": 3, "more'n": 4, "wanna": 3, "'tis": 2, "'twas": 2,
  ]
  guard let cut = cuts[String(String.UnicodeScalarView(word.lowercased))] else { return [word] }
  return [Array(word[..<cut]), Array(word[cut...])]
}

extension Collection {
  /// Runs of neighbours that belong together.
  func chunked(by belongs: (Element, Element) -> Bool) -> [SubSequence] {
    var result: [SubSequence] = []
    var start = startIndex
    var place = startIndex
    while place != endIndex {
      let next = index(after: place)
      if next == endIndex || !belongs(self[place], self[next]) {
        result.append(self[start..<next])
        start = next
      }
      place = next
    }
    return result
  }
}
