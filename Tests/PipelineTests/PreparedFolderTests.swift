import Files
import Foundation
import TestSupport
import Testing

/// Where a script may write, and what it may read: also where somebody else prepared its run directory, cache and data.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct PreparedFolderTests {
  private static let options = ["--threads", "1", "--precision", "fp32", "--quiet"]

  /// Trains one step, and writes in every way that a script has.
  private static let script = """
    local task = tasks.table { train_file = "train.tsv", text_column = "text", label_column = "label" }
    local m = models.from_config { config = "." }:classifier { task = task }
    m:add_adapter(adapters.lora { r = 2 })
    stage("s", function() return trainer.fit { model = m, task = task, max_steps = 1, max_length = 16, eval_strategy = "no" } end)
    tensor.save("deep/t.safetensors", { x = tensor.zeros { 1 } })
    m:save_adapter("a")
    m:export_lora("deep/e")
    m:merge()
    m:save("m")
    log.metrics { a = 1 }
    report.table { { a = 1 }, columns = { "a" } }
    """

  /// A working folder with the script and its data, and something to lose beside it.
  private func within(_ body: (_ folder: String) throws -> Void) throws {
    try withTemporaryFolder { outer in
      let folder = outer + "/work"
      try createFolder(folder)
      try createFolder(outer + "/precious/s")
      for name in ["a", "s/a", "hello.lua", "b.safetensors", ".removed-1-x", "manifest.json"] {
        try AtomicFile.write("precious", to: outer + "/precious/" + name)
      }
      try TinyTask.write(to: folder)
      try AtomicFile.write(Self.script, to: folder + "/hello.lua")
      let before = try Digest(ofFolder: outer + "/precious")
      try body(folder)
      #expect(try Digest(ofFolder: outer + "/precious") == before)
      #expect(try AtomicFolder.names(in: outer + "/precious") == [".removed-1-x", "a", "b.safetensors", "hello.lua", "manifest.json", "s"])
      #expect(try readText(outer + "/precious/.removed-1-x") == "precious")
      #expect(try AtomicFolder.names(in: outer) == ["precious", "work"])
    }
  }

  @Test func theScriptWritesWhereNothingIsPrepared() throws {
    try within { folder in
      let before = try Digest(ofFolder: folder)
      let check = try perigee(["check", "hello.lua"] + Self.options, in: folder, shell: "\"$@\" >/dev/null")
      #expect(check.code == 0, "\(check.error)")
      for name in try AtomicFolder.names(in: folder) where name.hasPrefix("out-") || name.hasPrefix("err-") { removeTree(folder + "/" + name) }
      #expect(try Digest(ofFolder: folder) == before)
      try AtomicFile.write("tensor.save('../x', { x = tensor.zeros { 1 } })\n", to: folder + "/out.lua")
      #expect(try perigee(["check", "out.lua"] + Self.options, in: folder).error.contains("scripts write inside the run directory"))
      let outcome = try perigee(["run", "hello.lua", "--out", "run"] + Self.options, in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
      let names = try AtomicFolder.names(in: folder + "/run")
      #expect(Set(names).isSuperset(of: ["a", "code", "command.json", "deep", "m", "metrics.jsonl", "params.json", "results.json", "stages"]))
      #expect(try AtomicFolder.names(in: folder + "/run/deep") == ["e", "t.safetensors"])
    }
  }

  /// Places in a run directory, and what a stranger has put there.
  static let places: [(place: String, target: String)] = [
    ("stages", "../../precious"), ("stages/s", "../../../precious/s"), ("code", ".."), ("code", "../../precious"),
    ("code/hello.lua", "../../../precious/hello.lua"), ("metrics.jsonl", "../../precious/a"), ("results.json", "../../precious/a"),
    ("params.json", "../../precious/a"), ("output.txt", "../../precious/a"), (".metrics.jsonl.new", "../../precious/a"),
    (".lock", "../../precious/a"), (".lock", "../../precious/new"), ("deep", "../../precious"),
    ("deep/t.safetensors", "../../../precious/b.safetensors"), ("a", "../../precious"), ("m", "../../precious/s"),
    (".m.perigee-old", "../../precious/s"),
    (".metrics.jsonl.1-1.tmp", "../../precious/a"), ("deep/e", "/dev"),
  ]

  @Test(arguments: places) func runDirectory(_ place: String, _ target: String) throws {
    try within { folder in
      let first = try perigee(["run", "hello.lua", "--out", "run"] + Self.options, in: folder)
      #expect(first.code == 0, "\(first.error)")
      removeTree(folder + "/run/" + place)
      try FileManager.default.createSymbolicLink(atPath: folder + "/run/" + place, withDestinationPath: target)
      for command in [["run", "--resume", "run"], ["run", "hello.lua", "--out", "run"]] {
        let outcome = try perigee(command + Self.options, in: folder)
        #expect(outcome.code == 0 || outcome.code == 1 && outcome.error.split(separator: "\n").count == 1, "\(outcome.error)")
      }
    }
  }

  /// Files that are no links, and still not the run's own: a second name of another's file, a pipe.
  @Test(.timeLimit(.minutes(2)), arguments: [".lock", "metrics.jsonl"]) func otherKindsOfFiles(_ place: String) throws {
    try within { folder in
      let path = folder + "/run/" + place
      let first = try perigee(["run", "hello.lua", "--out", "run"] + Self.options, in: folder)
      #expect(first.code == 0, "\(first.error)")
      removeTree(path)
      #expect(Foundation.link(folder + "/../precious/a", path) == 0)
      let linked = try perigee(["run", "--resume", "run"] + Self.options, in: folder)
      #expect(linked.code == 0, "\(linked.error)")
      removeTree(path)
      #expect(mkfifo(path, 0o600) == 0)
      let pipe = try perigee(["run", "--resume", "run"] + Self.options, in: folder)
      #expect(
        pipe.code == 1 && (pipe.error.hasSuffix("expected a regular file\n") || pipe.error.contains("is a pipe, expected a file")), "\(pipe.error)")
    }
  }

  static let cachePlaces = [("stages-3", "../../precious"), ("names-3", "../../precious"), ("tokens", "../../precious")]

  @Test(arguments: cachePlaces) func cache(_ place: String, _ target: String) throws {
    try within { folder in
      try createFolder(folder + "/.cache/perigee")
      try FileManager.default.createSymbolicLink(atPath: folder + "/.cache/perigee/" + place, withDestinationPath: "../" + target)
      let outcome = try perigee(["run", "hello.lua", "--out", "run"] + Self.options, in: folder)
      #expect(outcome.code == (place == "tokens" ? 0 : 1), "\(outcome.error)")
      if outcome.code == 1 { #expect(outcome.error.contains(".cache/perigee/\(place): is a link, and nothing is written through links")) }
    }
  }

  @Test func aNULInAPathTouchesNothing() throws {
    try within { folder in
      try AtomicFile.write("notes", to: folder + "/notes.md")
      try AtomicFile.write(
        """
        local m = models.load("builtin:tiny"):classifier { num_labels = 2 }
        m:add_adapter(adapters.lora { r = 2, target_modules = { "query" } })
        for _, p in ipairs { "..\\0/x", "a/..\\0/z", "command.json\\0", "../\\u{301}x", "a/../\\u{301}x/../..", "..", "code", "./stages/x", "" } do
          for _, f in ipairs { m.save_adapter, m.export_lora, m.save } do assert(not pcall(f, m, p)) end
          assert(not pcall(tensor.save, p, { x = tensor.zeros { 2 } }))
        end
        """, to: folder + "/nul.lua")
      let before = try AtomicFolder.names(in: folder)
      let outcome = try perigee(["run", "nul.lua", "--out", "out"] + Self.options, in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
      #expect(
        try AtomicFolder.names(in: folder).filter { !$0.hasPrefix("err-") && !$0.hasPrefix("out-") }
          == (before + ["out", ".cache", ".local"]).sorted())
      let written = try Set(AtomicFolder.names(in: folder + "/out"))
      #expect(written.isSubset(of: [".lock", "code", "command.json", "metrics.jsonl", "output.txt", "params.json", "results.json", "stages"]))
      #expect(try readText(folder + "/out/command.json").contains("nul.lua"))
    }
  }

  // MARK: Reading

  @Test(
    .timeLimit(.minutes(1)),
    arguments: [
      ("/proc/self/environ", "belongs to the system"), ("link", "belongs to the system"), ("fifo", "is a pipe, expected a file"),
      ("/dev/zero", "is a device, expected a file"), ("/dev/stdin", "is a device, expected a file"), (".", "is a folder, expected a file"),
    ]) func isNotData(_ path: String, _ message: String) throws
  {
    try within { folder in
      try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "/proc/self/environ")
      #expect(mkfifo(folder + "/fifo", 0o600) == 0)
      try AtomicFile.write("local t = tasks.masked_lm { train_file = '\(path)' }\nprint(t:example(0).text)\n", to: folder + "/read.lua")
      let outcome = try perigee(["check", "read.lua"] + Self.options, in: folder)
      #expect(outcome.code == 1 && outcome.output == "")
      #expect(outcome.error.hasPrefix("perigee: error: read.lua:1: \(path): \(message)"), "\(outcome.error)")
    }
  }

  @Test func strictReadsWhatTheCommandLineNames() throws {
    try within { folder in
      let data = folder + "/../precious/a"
      try createFolder(folder + "/inner")
      try AtomicFile.write("return { x = 1 }\n", to: folder + "/inner/own.lua")
      try AtomicFile.write(
        "local p = params { data = 'none' }\nlocal own = require 'own'\nprint(tasks.masked_lm { train_file = p.data }:example(0).text)\n",
        to: folder + "/inner/read.lua")
      try AtomicFile.write(
        "params { data = 'none' }\nprint(tasks.masked_lm { train_file = '\(data)' }:example(0).text)\n", to: folder + "/inner/fixed.lua")
      try createFolder(folder + "/elsewhere")
      func check(_ arguments: [String]) throws -> Outcome { try perigee(["check"] + arguments + Self.options, in: folder + "/elsewhere") }
      #expect(try check(["../inner/fixed.lua"]).output.hasPrefix("precious"))
      #expect(try check(["../inner/fixed.lua", "--strict", "--set", "data=" + data]).output.hasPrefix("precious"))
      #expect(try check(["../inner/read.lua", "--strict", "--set", "data=" + data]).output.hasPrefix("precious"))
      let refused = try check(["../inner/fixed.lua", "--strict"])
      #expect(refused.code == 1 && refused.error.hasSuffix("name it with --set, or run without --strict\n"), "\(refused.error)")
      // Neither the data beside the script, nor whether there is any.
      try AtomicFile.write("print(tasks.masked_lm { train_file = '../inner/none' })\n", to: folder + "/inner/beside.lua")
      #expect(try check(["../inner/beside.lua", "--strict"]).error.contains("--strict reads only"))
      #expect(try check(["../inner/fixed.lua", "--strict", "--allow-io"]).error.contains("--strict and --allow-io exclude each other"))
    }
  }

  @Test func aStrictRunTrains() throws {
    try within { folder in
      let outcome = try perigee(["run", "hello.lua", "--strict", "--out", "run"] + Self.options, in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
      let again = try perigee(["run", "hello.lua", "--strict", "--out", "again"] + Self.options, in: folder)
      #expect(again.code == 0, "\(again.error)")
      let resumed = try perigee(["run", "--resume", "run", "--strict"] + Self.options, in: folder)
      #expect(resumed.code == 0, "\(resumed.error)")
    }
  }
}
