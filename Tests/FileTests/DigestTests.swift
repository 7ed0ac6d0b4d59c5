import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@Suite struct DigestTests {
  /// Values of the reference implementation (`xxhsum -H2`).
  @Test(arguments: [
    ("", "99aa06d3014798d86001c324468d497f"),
    ("a", "a96faf705af16834e6c632b61e964e1f"),
    ("abc", "06b05ab6733a618578af5f94892f3950"),
  ])
  func agreesWithTheReference(text: String, hex: String) {
    #expect(Digest(of: text).hex == hex)
    #expect(Digest(hex: hex) == Digest(of: text))
  }

  @Test func isTheSameInPiecesAndFromAFile() throws {
    let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let whole = Digest(of: bytes)
    let stream = DigestStream()
    var start = 0
    for size in [1, 7, 255, 256, 1024, 500_000, 3_000_000] {
      let end = min(start + size, bytes.count)
      stream.update(Array(bytes[start..<end]))
      start = end
    }
    #expect(stream.finish() == whole)
    try withTemporaryFolder { folder in
      try AtomicFile.write(Data(bytes), to: folder + "/f")
      #expect(try Digest(ofFile: folder + "/f") == whole)
      #expect(throws: EngineError.self) { try Digest(ofFile: folder + "/g") }
      #expect(throws: EngineError.self) { try Digest(ofFile: folder) }
      #expect(try MappedFile(folder + "/f").withBytes { Digest(of: $0) } == whole)
    }
  }

  @Test func ofValuesIgnoresTheOrderOfKeysOnly() {
    let value: JSONValue = ["a": 1, "b": [1, 2]]
    #expect(Digest(of: value) == Digest(of: ["b": [1, 2], "a": 1] as JSONValue))
    for other in [["a": 1.0, "b": [1, 2]], ["a": 1, "b": [2, 1]], ["a": 1]] as [JSONValue] {
      #expect(Digest(of: value) != Digest(of: other))
    }
  }

  @Test func ofFoldersCountsNamesAndContents() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/a/sub")
      try AtomicFile.write("1", to: folder + "/a/sub/x")
      let first = try Digest(ofFolder: folder + "/a")
      try AtomicFile.write("hidden", to: folder + "/a/.x")
      #expect(try Digest(ofFolder: folder + "/a") == first)
      try AtomicFile.write("2", to: folder + "/a/sub/x")
      #expect(try Digest(ofFolder: folder + "/a") != first)
      try AtomicFile.write("1", to: folder + "/a/sub/x")
      #expect(try Digest(ofFolder: folder + "/a") == first)
      #expect(throws: EngineError.self) { try Digest(ofFolder: folder + "/none") }
      symlink("..", folder + "/a/sub/loop")
      #expect(throws: EngineError.self) { try Digest(ofFolder: folder + "/a") }
    }
  }

  @Test func refusesOtherText() {
    for text in [
      "", "xyz", String(repeating: "g", count: 32), "+" + String(repeating: "0", count: 31),
    ] {
      #expect(Digest(hex: text) == nil)
    }
  }

  @Test func mapsFilesAndOutlivesTheirReplacement() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/f"
      try AtomicFile.write("first", to: path)
      let mapped = try MappedFile(path)
      try AtomicFile.write("second", to: path)
      mapped.advise(.dontNeed)
      mapped.advise(.willNeed, -5..<999)
      #expect(mapped.withBytes { String(decoding: $0, as: UTF8.self) } == "first")
      try AtomicFile.write("", to: path)
      let empty = try MappedFile(path)
      empty.advise(.sequential)
      #expect(empty.count == 0)
      #expect(throws: EngineError.self) { try MappedFile(folder) }
      #expect(throws: EngineError.self) { try MappedFile(folder + "/none") }
    }
  }
}
