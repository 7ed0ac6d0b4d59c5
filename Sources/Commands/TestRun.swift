import Bindings
import Diagnostics
import Engine
import Files
import LuaHost
import Pipelines

/// `perigee test`: runs the tests that Lua files declare.
///
/// A file is run anew for each of its tests, in an interpreter, a run directory and a store of results of its own, and with the same
/// seed, so that no test sees what another has done.
package struct TestRun {
  package var files: [String] = []
  /// What a test's name must contain to be run; nil: all are.
  package var filter: String?
  package var seed = 42
  package var allowIO = false
  package var showsTraceback = false

  package init() {}

  /// Runs the tests, prints how each went, and returns whether all passed.
  ///
  /// Throws `EngineError` where no test was found, and where Ctrl-C ended it.
  package func run(print: (String) -> Void) throws -> Bool {
    EngineSetup.configure(threads: nil, precision: .fp32)
    Interrupt.protectWork()
    let clock = ContinuousClock()
    let start = clock.now
    var count = (passed: 0, failed: 0)
    var known: [String] = []
    for file in files {
      print(file)
      try run(file: file) { names in
        known += names
      } report: { outcome in
        print(text(outcome))
        if outcome.failure == nil { count.passed += 1 } else { count.failed += 1 }
      }
    }
    if let filter, count == (0, 0) {
      throw EngineError(.argument, "--filter \(filter): no test's name contains it", hint: suggestion(for: filter, among: known))
    }
    print("\(count.passed) passed, \(count.failed) failed in \(seconds(start.duration(to: clock.now)))")
    return count.failed == 0
  }

  /// How a test went, or a file that could not be run.
  private struct Outcome {
    let name: String
    var time = Duration.zero
    var failure: String?
    var traceback = ""
    /// What it printed, shown where it fails.
    var printed: [String] = []
  }

  private func run(file: String, known: ([String]) -> Void, report: (Outcome) -> Void) throws {
    var number = 0
    var names: [String]?
    repeat {
      var outcome: Outcome?
      do {
        try withTests(in: file, print: { outcome?.printed.append($0) }) { tests in
          let all = tests.all.map(\.name)
          guard names == nil || names == all else {
            throw EngineError(.data, "\(file): declares other tests when it is run again", hint: "what is random must come from the seed")
          }
          guard !all.isEmpty else { throw EngineError(.data, "\(file): declares no test", hint: "test(\"name\", function() ... end) does") }
          if names == nil { known(all) }
          names = all
          while number < all.count, let filter, !all[number].contains(filter) { number += 1 }
          guard number < all.count else { return }
          outcome = Outcome(name: all[number])
          let clock = ContinuousClock()
          let start = clock.now
          defer { outcome?.time = start.duration(to: clock.now) }
          try tests.all[number].body.call()
        }
      } catch {
        if isInterruption(error) { throw error }
        outcome = outcome ?? Outcome(name: names == nil ? "the file itself" : "the file itself, when it was run again")
        outcome?.failure = "\(error)"
        outcome?.traceback = (error as? LuaError)?.traceback ?? ""
      }
      if let outcome { report(outcome) }
      number += 1
    } while number < names?.count ?? 0
  }

  /// Runs a file, and `body` with the tests that it declared.
  private func withTests(in file: String, print: @escaping (String) -> Void, _ body: (DeclaredTests) throws -> Void) throws {
    let script = try RunScript(file: file)
    try withScratchFolder { folder in
      let directory = try RunDirectory.create(out: folder + "/run")
      try directory.prepare(script, Invocation())
      let session = Session(
        mode: .run, settings: [], runDirectory: directory, store: StageStore(root: folder + "/store"),
        progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet)), seed: seed, print: print)
      session.writesTensorBoard = false
      var options = RunOptions()
      options.allowIO = allowIO
      let tests = DeclaredTests()
      let state = try ScriptState.make(session, options, script: file, tests: tests)
      defer { state.close() }
      try state.execute(script)
      tests.isClosed = true
      try body(tests)
    }
  }

  private func text(_ outcome: Outcome) -> String {
    var lines = ["  \(outcome.failure == nil ? "ok    " : "FAILED")  \(seconds(outcome.time))  \(outcome.name.inOneLine)"]
    if let failure = outcome.failure {
      lines.append(failure)
      if showsTraceback, !outcome.traceback.isEmpty { lines += outcome.traceback.split(separator: "\n").map(String.init) }
      if !outcome.printed.isEmpty { lines += ["it printed:"] + outcome.printed }
    }
    return (lines.prefix(1) + lines.dropFirst().map { "          " + $0 }).joined(separator: "\n")
  }

  private func seconds(_ time: Duration) -> String {
    let hundredths = Int((time / .milliseconds(10)).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s"
  }
}
