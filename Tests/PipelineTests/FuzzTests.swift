import Foundation
import TestSupport
import Testing

/// Whether the fuzzer can run here: it is a script of Python's standard library.
private let hasPython = (try? bash(["-c", "python3 -c ''"], in: NSTemporaryDirectory()))?.code == 0

/// A short run of `scripts/fuzz.sh`; a long one is for whoever changes a reader.
@Suite(.enabled(if: perigeeExecutable != nil && hasPython, "perigee is not built, or there is no python3"))
struct FuzzTests {
  /// Other cases with every seed; a seed that found something stays.
  @Test(arguments: ["11"])
  func damagedFilesCommandsAndScripts(seed: String) throws {
    try withTemporaryFolder { folder in
      let counts = ["--files", "120", "--commands", "40", "--scripts", "40"]
      let outcome = try bash(
        [packageRoot + "/scripts/fuzz.sh", "--perigee", #require(perigeeExecutable), "--seed", seed] + counts, in: folder)
      #expect(outcome.code == 0, "\(outcome.output)\(outcome.error)")
      #expect(outcome.output.contains("120 files, 40 commands, 40 scripts"), "\(outcome.output)\(outcome.error)")
    }
  }
}
