import Foundation

/// A process of Python in the folder of the checks, not started.
public func pythonProcess(_ arguments: [String]) -> Process {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["python3"] + arguments
  process.currentDirectoryURL = URL(fileURLWithPath: packageRoot + "/Tests/Fixtures")
  var environment = ProcessInfo.processInfo.environment
  (environment["HF_HUB_OFFLINE"], environment["PYTHONDONTWRITEBYTECODE"]) = ("1", "1")
  // Two OpenMP runtimes that spin on the same cores slow each other down.
  environment["OMP_NUM_THREADS"] = "1"
  process.environment = environment
  return process
}

/// Runs Python in the folder of the checks; its exit code and output.
public func python(_ arguments: [String]) -> (code: Int32, output: String) {
  let process = pythonProcess(arguments)
  let pipe = Pipe()
  (process.standardOutput, process.standardError) = (pipe, pipe)
  do { try process.run() } catch { return (-1, "\(error)") }
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (process.terminationStatus, String(decoding: data, as: UTF8.self))
}

/// Whether `python3` has all of these modules.
public func hasPython(_ modules: String...) -> Bool {
  python(["-c", "import importlib.util as u, sys; assert all(u.find_spec(m) for m in sys.argv[1:])"] + modules).code == 0
}
