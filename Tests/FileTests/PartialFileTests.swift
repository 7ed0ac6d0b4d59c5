import Foundation
import TestSupport
import Testing

@testable import Files

struct PartialFileTests {
  @Test func goesOnBehindTheLastPieceOfTheSameContent() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x"
      do {
        let file = try PartialFile(path, key: "a")
        try file.append("one\n", count: 1, facts: ["seconds": 2])
        #expect(throws: (any Error).self) { try PartialFile(path, key: "a") }
      }
      do {
        let file = try PartialFile(path, key: "a")
        #expect(file.count == 1 && file.facts == ["seconds": 2])
        #expect(try readText(file.partialPath) == "one\n")
        try file.append("two\n", count: 2)
        #expect(!fileExists(path))
        try file.finish()
      }
      #expect(try readText(path) == "one\ntwo\n")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x"])
      // So does what was damaged.
      do { try PartialFile(path, key: "a").append("one\n", count: 1) }
      let damaged = try #require(FileHandle(forUpdatingAtPath: path + ".partial"))
      try damaged.write(contentsOf: Data("two".utf8))
      try damaged.close()
      #expect(try PartialFile(path, key: "a").count == 0)
      // Other content begins anew, and what was finished stays until it is there.
      do { try PartialFile(path, key: "a").append("one\n", count: 1) }
      let other = try PartialFile(path, key: "b")
      #expect(other.count == 0)
      try other.append("1\n", count: 1)
      #expect(try readText(path) == "one\ntwo\n")
      try other.finish()
      #expect(try readText(path) == "1\n")
    }
  }
}
