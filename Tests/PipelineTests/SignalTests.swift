import Files
import Foundation
import TestSupport
import Testing

@testable import Pipelines

/// Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 at a running `perigee`.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"), .serialized)
struct SignalTests {
  private static let options = "--threads 1 --precision fp32 --quiet"

  /// Two trainings, the second of which begins with what the first left. Every step takes long enough to be hit.
  private static let training = """
    params { n = 1 }
    local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 32, max_eval_samples = 8 })
    local function fit(name, model, slow)
      return stage(name, function()
        return trainer.fit {
          model = model, task = task, max_steps = 4, per_device_train_batch_size = 4, max_length = 24, logging_steps = 1,
          on_step = function(t)
            print('step', name, t.step)
            local from = os.clock()
            while os.clock() - from < 0.3 do end
          end,
        }
      end)
    end
    local model = models.load('builtin:tiny'):classifier { task = task }
    model:add_adapter(adapters.lora { r = 2 })
    local one = fit('one', model)
    local two = fit('two', one.model:new_head { task = task })
    print(string.format('loss %a %a', one.metrics.eval_loss, two.metrics.eval_loss))
    """

  /// Runs a bash script in which `$P` is the program, `run_until FILE TEXT COMMAND...` starts a process and waits until the
  /// file holds the text, and `end` waits for the process, kills it after a minute, and prints its exit code.
  private func shell(_ script: String, in folder: String) throws -> Outcome {
    let functions = """
      P=\(try #require(perigeeExecutable)); O="\(Self.options)"
      run_until() {
        local file=$1 text=$2; shift 2
        "$@" >log 2>&1 </dev/null & pid=$!
        for i in $(seq 1200); do grep -qs -- "$text" $file && return; kill -0 $pid 2>/dev/null || return; sleep 0.05; done
      }
      end() {
        ( for i in $(seq 600); do kill -0 $pid || exit; sleep 0.1; done; kill -9 $pid ) 2>/dev/null &
        wait $pid; echo "code $?"
      }

      """
    return try bash(["-c", functions + script], in: folder)
  }

  private func invocations(_ folder: String) throws -> [Invocation] {
    try RunCommand(jsonFile: folder + "/command.json").invocations
  }

  @Test(arguments: [("INT", 130, "step\tone\t2"), ("TERM", 143, "step\ttwo\t1"), ("HUP", 129, "step\ttwo\t3")])
  func aSignalSavesAndStops(_ name: String, _ code: Int, _ moment: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.training, to: folder + "/t.lua")
      // `timeout` signals the process and then its group: that is one request.
      let first = try shell(
        """
        run_until r/output.txt '\(moment)' $P run t.lua $O --out r
        kill -\(name) $pid; kill -\(name) $pid; end; tail -n 1 log
        """, in: folder)
      let lines = first.output.split(separator: "\n")
      #expect(lines.count == 2 && lines[0] == "code \(code)" && lines[1].wholeMatch(of: /perigee: (t\.lua:\d+: )?interrupted/) != nil, "\(lines)")
      let last = try #require(invocations(folder + "/r").last)
      #expect((last.status, last.exitCode) == (.interrupted, code) && last.error?.hasSuffix("interrupted") == true)
      let second = try shell("$P run --resume r $O; PERIGEE_CACHE=other $P run t.lua $O --out whole", in: folder)
      let losses = second.output.split(separator: "\n").filter { $0.hasPrefix("loss") }
      #expect(losses.count == 2 && losses[0] == losses[1], "\(second.output)\(second.error)")
      #expect(try invocations(folder + "/r").map(\.status) == [.interrupted, .finished])
      // Steps that were done before the signal are not done again.
      #expect(!second.output.hasPrefix("step\tone\t1"))
      let rows = try ["r", "whole"].map { run in try readText(folder + "/\(run)/metrics.jsonl").split(separator: "\n").count }
      #expect(rows[0] == rows[1])
    }
  }

  /// Where nothing is in progress that could be saved, one signal ends the process, whatever it does.
  @Test(arguments: [
    ("run", "run busy.lua", "ready"), ("check", "check busy.lua", "ready"), ("help", "run busy.lua --help", ""),
    ("bench", "bench kernels --repeat 1000", ""),
    ("adapter", "test-adapter busy.lua", "ready"),
  ])
  func oneSignalEndsWhatHasNothingToSave(_: String, _ command: String, _ ready: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("print('ready')\nwhile true do pcall(string.rep, 'x', 10) end", to: folder + "/busy.lua")
      for (name, code) in [("INT", 130), ("TERM", 143)] {
        let wait = ready.isEmpty ? "$P \(command) >log 2>&1 </dev/null & pid=$!; sleep 1" : "run_until log '\(ready)' $P \(command)"
        let outcome = try shell("\(wait)\nkill -\(name) $pid; end; tail -n 1 log", in: folder)
        #expect(outcome.output == "code \(code)\nperigee: interrupted\n", "\(outcome.output)\(outcome.error)")
      }
      #expect(try !AtomicFolder.names(in: folder).contains("outputs"))
    }
  }

  @Test func aSecondSignalStopsAtOnce() throws {
    try withTemporaryFolder { folder in
      // One operation that takes long: nothing asks meanwhile whether to stop.
      let script =
        "report.table { { stage = 'a' }, columns = { 'stage' } }\nlocal a = tensor.zeros({ 7000, 7000 })\nprint('ready')\nwhile true do a:matmul(a) end"
      try AtomicFile.write(script, to: folder + "/t.lua")
      let outcome = try shell("run_until r/output.txt ready $P run t.lua $O --out r\nkill -INT $pid; sleep 0.3; kill -TERM $pid; end", in: folder)
      #expect(outcome.output == "code 143\n" || outcome.output == "code 130\n")
      #expect(try invocations(folder + "/r").map(\.status) == (outcome.output == "code 143\n" ? [.running] : [.interrupted]))
    }
  }

  /// A batch system that says by SIGUSR1 that the time of a job is nearly over, and starts the same job again.
  @Test func aJobThatComesBackGoesOn() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.training, to: folder + "/t.lua")
      let job = "$P run t.lua $O --out r --resume auto --set n="
      let outcome = try shell(
        """
        run_until r/output.txt 'step\tone\t2' \(job)3; kill -USR1 $pid; end
        run_until r/output.txt 'step\ttwo\t2' \(job)3; kill -USR2 $pid; end
        $P run --out r --resume auto $O >log; echo "code $?"; cat r/params.json
        $P run --out other --resume auto $O
        PERIGEE_CACHE=other $P run t.lua $O --out whole
        """, in: folder)
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.prefix(3) == ["code 138", "code 140", "code 0"] && lines.contains { $0.contains("\"n\": 3") }, "\(outcome)")
      #expect(outcome.error.contains("no script: give one"))
      let losses = try [readText(folder + "/log"), outcome.output].map { $0.split(separator: "\n").last { $0.hasPrefix("loss") } }
      #expect(losses[0] != nil && losses[0] == losses[1])
      #expect(try invocations(folder + "/r").map(\.exitCode) == [138, 140, 0])
    }
  }

  @Test func hangUpsStayIgnoredUnderNohup() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.training, to: folder + "/t.lua")
      let outcome = try shell(
        "run_until r/output.txt 'step' nohup $P run t.lua $O --out r\nkill -HUP $pid; sleep 0.3; kill -INT $pid; end", in: folder)
      #expect(outcome.output == "code 130\n")
    }
  }

  @Test func aSignalEndsTheWaitForAnotherProcess() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.training.replacing("from < 0.3", with: "from < 60"), to: folder + "/t.lua")
      let outcome = try shell(
        """
        run_until r/output.txt 'step' $P run t.lua $O --out r; first=$pid
        run_until log 'waiting for process' $P run t.lua --threads 1 --precision fp32 --out s
        kill -INT $pid; end; pid=$first; kill -INT $pid; end
        """, in: folder)
      #expect(outcome.output == "code 130\ncode 130\n", "\(outcome.output)\(outcome.error)")
      #expect(try !AtomicFolder.names(in: folder).contains("s"))
    }
  }
}
