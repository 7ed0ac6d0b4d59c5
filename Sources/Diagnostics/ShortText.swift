/// Text of at most `limit` letters, for messages: a file or a script can put megabytes into one.
///
/// Quoted and bracketed parts (names, values, shapes) of more than 200 letters are cut first, so that what was expected and
/// what to do about it stay readable; then the middle is left out.
public func shortened(_ text: String, limit: Int = 600) -> String {
  let longest = 200
  guard text.utf8.count > longest else { return text }
  var letters = cutParts(Array(text), longest: longest)
  if letters.count > limit {
    let tail = limit / 3
    letters = letters.prefix(limit - tail - cut.count) + cut + letters.suffix(tail)
  }
  return String(letters)
}

private let cut = Array(" ... ")

/// Shortens what stands between two quotes, or between brackets.
private func cutParts(_ letters: [Character], longest: Int) -> [Character] {
  let closing: [Character: Character] = ["'": "'", "\"": "\"", "[": "]"]
  var result: [Character] = []
  var i = 0
  while i < letters.count {
    let letter = letters[i]
    result.append(letter)
    i += 1
    // An apostrophe stands behind a letter.
    guard let end = closing[letter], i < 2 || !letters[i - 2].isLetter else { continue }
    let part = letters[i...].prefix { $0 != end }
    guard part.count > longest else { continue }
    result += part.prefix(longest) + cut.dropLast()
    i += part.count
  }
  return result
}
