import Diagnostics
import Foundation
import Synchronization

/// Which files may be read, by scripts and by the engine alike.
///
/// What belongs to the system is never data: `/proc`, `/sys` and `/dev`, pipes, sockets and devices, whatever links or ".."
/// lead there. It is decided by the file that was opened, not by its name.
public struct ReadPolicy: Sendable {
  /// Real paths of the folders and files that the user named.
  private let named: [String]
  /// Real paths of the folders where `require` looks: strict reading takes Lua files from there, and nothing else.
  private let codeFolders: [String]
  /// Whether reading is limited to what the user named.
  public let isStrict: Bool

  /// - Parameters:
  ///   - named: folders and files; those that do not exist yet count as soon as they do.
  ///   - codeFolders: where Lua files may be read too.
  public init(named: [String] = [], codeFolders: [String] = [], isStrict: Bool = false) {
    self.named = named.compactMap(Self.resolved)
    self.codeFolders = codeFolders.compactMap(Self.resolved)
    self.isStrict = isStrict
  }

  private static let installed = Mutex(ReadPolicy())

  /// What is in force in this process.
  public static var current: ReadPolicy {
    get { installed.withLock { $0 } }
    set { installed.withLock { $0 = newValue } }
  }

  /// Whether a path may be looked at, as far as its name tells.
  func permits(_ path: String) -> Bool {
    guard isStrict else { return true }
    guard let real = Self.resolved(path) else { return false }
    return isNamed(real) || isCode(real) || codeFolders.contains(real)
  }

  /// Throws where strict reading does not extend to the path, whether or not there is anything.
  func require(_ path: String) throws { if !permits(path) { throw refusal(path) } }

  /// Throws where an open file or folder may not be read.
  func require(_ descriptor: Int32, _ path: String) throws {
    let real = Self.openedPath(descriptor) ?? realPath(path)
    // Some of the system's files are told by their file system alone, some by their place alone.
    let isInSystem = real.map { ["/proc", "/sys", "/dev"].contains(where: isInside($0)) } ?? false
    let isNamed = real.map(isNamed) ?? false
    let isKernels = Self.isKernelFileSystem(descriptor)
    if isKernels || isInSystem && !isNamed {
      throw EngineError(
        .file, "\(path): belongs to the system: nothing is read from /proc, /sys and /dev",
        hint: isKernels ? nil : "a file in /dev/shm is read where the command line names it, as with --set")
    }
    if isStrict, !isNamed, !(real.map(isCode) ?? false) { throw refusal(path) }
  }

  private func refusal(_ path: String) -> EngineError {
    EngineError(
      .file, "\(path): --strict reads only the working folder, the hub cache, the run directory and what the command line names",
      hint: "name it with --set, or run without --strict")
  }

  private func isNamed(_ real: String) -> Bool { named.contains(where: isInside(real)) }

  private func isCode(_ real: String) -> Bool { real.hasSuffix(".lua") && codeFolders.contains(where: isInside(real)) }

  /// The real path of what is there, and behind it what is not there yet; nil where that leads upwards again.
  private static func resolved(_ path: String) -> String? {
    var (start, rest) = (path, [String]())
    while true {
      if let real = realPath(start) { return rest.reversed().reduce(real, FilePath.join) }
      // A link that leads nowhere yet would resolve to where it is, not to where it leads.
      if kindAnywhere(start, followingLinks: false) != nil { return nil }
      let (folder, name) = (FilePath.folder(of: start), FilePath.name(of: start))
      if name == ".." || folder == start { return nil }
      if name != "." { rest.append(name) }
      start = folder
    }
  }

  private static func openedPath(_ descriptor: Int32) -> String? {
    #if os(Linux)
      var buffer = [UInt8](repeating: 0, count: 8192)
      let count = buffer.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.map { readlink("/proc/self/fd/\(descriptor)", $0.assumingMemoryBound(to: CChar.self), bytes.count) } ?? -1
      }
      guard count > 0, count < buffer.count else { return nil }
      return String(validating: buffer[..<count], as: UTF8.self)
    #else
      var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
      return fcntl(descriptor, F_GETPATH, &buffer) == 0 ? String(validatingCString: buffer) : nil
    #endif
  }

  /// Whether a file's content is made up by the kernel, wherever that file system is mounted.
  private static func isKernelFileSystem(_ descriptor: Int32) -> Bool {
    #if os(Linux)
      // Glibc's module for Swift lacks fstatfs. Its result begins with the type.
      typealias StatFS = @convention(c) (Int32, UnsafeMutableRawPointer) -> Int32
      guard let symbol = dlsym(nil, "fstatfs") else { return false }
      var result = [Int](repeating: 0, count: 64)
      let status = result.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.map { unsafeBitCast(symbol, to: StatFS.self)(descriptor, $0) } ?? -1
      }
      return status == 0 && kernelFileSystems.contains(UInt32(truncatingIfNeeded: result[0]))
    #else
      return false
    #endif
  }

  /// linux/magic.h: proc, sysfs, debugfs, tracefs, securityfs, cgroup and cgroup2, selinux, smack, bpf, pstore, efivarfs, devpts.
  private static let kernelFileSystems: Set<UInt32> = [
    0x9FA0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x27_E0EB, 0x6367_7270, 0xF97C_FF8C, 0x4341_5D53, 0xCAFE_4A11,
    0x6165_676C, 0xDE5E_81E4, 0x1CD1,
  ]
}

/// Whether the real path lies in a folder, or is that.
private func isInside(_ real: String) -> (String) -> Bool {
  { folder in
    let (path, folder) = (Array(real.utf8), Array(folder.utf8))
    guard path.starts(with: folder) else { return false }
    return folder == [UInt8(ascii: "/")] || path.count == folder.count || path[folder.count] == UInt8(ascii: "/")
  }
}
