import Foundation

/// Calls `body` with a new empty folder among the system's temporary files, which goes when it returns.
///
/// Throws `EngineError` (`.file`) where none can be made, and what `body` throws.
public func withScratchFolder<Result>(_ body: (_ folder: String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.path + "/perigee-" + UUID().uuidString
  guard mkdir(folder, 0o700) == 0 else { throw writeError(folder) }
  defer { removeTree(folder) }
  return try body(folder)
}
