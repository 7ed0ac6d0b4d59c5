import Diagnostics
import Foundation

/// A file that is written piece by piece, over several runs if need be. Until it is whole it lies beside its place as `<path>.partial`;
/// `<path>.partial.json` says how much of that counts, with its digest, and what it is a part of.
///
/// A piece counts when it is on the disk. Whoever opens the file for the same content goes on behind the last such piece.
public final class PartialFile {
  /// Units of content - rows, texts - that were written.
  public private(set) var count = 0
  /// What was said of the last piece.
  public private(set) var facts = JSONObject()
  private let path: String
  private let key: String
  private let writer: FileWriter
  private var bytes = 0
  private var digest = DigestStream()

  /// How the names of files end that say how much counts.
  public static let stateEnding = ".partial.json"
  private static func statePath(_ path: String) -> String { path + stateEnding }

  /// Where the pieces are: those that counted when the file was opened, and what was appended.
  public var partialPath: String { path + ".partial" }

  /// - Parameters:
  ///   - key: says all that the content depends on. Pieces of another key, and damaged ones, are thrown away.
  ///   - isShared: whether other processes may open the file meanwhile; false: who opens it has a right to it that excludes others.
  /// - Throws: `EngineError` where the file cannot be written, and where another process is writing it.
  public init(_ path: String, key: String, isShared: Bool = true) throws {
    (self.path, self.key) = (path, key)
    let descriptor = open(path + ".partial", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw writeError(path) }
    writer = FileWriter(descriptor: descriptor, path: path)
    guard !isShared || writer.lock() else {
      throw EngineError(.file, "\(path): another process is writing it", hint: "wait for that one, or choose another file")
    }
    if let state = try? JSONValue(file: Self.statePath(path)), state["key"] == .string(key), let count = state["count"]?.intValue,
      let bytes = state["bytes"]?.intValue, count >= 0, bytes >= 0, let found = Self.digest(descriptor, bytes),
      state["digest"] == .string(found.finish().hex)
    {
      (self.count, self.bytes, digest, facts) = (count, bytes, found, state["facts"]?.objectValue ?? JSONObject())
    }
    guard ftruncate(descriptor, off_t(bytes)) == 0, lseek(descriptor, 0, SEEK_END) == bytes else { throw writeError(path) }
  }

  /// The digest of the first bytes of a file; nil: it has fewer.
  private static func digest(_ descriptor: Int32, _ bytes: Int) -> DigestStream? {
    let stream = DigestStream()
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    var left = bytes
    while left > 0 {
      let count = read(descriptor, &chunk, min(chunk.count, left))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return nil }
      stream.update(chunk[..<count])
      left -= count
    }
    return stream
  }

  /// Appends a piece.
  ///
  /// - Parameters:
  ///   - count: units that are written with it.
  ///   - facts: small values to read back where the file goes on.
  public func append(_ text: String, count: Int, facts: JSONObject = JSONObject()) throws {
    try writer.write(text)
    try writer.synchronize()
    bytes += text.utf8.count
    digest.update(Array(text.utf8))
    (self.count, self.facts) = (count, facts)
    let state: JSONObject = [
      "key": .string(key), "count": .int(count), "bytes": .int(bytes), "digest": .string(digest.finish().hex), "facts": .object(facts),
    ]
    try AtomicFile.write(.object(state), to: Self.statePath(path))
  }

  /// Puts the whole file in its place.
  public func finish() throws {
    guard rename(path + ".partial", path) == 0 else { throw writeError(path) }
    try synchronizeFolder(FilePath.folder(of: path))
    unlink(Self.statePath(path))
    try writer.finish()
  }
}
