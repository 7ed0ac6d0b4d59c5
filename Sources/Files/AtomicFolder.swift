import Diagnostics
import Foundation

/// Writes whole folders so that a reader or a crash sees the old folder or the new, nothing in
/// between.
public enum AtomicFolder {
  /// Builds a folder under a temporary name, syncs it, and puts it in place of `path`.
  ///
  /// - Parameters:
  ///   - path: the folder to create or replace. Folders above it are created.
  ///   - replace: false makes an existing `path` an error, unless it is an empty folder.
  ///   - isDurable: false does not wait for the disk: for what can be made again from what is durable. A power cut may then
  ///     leave files without content.
  ///   - body: fills the folder whose path it gets; if it throws, the old folder stays.
  ///
  /// Throws `EngineError` (`.file`) if `path` is a file, or cannot be written.
  public static func write(
    to path: String, replace: Bool = true, isDurable: Bool = true, _ body: (_ folder: String) throws -> Void
  ) throws {
    let path = try normalized(path)
    let parent = TemporaryName.folder(of: path)
    if !parent.isEmpty { try createFolder(parent) }
    try recover(path)
    TemporaryName.removeStale(beside: path)
    let isTaken = (try? names(in: path))?.isEmpty == false
    if !replace && isTaken {
      throw EngineError(.file, "\(path): exists already")
    }
    let temporary = TemporaryName.beside(path)
    guard mkdir(temporary, 0o777) == 0 else { throw AtomicFile.creationError(path) }
    defer { removeTree(temporary) }
    try body(temporary)
    if isDurable { try synchronizeTree(temporary) }
    try move(temporary, to: path, replace: replace, isDurable: isDurable)
  }

  /// Puts a complete folder in place of `path`, both on one file system, and makes that durable.
  ///
  /// The older folder, if there is one, is exchanged for it in one step and then removed; where the
  /// file system cannot exchange, it is first renamed, and `recover` finds it after a crash.
  public static func move(_ folder: String, to path: String, replace: Bool = true, isDurable: Bool = true) throws {
    let path = try normalized(path)
    try FilePath.require(folder)
    defer { if isDurable { try? synchronizeFolder(TemporaryName.folder(of: path)) } }
    // A plain rename takes the place of nothing, or of an empty folder.
    if rename(folder, path) == 0 { return }
    guard errno == ENOTEMPTY || errno == EEXIST else {
      let code = errno
      if code == ENOTDIR, kindAnywhere(path, followingLinks: false) == .link { throw linkError(path) }
      if code == ENOTDIR { throw EngineError(.file, "\(path): is a file, expected a folder") }
      throw writeError(path, code: code)
    }
    if !replace { throw EngineError(.file, "\(path): exists already") }
    if exchange(folder, path) {
      if isDurable { try synchronizeFolder(TemporaryName.folder(of: path)) }
      removeTree(folder)
      return
    }
    let old = asideName(of: path)
    guard rename(path, old) == 0 else { throw writeError(path) }
    guard rename(folder, path) == 0 else {
      let code = errno
      _ = rename(old, path)
      throw writeError(path, code: code)
    }
    try synchronizeFolder(TemporaryName.folder(of: path))
    removeTree(old)
  }

  /// Brings back a folder whose replacement was cut off between its two renames, and removes one
  /// whose replacement was complete. Only file systems without an exchange ever need it. What is no folder is left alone.
  public static func recover(_ path: String) throws {
    let path = try normalized(path)
    let old = asideName(of: path)
    guard kindAnywhere(old, followingLinks: false) == .folder else { return }
    if kindAnywhere(path, followingLinks: false) != nil {
      removeTree(old)
    } else if rename(old, path) != 0 {
      throw writeError(path)
    }
  }

  /// Copies a file, or a folder with all in it, to a path where there is nothing yet. Links are refused: what is copied from
  /// one folder of ours to another is complete in itself.
  /// Throws `EngineError` (`.file`).
  public static func copy(_ source: String, to path: String) throws {
    try FilePath.require(source)
    try FilePath.require(path)
    switch kindAnywhere(source, followingLinks: false) {
    case .folder:
      guard mkdir(path, 0o777) == 0 else { throw writeError(path) }
      for name in try names(in: source) { try copy(source + "/" + name, to: path + "/" + name) }
    case .file:
      do {
        try FileManager.default.copyItem(atPath: source, toPath: path)
      } catch {
        throw EngineError(.file, "\(path): cannot be written: copying \(source) failed")
      }
    default:
      throw EngineError(.file, "\(source): expected a file or a folder of its own")
    }
  }

  /// Files that are larger than this many bytes are shared as links.
  public static let largestCopy = 64 << 10

  /// Puts a file, or a folder with all in it, at a path where there is nothing yet: what is small is copied, and a large file
  /// becomes a second name of the same file where that can be, so that it takes no room of its own.
  ///
  /// A file with two names is read-only under both: whoever wants to change it in place has to copy it first, and cannot
  /// change what is stored by accident. Throws `EngineError` (`.file`).
  public static func share(_ source: String, at path: String) throws {
    try FilePath.require(source)
    try FilePath.require(path)
    var status = stat()
    guard lstat(source, &status) == 0 else { throw EngineError(.file, "\(source): cannot be read") }
    if status.st_mode & S_IFMT == S_IFDIR {
      guard mkdir(path, 0o777) == 0 else { throw writeError(path) }
      for name in try names(in: source) { try share(source + "/" + name, at: path + "/" + name) }
      return
    }
    if status.st_mode & S_IFMT == S_IFREG, status.st_size > largestCopy {
      let isReadOnly = status.st_mode & 0o222 == 0 || chmod(source, status.st_mode & 0o555) == 0
      // Else another file system, or one without links, or somebody else's file: a copy.
      if isReadOnly, link(source, path) == 0 { return }
    }
    try copy(source, to: path)
  }

  /// Syncs every file and folder below and including `path`.
  public static func synchronizeTree(_ path: String) throws {
    try FilePath.require(path)
    for name in (try? names(in: path)) ?? [] {
      let child = path + "/" + name
      switch kindAnywhere(child, followingLinks: false) {
      case nil: throw writeError(child)
      case .folder: try synchronizeTree(child)
      case .file:
        let descriptor = open(child, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw writeError(child) }
        defer { close(descriptor) }
        if fsync(descriptor) != 0 { throw writeError(child) }
      default: break
      }
    }
    try synchronizeFolder(path)
  }

  /// A name that nobody else will have given.
  private static func asideName(of path: String) -> String {
    let folder = TemporaryName.folder(of: path)
    return folder + "." + FilePath.name(of: path) + ".perigee-old"
  }

  private static func normalized(_ path: String) throws -> String {
    guard !path.utf8.isEmpty else { throw EngineError(.file, "'' is no name for a new folder") }
    try FilePath.require(path)
    guard FilePath.isPlainName(FilePath.name(of: path)) else {
      throw EngineError(.file, "'\(path)' is no name for a new folder")
    }
    return FilePath.withoutSlashesAtEnd(path)
  }

  private static func exchange(_ a: String, _ b: String) -> Bool {
    #if os(Linux)
      // Glibc declares renameat2 only under _GNU_SOURCE, which Swift's import of it does not set.
      typealias RenameAt2 =
        @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
      guard let symbol = dlsym(nil, "renameat2") else { return false }
      let renameExchange: UInt32 = 2
      let call = unsafeBitCast(symbol, to: RenameAt2.self)
      return call(AT_FDCWD, a, AT_FDCWD, b, renameExchange) == 0
    #else
      return renamex_np(a, b, UInt32(RENAME_SWAP)) == 0
    #endif
  }
}
