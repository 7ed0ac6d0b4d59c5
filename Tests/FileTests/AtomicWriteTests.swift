import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Files

@Suite struct AtomicWriteTests {
  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test func replacesAFileAndLeavesNothingElse() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.txt"
      try AtomicFile.write("old", to: path)
      try AtomicFile.write("new, longer", to: path)
      #expect(try readText(path) == "new, longer")
      try AtomicFile.write(["b": 1, "a": 2], to: folder + "/a.json")
      #expect(try readText(folder + "/a.json") == "{\n  \"a\": 2,\n  \"b\": 1\n}\n")
      #expect(try names(folder) == ["a.json", "a.txt"])
    }
  }

  @Test(arguments: [
    (ENOSPC, "No space left on device; free some space, or write to another disk"),
    (EDQUOT, "Disk quota exceeded; free some space, or write to another disk"),
    (EROFS, "Read-only file system; choose a folder that you may write to"),
    (EIO, "Input/output error"),
  ])
  func keepsTheOldFileWhenTheDiskFails(code: Int32, reason: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.txt"
      try AtomicFile.write("old", to: path)
      let failing: @Sendable (Int32, UnsafeRawPointer, Int) -> Int = { descriptor, bytes, count in
        if lseek(descriptor, 0, SEEK_CUR) < 2 { return write(descriptor, bytes, 1) }
        errno = code
        return -1
      }
      #expect {
        try FileWriter.withSystemWrite(failing) { try AtomicFile.write("new", to: path) }
      } throws: { "\($0)" == "\(path): cannot be written: \(reason)" }
      #expect(try readText(path) == "old")
      #expect(try names(folder) == ["a.txt"])
    }
  }

  @Test func goesThroughShortAndInterruptedWrites() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.txt"
      let halting: @Sendable (Int32, UnsafeRawPointer, Int) -> Int = { descriptor, bytes, count in
        if count % 2 == 0 && Bool.random() {
          errno = EINTR
          return -1
        }
        return write(descriptor, bytes, min(count, 3))
      }
      let text = (0..<200).map(String.init).joined()
      try FileWriter.withSystemWrite(halting) { try AtomicFile.write(text, to: path) }
      #expect(try readText(path) == text)
    }
  }

  @Test func reportsFoldersThatAreMissingOrFiles() throws {
    try withTemporaryFolder { folder in
      #expect {
        try AtomicFile.write("x", to: folder + "/none/a.txt")
      } throws: {
        "\($0)".hasSuffix("/none/a.txt: cannot be written: there is no folder \(folder)/none/")
      }
      try AtomicFile.write("x", to: folder + "/a")
      #expect(throws: EngineError.self) { try AtomicFile.write("x", to: folder + "/a/b") }
      #expect(throws: EngineError.self) { try createFolder(folder + "/a") }
      #expect(throws: EngineError.self) { try AtomicFolder.write(to: folder + "/a") { _ in } }
      #expect(throws: EngineError.self) { try AtomicFile.write("x", to: folder) }
      try createFolder(folder + "/p/q/r")
      try createFolder(folder + "/p/q/r")
      #expect(try names(folder) == ["a", "p"])
    }
  }

  @Test func keepsTheOldContentWhenTheWriterThrows() throws {
    struct Stop: Error {}
    try withTemporaryFolder { folder in
      let path = folder + "/a"
      try AtomicFile.write("old", to: path)
      #expect(throws: Stop.self) {
        try AtomicFile.write(to: path) {
          try $0.write("half")
          throw Stop()
        }
      }
      #expect(throws: Stop.self) {
        try AtomicFile.write(to: path, { try $0.write("bad") }, verify: { _ in throw Stop() })
      }
      #expect(try readText(path) == "old")
      try AtomicFolder.write(to: folder + "/f") { try AtomicFile.write("1", to: $0 + "/x") }
      #expect(throws: Stop.self) {
        try AtomicFolder.write(to: folder + "/f") {
          try AtomicFile.write("2", to: $0 + "/x")
          throw Stop()
        }
      }
      #expect(try readText(folder + "/f/x") == "1")
      #expect(try names(folder) == ["a", "f"])
    }
  }

  @Test func removesOnlyWhatKilledWritersLeft() throws {
    try withTemporaryFolder { folder in
      let child = Process()
      child.executableURL = URL(fileURLWithPath: "/bin/true")
      try child.run()
      child.waitUntilExit()
      let dead = child.processIdentifier
      let here = ProcessIdentity.current.place
      let stale = ".a.txt.\(here)-\(dead)-1.tmp"
      // Those of other machines, whose processes nobody here knows, and what is no such name.
      let others = [
        ".a.txt.\(here)-\(getppid())-1.tmp", ".b.txt.\(here)-\(dead)-1.tmp", ".a.txt.\(here)-x-1.tmp", ".a.txt.0123456789ab-\(dead)-1.tmp",
        ".a.txt.\(dead)-1.tmp",
      ]
      let old = ".a.txt.0123456789ab-\(dead)-2.tmp"
      for name in [stale, old] + others { try Data().write(to: URL(filePath: folder + "/" + name)) }
      let lastMonth = timespec(tv_sec: time(nil) - 30 * 86_400, tv_nsec: 0)
      #expect(utimensat(AT_FDCWD, folder + "/" + old, [lastMonth, lastMonth], 0) == 0)
      try AtomicFile.write("x", to: folder + "/a.txt")
      #expect(try names(folder) == (others + ["a.txt"]).sorted())
    }
  }

  @Test func replacesAFolderWhole() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/deep/f"
      try AtomicFolder.write(to: path + "/") { temporary in
        try createFolder(temporary + "/sub")
        try AtomicFile.write("1", to: temporary + "/sub/a")
        try AtomicFile.write("1", to: temporary + "/b")
      }
      try AtomicFolder.write(to: path) { try AtomicFile.write("2", to: $0 + "/c") }
      #expect(try names(path) == ["c"])
      #expect(try names(folder + "/deep") == ["f"])
      #expect {
        try AtomicFolder.write(to: path, replace: false) { _ in }
      } throws: { "\($0)" == "\(path): exists already" }
      for name in ["", "..", "/", folder + "/."] {
        #expect(throws: EngineError.self) { try AtomicFolder.write(to: name) { _ in } }
      }
    }
  }

  @Test func bringsBackAFolderWhoseReplacementWasCutOff() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/f"
      try createFolder(folder + "/.f.perigee-old")
      try AtomicFolder.recover(path)
      #expect(try names(folder) == ["f"])
      try createFolder(folder + "/.f.perigee-old")
      try AtomicFolder.recover(path)
      #expect(try names(folder) == ["f"])
    }
  }

  /// A disk that is really full: a file system of 64 KiB in memory, which only root may mount.
  @Test(.enabled(if: geteuid() == 0)) func survivesAFullFileSystem() throws {
    try withTemporaryFolder { folder in
      let mounted = run("/bin/mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder])
      guard mounted == 0 else { return }
      defer { #expect(run("/bin/umount", [folder]) == 0) }
      let path = folder + "/a"
      try AtomicFile.write("old", to: path)
      #expect {
        try AtomicFile.write(Data(count: 100_000), to: path)
      } throws: { "\($0)".contains("No space left on device; free some space") }
      #expect(throws: EngineError.self) {
        try AtomicFolder.write(to: folder + "/f") {
          try AtomicFile.write(Data(count: 100_000), to: $0 + "/x")
        }
      }
      #expect(try readText(path) == "old")
      #expect(try names(folder) == ["a"])
    }
  }

  private func run(_ program: String, _ arguments: [String]) -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return -1 }
    process.waitUntilExit()
    return process.terminationStatus
  }
}
