import Foundation

/// The root of the package.
public let packageRoot = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

/// Real data that the repository does not carry (GLUE, tokenizer files, configs): the folder named by
/// `PERIGEE_TEST_DATA`, else `../shared/data`. Nil where the file is missing; gate such tests with
/// `.enabled(if: testData("glue/RTE") != nil)`, so that a skip shows.
public func testData(_ path: String) -> String? {
  let root = ProcessInfo.processInfo.environment["PERIGEE_TEST_DATA"] ?? packageRoot + "/../shared/data"
  let full = root + "/" + path
  return FileManager.default.fileExists(atPath: full) ? full : nil
}

/// A new empty folder, removed when the closure returns.
public func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.path + "/perigee-" + UUID().uuidString
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}
