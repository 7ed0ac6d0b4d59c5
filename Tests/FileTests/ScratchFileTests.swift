import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

/// A file without a name: what is appended reads back, and nothing of it stays or crowds out others.
@Suite struct ScratchFileTests {
  private func append(_ bytes: [UInt8], to file: ScratchFile, reserve: Int = 0) -> Int? {
    bytes.withUnsafeBytes { file.append($0, reserve: reserve) }
  }

  private func read(_ file: ScratchFile, at offset: Int, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try file.read($0, at: offset) }
    return bytes
  }

  @Test func bytesComeBackFromAnywhere() throws {
    try withTemporaryFolder { folder in
      let file = try #require(ScratchFile(folder: folder))
      #expect(try AtomicFolder.names(in: folder) == [])
      let long = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 31) }
      #expect(append([1, 2, 3], to: file) == 0)
      #expect(append(long, to: file) == 3)
      #expect(append([], to: file) == 100_003)
      #expect(append([9], to: file) == 100_003 && file.count == 100_004)
      #expect(try read(file, at: 1, count: 2) == [2, 3])
      #expect(try read(file, at: 3, count: long.count) == long)
      #expect(try read(file, at: 100_002, count: 2) == [long[99_999], 9])
    }
  }

  @Test func theDiskKeepsItsReserve() throws {
    try withTemporaryFolder { folder in
      let file = try #require(ScratchFile(folder: folder))
      #expect(append([1], to: file, reserve: 1 << 60) == nil && file.count == 0)
      #expect(append([2], to: file) == 0)
    }
  }

  @Test func aFolderThatCannotBeWrittenGivesNone() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("a file", to: folder + "/file")
      #expect(ScratchFile(folder: folder + "/file") == nil)
      #expect(ScratchFile(folder: folder + "/missing") == nil)
    }
  }

  @Test func mappedMemoryStartsWithZerosAndLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let (a, b) = (try ScratchMapping(byteCount: 100_003, folder: folder), try ScratchMapping(byteCount: 8, folder: folder))
      #expect(a.bytes.count == 100_003 && a.bytes.allSatisfy { $0 == 0 })
      for i in a.bytes.indices { a.bytes[i] = UInt8(truncatingIfNeeded: i * 31) }
      b.bytes[7] = 1
      #expect(a.bytes.indices.allSatisfy { a.bytes[$0] == UInt8(truncatingIfNeeded: $0 * 31) })
      #expect(try AtomicFolder.names(in: folder) == [])
      #expect(try ScratchMapping(byteCount: 0, folder: folder).bytes.isEmpty)
      for (count, place) in [(8, "/missing"), (1 << 60, "")] {
        #expect(throws: EngineError.self) { try ScratchMapping(byteCount: count, folder: folder + place) }
      }
    }
  }
}
