/// Addresses of the web and of mail, names with "@" or "#", tags and entities.
extension TreebankLexer {
  /// What ends an address in any case.
  private func isBreak(_ scalar: Unicode.Scalar) -> Bool { " \t\n\u{C}\r".unicodeScalars.contains(scalar) }

  func address(_ place: Int) -> Match? {
    func isPlain(_ scalar: Unicode.Scalar) -> Bool { !(isBreak(scalar) || "\"<>|(){}".unicodeScalars.contains(scalar)) }
    func last(_ start: Int, _ end: Int) -> Int? {
      // It does not end with punctuation.
      let end = text[start..<end].lastIndex { !".!?{},-".unicodeScalars.contains($0) }
      return end.flatMap { $0 > start ? $0 + 1 : nil }
    }
    for scheme in ["ftp://", "http://", "https://"] where has(scheme, at: place) {
      let start = place + scheme.count
      if let end = last(start, run(start, isPlain)) { return Match(end, token: written(place, end)) }
    }
    if at(place, { $0 == "@" || $0 == "#" }) {
      let isAt = text[place] == "@"
      guard at(place + 1, { isAt ? isASCIILetter($0) || $0 == "_" : isLetter($0) }) else { return nil }
      return Match(run(place + 1) { isAt ? isASCIILetter($0) || $0.isASCIIDigit || $0 == "_" : isLetter($0) })
    }
    guard at(place, { isASCIILetter($0) || $0.isASCIIDigit }) else { return nil }
    return [mail(place), host(place, last)].compactMap { $0 }.max().map { Match($0, token: written(place, $0)) }
  }

  private func mail(_ place: Int) -> Int? {
    let local = run(place) { !(isBreak($0) || "\u{A0}\"<>|(){}@".unicodeScalars.contains($0)) }
    guard at(local, { $0 == "@" }) else { return nil }
    let end = run(local + 1) { !(isBreak($0) || "\u{A0}\"<>|(){}".unicodeScalars.contains($0)) }
    return text[(local + 1)..<end].lastIndex { $0 != "." }.map { $0 + 1 }
  }

  /// "www.foo.de/bar", "foo.com".
  private func host(_ place: Int, _ last: (Int, Int) -> Int?) -> Int? {
    func labels(_ excluded: String, _ isPlain: (Unicode.Scalar) -> Bool = { _ in true }) -> ArraySlice<ArraySlice<Unicode.Scalar>> {
      let end = run(place) { $0 == "." || !isBreak($0) && isPlain($0) && !excluded.unicodeScalars.contains($0) }
      return text[place..<end].split(separator: ".", omittingEmptySubsequences: false).prefix { !$0.isEmpty }
    }
    // Most words have no stop.
    guard text[place..<run(place) { $0.value > 0x20 || !isBreak($0) }].contains(".") else { return nil }
    var stop: Int?
    if has("www.", at: place) {
      let ends = labels("\"<>|!?(){},").dropFirst(2).map { $0.prefix(4).prefix(while: isASCIILetter) }
      stop = ends.last { $0.count > 1 }?.endIndex
    }
    // The program says ",-_", which means all characters from "," to "_": digits, capitals and colons are among them.
    let names = labels("\"`'<>|!?(){}$") { !(","..."_").contains($0) }.dropFirst()
    if let name = names.last(where: { label in ["com", "net", "org", "edu"].contains { label.starts(with: $0.unicodeScalars) } }) {
      stop = max(stop ?? 0, name.startIndex + 3)
    }
    guard let stop, at(stop, { $0 == "/" }) else { return stop }
    let path = run(stop + 1) { !(isBreak($0) || "\"<>|()".unicodeScalars.contains($0)) }
    return last(stop + 1, path) ?? stop
  }

  /// "<b>", "</b>", "<a href="x">", "<!-- x -->".
  func tag(_ place: Int) -> Match? {
    func name(_ place: Int) -> Int? {
      at(place, isASCIILetter) ? run(place) { isASCIILetter($0) || $0.isASCIIDigit || "_:.-".unicodeScalars.contains($0) } : nil
    }
    func spaces(_ place: Int) -> Int { run(place) { $0 == " " } }
    func value(_ place: Int) -> Int? {
      guard at(place, { $0 == "=" }) else { return nil }
      let (start, isQuote) = (spaces(place + 1), { (scalar: Unicode.Scalar) in scalar == "'" || scalar == "\"" })
      let end = run(start + 1) { !(isQuote($0) || $0 == "\r" || $0 == "\n") }
      return at(start, isQuote) && at(end, isQuote) ? end + 1 : nil
    }
    guard text[place] == "<" else { return nil }
    var end = place + 1
    if at(end, { $0 == "!" || $0 == "?" }), at(end + 1, { isASCIILetter($0) || $0 == "-" }) {
      end = run(end) { !(">\r\n".unicodeScalars.contains($0)) }
    } else if at(end, { $0 == "/" }), let closed = name(end + 1) {
      end = spaces(closed)
    } else if let opened = name(end) {
      end = opened
      while spaces(end) > end, let attribute = name(spaces(end)) { end = value(spaces(attribute)) ?? attribute }
      end = spaces(end)
      if at(end, { $0 == "/" }) { end = spaces(end + 1) }
    }
    guard end > place + 1, at(end, { $0 == ">" }) else { return nil }
    return Match(end + 1, token: String(String.UnicodeScalarView(text[place...end].map { $0 == " " ? "\u{A0}" : $0 })))
  }

  func entity(_ place: Int) -> Match? {
    guard text[place] == "&" else { return nil }
    for (name, token) in [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "''"), ("&mdash;", "--"), ("&ndash;", "--"), ("&md;", "--")]
    where has(name, at: place) {
      return Match(place + name.count, token: token)
    }
    return nil
  }
}
