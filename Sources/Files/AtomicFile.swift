import Diagnostics
import Foundation

/// Writes whole files so that a reader, a crash or a power cut sees the old content or the new,
/// nothing in between.
public enum AtomicFile {
  /// Replaces the file at `path` by `data`.
  ///
  /// Throws `EngineError` (`.file`) for a missing folder, no permission, or a full disk; the old
  /// file is then unchanged, and nothing is left behind.
  public static func write(_ data: Data, to path: String) throws {
    try write(to: path) { try $0.write(data) }
  }

  /// Replaces the file at `path` by the UTF-8 bytes of `text`.
  public static func write(_ text: String, to path: String) throws {
    try write(to: path) { try $0.write(text) }
  }

  /// Replaces the file at `path` by a JSON text with a line end.
  public static func write(_ value: JSONValue, to path: String) throws {
    try write(value.encoded(.file) + "\n", to: path)
  }

  /// Replaces the file at `path` by what `body` writes. A link at `path` is replaced, not followed.
  ///
  /// - Parameters:
  ///   - body: writes the content; if it throws, the old file stays.
  ///   - verify: gets the path of the complete, synced temporary file before it takes the old one's
  ///     place; if it throws, the old file stays.
  public static func write(
    to path: String, _ body: (FileWriter) throws -> Void,
    verify: (_ temporaryPath: String) throws -> Void = { _ in }
  ) throws {
    try FilePath.require(path)
    guard path.utf8.last != UInt8(ascii: "/"), FilePath.isPlainName(FilePath.name(of: path)) else {
      throw EngineError(.file, "'\(path)' is no name for a new file")
    }
    TemporaryName.removeStale(beside: path)
    let temporary = TemporaryName.beside(path)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw creationError(path) }
    do {
      let writer = FileWriter(descriptor: descriptor, path: path)
      try body(writer)
      try writer.synchronize()
      try verify(temporary)
      try writer.finish()
      guard rename(temporary, path) == 0 else { throw writeError(path) }
    } catch {
      unlink(temporary)
      throw error
    }
    try synchronizeFolder(TemporaryName.folder(of: path))
  }

  /// The error for a file or folder at `path` that could not be created, from `errno`.
  static func creationError(_ path: String) -> EngineError {
    let code = errno
    let folder = TemporaryName.folder(of: path)
    if code == ENOENT {
      return EngineError(.file, "\(path): cannot be written: there is no folder \(folder)")
    }
    return writeError(path, code: code)
  }
}

/// Creates a folder and those above it, as `mkdir -p` does. Throws `EngineError` (`.file`).
public func createFolder(_ path: String) throws {
  try FilePath.require(path)
  if mkdir(path, 0o777) == 0 { return }
  let code = errno
  let kind = kindAnywhere(path)
  if kind == .folder { return }
  if kind != nil { throw EngineError(.file, "\(path): is a file, expected a folder") }
  let parent = FilePath.folder(of: path)
  guard code == ENOENT, parent != path else { throw writeError(path, code: code) }
  try createFolder(parent)
  if mkdir(path, 0o777) != 0 && errno != EEXIST { throw writeError(path) }
}
