import Diagnostics
import Foundation
import LuaHost
import TestSupport
import Testing

@Suite struct SandboxTests {
  static let absent = [
    "io", "package", "debug", "dofile", "loadfile", "os.execute", "os.exit", "os.remove", "os.rename",
    "os.tmpname", "os.getenv", "os.setlocale", "string.dump", "warn",
  ]

  @Test("is not there", arguments: absent)
  func isAbsent(_ name: String) throws {
    let parts = name.split(separator: ".")
    let script =
      parts.count == 1
      ? "print(rawget(_G, '\(name)'))" : "print(\(parts[0]).\(parts[1]))"
    #expect(try Host().printed(script) == ["nil"])
  }

  static let present = [
    ("os.time{year = 2020, month = 1, day = 1, hour = 12} > 0", "true"),
    ("type(os.clock())", "number"), ("os.date('!%Y', 0)", "1970"),
    ("load('return 1 + 1')()", "2"), ("load(function() return nil end) ~= nil", "true"),
    ("load('return x', 'c', 'b', {x = 3})()", "3"),
    ("select('#', load('\\27Lua'))", "2"),
    (
      "(select(2, load('\\27Lua', '=c', 'b')))",
      "attempt to load a binary chunk (mode is 't')"
    ),
    ("getmetatable(_G)", "false"), ("getmetatable(vec)", "false"), ("getmetatable(vec.new{})", "false"),
    ("utf8.char(228)", "ä"), ("vec.version", "3"), ("require('vec') == vec", "true"),
  ]

  @Test("gives", arguments: present)
  func gives(_ expression: String, _ result: String) throws {
    #expect(try Host().printed("print(\(expression))") == [result])
  }

  @Test func allowIOOpensFiles() throws {
    let host = try Host { $0.allowIO = true }
    #expect(
      try host.printed("print(io ~= nil, os.getenv ~= nil, os.exit, rawget(_G, 'debug'))")
        == ["true\ttrue\tnil\tnil"])
  }

  @Test func randomNumbersFollowTheSeed() throws {
    let script = "print(math.random(1 << 40), math.random(1 << 40))"
    let first = try Host { $0.seed = 1 }.printed(script)
    #expect(try Host { $0.seed = 1 }.printed(script) == first)
    #expect(try Host { $0.seed = 2 }.printed(script) != first)
  }

  @Test func requireFindsFilesInItsFoldersOnly() throws {
    try withTemporaryFolder { root in
      // So long that Lua shortens the names of chunks; the end stays.
      let folder = root + "/" + String(repeating: "F", count: 60)
      let library = folder + "/lua"
      let scripts = folder + "/scripts"
      func write(_ path: String, _ text: String) throws {
        let file = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(
          at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
      }
      try write(library + "/recipes/glue.lua", "return { name = ..., n = 1 }")
      try write(library + "/both.lua", "return 'library'")
      try write(scripts + "/both.lua", "return 'script'")
      try write(scripts + "/beside/init.lua", "print 'loaded'")
      try write(scripts + "/loop.lua", "return require 'loop'")
      try write(scripts + "/broken.lua", "return 1 +")
      try write(folder + "/secret.lua", "return 'secret'")
      try write(
        scripts + "/main.lua",
        """
        #!/usr/bin/env perigee
        print(require('recipes.glue').name, require('recipes.glue') == require('recipes.glue'))
        print(require 'both', require 'beside', require 'beside')
        local function why(name)
          local message = tostring(select(2, pcall(require, name)))
          print((message:gsub('no /%S+', 'no FILE'):gsub('^%S*/(%w+%.lua)', '%1')))
        end
        for _, name in ipairs { '../secret', '..secret', '/etc/passwd', 'recipes.', 'a\\0b', 'boht', 'loop',
          'broken' } do
          why(name)
        end
        """)
      let host = try Host { $0.moduleFolders = [library] }
      var printed: [String] = []
      try host.state.run(file: scripts + "/main.lua")
      printed = host.lines
      let badName = "; names are at most 200 letters, digits, '_' and '-', with '.' between folders"
      let place = "main.lua:5: "
      func tail(_ line: String) -> String {
        line.replacing(#/^\.\.\..*F(main|loop|broken)\.lua:/#) { "\($0.1).lua:" }
      }
      #expect(
        printed.map(tail) == [
          "recipes.glue\ttrue", "loaded", "library\ttrue\ttrue",
          place + "bad module name '../secret'" + badName,
          place + "bad module name '..secret'" + badName,
          place + "bad module name '/etc/passwd'" + badName,
          place + "bad module name 'recipes.'" + badName,
          place + "bad module name 'a\0b'" + badName,
          place + "module 'boht' not found (no FILE no FILE no FILE no FILE did you mean 'both'?",
          "loop.lua:1: module 'loop' requires itself, or failed to load before",
          "broken.lua:1: unexpected symbol near <eof>",
        ])
      let names = host.state.sources.map { ($0.path as NSString).lastPathComponent }
      #expect(
        names == ["main.lua", "glue.lua", "both.lua", "init.lua", "loop.lua", "broken.lua"])
      #expect(host.state.sources[1].text == "return { name = ..., n = 1 }")
    }
  }

  @Test func missingFilesAreEngineErrors() throws {
    #expect(throws: EngineError(.file, "/no/such.lua: no such file")) {
      try Host().state.run(file: "/no/such.lua")
    }
  }

  /// Only the bridge may see `lua.h`.
  @Test func noSwiftFileImportsLua() throws {
    var imports: [String] = []
    for folder in ["Sources", "Tests"] {
      let root = packageRoot + "/" + folder
      for case let path as String in FileManager.default.enumerator(atPath: root) ?? .init()
      where path.hasSuffix(".swift") {
        let text = try String(contentsOfFile: root + "/" + path, encoding: .utf8)
        if text.contains(#/(?m)^\s*(@\w+\s+)?(\w+\s+)?import\s+CLua\b/#) { imports.append(path) }
      }
    }
    #expect(imports == [])
    let header = try String(
      contentsOfFile: packageRoot + "/Sources/CLuaBridge/include/CLuaBridge.h", encoding: .utf8)
    #expect(!header.contains("#include <lua"))
  }
}
