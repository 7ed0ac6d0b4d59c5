/// The words of a text by the rules of NIST's mteval-v13a.pl: punctuation stands alone, except in numbers.
///
/// - Parameter isSpace: what the program that is reproduced takes for a space.
func mteval13aWords(_ text: [Unicode.Scalar], where isSpace: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> [Word] {
  var line = text.replacing("<skipped>", with: "").replacing("-\n", with: "").replacing("\n", with: " ")
  for (name, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
    line = line.replacing(name, with: character)
  }
  return spacedWesternPunctuation([" "] + line + [" "]).words(where: isSpace)
}

/// A text with spaces around its punctuation, by the part of mteval-v13a.pl's rules that is for Western languages.
///
/// Apostrophes and hyphens stay where they are.
///
/// - Parameter possessives: whether "dog's " becomes "dog 's ", as tercom has it.
func spacedWesternPunctuation(_ text: [Unicode.Scalar], possessives: Bool = false) -> [Unicode.Scalar] {
  var line: [Unicode.Scalar] = []
  line.reserveCapacity(text.count * 5 / 4)
  for scalar in text {
    if standsAlone(scalar) { line += [" ", scalar, " "] } else { line.append(scalar) }
  }
  if possessives { line = line.replacing("'s ", with: " 's ") }
  let isStop = { (scalar: Unicode.Scalar) in scalar == "." || scalar == "," }
  line = line.spacingPairs({ !$0.isASCIIDigit }, isStop, .betweenAndAfter)
  line = line.spacingPairs(isStop, { !$0.isASCIIDigit }, .beforeAndBetween)
  return line.spacingPairs(\.isASCIIDigit, { $0 == "-" }, .betweenAndAfter)
}

private func standsAlone(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x7B...0x7E, 0x5B...0x60, 0x20...0x26, 0x28...0x2B, 0x3A...0x40, 0x2F: true
  default: false
  }
}
