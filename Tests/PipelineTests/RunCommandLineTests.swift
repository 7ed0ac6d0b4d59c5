import Files
import Foundation
import TestSupport
import Testing

@testable import Pipelines

/// What `perigee run` leaves in a run directory, and what it never touches there.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct RunCommandLineTests {
  private static let options = ["--threads", "1", "--precision", "fp32", "--quiet"]

  private func run(_ arguments: String..., in folder: String) throws -> Outcome {
    try perigee(["run"] + arguments + Self.options, in: folder)
  }

  private func write(_ text: String, _ name: String = "t.lua", in folder: String) throws {
    try AtomicFile.write(text, to: folder + "/" + name)
  }

  private func command(_ folder: String) throws -> RunCommand { try RunCommand(jsonFile: folder + "/command.json") }

  /// The bytes of all files in a folder but the lock.
  private func content(_ folder: String) throws -> [String: Data] {
    var content: [String: Data] = [:]
    let files = FileManager.default.enumerator(atPath: folder)
    while let name = files?.nextObject() as? String {
      if name != ".lock", let data = try? readFile(folder + "/" + name) { content[name] = data }
    }
    return content
  }

  @Test func aFinishedRunIsNeverReplaced() throws {
    try withTemporaryFolder { folder in
      try write("local p = params { n = 1 }\nprint('n =', p.n)\nreport.table { { stage = 'a', n = p.n }, columns = { 'stage', 'n' } }", in: folder)
      #expect(try run("t.lua", "--set", "n=5", "--out", "r", in: folder).code == 0)
      let before = try content(folder + "/r")
      #expect(before.keys.contains("results.json"))
      try write("print(2)", "other.lua", in: folder)
      let refused: [([String], String)] = [
        (
          ["t.lua", "--set", "n=6", "--out", "r"],
          "--out r: holds a finished run that differs: n = 5 there, 6 here; choose another --out, or replace it with --overwrite"
        ),
        (["t.lua", "--out", "r"], "n = 5 there, 1 here"),
        (["t.lua", "--set", "n=5", "--seed", "7", "--out", "r"], "seed = 42 there, 7 here"),
        (
          ["--resume", "r", "--set", "n=6"],
          "--resume r: holds a finished run that differs: n = 5 there, 6 here; start a new run, or replace it with --overwrite"
        ),
        (["--resume", "r", "--seed", "7"], "seed = 42 there, 7 here"),
        (["other.lua", "--out", "r"], "--out r: holds a run of t.lua"),
        (["--resume", "r", "other.lua"], "--resume r: holds a run of t.lua"),
      ]
      for (arguments, message) in refused {
        let outcome = try perigee(["run"] + arguments + Self.options, in: folder)
        #expect(outcome.code == 1)
        #expect(outcome.error.hasPrefix("perigee: error: ") && outcome.error.contains(message), "\(outcome.error)")
        #expect(outcome.error.hasSuffix("nothing in it was touched\n"))
        #expect(try content(folder + "/r") == before)
      }
      for arguments in [["t.lua", "--set", "n=5", "--out", "r"], ["--resume", "r"]] {
        #expect(try perigee(["run"] + arguments + Self.options, in: folder).code == 0)
      }
      #expect(try command(folder + "/r").invocations.map(\.status) == [.finished, .finished, .finished])
      #expect(try content(folder + "/r")["results.json"] == before["results.json"])
      #expect(try run("t.lua", "--set", "n=6", "--out", "r", "--overwrite", in: folder).code == 0)
      #expect(try command(folder + "/r").invocations.map(\.settings) == [["n=6"]])
      try write("print('new')", in: folder)
      let changed = try run("t.lua", "--out", "r", in: folder)
      #expect(changed.code == 1 && changed.error.contains("the script is another from line 1 on"))
    }
  }

  /// A script that fails before there is anything to keep leaves nothing.
  @Test(arguments: [
    ("local x = = 1", []), ("params { n = 1 }", ["--set", "m=1"]), ("params { n = 1 }", ["--set", "n=x"]), ("print(1) error('at the top')", []),
    ("prnt(1)", []), ("models.load('none')", []), ("stage('a', function() trainer.fit { modl = 1 } end)", []), ("print(1)", ["--set", "n=1"]),
  ])
  func failuresBeforeTheFirstStageLeaveNothing(script: String, arguments: [String]) throws {
    try withTemporaryFolder { folder in
      try write(script, in: folder)
      for place in [[], ["--out", "r"]] {
        let outcome = try perigee(["run", "t.lua"] + arguments + place + Self.options, in: folder)
        #expect(outcome.code == 1, "\(outcome.error)")
        #expect(try AtomicFolder.names(in: folder).filter { $0 == "r" || $0 == "outputs" } == [])
      }
    }
  }

  @Test func keepsWhatWasPrintedAndHowItEnded() throws {
    try withTemporaryFolder { folder in
      try write("print('hello', 1)\nlog.warn('careful')", "hello.lua", in: folder)
      let outcome = try run("hello.lua", in: folder)
      #expect((outcome.code, outcome.output, outcome.error) == (0, "hello\t1\n", ""))
      let outputs = folder + "/outputs/"
      let hello = outputs + (try #require(AtomicFolder.names(in: outputs).first))
      #expect(try AtomicFolder.names(in: hello) == [".lock", "code", "command.json", "metrics.jsonl", "output.txt", "params.json", "results.json"])
      let text = try readText(hello + "/output.txt")
      #expect(text.contains("\nhello\t1\nwarning: careful\n") && text.hasPrefix("1 thread, fp32"))
      let last = try #require(command(hello).invocations.last)
      #expect(last.status == .finished && last.exitCode == 0 && last.error == nil && last.end != nil && last.duration ?? -1 >= 0)
      #expect(last.argv.dropFirst() == ["run", "hello.lua"] + Self.options[...])

      try write(
        "local p = params { fail = true }\nreport.table { { stage = 'a' }, columns = { 'stage' } }\nif p.fail then error('half-way') end", in: folder)
      #expect(try run("t.lua", "--out", "r", in: folder).code == 1)
      let failed = try #require(command(folder + "/r").invocations.last)
      #expect((failed.status, failed.exitCode) == (.failed, 1))
      #expect(failed.error == "t.lua:3: half-way")
      // What did not finish goes on with other values.
      #expect(try run("--resume", "r", "--set", "fail=false", in: folder).code == 0)
      let invocations = try command(folder + "/r").invocations
      #expect(invocations.map(\.status) == [.failed, .finished] && invocations.map(\.settings) == [[], ["fail=false"]])
      let output = try readText(folder + "/r/output.txt").split(separator: "\n")
      #expect(output.count { $0 == "stage" } == 2 && output.count { $0.hasPrefix("---- 20") && $0.contains(" run --resume r --set fail=false") } == 1)
      #expect(try JSONValue(file: folder + "/r/params.json") == ["fail": false])
    }
  }

  /// A training that breaks off leaves the numbers of those before it.
  @Test func resultsOfAScriptThatFailsAreKept() throws {
    try withTemporaryFolder { folder in
      let script = """
        local base = models.load('builtin:tiny')
        local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 8, max_eval_samples = 8 })
        local function fit(name, on_step)
          local model = base:classifier { task = task }
          return stage(name, function() return trainer.fit { model = model, task = task, max_steps = 1, max_length = 16, on_step = on_step } end)
        end
        if params { first = true }.first then fit('one') end
        fit('two', function() error('broken off') end)
        """
      try write(script, in: folder)
      func stages(_ arguments: [String], _ directory: String) throws -> [String?] {
        #expect(try perigee(["run", "t.lua", "--out", directory] + arguments + Self.options, in: folder).error.contains("broken off"))
        return try JSONValue(file: folder + "/\(directory)/results.json")["stages"]?.arrayValue?.map { $0["stage"]?.stringValue } ?? [nil]
      }
      #expect(try stages(["--set", "first=false"], "none") == [])
      #expect(try stages([], "one") == ["one"])
      // The second time its result is taken from the store, and nothing waits for the disk.
      #expect(try stages([], "again") == ["one"])
    }
  }

  @Test func damagedFilesAreRefused() throws {
    try withTemporaryFolder { folder in
      try write("local p = params { n = 1 }\nprint('n =', p.n)", in: folder)
      #expect(try run("t.lua", "--set", "n=5", "--out", "r", in: folder).code == 0)
      let (path, parameters) = (folder + "/r/command.json", folder + "/r/params.json")
      let whole = try readText(path)
      try AtomicFile.write(whole.replacing("\"settings\"", with: "\"setings\""), to: path)
      let misspelt = "perigee: error: r/command.json: 'invocations[1]': invocation: unknown field 'setings'; did you mean 'settings'?\n"
      for arguments in [["--resume", "r"], ["t.lua", "--out", "r"], ["t.lua", "--out", "r", "--overwrite"]] {
        let outcome = try perigee(["run"] + arguments + Self.options, in: folder)
        #expect((outcome.code, outcome.output, outcome.error) == (1, "", misspelt))
      }
      try AtomicFile.write(whole, to: path)
      try AtomicFile.write("{\"n\": null}", to: parameters)
      let outcome = try run("--resume", "r", in: folder)
      #expect(outcome.code == 1 && outcome.error.contains("r/params.json: 'n' must be a boolean, a number, a string or a list of these, got null"))
    }
  }
}
