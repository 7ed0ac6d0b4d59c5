import Diagnostics
import Foundation
import LuaHost
import Synchronization
import Testing

/// Live bytes of the blobs below; only one test uses them.
private let blobBytes = Atomic<Int>(0)
private let blobPeak = Atomic<Int>(0)

/// As large to the collector as a tensor.
private final class Blob: LuaObject {
  static let luaName = "Blob"
  static let size = 1 << 20
  init() {
    let now = blobBytes.add(Self.size, ordering: .relaxed).newValue
    blobPeak.store(max(now, blobPeak.load(ordering: .relaxed)), ordering: .relaxed)
  }
  deinit { blobBytes.subtract(Self.size, ordering: .relaxed) }
}

/// Test runners may start processes with SIGINT blocked.
private func installInterrupt() {
  var set = sigset_t()
  sigemptyset(&set)
  sigaddset(&set, SIGINT)
  pthread_sigmask(SIG_UNBLOCK, &set, nil)
  Interrupt.install()
  Interrupt.protectWork()
}

@Suite struct ControlTests {
  @Test func coroutinesCallSwift() throws {
    #expect(
      try Host().printed(
        """
        local co = coroutine.wrap(function(v)
          while true do v = coroutine.yield(vec.new{v}:map(function(x) return x * 2 end):sum()) end
        end)
        print(co(1), co(2), co(3))
        local bad = coroutine.create(function() vec.rank(0) end)
        print(coroutine.resume(bad))
        print(select(2, pcall(vec.apply, coroutine.yield)))
        print(coroutine.wrap(function() return pcall(vec.apply, coroutine.yield) end)())
        """) == [
          "2.0\t4.0\t6.0",
          "false\tt.lua:5: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)",
          "attempt to yield from outside a coroutine",
          "false\tattempt to yield across a C-call boundary",
        ])
  }

  static let runaways = [
    ("local function f() return 1 + f() end f()", "stack overflow"),
    ("local function f() vec.apply(f) end f()", "C stack overflow"),
    ("local function f() return vec.new{1}:map(f) end f()", "C stack overflow"),
    (
      "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
      "stack overflow"
    ),
    ("local s = string.rep('(', 1000) load(s .. '1') error(select(2, load(s)), 0)", "C stack overflow"),
    ("xpcall(error, function() error() end) error('done')", "t.lua:1: done"),
    ("vec.apply(table.unpack, {}, 1, 1e7)", "too many results to unpack"),
    ("vec.count(table.unpack({}, 1, 900000)) error('done')", "done"),
  ]

  @Test("ends with a clean error", arguments: runaways)
  func runaway(_ script: String, _ part: String) throws {
    let host = try Host()
    let error = try #require(try host.failure(script))
    #expect(error.message.contains(part))
    #expect(try host.printed("print 'alive'") == ["alive"])
  }

  @Test func memoryLimitIsAnErrorOfTheScript() throws {
    let host = try Host { $0.memoryLimit = 32 << 20 }
    for script in [
      "local t = {} for i = 1, 1e9 do t[i] = {i} end", "return ('x'):rep(1 << 30)",
      "local s = 'x' while true do s = s .. s end",
    ] {
      let error = try #require(try host.failure(script))
      #expect(error.message.contains("not enough memory"))
      host.state.collect()
      #expect(host.state.heapBytes < 4 << 20)
    }
    #expect(try host.printed("print(pcall(string.rep, 'x', 1 << 30))") == ["false\tnot enough memory"])
    #expect(try host.printed("print 'alive'") == ["alive"])
  }

  @Test func nativeMemoryDrivesTheCollector() throws {
    let state = try LuaState(
      {
        var options = LuaState.Options()
        options.nativeBytes = { blobBytes.load(ordering: .relaxed) }
        options.nativeFloor = 16 << 20
        return options
      }())
    let blobs = Module(
      "blobs", "Large objects.", classes: [Class<Blob>("A large object.").declaration],
      functions: [Function("new", "One more.", returns: "a blob") { Blob() }])
    try state.register(blobs)
    try state.run(text: "for i = 1, 1000 do local b = blobs.new() end", name: "t.lua")
    #expect(blobPeak.load(ordering: .relaxed) <= 18 << 20)
    // With much of it alive, the limit moves up instead of collecting at every call.
    try state.run(
      text: "local t = {} for i = 1, 100 do t[i] = blobs.new() end print(#t)", name: "t.lua")
    state.close()
    #expect(blobBytes.load(ordering: .relaxed) == 0)
  }

  static let endless = [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function(e) return e end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "vec.apply(function() while true do pcall(function() while true do end end) end end)",
    "while true do vec.none() end",
    "while true do pcall(vec.stop) end",
  ]

  @Test("is stopped", arguments: endless)
  func isStopped(_ script: String) throws {
    let asked = Mutex(0)
    let limit = script.contains("stop") ? Int.max : 20
    let host = try Host {
      $0.isInterrupted = {
        asked.withLock { count in
          count += 1
          return count > limit
        }
      }
    }
    let error = try #require(try host.failure(script))
    #expect(error.isInterruption)
    #expect(error.message.hasSuffix("interrupted"))
    #expect(error.underlying == EngineError(.interrupted, "interrupted"))
    asked.withLock { $0 = 0 }
    #expect(try host.printed("for i = 1, 1e5 do end print 'alive'") == ["alive"])
  }

  @Test func oneInterruptStopsTheScript() async {
    await #expect(processExitsWith: .exitCode(7)) {
      installInterrupt()
      try Interrupt.check()
      let state = try LuaState()
      try state.register(Function("interrupt", "Ctrl-C.") { raise(SIGINT) })
      do {
        try state.run(text: "interrupt() for i = 1, 1e8 do pcall(error) end", name: "t.lua")
      } catch let error as LuaError {
        #expect(throws: EngineError(.interrupted, "interrupted")) { try Interrupt.check() }
        Interrupt.reset()
        try Interrupt.check()
        if error.isInterruption { exit(7) }
      }
    }
  }

  @Test func secondInterruptLeavesAtOnce() async {
    await #expect(processExitsWith: .exitCode(130)) {
      installInterrupt()
      raise(SIGINT)
      // Sooner, it would count as the same request.
      usleep(200_000)
      raise(SIGINT)
    }
  }

  /// Generous bounds: the debug build on a busy machine. The release build takes well under 1 us a call.
  @Test func callsAreCheap() throws {
    let host = try Host()
    let clock = ContinuousClock()
    for call in ["vec.none()", "vec.axpy(1, 2, 3)", "v:sum()", "v.size", "vec.same(v)", "v + v"] {
      let time = try clock.measure {
        try host.state.run(
          text: "local v, x = vec.new{1} for i = 1, 100000 do x = \(call) end", name: "t.lua")
      }
      #expect(time < .seconds(30), "\(call)")
    }
  }
}
