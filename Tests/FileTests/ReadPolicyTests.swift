import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Files

@Suite struct ReadPolicyTests {
  private func link(_ path: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
  }

  /// Every way to a file's content.
  private static let readers: [(name: String, read: @Sendable (String) throws -> Void)] = [
    ("readFile", { _ = try readFile($0) }), ("readText", { _ = try readText($0) }), ("MappedFile", { _ = try MappedFile($0) }),
    ("Digest", { _ = try Digest(ofFile: $0) }), ("requireRegularFile", { try requireRegularFile($0) }),
    ("JSONValue", { _ = try JSONValue(file: $0) }), ("ZipArchive", { _ = try ZipArchive($0) }),
  ]

  @Test(.timeLimit(.minutes(1)), arguments: ["fifo", "socket", "to-fifo", "device", "to-device", "proc", "to-proc", "through", "sys"])
  func isNeverData(_ name: String) throws {
    try withTemporaryFolder { folder in
      #expect(mkfifo(folder + "/fifo", 0o600) == 0)
      let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(socket) }
      try bind(socket, to: folder + "/socket")
      try link(folder + "/to-fifo", to: "fifo")
      try link(folder + "/to-device", to: "/dev/zero")
      try link(folder + "/to-proc", to: "/proc/self/environ")
      try link(folder + "/root", to: "/")
      let places = [
        "device": "/dev/null", "proc": "/proc/self/environ", "sys": "/sys/kernel/mm/transparent_hugepage/enabled",
        "through": folder + "/root/tmp/../proc/self/maps",
      ]
      let path = places[name] ?? folder + "/" + name
      if name == "sys", access(path, R_OK) != 0 { return }
      for reader in Self.readers {
        #expect(throws: EngineError.self, "\(reader.name)") { try reader.read(path) }
      }
      #expect { try readFile(path) } throws: {
        let text = "\($0)"
        return text.contains("expected a file") || text.contains("nothing is read from /proc, /sys and /dev")
      }
    }
  }

  private func bind(_ socket: Int32, to path: String) throws {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let status = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(socket, $0, size) }
    }
    #expect(status == 0)
  }

  @Test func readsWhatLinksLeadTo() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("x", to: folder + "/a")
      try link(folder + "/b", to: "a")
      try link(folder + "/self", to: "/proc/self/cwd")
      #expect(try readText(folder + "/b") == "x")
      // The name has /proc in it, the file is another.
      #expect(try readFile("/proc/self/root" + folder + "/a") == Data("x".utf8))
    }
  }

  @Test func strictReadingKeepsToWhatIsNamed() throws {
    try withTemporaryFolder { folder in
      for name in ["data", "lua", "other"] { try createFolder(folder + "/" + name) }
      for name in ["data/a", "lua/a.lua", "lua/a.txt", "other/a", "datas"] { try AtomicFile.write("x", to: folder + "/" + name) }
      try link(folder + "/data/out", to: folder + "/other/a")
      try link(folder + "/data/nowhere", to: folder + "/other/new")
      try link(folder + "/lua/out.lua", to: folder + "/other/a")
      try link(folder + "/way", to: "data")
      let policy = ReadPolicy(named: [folder + "/way", folder + "/later"], codeFolders: [folder + "/lua"], isStrict: true)
      func reads(_ name: String) -> Bool {
        let path = folder + "/" + name
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        return policy.permits(path) && (try? policy.require(descriptor, path)) != nil
      }
      for name in ["data/a", "way/a", "data/../data/a", "lua/a.lua"] { #expect(reads(name), "\(name)") }
      for name in ["other/a", "data/out", "data/../other/a", "lua/a.txt", "lua/out.lua", "datas", "."] { #expect(!reads(name), "\(name)") }
      for name in ["data/new", "later/x"] { #expect(policy.permits(folder + "/" + name), "\(name)") }
      for name in ["new", "data/nowhere", "data/none/../../other/a", "later/../other/a"] {
        #expect(!policy.permits(folder + "/" + name), "\(name)")
      }
      #expect { try policy.require(folder + "/other/none") } throws: { "\($0)".contains("; name it with --set, or run without --strict") }
      #expect(ReadPolicy().permits(folder + "/other/a"))
    }
  }

  /// What is named by the user is read even from a disk in memory; the kernel's own files are not.
  @Test func aNamedPlaceDoesNotOpenTheSystem() throws {
    let policy = ReadPolicy(named: ["/"])
    for path in ["/proc/self/environ", "/proc/version"] {
      let descriptor = open(path, O_RDONLY)
      defer { close(descriptor) }
      #expect(throws: EngineError.self) { try policy.require(descriptor, path) }
    }
    let path = "/dev/shm/perigee-" + UUID().uuidString
    guard (try? AtomicFile.write("x", to: path)) != nil else { return }
    defer { removeTree(path) }
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    try policy.require(descriptor, path)
    try ReadPolicy(named: [path]).require(descriptor, path)
    // On some systems it is a link to a place elsewhere.
    guard realPath(path)?.hasPrefix("/dev/") == true else { return }
    #expect { try ReadPolicy().require(descriptor, path) } throws: { "\($0)".hasSuffix("names it, as with --set") }
  }
}
