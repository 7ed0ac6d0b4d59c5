import Adapters
import Checkpoints
import Datasets
import Diagnostics
import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Files
@testable import Pipelines

/// Every function that takes a path, with paths that are hard to take apart or hard on the system: each answers or throws an
/// `EngineError`, and nothing appears or changes outside the folder that it works in.
@Suite struct PathWalkTests {
  struct OddPath: CustomTestStringConvertible, Sendable {
    let text: String
    var testDescription: String { text.unicodeScalars.prefix(20).map { $0.escaped(asASCII: true) }.joined() }
  }

  static let paths = [
    "x", "./x", "a/x", "-", ".", "", "/", "é", "../x", "..\u{2F}\u{301}x", "\\..\\x", String(repeating: "x", count: 4000),
    String(repeating: String(repeating: "a", count: 200) + "/", count: 15) + "x", "x\0", "a\0/../../x", "..\0", "x\ny",
  ].map { OddPath(text: $0) }

  /// Folders around the one that a test works in, with something to lose beside it.
  private static func within(_ body: (_ folder: String) throws -> Void) throws {
    try withTemporaryFolder { outer in
      let inner = outer + "/inner"
      try createFolder(inner)
      try AtomicFile.write("precious", to: outer + "/kept")
      try body(inner)
      #expect(try AtomicFolder.names(in: outer) == ["inner", "kept"])
      #expect(try readText(outer + "/kept") == "precious")
    }
  }

  // MARK: Functions of Swift

  private static let readers: [(name: String, call: @Sendable (String) throws -> Void)] = [
    ("readFile", { _ = try readFile($0) }), ("readText", { _ = try readText($0) }), ("MappedFile", { _ = try MappedFile($0) }),
    ("Digest of a file", { _ = try Digest(ofFile: $0) }), ("requireRegularFile", { try requireRegularFile($0) }),
    ("fileKind", { _ = fileKind($0) }), ("realPath", { _ = realPath($0) }), ("fileFacts", { _ = fileFacts($0) }),
    ("names", { _ = try AtomicFolder.names(in: $0) }),
    ("JSONValue", { _ = try JSONValue(file: $0) }), ("ZipArchive", { _ = try ZipArchive($0) }),
    ("parts", { _ = FilePath.folder(of: $0) + FilePath.name(of: $0) + FilePath.stem(of: $0) + FilePath.fileExtension(of: $0) }),
    ("ReadPolicy", { _ = ReadPolicy(named: [$0], codeFolders: [$0], isStrict: true).permits($0) }),
    ("ModelLocation", { _ = try ModelLocation.folder(of: $0) }), ("revision", { _ = try ModelLocation.folder(of: "a/b", revision: $0) }),
    ("hub cache", { _ = try ModelLocation.folder(of: "a/b", environment: ["HF_HUB_CACHE": $0]) }),
    ("home", { _ = try ModelLocation.folder(of: "~/a", environment: ["HOME": $0]) }),
    ("WeightsFolder", { _ = try WeightsFolder($0) }), ("SafetensorsFile", { _ = try SafetensorsFile($0) }),
    ("TorchArchive", { _ = try TorchArchive($0) }),
    ("config", { _ = try HuggingFaceConfig(path: $0) }), ("config of a folder", { _ = try HuggingFaceConfig(folder: $0) }),
    ("file of a config", { _ = try HuggingFaceConfig(folder: "Tests", file: $0) }),
    ("GLUE", { _ = try GLUE.read("rte", folder: $0) }), ("GLUE's file", { _ = try GLUE.read("rte", folder: "Tests", trainFile: $0) }),
    ("TableFormat", { _ = try TableFormat(path: $0) }),
    ("TableTask", { _ = try TableTask(train: $0, textColumn: "a", labelColumn: "b").read() }),
    (
      "TableTask as CSV",
      { path in
        var task = TableTask(train: path, textColumn: "a", labelColumn: "b")
        task.format = .csv
        _ = try task.read()
      }
    ),
    ("Tokenizer", { _ = try Tokenizer.load(folder: $0) }), ("StageStore", { _ = StageStore(root: $0).list() }),
    ("lock's holder", { _ = FileLock.holder($0) }), ("command", { _ = try RunCommand(jsonFile: $0) }),
    ("manifest", { _ = try FolderManifest(verifying: $0) }), ("adapter's facts", { _ = try AdapterFacts(folder: $0) }),
    ("cache", { _ = StageStore.defaultRoot(["PERIGEE_CACHE": $0]) }),
  ]

  @Test(arguments: paths) func reading(_ odd: OddPath) throws {
    let path = odd.text
    try Self.within { folder in
      for reader in Self.readers {
        for path in [path, folder + "/" + path] {
          do { try reader.call(path) } catch let error as EngineError {
            #expect(!"\(error)".utf8.contains(0), "\(reader.name): \(error)")
          }
        }
      }
      #expect(try AtomicFolder.names(in: folder) == [])
    }
  }

  /// Each gets a path in the folder, and the path alone where it is relative to a folder of ours.
  private static let writers: [(name: String, call: @Sendable (_ folder: String, _ path: String) throws -> Void)] = [
    ("createFolder", { try createFolder($0 + "/" + $1) }), ("AtomicFile", { try AtomicFile.write("1", to: $0 + "/" + $1) }),
    ("AtomicFolder", { folder, path in try AtomicFolder.write(to: folder + "/" + path) { try AtomicFile.write("1", to: $0 + "/1") } }),
    ("recover", { try AtomicFolder.recover($0 + "/" + $1) }),
    (
      "move",
      { folder, path in
        try createFolder(folder + "/source")
        try AtomicFolder.move(folder + "/source", to: folder + "/" + path)
      }
    ),
    (
      "copy",
      { folder, path in
        try createFolder(folder + "/source")
        try AtomicFolder.copy(folder + "/source", to: folder + "/" + path)
      }
    ),
    ("copy from", { try AtomicFolder.copy($0 + "/" + $1, to: $0 + "/copy") }), ("touch", { touch($0 + "/" + $1) }),
    ("synchronizeTree", { try AtomicFolder.synchronizeTree($0 + "/" + $1) }),
    ("ScratchFile", { _ = ScratchFile(folder: $0 + "/" + $1) }), ("ScratchMapping", { _ = try ScratchMapping(byteCount: 10, folder: $0 + "/" + $1) }),
    ("OwnFolder", { _ = try OwnFolder($0 + "/" + $1).place("a/b") }), ("place", { _ = try OwnFolder($0).place($1) }),
    ("safetensors", { try SafetensorsFile.write([], to: $0 + "/" + $1) }), ("FileLock", { _ = try FileLock($0 + "/" + $1) }),
    ("MetricsLog", { _ = try MetricsLog($0 + "/" + $1) }), ("StageStore", { try run(StageStore(root: $0 + "/" + $1)) }),
    ("stage", { try run(StageStore(root: $0), $1) }),
    ("RunDirectory", { try run(RunDirectory.create(out: $0 + "/" + $1), "x") }),
    ("outputs", { try run(RunDirectory.create(out: nil, outputs: $0 + "/" + $1), "x") }),
    ("script", { try run(RunDirectory.create(out: $0 + "/run"), $1) }),
    ("resume", { _ = try RunDirectory.resume($0 + "/" + $1) }),
    ("Tokenizer", { try Tokenizer.load(folder: packageRoot + "/Tests/Fixtures/models/tiny-bert").save(to: $0 + "/" + $1) }),
  ]

  private static func run(_ store: StageStore, _ name: String = "a") throws {
    guard case .begun(let work) = try store.open(StageKey(name: name, inputs: [:])) else { return }
    _ = try work.finish { try AtomicFile.write("1", to: $0 + "/w") }
  }

  private static func run(_ directory: RunDirectory, _ name: String) throws {
    try directory.prepare(RunScript(path: name, text: ""), Invocation())
    try directory.begin(sources: [RunScript(path: name, text: "")])
    _ = try directory.place(name)
    try directory.end(.finished, sources: [RunScript(path: name + "/" + name, text: "")])
  }

  /// Paths that lead upwards are the caller's own choice where a path is not relative to a folder of ours.
  private static let upwards = ["../x", "..\u{2F}\u{301}x"]

  @Test(arguments: paths) func writing(_ odd: OddPath) throws {
    let path = odd.text
    try Self.within { folder in
      for (number, writer) in Self.writers.enumerated() {
        if Self.upwards.contains(where: { $0.utf8.elementsEqual(path.utf8) }), !["place", "stage", "script"].contains(writer.name) { continue }
        let inner = "\(folder)/\(number)"
        try createFolder(inner)
        do { try writer.call(inner, path) } catch let error as EngineError {
          #expect(!"\(error)".utf8.contains(0), "\(writer.name): \(error)")
        }
      }
      #expect(try AtomicFolder.names(in: folder).allSatisfy { Int($0) != nil })
    }
  }

  @Test func removingKeepsToTheFolder() throws {
    for path in Self.paths.map(\.text) where path != "../x" {
      try Self.within { folder in
        removeTree(folder + "/a/" + path)
        removeTree(folder + "/" + path)
        try createFolder(folder)
      }
    }
  }

  // MARK: Functions of Lua

  /// Statements with `p`, the path.
  static let statements = [
    "models.load(p)", "models.from_config { config = p }", "tokenizers.load(p)", "tasks.glue('rte', p)",
    "tasks.glue('rte', 'Tests', { train_file = p })",
    "tasks.table { train_file = p, text_column = 'a', label_column = 'b' }",
    "tasks.table { train_file = p, text_column = 'a', label_column = 'b', format = 'csv' }",
    "tasks.table { train_file = DATA, validation_files = { p }, text_column = 'text', label_column = 'label' }",
    "tasks.masked_lm { train_file = p }", "tasks.masked_lm { train_file = DATA, validation_file = p }", "tensor.load(p)",
    "tensor.save(p, { x = tensor.zeros { 1 } })", "tensor.save('s/' .. p, { x = tensor.zeros { 1 } })",
    "tensor.save(p .. '/s', { x = tensor.zeros { 1 } })",
    "m:save_adapter(p)", "m:save_adapter('s/' .. p)", "m:export_lora(p)", "base:classifier { num_labels = 2 }:save(p)", "m:load_adapter(p)",
    "m:save_adapter('s', { adapter_name = p })", "m:load_adapter(SAVED, { adapter_name = p })", "m:set_adapter(p)", "m:delete_adapter(p)",
    "base:classifier { num_labels = 2 }:add_adapter(adapters.lora { adapter_name = p })", "require(p)", "require('a' .. p)",
    "stage(p, function() trainer.fit { model = base:classifier { task = task }, task = task, max_steps = 1, eval_strategy = 'no' } end)",
    "report.table { title = p, { a = 1 } }", "log.metrics { [p] = p }",
  ]

  /// A literal for any bytes.
  private static func literal(_ path: String) -> String {
    "'" + path.utf8.map { "\\" + (String($0).count < 3 ? String(repeating: "0", count: 3 - String($0).count) : "") + String($0) }.joined() + "'"
  }

  @Test(arguments: paths) func scripts(_ odd: OddPath) throws {
    let path = odd.text
    try Self.within { folder in
      try TinyTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        let calls = Self.statements.map { "try(\"\($0)\", function() \($0) end)" }
        let lines = try host.printed(
          """
          local p, DATA, SAVED = \(Self.literal(path)), '\(folder)/train.tsv', 'saved'
          local base = models.from_config { config = '\(folder)' }
          local task = tasks.table { train_file = DATA, text_column = 'text', label_column = 'label' }
          local m = base:classifier { num_labels = 2 }:add_adapter(adapters.lora { r = 2 })
          m:save_adapter(SAVED)
          local function try(name, f)
            local done, message = pcall(f)
            if not done then print(#tostring(message) < 10000 and tostring(message):match('^t%.lua:%d+: ') and 'refused' or name .. tostring(message)) end
          end
          \(calls.joined(separator: "\n"))
          """)
        // The table of the report, under its title.
        let shown = ["-", "a", "1", ""] + path.split(separator: "\n").map(String.init)
        #expect(lines.filter { $0 != "refused" && !$0.hasPrefix(path) && !shown.contains($0) }.isEmpty, "\(lines)")
        // A NUL is refused wherever a path or name goes to the system.
        if path.utf8.contains(0) { #expect(lines.filter { $0 == "refused" }.count >= Self.statements.count - 2, "\(lines)") }
      }
      let mine = ["config.json", "dev.tsv", "run", "store", "train.tsv", "vocab.txt"]
      #expect(try AtomicFolder.names(in: folder).filter { !mine.contains($0) } == [])
    }
  }

  // MARK: The command line

  /// What can be an argument; each command starts a process.
  static let arguments = ["x", "./x", "a/x", "-", ".", "", "é", String(repeating: "x", count: 4000), "x\ny"].map { OddPath(text: $0) }

  static let commands: [[String]] = [
    ["run", "P"], ["check", "P"], ["test-adapter", "P"], ["params", "P", "--adapter", "lora"], ["params", "builtin:tiny", "--adapter", "P"],
    ["run", "hello.lua", "--out", "P"], ["run", "--resume", "P"], ["check", "hello.lua", "--set", "a=P"], ["stubs", "P", "--check"],
  ]

  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built"), arguments: arguments) func commandLine(_ odd: OddPath) throws {
    let path = odd.text
    try Self.within { folder in
      for (number, command) in Self.commands.enumerated() {
        let inner = "\(folder)/\(number)"
        try createFolder(inner + "/a")
        try AtomicFile.write("print(1)\n", to: inner + "/hello.lua")
        if command[0] != "run" || command[1] == "P" { try? AtomicFile.write("print(2)\n", to: inner + "/" + path) }
        let options = ["run", "check"].contains(command[0]) ? ["--threads", "1", "--precision", "fp32", "--quiet"] : []
        let outcome = try perigee(command.map { $0.replacingOccurrences(of: "P", with: path) } + options, in: inner)
        #expect(outcome.code == 0 || outcome.code == 1, "\(command): \(outcome.error)")
        #expect(
          outcome.error.split(separator: "\n").count <= 3 && outcome.error.utf8.count < 600 + 3 * path.utf8.count, "\(command): \(outcome.error)")
        if outcome.code == 1 { #expect(outcome.error.hasPrefix("perigee: error: "), "\(command)") }
        if command == ["run", "P"], [".", "", "-"].contains(path) == false, path.count < 256 {
          #expect(outcome.output == "2\n", "\(outcome.error)")
        }
      }
    }
  }

  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built"), arguments: arguments) func environment(_ odd: OddPath) throws {
    let script = "stage('a', function() end) print(pcall(models.load, 'none/such'), pcall(require, 'none'))\n"
    try Self.within { folder in
      for name in ["HOME", "PERIGEE_CACHE", "HF_HOME", "PERIGEE_LUA"] {
        let inner = folder + "/" + name
        try createFolder(inner)
        try AtomicFile.write(script, to: inner + "/hello.lua")
        let run = [try #require(perigeeExecutable), "run", "hello.lua", "--threads", "1", "--precision", "fp32", "--quiet"]
        let outcome = try bash(["-c", "\"$@\"", "bash", "env", name + "=" + odd.text] + run, in: inner)
        #expect(outcome.code == 0 || outcome.code == 1 && outcome.error.split(separator: "\n").count == 1, "\(name): \(outcome.error)")
      }
    }
  }
}
