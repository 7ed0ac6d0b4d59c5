import Diagnostics
import Foundation

/// What a path leads to.
public enum FileKind: Equatable, Sendable {
  case file, folder, link, pipe, socket, device

  init(_ mode: mode_t) {
    switch mode & S_IFMT {
    case S_IFREG: self = .file
    case S_IFDIR: self = .folder
    case S_IFLNK: self = .link
    case S_IFIFO: self = .pipe
    case S_IFSOCK: self = .socket
    default: self = .device
    }
  }
}

/// What is at a path; nil where there is nothing, where nothing may be read, or where the text is no path.
///
/// - Parameter followingLinks: false tells of a link itself.
public func fileKind(_ path: String, followingLinks: Bool = true) -> FileKind? {
  guard (try? FilePath.require(path)) != nil, ReadPolicy.current.permits(path) else { return nil }
  return kindAnywhere(path, followingLinks: followingLinks)
}

/// Bytes that are free to this user where a path leads to; nil where that cannot be told.
public func freeBytes(_ path: String) -> Int? {
  var space = statvfs()
  guard (try? FilePath.require(path)) != nil, statvfs(path, &space) == 0 else { return nil }
  return Int(space.f_bavail) * Int(space.f_frsize)
}

/// What tells a file from one that took its place, or from what it was before it was written.
public struct FileStamp: Equatable, Sendable {
  private let device: UInt64
  private let inode: UInt64
  private let size: Int64
  private let seconds: Int
  private let nanoseconds: Int

  /// The stamp of the file that a path leads to; nil where there is none.
  public init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
    (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
  }
}

extension FileStamp {
  /// The stamp in one word.
  /// When the file was last written.
  public var date: Date { Date(timeIntervalSince1970: Double(seconds) + Double(nanoseconds) / 1e9) }

  public var text: String { "\(device).\(inode).\(size).\(seconds).\(nanoseconds)" }
}

/// Whether there is anything that may be read, a file or a folder. Links are followed.
public func fileExists(_ path: String) -> Bool { fileKind(path) != nil }

/// Whether there is a folder that may be read. Links are followed.
public func folderExists(_ path: String) -> Bool { fileKind(path) == .folder }

extension AtomicFolder {
  /// The names in a folder, sorted. Throws `EngineError` (`.file`).
  public static func names(in path: String) throws -> [String] {
    try FilePath.require(path)
    try ReadPolicy.current.require(path)
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw EngineError(.file, "\(path): cannot be read as a folder") }
    defer { close(descriptor) }
    try ReadPolicy.current.require(descriptor, path)
    // A name that is no UTF-8 gets letters that are not in it: it is seen, and cannot be opened.
    var names: [String] = []
    guard forEachName(in: descriptor, { names.append(String(cString: $0)) }) else {
      throw EngineError(.file, "\(path): cannot be read as a folder")
    }
    return names.sorted()
  }
}

/// A file's size in bytes, and when it was last written, in seconds since 1970; nil for what is no regular file of its own.
public func fileFacts(_ path: String) -> (size: Int, modified: Double)? {
  var status = stat()
  guard (try? FilePath.require(path)) != nil, lstat(path, &status) == 0, FileKind(status.st_mode) == .file,
    let size = Int(exactly: status.st_size)
  else { return nil }
  #if os(Linux)
    let time = status.st_mtim
  #else
    let time = status.st_mtimespec
  #endif
  return (size, Double(time.tv_sec) + Double(time.tv_nsec) / 1e9)
}

/// Makes a file's time that of now, where that is allowed.
public func touch(_ path: String) {
  if (try? FilePath.require(path)) != nil { utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW) }
}

/// Removes a file, a link, or a folder with all in it; no link is followed. What cannot be removed stays.
public func removeTree(_ path: String) {
  guard (try? FilePath.require(path)) != nil else { return }
  let name = FilePath.name(of: path)
  guard FilePath.isPlainName(name) else { return }
  let folder = open(FilePath.folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard folder >= 0 else { return }
  defer { close(folder) }
  remove(name, in: folder)
}

/// The path without links and "..", absolute; nil where there is nothing.
public func realPath(_ path: String) -> String? {
  guard (try? FilePath.require(path)) != nil, let real = realpath(path, nil) else { return nil }
  defer { free(real) }
  return String(cString: real)
}

/// What is at a path, whatever may be read.
func kindAnywhere(_ path: String, followingLinks: Bool = true) -> FileKind? {
  var status = stat()
  guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { return nil }
  return FileKind(status.st_mode)
}

/// Calls `body` with each name in an open folder, as the system has it. False where the folder cannot be read.
private func forEachName(in folder: Int32, _ body: (UnsafePointer<CChar>) -> Void) -> Bool {
  // The stream closes what it is given.
  let copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard copy >= 0 else { return false }
  guard let stream = fdopendir(copy) else {
    close(copy)
    return false
  }
  defer { closedir(stream) }
  while let entry = readdir(stream) {
    withUnsafePointer(to: &entry.pointee.d_name) { name in
      name.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) {
        if strcmp($0, ".") != 0, strcmp($0, "..") != 0 { body($0) }
      }
    }
  }
  return true
}

private func remove(_ name: UnsafePointer<CChar>, in folder: Int32) {
  if unlinkat(folder, name, 0) == 0 || errno == ENOENT { return }
  let inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
  guard inner >= 0 else { return }
  // All names first: a folder that is read while it changes may hide some.
  var names: [[CChar]] = []
  _ = forEachName(in: inner) { names.append(Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))) }
  for name in names { name.withUnsafeBufferPointer { if let start = $0.baseAddress { remove(start, in: inner) } } }
  close(inner)
  unlinkat(folder, name, Int32(AT_REMOVEDIR))
}
