import Foundation
import TestSupport
import Testing

@testable import Engine
@testable import Files
@testable import Pipelines

/// `perigee run --shard`: several processes share out a sweep.
@Suite struct ShardTests {
  private func slurm(_ id: String, _ min: String, _ count: String, _ step: String? = nil) throws -> Shard {
    var environment = ["SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_MIN": min, "SLURM_ARRAY_TASK_COUNT": count]
    environment["SLURM_ARRAY_TASK_STEP"] = step
    return try Shard("auto", environment: environment)
  }

  @Test func readsShards() throws {
    let third = try Shard("3/12")
    #expect(third.number == 3 && third.count == 12 && third.folderName == "shard-3-of-12")
    #expect(try Shard("1/1").count == 1)
    // --array=0-11, --array=1-12, --array=10-30:5, --array=3,7.
    for (shard, number, count) in try [
      (slurm("0", "0", "12"), 1, 12), (slurm("12", "1", "12"), 12, 12), (slurm("20", "10", "5", "5"), 3, 5), (slurm("7", "3", "2"), 1, 2),
    ] { #expect(shard.number == number && shard.count == count) }
    #expect(try slurm("7", "3", "2").folderName == "task-7" && slurm("3", "3", "2").folderName == "task-3")
  }

  @Test(arguments: [
    (
      "0/12",
      "--shard 0/12: expected a shard from 1 to 12, got 0; shards are counted from 1; in a Slurm array that begins with 0, give --shard auto"
    ),
    ("13/12", "--shard 13/12: expected a shard from 1 to 12, got 13"), ("1/0", "--shard 1/0: expected a number of shards from 1 to 100000, got 0"),
    ("3", "--shard 3: expected a number and how many there are, such as 3/12, or auto in a Slurm array"),
    ("a/b", "--shard a/b: expected a number and how many"), ("1/2/3", "--shard 1/2/3: expected a number and how many"),
    ("auto", "--shard auto: SLURM_ARRAY_TASK_ID is not set; auto reads what Slurm sets in a job array (sbatch --array=0-11); elsewhere give"),
  ])
  func refusesOthers(text: String, message: String) {
    #expect { try Shard(text, environment: [:]) } throws: { "\($0)".hasPrefix(message) }
  }

  @Test func refusesWhatSlurmDoesNotSay() {
    #expect { try slurm("x", "0", "2") } throws: { "\($0)".hasPrefix("--shard auto: SLURM_ARRAY_TASK_ID is 'x', expected a number") }
    #expect { try slurm("1", "2", "2") } throws: { "\($0)".contains("SLURM_ARRAY_TASK_ID is 1, of 2 tasks from 2 on") }
    #expect { try slurm("1", "0", "0") } throws: { "\($0)".contains("of 0 tasks") }
  }

  /// Everybody begins with his own, and then takes from the ends of the others' parts.
  @Test(.engine) func sharesOutAllPoints() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        """
        local sharing = require "sharing"
        for number = 1, 3 do print(table.concat(sharing.in_turn({ 1, 2, 3, 4, 5, 6, 7 }, number, 3), " ")) end
        print(table.concat(sharing.in_turn({ 1, 2, 3 }, 1, 1), " "), table.concat(sharing.in_turn({ 1, 2 }, 4, 5), " "))
        """)
      #expect(lines == ["1 4 7 5 2 6 3", "2 5 6 3 7 4 1", "3 6 7 4 1 5 2", "1 2 3\t1 2"])
    }
  }
}

/// The same with a stage that another process works at.
@Suite(.engine) struct SharedStageTests {
  @Test func whatAnotherWorksAtIsLeft() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let begin =
        TinyTask.script(folder, "eval_strategy = 'steps', eval_steps = 2, max_steps = 4")
        + "local function body() return trainer.fit(options(make())) end\n"
      let other = Process()
      other.executableURL = URL(fileURLWithPath: "/bin/sleep")
      other.arguments = ["60"]
      try other.run()
      defer { kill(other.processIdentifier, SIGKILL) }
      try ScriptHost.with(in: folder) { host, _ in
        let key = try host.printed(begin + "print((stage.key('a', body)))")[0]
        let partial = folder + "/store/stages-3/\(key).partial"
        let lease = LeaseName(of: ProcessIdentity(place: ProcessIdentity.current.place, number: other.processIdentifier, start: 0))
        try createFolder(partial)
        try AtomicFile.write("", to: partial + "/" + lease.text)
        let held = try host.printed(
          begin + """
            local key = '\(key)'
            print(stage.look(key).finished, stage.look(key).holder, #stage.look(key).evaluations, stage.wait({ key }, 0))
            for _, f in ipairs { body, function() pcall(body) return 'nothing' end } do
              local done, away = stage.attempt('a', f)
              print(done, away.key == key, away.holder)
            end
            print(stage.attempt('b', function() local o = options(make()) o.learning_rate = 1e-3 return trainer.fit(o).steps end))
            print(pcall(stage.attempt, 'c', function() error('mine') end))
            """)
        let holder = "process \(other.processIdentifier)"
        #expect(held[0] == "false\t\(holder)\t0\tfalse")
        #expect(held[1...2].allSatisfy { $0 == "false\ttrue\t\(holder)" }, "\(held)")
        #expect(held[3] == "true\t4" && held[4].hasSuffix("mine"), "\(held)")
        kill(other.processIdentifier, SIGKILL)
        other.waitUntilExit()
        let free = try host.printed(
          begin + """
            local key = '\(key)'
            print(stage.wait { key }, stage.attempt('a', function() return body().steps end))
            local found = stage.look(key)
            print(found.finished, found.holder, #found.evaluations, found.evaluations[2].eval_loss > 0)
            print(pcall(stage.attempt, 'a', body))
            print(pcall(stage.look, 'x'))
            """)
        #expect(free[0] == "true\ttrue\t4" && free[1] == "true\tnil\t2\ttrue", "\(free)")
        #expect(free[2].contains("stage 'a': another stage has this name") && free[3].contains("stage.look: 'x' is no key of a stage"))
        #expect(try AtomicFolder.names(in: folder + "/store/stages-3").allSatisfy { !$0.contains("partial") })
      }
    }
  }
}

/// The same as commands.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct ShardCommandTests {
  /// Of some processes over one cache, some are killed, and one is paused: see the script.
  @Test(arguments: [("grid", "3", "3"), ("asha", "2", "1")])
  func processesThatDieShareOutASweep(mode: String, workers: String, kills: String) throws {
    try withTemporaryFolder { folder in
      let script = packageRoot + "/scripts/shard-bars.sh"
      let options = ["--workers", workers, "--points", "4", "--kills", kills, "--steps", "12", "--mode", mode, "--perigee"]
      let outcome = try bash([script] + options + [#require(perigeeExecutable)], in: folder)
      #expect(outcome.code == 0, "\(outcome.output)\(outcome.error)")
      #expect(outcome.output.contains("each stored once and trained once to its end; weights equal those of one process"))
    }
  }

  @Test func mistakesAndScriptsWithoutASweep() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("report.table { { n = 1 } }", to: folder + "/t.lua")
      func run(_ options: String...) throws -> Outcome {
        try perigee(["run", "t.lua", "--threads", "1", "--precision", "fp32"] + options, in: folder)
      }
      let wrong = try run("--shard", "0/3")
      #expect(wrong.code == 1 && wrong.error.hasPrefix("perigee: error: --shard 0/3: expected a shard from 1 to 3, got 0"), "\(wrong.error)")
      let both = try run("--shard", "1/3", "--multirun", "--set", "a=1,2")
      #expect(both.code == 1 && both.error.contains("--shard and --multirun exclude each other"))
      let plain = try run("--shard", "1/3", "--out", "r")
      #expect(plain.code == 0 && plain.error.contains("warning: --shard: the script has no sweep.run, so nothing was shared out"), "\(plain.error)")
      #expect(fileExists(folder + "/r/shard-1-of-3/results.json"))
    }
  }
}
