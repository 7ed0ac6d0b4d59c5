import Diagnostics

extension LuaState {
  /// A message of Lua itself, with what to write instead, where it is about another language's signs or a name that a library lacks.
  func withHint(_ message: String) -> String {
    let hint = signHint(message) ?? libraryHint(message)
    return hint.map { "\(message); \($0)" } ?? message
  }

  private func signHint(_ message: String) -> String? {
    guard ["expected near", "unexpected symbol near", "syntax error near"].contains(where: message.contains) else { return nil }
    return signHints.first { message.hasSuffix($0.ending) }?.hint
  }

  /// Lua says which field is nil, but not of which table: the line tells.
  private func libraryHint(_ message: String) -> String? {
    guard let match = message.wholeMatch(of: #/(.*):([0-9]+): attempt to call a nil value \(field '(\w+)'\)/#),
      let number = Int(match.output.2), let text = texts[String(match.output.1)] ?? sources.first(where: { $0.path == match.output.1 })?.text
    else { return nil }
    let lines = text.split(separator: "\n", maxSplits: number, omittingEmptySubsequences: false)
    guard lines.indices.contains(number - 1) else { return nil }
    let name = String(match.output.3)
    for (library, fields) in libraryFields.sorted(by: { $0.key < $1.key }) where lines[number - 1].contains("\(library).\(name)") {
      return absentFields["\(library).\(name)"] ?? nearestName(to: name, among: fields).map { "did you mean '\(library).\($0)'?" }
    }
    return nil
  }
}

/// How messages of the parser end that are about another language's signs.
private let signHints: [(ending: String, hint: String)] = [
  ("near '!'", "'not equal' is ~= in Lua, and 'not' is not"), ("near '+'", "write x = x + 1"), ("near '&'", "'and' is and in Lua"),
  ("near '|'", "'or' is or in Lua"), ("'then' expected near '{'", "blocks are 'then ... end' in Lua"),
  ("'do' expected near '{'", "blocks are 'do ... end' in Lua"),
  ("'then' expected near '='", "'equal' is == in Lua"),
]

/// Fields of libraries that are kept from scripts, or that other versions have, and what to use instead.
private let absentFields: [String: String] = {
  let processes = "scripts start no programs and change no files; --allow-io lifts this for scripts that you trust"
  return [
    "os.execute": processes, "os.remove": processes, "os.rename": processes, "os.tmpname": processes,
    "os.getenv":
      "scripts see no environment: declare params { name = default } and give --set name=value; --allow-io lifts this for scripts that you trust",
    "os.exit": "return ends the script, and error(\"why\") the run", "string.dump": "scripts have no bytecode",
    "table.getn": "write #list",
    "math.round": "write math.floor(x + 0.5)", "string.split": "string.gmatch(text, \"[^,]+\") gives the parts",
    "string.trim": "text:match(\"^%s*(.-)%s*$\") is the text without spaces around it", "table.contains": "write a loop over the list",
  ]
}()
