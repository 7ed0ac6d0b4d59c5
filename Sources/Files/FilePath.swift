import Diagnostics

/// The parts of a path, by the rules of POSIX's `dirname` and `basename`: nothing is looked up, and any text has an answer.
///
/// Paths are bytes to the system. A slash is found also where a letter behind it combines with it into one `Character`.
public enum FilePath {
  /// The folder that a path lies in: "a" for "a/x" and "a/x/", "." for "x" and "", "/" for "/x" and "/".
  public static func folder(of path: String) -> String {
    let path = withoutSlashesAtEnd(path)
    guard let slash = path.utf8.lastIndex(of: slash) else { return "." }
    let folder = withoutSlashesAtEnd(String(path[..<slash]))
    return folder.isEmpty ? "/" : folder
  }

  /// The last part of a path: "x" for "a/x" and "a/x/", "/" for the root, "." for "".
  public static func name(of path: String) -> String {
    let path = withoutSlashesAtEnd(path)
    guard let slash = path.utf8.lastIndex(of: slash), path != "/" else { return path.isEmpty ? "." : path }
    return String(path[path.utf8.index(after: slash)...])
  }

  /// The name without its extension: "x" for "a/x.lua", ".x" for ".x".
  public static func stem(of path: String) -> String {
    let name = name(of: path)
    return dot(in: name).map { String(name[..<$0]) } ?? name
  }

  /// What is behind the name's last dot: "gz" for "a/x.tar.gz"; empty for "x", ".x" and "x.".
  public static func fileExtension(of path: String) -> String {
    let name = name(of: path)
    return dot(in: name).map { String(name[name.utf8.index(after: $0)...]) } ?? ""
  }

  /// The path of `name` in a folder, which "." and "" leave out.
  public static func join(_ folder: String, _ name: String) -> String {
    if folder.isEmpty || folder == "." { return name }
    return folder.utf8.last == slash ? folder + name : folder + "/" + name
  }

  /// The path without slashes at its end; "/" for the root.
  public static func withoutSlashesAtEnd(_ path: String) -> String {
    var bytes = path.utf8[...]
    while bytes.count > 1, bytes.last == slash { bytes.removeLast() }
    return bytes.endIndex == path.endIndex ? path : String(path[..<bytes.endIndex])
  }

  /// What lies between the slashes, without what is empty or ".".
  public static func parts(of path: String) -> [String] {
    path.utf8.split(separator: slash).map { String(decoding: $0, as: UTF8.self) }.filter { $0 != "." }
  }

  public static func isAbsolute(_ path: String) -> Bool { path.utf8.first == slash }

  /// Whether the text can name a file or folder in a folder that is given, and nothing outside that.
  public static func isPlainName(_ name: String) -> Bool {
    let bytes = name.utf8
    return !bytes.isEmpty && !bytes.contains(slash) && !bytes.contains(0) && name != "." && name != ".."
  }

  /// Throws `EngineError` (`.file`) for a text that is no path: an empty one, one that is too long, or one with a NUL in
  /// it, behind which the system would not read on.
  public static func require(_ path: String) throws {
    let bytes = path.utf8
    if bytes.isEmpty { throw EngineError(.file, "the path is empty: expected the name of a file or folder") }
    if bytes.contains(0) { throw EngineError(.file, "'\(excerpt(path))': a path cannot hold the character NUL") }
    let longest = bytes.split(separator: slash).map(\.count).max() ?? 0
    if bytes.count > longestPath || longest > longestName {
      throw EngineError(
        .file,
        "'\(excerpt(path))': a path of \(bytes.count) bytes, the longest name of \(longest): "
          + "expected at most \(longestPath) and \(longestName)")
    }
  }

  /// Throws `EngineError` (`.argument`) for a name or value with a NUL in it. `what` says what it is.
  public static func requireNoNUL(_ text: String, _ what: String) throws {
    guard text.utf8.contains(0) else { return }
    throw EngineError(.argument, "\(what) '\(excerpt(text))': expected a text without the character NUL")
  }

  /// Limits of Linux.
  private static let (longestPath, longestName) = (4095, 255)

  /// The path for a message: NUL is visible, and what is long is cut.
  private static func excerpt(_ path: String) -> String {
    let start = path.unicodeScalars.prefix(80)
    let text = start.map { $0 == "\0" ? "\\0" : String($0) }.joined()
    return start.endIndex == path.endIndex ? text : text + "..."
  }

  private static let slash = UInt8(ascii: "/")

  private static func dot(in name: String) -> String.Index? {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot > name.startIndex,
      name.utf8.index(after: dot) < name.endIndex
    else { return nil }
    return dot
  }
}
