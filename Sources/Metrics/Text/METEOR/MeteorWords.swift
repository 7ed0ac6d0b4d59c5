/// The words of a text as METEOR's option -norm cuts it for English, in lower case.
func meteorWords(_ text: [Unicode.Scalar]) -> [Word] {
  var line = separated([" "] + text + [" "])
  line = markingDots(line)
  for (isFirst, isLast) in [(isNoDigit, isNoDigit), (isDigit, isNoDigit), (isNoDigit, isDigit)] {
    line = spacing(",", in: line, between: isFirst, and: isLast, as: .both)
  }
  line = line.map { $0 == "`" || $0 == "\u{2018}" || $0 == "\u{2019}" ? "'" : $0 }
  line = line.flatMap { $0 == "\u{201C}" || $0 == "\u{201D}" ? [" ", "\"", " "] : [$0] }.replacing("''", with: " \" ")
  line = line.map { $0 == "\u{2013}" ? "-" : $0 }.replacing("--", with: "-")
  // Hyphens inside compounds go, so that each part can match by itself.
  line = spacing("-", in: line, between: { isAlphanumeric($0) || $0 == "." }, and: isAlphanumeric, as: .none)
  line = contractions(line)
  let words = line.split { $0 == " " || ("\t"..."\n").contains($0) || $0 == "\u{C}" || $0 == "\r" }.map(Array.init)
  let parts = words.indices.flatMap { withoutStops(words[$0], next: $0 + 1 < words.count ? words[$0 + 1] : nil) }
  let plain = parts.map { $0.map { $0 == dot ? "." : $0 } }.flatMap { $0.split(whereSeparator: isUnicodeSpace).map { Array($0).lowercased } }
  // Control characters are trimmed as spaces are.
  return Array(plain.drop(while: isControl).reversed().drop(while: isControl).reversed())
}

private func isControl(_ word: Word) -> Bool { word.allSatisfy { $0.value <= 0x20 } }

/// Stands for one of several stops in a row, which belong together.
private let dot: Unicode.Scalar = "\u{E000}"

private func isDigit(_ scalar: Unicode.Scalar) -> Bool { scalar.isASCIIDigit }
private func isNoDigit(_ scalar: Unicode.Scalar) -> Bool { !scalar.isASCIIDigit }

/// Letters of Western Europe and Cyrillic ones.
private func isAlphabetic(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x41...0x5A, 0x61...0x7A, 0xC0...0xD6, 0xD8...0xF6, 0xF8...0x17E, 0x400...0x527, 0xA640...0xA66E, 0xA67E...0xA697, 0x1D00...0x1D7F: true
  default: false
  }
}

private func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool { scalar.isASCIIDigit || isAlphabetic(scalar) }

private func isUnicodeSpace(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x20, 0xA0, 0x2000...0x200A, 0x202F, 0x205F, 0x3000: true
  default: false
  }
}

/// Everything but letters, digits, stops, commas, hyphens and quotes stands alone.
private func separated(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  text.flatMap { scalar -> [Unicode.Scalar] in
    let stays = isAlphanumeric(scalar) || scalar.isASCIISpace || ".'`,-\u{2018}\u{2019}".unicodeScalars.contains(scalar)
    return stays ? [scalar] : [" ", scalar, " "]
  }
}

private func markingDots(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  text.chunked { $0 == "." && $1 == "." }.flatMap { run in
    run.first == "." && run.count > 1 ? [" "] + run.map { _ in dot } + [" "] : Array(run)
  }
}

/// What takes the place of a scalar between two others.
private enum Spacing {
  /// Spaces around it, a space before it, and a space instead of it.
  case both, before, none
}

/// Spaces around a scalar whose neighbours fit; what was matched is not looked at again.
private func spacing(
  _ middle: Unicode.Scalar, in text: [Unicode.Scalar], between isFirst: (Unicode.Scalar) -> Bool, and isLast: (Unicode.Scalar) -> Bool,
  as form: Spacing
) -> [Unicode.Scalar] {
  var result: [Unicode.Scalar] = []
  result.reserveCapacity(text.count + 8)
  var place = 0
  while place < text.count {
    guard place + 2 < text.count, text[place + 1] == middle, isFirst(text[place]), isLast(text[place + 2]) else {
      result.append(text[place])
      place += 1
      continue
    }
    switch form {
    case .both: result += [text[place], " ", middle, " ", text[place + 2]]
    case .before: result += [text[place], " ", middle, text[place + 2]]
    case .none: result += [text[place], " ", text[place + 2]]
    }
    place += 3
  }
  return result
}

/// "don't" becomes "don 't".
private func contractions(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
  func isOther(_ scalar: Unicode.Scalar) -> Bool { !isAlphabetic(scalar) }
  var line = spacing("'", in: text, between: isOther, and: isOther, as: .both)
  line = spacing("'", in: line, between: { !isAlphanumeric($0) }, and: isAlphabetic, as: .both)
  line = spacing("'", in: line, between: isAlphabetic, and: isOther, as: .both)
  line = spacing("'", in: line, between: isAlphabetic, and: isAlphabetic, as: .before)
  return spacing("'", in: line, between: isDigit, and: { $0 == "s" }, as: .before)
}

/// A word that ends with a stop as one or two words: abbreviations keep it, and acronyms lose all.
private func withoutStops(_ word: Word, next: Word?) -> [Word] {
  guard word.count > 1, word.last == "." else { return [word] }
  let name = Array(word.dropLast())
  if name.contains("."), name.contains(where: isAlphabetic) { return [word.filter { $0 != "." }] }
  let first = next?.first
  let text = String(String.UnicodeScalarView(name))
  let isKept =
    prefixes.contains(text) || first.map { ("a"..."z").contains($0) } == true
    || numericPrefixes.contains(text) && first.map(isDigit) == true
  return isKept ? [word] : [name, ["."]]
}

/// Abbreviations that no sentence ends with, and those of them that stand before numbers.
private let prefixes: Set<String> = Set(
  """
  A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col Comdr Con Corp Cpl DR Dr \
  Drs Ens Gen Gov Hon Hr Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr Mrs Ms Msgr Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev Rt \
  Sen Sens Sfc Sgt Sr St Supt Surg v vs i.e rev e.g Nos Nr
  """.split(separator: " ").map(String.init))
private let numericPrefixes: Set<String> = ["No", "Art", "pp"]

/// Words that say little by themselves.
let meteorFunctionWords: Set<Word> = Set(
  """
  the , . to of and a in that for " is on 's it with was as said at he by be from have has are his but an this not i will ’ \
  they ) -rrb- ( -lrb- who their had we which were been more or s its would about new one after you : also up when there than \
  $ all out her people she year two - can if last first “ over other ” into some what so -- no time years could ? 't — '
  """.split(separator: " ").map { Array($0.unicodeScalars) })
