import Files
import TestSupport
import Testing

@testable import Engine
@testable import Pipelines

/// `perigee run --set a=1,2,3 --multirun`.
@Suite struct MultirunTests {
  @Test(arguments: [
    ("1,2,3", ["1", "2", "3"]), ("x", ["x"]), ("'a,b',c", ["a,b", "c"]), ("\"it's, so\",it's", ["it's, so", "it's"]), ("''", [""]),
    ("[1,2],[3]", ["[1,2]", "[3]"]), ("[\"a]\\\",[\",1],x", ["[\"a]\\\",[\",1]", "x"]), ("[[1,2],3]", ["[[1,2],3]"]), ("", [""]),
  ])
  func valuesAreTakenApart(text: String, expected: [String]) throws {
    #expect(try SettingGrid.values(text, at: "a") == expected)
  }

  @Test(arguments: [
    (["a=1,,2"], "--set a=1,,2: a value between commas is empty; write '' for an empty text"),
    (["a='b"], "--set a='b: the quote ' in front of a value has no end"), (["a=[1,2"], "--set a=[1,2: a list has no ']' at its end"),
    (["a='b'c,d"], "--set a='b'c,d: expected a comma behind the value 'b', found 'c,d'"),
    (["a=1,2,1"], "--set a=1,2,1: the value '1' is there twice"), (["a"], "--set a: expected name=value"),
    (
      ["a=" + (1...100).map(String.init).joined(separator: ","), "b=" + (1...101).map(String.init).joined(separator: ",")],
      "--multirun: the values of --set have more than 10000 combinations"
    ),
  ])
  func mistakesInValues(settings: [String], message: String) {
    #expect { try SettingGrid(settings) } throws: { "\($0)" == message }
  }

  @Test func pointsAreAllCombinations() throws {
    let grid = try SettingGrid(["b=x", "r=2,4", "a='p,q',s", "r=8,16"])
    #expect(grid.swept == ["r", "a"])
    #expect(
      grid.points.map(\.settings) == [
        ["b=x", "r=8", "a=p,q"], ["b=x", "r=8", "a=s"], ["b=x", "r=16", "a=p,q"], ["b=x", "r=16", "a=s"],
      ])
    #expect(grid.points[1].folderName == "a=s,b=x,r=8")
    let long = try SettingGrid(["m=/data/" + String(repeating: "x", count: 300), "n=../..,.."])
    #expect(Set(long.points.map(\.folderName)).count == 2)
    for point in long.points { #expect(point.folderName.utf8.count <= 250 && !point.folderName.contains("/")) }
    let line = ["perigee", "run", "t.lua", "--multirun", "--set=a=1,2", "--out", "r", "--set", "b=3", "--seed", "7"]
    #expect(
      Multirun.arguments(line, settings: ["a=2", "b=3"], out: "r/a=2,b=3")
        == ["perigee", "run", "t.lua", "--seed", "7", "--set", "a=2", "--set", "b=3", "--out", "r/a=2,b=3"])
  }
}

/// The same as a command.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct MultirunCommandTests {
  private static let options = ["--threads", "1", "--precision", "fp32"]

  private func multirun(_ arguments: [String], in folder: String) throws -> Outcome {
    try perigee(["run", "t.lua", "--multirun"] + arguments + Self.options, in: folder)
  }

  /// A stage that all points share is trained once; a point that fails does not stop the others; the command again runs what is missing.
  @Test func pointsShareStagesAndFailAlone() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script =
        "local p = params { lr = 1e-3, names = { 'a' }, seed = 1, fails = false }\n" + TinyTask.script(folder, "max_steps = 1, eval_strategy = 'no'")
          + """
          print('names', table.concat(p.names, '+'), p.seed)
          local function fit(lr)
            local settings = options(make())
            settings.learning_rate, settings.num_train_epochs = lr, nil
            return trainer.fit(settings)
          end
          stage('common', function() return fit(1e-4) end)
          if p.fails and p.lr > 1e-3 then error('too high') end
          stage('own', function() return fit(p.lr) end)
          """
      try AtomicFile.write(script, to: folder + "/t.lua")
      try AtomicFile.write("{\"seed\": 7, \"fails\": true}", to: folder + "/p.json")
      let settings = ["--set-file", "p.json", "--set", "lr=1e-3,2e-3", "--set", "names='a,b',c", "--out", "r"]
      let first = try multirun(settings, in: folder)
      #expect(first.code == 1)
      #expect(
        first.error.contains(
          "perigee: error: 2 of 4 points failed: lr=2e-3 names=a,b, lr=2e-3 names=c; the same command with --out r runs them again"),
        "\(first.error)")
      #expect(first.error.split(separator: "\n").count { $0.hasPrefix("common: reused") } == 3)
      #expect(first.output.contains("names\ta+b\t7\n") && first.output.contains("names\tc\t7\n"))
      let table = first.output.split(separator: "\n").suffix(6).map { $0.split(separator: " ") }
      #expect(table[0] == ["lr", "names", "accuracy", "run", "folder"], "\(first.output)")
      #expect(table[3].last == "r/lr=1e-3,names=c" && table[3].dropLast().last == "finished")
      #expect(table[5].count == 4 && table[5].dropLast().last == "failed")
      #expect(try AtomicFolder.names(in: folder + "/r").count == 4)
      let command = try RunCommand(jsonFile: folder + "/r/lr=1e-3,names=c/command.json")
      #expect(command.invocations[0].argv.suffix(6) == ["--set", "lr=1e-3", "--set", "names=c", "--out", "r/lr=1e-3,names=c"])
      #expect(command.invocations[0].settings == ["seed=7", "fails=true", "lr=1e-3", "names=c"])
      let other = try multirun(["--set", "fails=false"] + settings.dropFirst(2), in: folder)
      #expect(other.code == 0 && other.output.contains("r/fails=false,lr=2e-3,names=c"), "\(other.error)")
      // The points differ because they are to.
      #expect(!other.error.contains("runs again: "), "\(other.error)")
      let again = try multirun(settings, in: folder)
      #expect(again.code == 1 && again.error.split(separator: "\n").count { $0.hasPrefix("own: reused") } == 2)
    }
  }

  @Test func mistakesAreFoundBeforeAnythingRuns() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("local p = params { n = 1, words = { 'a' }, text = '' }\nprint('ran')\nreport.table { { n = 1 } }", to: folder + "/t.lua")
      for (arguments, message) in [
        (["--set", "n=1,x"], "--set n=x: 'n' must be an integer, got 'x'"), (["--set", "m=1,2"], "--set m=1: no option 'm'; did you mean 'n'?"),
        (["--set", "n=1,2", "--out", "t.lua"], "--out t.lua: is a file, expected a folder"),
        (["--set", "n=1,2", "--resume", "r"], "--multirun and --resume exclude each other"),
      ] {
        let outcome = try multirun(arguments, in: folder)
        #expect(outcome.code == 1 && outcome.error.contains(message) && !outcome.output.contains("ran"), "\(outcome.error)")
      }
      #expect(try AtomicFolder.names(in: folder).allSatisfy { !$0.hasPrefix("outputs") })
      // Without --multirun, a value with a comma is one value.
      let options = ["--set", "words=a,b", "--set", "text=x,y", "--out", "r"] + Self.options
      #expect(try perigee(["run", "t.lua"] + options, in: folder).code == 0)
      #expect(try JSONValue(file: folder + "/r/params.json") == ["n": 1, "text": "x,y", "words": ["a", "b"]])
      let one = try perigee(["run", "t.lua", "--set", "n=1,2"] + Self.options, in: folder)
      #expect(
        one.code == 1 && one.error.contains("'n' must be an integer, got '1,2'; to run each value in a run of its own, add --multirun"),
        "\(one.error)")
      let neither = try perigee(["run", "t.lua", "--set", "n=1,x"] + Self.options, in: folder)
      #expect(neither.code == 1 && !neither.error.contains("multirun"))
      let inside = try multirun(["--set", "n=1,2", "--out", "r"], in: folder)
      #expect(inside.code == 1 && inside.error.contains("--out r: is a run directory"))
    }
  }

  /// Ctrl-C ends all points; the command again goes on with the one that was cut off, and reuses those before it.
  @Test func anInterruptionEndsAllPoints() throws {
    try withTemporaryFolder { folder in
      let script = """
        local p = params { n = 1 }
        report.table { { n = p.n } }
        if p.n == 2 then print('waiting') while os.time() < tonumber(p.n) * 1e12 do end end
        """
      try AtomicFile.write(script, to: folder + "/t.lua")
      let options = "--set n=1,2,3 --multirun --out r " + Self.options.joined(separator: " ")
      let outcome = try bash(
        [
          "-c",
          """
          P=\(#require(perigeeExecutable)); $P run t.lua \(options) >log 2>err & pid=$!
          for i in $(seq 200); do grep -q waiting log && break; sleep 0.05; done
          kill -INT $pid; wait $pid; echo "code $?"; sed -i s/1e12/0/ t.lua; $P run t.lua \(options)
          """,
        ], in: folder)
      let first = try readText(folder + "/err")
      #expect(outcome.output.contains("code 130\n"), "\(first)")
      #expect(first.contains("stopped at point 2 of 3; the same command with --out r goes on"))
      // The script is another now: the point that finished is not replaced, the others run.
      #expect(outcome.code == 1 && outcome.error.contains("1 of 3 points failed: n=1"), "\(outcome.error)")
      for n in 2...3 {
        #expect(try RunCommand(jsonFile: folder + "/r/n=\(n)/command.json").isFinished)
      }
    }
  }
}
