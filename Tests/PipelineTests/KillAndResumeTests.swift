import Foundation
import TestSupport
import Testing

/// Without optimisation, even the short form of the pipeline takes minutes.
#if DEBUG
  private let isOptimised = false
#else
  private let isOptimised = true
#endif

private let pipeline = packageRoot + "/pipelines/mnli_to_rte.lua"

@Suite(
  .enabled(if: isOptimised, "a debug build trains too slowly"),
  .enabled(if: perigeeExecutable != nil, "perigee is not built"),
  .enabled(if: FileManager.default.fileExists(atPath: pipeline), "no \(pipeline)"))
struct KillAndResumeTests {
  @Test(arguments: [(3, []), (6, ["--signals"])]) func killedRunsEndWithTheSameBits(_ count: Int, _ options: [String]) throws {
    try withTemporaryFolder { folder in
      let script = packageRoot + "/scripts/kill-and-resume.sh"
      let outcome = try bash(
        [script, "\(count)", "--quick", "--perigee", #require(perigeeExecutable)] + options, in: folder)
      #expect(outcome.code == 0, "\(outcome.output)\(outcome.error)")
      let summary = "\(count) kills, \(count) with weights identical to the unbroken run's, 0 not"
      #expect(outcome.output.contains(summary))
    }
  }
}
