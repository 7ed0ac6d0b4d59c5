import CKernels
import Diagnostics
import Files
import Foundation
import LuaHost
import TestSupport
import Testing

/// Runs under limits: success, or one line and exit code 1; and then the run can be resumed.
@Suite(.engine, .serialized) struct LimitTests {
  /// Two trainings whose results are a line each.
  private func script(_ folder: String) -> String {
    TinyTask.script(folder, "eval_strategy = 'epoch', save_seconds = 0") + TinyTask.score() + """
      local one = stage('one', function() return trainer.fit(options(make())) end)
      print(score(one.model))
      local two = stage('two', function()
        local model = one.model:new_head { task = task }
        model:add_adapter(adapters.delora { over = 'default', adapter_name = 'd' })
        return trainer.fit(options(model))
      end)
      print(score(two.model))

      """
  }

  private func isOneLine(_ outcome: Outcome) -> Bool {
    outcome.code == 1 && outcome.error.hasPrefix("perigee: error: ") && outcome.error.filter { $0 == "\n" }.count == 1
      && outcome.error.count <= 600
  }

  /// Any request for memory may fail: the script ends with an error, and its next run, which goes on with what was stored, ends
  /// as an undisturbed one does.
  @Test func anyRequestOfATrainingMayFail() throws {
    defer { pg_fail_allocations_after(-1) }
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let text = script(folder)
      let expected = try ScriptHost.with { host, _ in try host.printed(text) }
      #expect(expected.count == 2)
      for count in [0, 1, 2, 5, 17, 60, 150, 400, 1000, 2500, 6000, 15_000] {
        try withTemporaryFolder { store in
          let failure = try ScriptHost.with(in: store) { host, _ in
            pg_fail_allocations_after(Int64(count))
            defer { pg_fail_allocations_after(-1) }
            return try host.failure(text)
          }
          if let failure { #expect(failure.contains("out of memory: "), "\(count): \(failure)") }
          let result = try ScriptHost.with(in: store) { host, _ in try host.printed(text) }
          #expect(result == expected, "\(count)")
        }
      }
    }
  }

  @Test func aLimitOnTheAddressSpaceIsOneLine() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      try AtomicFile.write(script(folder), to: folder + "/two.lua")
      let arguments = ["run", "two.lua", "--threads", "1", "--precision", "fp32", "--quiet", "--out"]
      let expected = try perigee(arguments + ["whole"], in: folder)
      #expect(expected.code == 0, "\(expected.error)")
      // From hardly enough to start with, up to enough: in kilobytes.
      var endings: Set<Int32> = []
      for limit in [153_600, 190_000, 215_000, 240_000, 265_000, 290_000, 600_000] {
        let out = "run-\(limit)"
        var outcome = try perigee(
          arguments + [out], in: folder, shell: "export PERIGEE_CACHE=$PWD/cache-\(limit); ulimit -v \(limit); exec \"$@\"")
        endings.insert(outcome.code)
        if outcome.code != 0 {
          #expect(isOneLine(outcome), "\(limit): \(outcome.code) \(outcome.error)")
          let exists = FileManager.default.fileExists(atPath: folder + "/" + out)
          outcome = try perigee(
            exists ? ["run", "--resume", out, "--threads", "1", "--quiet"] : arguments + [out], in: folder,
            shell: "export PERIGEE_CACHE=$PWD/cache-\(limit); exec \"$@\"")
        }
        #expect(outcome.code == 0 && outcome.output == expected.output, "\(limit): \(outcome.error)")
      }
      #expect(endings == [0, 1])
    }
  }

  @Test func aSmallBudgetIsOneLine() throws {
    try withTemporaryFolder { folder in
      try Data("local t = {} for i = 1, 100 do t[i] = tensor.zeros({ 1024, 1024 }) end".utf8)
        .write(to: URL(fileURLWithPath: folder + "/big.lua"))
      let outcome = try perigee(["check", "big.lua", "--memory", "64M", "--quiet"], in: folder)
      #expect(isOneLine(outcome))
      #expect(outcome.error.contains("big.lua:1: ") && outcome.error.contains("of 64 MB allowed (--memory)"), "\(outcome.error)")
      let enough = try perigee(["check", "big.lua", "--memory", "1G", "--quiet"], in: folder)
      #expect(enough.code == 0, "\(enough.error)")
      for size in ["8", "-1G", "8X", "0M", "1e3G", "nanG", ""] {
        let outcome = try perigee(["check", "big.lua", "--memory=\(size)"], in: folder)
        #expect(isOneLine(outcome) && outcome.error.contains("--memory"), "\(size): \(outcome.error)")
      }
    }
  }

  /// Lua's values, files and tensors, each in small pieces and in large ones.
  @Test(arguments: [
    "local t = {} for i = 1, 1e9 do t[i] = i end", "local t = {} for i = 1, 1e9 do t[i] = ('x' .. i):rep(50) end",
    "local s = ('x'):rep(1000) for i = 1, 40 do s = s .. s end",
    "local t = {} for i = 1, 1e6 do t[i] = tensor.zeros({ 1000 }) end", "tensor.zeros({ 1e6, 100 })",
    "tensor.zeros({ 30, 30 }, { dtype = 'float64' }):svd() tasks.table { train_file = 'big.csv', text_column = 'a', label_column = 'b' }",
  ]) func whateverTakesMemoryEndsInOneLine(_ body: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("a,b\n" + String(repeating: "some words and more of them,x\n", count: 400_000), to: folder + "/big.csv")
      try AtomicFile.write(body, to: folder + "/eat.lua")
      for limit in ["ulimit -v 300000", "ulimit -d 160000"] {
        let outcome = try perigee(["check", "eat.lua", "--quiet", "--threads", "1"], in: folder, shell: "\(limit); exec \"$@\"")
        #expect(isOneLine(outcome) && outcome.error.contains("memory"), "\(limit): \(outcome.code) \(outcome.error)")
      }
    }
  }

  /// The script that tries many more limits, and disks that fill up.
  @Test func limitsLoseNothing() throws {
    try withTemporaryFolder { folder in
      let script = packageRoot + "/scripts/limits.sh"
      let outcome = try bash(
        ["-c", "PERIGEE=\(try #require(perigeeExecutable)) bash '\(script)' --memory 2 --disk 3 --seed 5"], in: folder)
      #expect(outcome.code == 0, "\(outcome.output) \(outcome.error)")
      #expect(outcome.output.contains("2 limits of memory, 3 full disks: ") && outcome.output.contains(", 0 wrong"))
    }
  }

  /// A script's own message, too.
  @Test func aLongMessageIsCut() throws {
    try withTemporaryFolder { folder in
      for body in ["error(('x'):rep(1000000))", "error(('long '):rep(100000))", "models.load(('x'):rep(1000000))"] {
        try AtomicFile.write(body, to: folder + "/long.lua")
        let outcome = try perigee(["check", "long.lua", "--quiet"], in: folder)
        #expect(isOneLine(outcome), "\(body): \(outcome.error.count)")
      }
    }
  }

  /// A file of a model that another program makes shorter while it is in use.
  @Test func aTruncatedFileIsOneLine() throws {
    try withTemporaryFolder { folder in
      let model = packageRoot + "/Tests/Fixtures/models/tiny-bert"
      try FileManager.default.copyItem(atPath: model, toPath: folder + "/model")
      let weights = folder + "/model/model.safetensors"
      try AtomicFile.write(
        """
        local base = models.load('model')
        io.open('model/model.safetensors', 'w'):close()
        local m = base:classifier { num_labels = 2 }
        print(m:predict({ 'a' })[1].label)
        """, to: folder + "/cut.lua")
      let outcome = try perigee(["check", "cut.lua", "--allow-io", "--quiet", "--precision", "fp32"], in: folder)
      #expect(isOneLine(outcome), "\(outcome.code): \(outcome.error)")
      #expect(outcome.error.contains("model.safetensors: cannot be read any more: another program made the file shorter"))
      #expect(FileManager.default.fileExists(atPath: weights))
    }
  }

  @Test func sizesHaveUnits() {
    let sizes = ["8G": 8 << 30, "512M": 512 << 20, "1.5g": 3 << 29, "2 TiB": 2 << 40, "64kb": 64 << 10]
    for (text, bytes) in sizes { #expect(parsedByteCount(text) == bytes, "\(text)") }
    for text in ["", "G", "8", "8P", "1..5G", "-1G", "99999999999T", "infG"] { #expect(parsedByteCount(text) == nil, "\(text)") }
    #expect(byteCount(1023) == "1023 bytes" && byteCount(3 << 19) == "1.5 MB" && byteCount(5 << 30) == "5 GB")
  }
}
