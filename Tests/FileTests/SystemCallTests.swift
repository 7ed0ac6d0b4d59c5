import Foundation
import TestSupport
import Testing

/// Paths reach the system through `Files` alone, which refuses a NUL, looks at what was opened, and follows no links where it
/// writes. What else reaches it has a path of its own.
@Suite struct SystemCallTests {
  /// Words that take a path, each with the files outside `Files` that may use it.
  static let allowed: [(word: String, files: Set<String>)] = [
    // The working folder, and the system's folder for temporary files.
    ("FileManager", ["Engine/PipelineRun.swift", "Engine/Conformance/AdapterConformance.swift", "Training/OptimizerArguments.swift"]),
    // /proc and /etc, by names of their own.
    ("contentsOfFile", ["Benchmarks/ProcessFacts.swift", "Engine/OwnThread.swift", "Pipelines/HostFacts.swift"]),
    // Locks and logs, without links; /dev/null.
    ("O_RDWR", ["Pipelines/FileLock.swift", "Pipelines/StageLocks.swift", "Pipelines/MetricsLog.swift", "perigee/ProcessSetup.swift"]),
    ("O_WRONLY", ["Pipelines/RunOutput.swift"]), ("O_RDONLY", ["Pipelines/FileLock.swift"]),
    ("mkdir(", ["Pipelines/RunPlace.swift"]), ("lstat(", ["Pipelines/FileLock.swift", "Pipelines/RunOutput.swift"]),
    ("contentsOf: URL", []), ("URL(", []), ("NSString", []), ("FileHandle", []), ("fopen(", []), ("openat(", []), ("unlink(", []),
    ("realpath(", []), ("opendir(", []), ("readlink(", []), ("symlink(", []), ("chdir(", []),
    ("deletingLastPathComponent", []), ("lastPathComponent", []), ("pathExtension", []), ("appendingPathComponent", []),
  ]

  @Test func onlyFilesNamesTheSystem() throws {
    let root = packageRoot + "/Sources"
    let paths = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
    let sources = paths.filter { $0.hasSuffix(".swift") && !$0.hasPrefix("Files/") }
    #expect(sources.count > 100)
    for path in sources {
      let lines = try String(contentsOfFile: root + "/" + path, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
      for (number, line) in lines.enumerated() {
        let code = line.components(separatedBy: "//")[0]
        for (word, files) in Self.allowed where code.contains(word) && !files.contains(path) && !code.contains("func\(word)") {
          Issue.record("\(path):\(number + 1): '\(word)' takes a path to the system; use a function of Files")
        }
      }
    }
  }
}
