import Diagnostics
import LuaHost
import Synchronization
import Testing

/// What a prompt makes of lines: values, variables that stay, lines that go on, names that can follow.
@Suite struct PromptTests {
  /// The values that a text shows; nil where it is not complete.
  private func values(_ host: Host, _ text: String) throws -> [String]? {
    guard case .done(let values, _) = try host.state.reply(to: text, name: "(repl)") else { return nil }
    return values.map(\.text)
  }

  private func message(_ host: Host, _ text: String, line: Int = 1) -> String? {
    do {
      _ = try host.state.reply(to: text, name: "(repl)", line: line)
      return nil
    } catch { return "\(error)" }
  }

  @Test func expressionsAreShownAndVariablesStay() throws {
    let host = try Host()
    #expect(try values(host, "1 + 1, 'a\\n\"b\"', nil, 2.5") == ["2", "\"a\\n\\\"b\\\"\"", "nil", "2.5"])
    #expect(try values(host, "local a, b = 3, 4; c = 5") == [])
    #expect(try values(host, "a * b + c") == ["17"])
    // A function that is called last takes the chunk's place: its variables are its own.
    #expect(try values(host, "function f(hidden) local inner = hidden; return inner end") == [])
    #expect(try values(host, "return f(7)") == ["7"])
    #expect(message(host, "inner")?.hasPrefix("(repl):1: unknown global 'inner'") == true)
    #expect(try values(host, "local n = 0; function count() n = n + 1 return n end") == [])
    #expect(try values(host, "count(), count()") == ["1", "2"])
    #expect(try values(host, "#{ 1, 2 }") == ["2"])
    #expect(try values(host, "if true then local deep = 1 end do local other = 2 end return") == [])
    #expect(message(host, "deep") != nil && message(host, "other") != nil)
  }

  @Test func linesGoOnUntilAStatementIsComplete() throws {
    let host = try Host()
    for text in ["for i = 1, 2 do", "f(", "local t = {", "x =", "1 +", "if true then\nprint(1)", "[[ab"] {
      #expect(try values(host, text) == nil, "\(text)")
    }
    #expect(message(host, "x = = 1") == "(repl):1: unexpected symbol near '='")
    #expect(message(host, "local x = 1\nerror('no')", line: 7) == "(repl):8: no")
    #expect(message(host, "# x y")?.contains("near") == true)
  }

  /// Only what is typed may assign globals: files stay as strict as in a run.
  @Test func otherCodeAssignsNoGlobals() throws {
    let host = try Host()
    #expect(try values(host, "x = 1") == [])
    #expect(try host.failure("y = 1")?.message.contains("assignment to global 'y'") == true)
    #expect(message(host, "load('z = 1')()")?.contains("assignment to global 'z'") == true)
  }

  @Test func aScriptLeavesItsVariables() throws {
    let host = try Host()
    try host.state.runKeepingLocals(LuaState.Source(path: "s.lua", text: "local kept = vec.new { 1, 2 }"), name: "s.lua")
    #expect(try values(host, "kept.size") == ["2"])
    #expect(host.state.sources.map(\.path) == ["s.lua"])
  }

  @Test func tablesAreWrittenAsAScriptWould() throws {
    let host = try Host()
    #expect(try values(host, "{}") == ["{}"])
    #expect(try values(host, "{ 1, 'x', { a = true, ['b c'] = 2, [10] = 3 } }") == ["{ 1, \"x\", { [\"b c\"] = 2, [10] = 3, a = true } }"])
    #expect(try values(host, "t = {}; t.me = t") == [])
    #expect(try values(host, "t") == ["{ me = { a table inside itself } }"])
    let long = try #require(values(host, "(function() local t = {} for i = 1, 1000 do t[i] = 'word' end return t end)()")?.first)
    #expect(long.hasPrefix("{\n  \"word\",\n") && long.hasSuffix("  ... (1000 in all),\n}"))
    #expect(try values(host, "vec")?.first?.hasPrefix("module vec: Lists of numbers.") == true)
    #expect(
      try values(host, "vec.new, print, function() end") == [
        "function new(values): A vector of these numbers.", "function of Lua", "function ((repl):1)",
      ])
  }

  @Test func anInterruptionLeavesTheRest() throws {
    let isOver = Mutex(false)
    let host = try Host { options in options.isInterrupted = { isOver.withLock { $0 } } }
    #expect(try values(host, "local before = 1") == [])
    isOver.withLock { $0 = true }
    #expect(throws: LuaError.self) { try host.state.reply(to: "while true do end", name: "(repl)") }
    isOver.withLock { $0 = false }
    #expect(try values(host, "before") == ["1"])
    #expect(try values(host, "local after = 2") == [])
    #expect(try values(host, "after") == ["2"])
  }

  @Test(arguments: [
    ("ve", ["vec"]), ("vec.ra", ["rank"]), ("x = vec.fi", ["fill"]), ("vec.new{1}:", []), ("v:s", ["scale_", "sum"]), ("v.s", ["size"]),
    ("v:", ["get", "map", "scale_", "sum"]), ("string.fo", ["format"]), ("t.fi", ["first"]), ("t.vec.na", ["name"]),
    ("vec.fill { li", ["limit = "]), ("vec.fill({ r = 1, lo", ["lora_dropout = "]), ("vec.fill {\n  r = 2, -- { why\n  fl", ["flag = "]),
    ("vec.fill { r = ma", ["math"]), ("vec.fill { title = 'li", []), ("1 -- ve", []), ("vec.fill { noise = {", []), ("whi", ["while"]),
    ("nothing.", []),
    ("1 .. v", ["v", "vec"]),
  ])
  func namesThatCanFollow(text: String, names: [String]) throws {
    let host = try Host()
    _ = try host.state.reply(to: "v = vec.new { 1 }; t = { first = 1, vec = v }", name: "(repl)")
    let found = host.state.completion(of: text)
    if text == "vec.fill { noise = {" {
      #expect(!found.names.contains("r = "))
    } else {
      #expect(found.names == names, "\(text)")
    }
  }

  @Test func whatAllNamesHaveInCommonIsAdded() {
    #expect(Completion(written: "fi", names: ["filter", "filtered"]).added == "lter")
    #expect(Completion(written: "", names: []).added == "")
  }
}
