import Diagnostics
import Foundation

/// A file that is written piece by piece, over several runs if need be. Until it is whole it lies beside its place as `<path>.partial`;
/// `<path>.partial.json` says how much of that counts, and what it is a part of.
///
/// A piece counts when it is on the disk. Whoever opens the file for the same content goes on behind the last such piece.
public final class PartialFile {
  /// Units of content - rows, texts - that were written.
  public private(set) var count = 0
  private let path: String
  private let key: String
  private let writer: FileWriter
  private var bytes = 0

  private static func statePath(_ path: String) -> String { path + ".partial.json" }

  /// - Parameter key: says all that the content depends on. Pieces of another key are thrown away.
  /// - Throws: `EngineError` where the file cannot be written, and where another process is writing it.
  public init(_ path: String, key: String) throws {
    (self.path, self.key) = (path, key)
    let descriptor = open(path + ".partial", O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw writeError(path) }
    writer = FileWriter(descriptor: descriptor, path: path)
    guard writer.lock() else {
      throw EngineError(.file, "\(path): another process is writing it", hint: "wait for that one, or choose another file")
    }
    if let state = try? JSONValue(file: Self.statePath(path)), state["key"] == .string(key), let count = state["count"]?.intValue,
      let bytes = state["bytes"]?.intValue, count >= 0, bytes >= 0, lseek(descriptor, 0, SEEK_END) >= bytes
    {
      (self.count, self.bytes) = (count, bytes)
    }
    guard ftruncate(descriptor, off_t(bytes)) == 0, lseek(descriptor, 0, SEEK_END) == bytes else { throw writeError(path) }
  }

  /// Appends a piece.
  ///
  /// - Parameter count: units that are written with it.
  public func append(_ text: String, count: Int) throws {
    try writer.write(text)
    try writer.synchronize()
    bytes += text.utf8.count
    self.count = count
    try AtomicFile.write(.object(["key": .string(key), "count": .int(count), "bytes": .int(bytes)]), to: Self.statePath(path))
  }

  /// Puts the whole file in its place.
  public func finish() throws {
    guard rename(path + ".partial", path) == 0 else { throw writeError(path) }
    try synchronizeFolder(FilePath.folder(of: path))
    unlink(Self.statePath(path))
    try writer.finish()
  }
}
