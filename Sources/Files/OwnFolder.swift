import Diagnostics
import Foundation

/// A folder that belongs to Perigee: a run directory, or the cache. What is written in it stays in it: no link below it is
/// followed, also where somebody else has prepared the folder.
///
/// The folder itself may be reached through links: its path is the user's choice. It keeps out what lies in a folder, not
/// another process that exchanges folders for links meanwhile, which could as well write there itself.
public struct OwnFolder: Sendable {
  public let path: String

  public init(_ path: String) { self.path = path }

  /// The path of a file or folder that is to be written, `relative` to this one. Folders above it are made.
  ///
  /// Throws `EngineError` (`.file`) for a path that leads elsewhere or through a link, or that is a link itself.
  public func place(_ relative: String) throws -> String {
    try FilePath.require(relative)
    let parts = FilePath.parts(of: relative)
    guard !FilePath.isAbsolute(relative), !parts.isEmpty, !parts.contains("..") else {
      throw EngineError(.file, "'\(relative)' leads out of \(path)")
    }
    try createFolder(path)
    var place = path
    var folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { if folder >= 0 { close(folder) } }
    for part in parts.dropLast() {
      guard folder >= 0 else { throw writeError(place) }
      place = FilePath.join(place, part)
      if mkdirat(folder, part, 0o777) != 0, errno != EEXIST { throw writeError(place) }
      let inner = openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard inner >= 0 else { throw Self.noFolder(place) }
      close(folder)
      folder = inner
    }
    guard folder >= 0 else { throw writeError(place) }
    place = FilePath.join(place, parts[parts.count - 1])
    var status = stat()
    if fstatat(folder, parts[parts.count - 1], &status, AT_SYMLINK_NOFOLLOW) == 0, FileKind(status.st_mode) == .link {
      throw linkError(place)
    }
    return place
  }

  private static func noFolder(_ path: String) -> EngineError {
    let code = errno
    switch kindAnywhere(path, followingLinks: false) {
    case .link: return linkError(path)
    case .folder, nil: return writeError(path, code: code)
    default: return EngineError(.file, "\(path): is a file, expected a folder")
    }
  }
}

/// The error for a link where something is to be written.
public func linkError(_ path: String) -> EngineError {
  EngineError(.file, "\(path): is a link, and nothing is written through links", hint: "put a folder or file of its own in its place")
}
