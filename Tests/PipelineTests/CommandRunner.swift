import Foundation
import TestSupport
import Testing

/// The built `perigee`, which SwiftPM puts beside the test bundle.
let perigeeExecutable: String? = {
  let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
  let path = bundle + "/perigee"
  return FileManager.default.isExecutableFile(atPath: path) ? path : nil
}()

/// What a process left.
struct Outcome {
  var code: Int32
  var output: String
  var error: String
}

/// Runs `perigee` in `folder`; `shell` may redirect its streams, with the command as `"$@"`.
func perigee(
  _ arguments: [String], in folder: String, shell: String = "\"$@\""
) throws -> Outcome {
  try bash(["-c", shell, "bash", #require(perigeeExecutable)] + arguments, in: folder)
}

/// Runs bash in `folder`, which is also its home.
func bash(_ arguments: [String], in folder: String) throws -> Outcome {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/bash")
  process.arguments = arguments
  process.currentDirectoryURL = URL(fileURLWithPath: folder)
  process.environment = ["PATH": "/usr/bin:/bin", "HOME": folder]
  process.standardInput = FileHandle.nullDevice
  // Files, because a pipe that nobody empties would block the process.
  let files = try ["out", "err"].map { name in
    let file = folder + "/" + name + "-" + UUID().uuidString
    try Data().write(to: URL(fileURLWithPath: file))
    return (file, try FileHandle(forWritingTo: URL(fileURLWithPath: file)))
  }
  process.standardOutput = files[0].1
  process.standardError = files[1].1
  try process.run()
  process.waitUntilExit()
  let texts = try files.map { try String(contentsOfFile: $0.0, encoding: .utf8) }
  return Outcome(code: process.terminationStatus, output: texts[0], error: texts[1])
}
