import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Files

/// What is written in a folder of ours stays in it.
@Suite struct OwnFolderTests {
  private func link(_ path: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
  }

  @Test func makesFoldersAbove() throws {
    try withTemporaryFolder { folder in
      let own = OwnFolder(folder + "/run")
      #expect(try own.place("a/./b//x") == folder + "/run/a/b/x")
      #expect(try AtomicFolder.names(in: folder + "/run/a/b") == [])
      // The folder itself may be a link: it is what the user asked for.
      try link(folder + "/way", to: "run")
      #expect(try OwnFolder(folder + "/way").place("a/y") == folder + "/way/a/y")
    }
  }

  @Test(arguments: [
    "", ".", "..", "../x", "a/../../x", "/x", "a\0", "out/x", "out", "up/x", "file/x", "a/out/x", "dangling", "dangling/x", "../\u{301}x",
    "a/..\u{2F}\u{338}",
  ]) func leadsNowhereElse(_ path: String) throws {
    try withTemporaryFolder { folder in
      for name in ["run/a", "elsewhere"] { try createFolder(folder + "/" + name) }
      try AtomicFile.write("x", to: folder + "/run/file")
      try link(folder + "/run/out", to: folder + "/elsewhere")
      try link(folder + "/run/up", to: "..")
      try link(folder + "/run/a/out", to: "../../elsewhere")
      try link(folder + "/run/dangling", to: folder + "/new")
      #expect(throws: EngineError.self) { try OwnFolder(folder + "/run").place(path) }
      #expect(try AtomicFolder.names(in: folder) == ["elsewhere", "run"])
      #expect(try AtomicFolder.names(in: folder + "/elsewhere") == [])
    }
  }

  @Test func removingAndRecoveringFollowNoLink() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/precious")
      try AtomicFile.write("x", to: folder + "/precious/a")
      try createFolder(folder + "/doomed/deep")
      try link(folder + "/doomed/deep/out", to: folder + "/precious")
      try link(folder + "/doomed/out", to: folder + "/precious")
      removeTree(folder + "/doomed")
      try link(folder + "/.f.perigee-old", to: folder + "/precious")
      try createFolder(folder + "/f")
      try AtomicFolder.recover(folder + "/f")
      for path in ["precious/..", "precious/.", "precious\0/b"] { removeTree(folder + "/" + path) }
      #expect(throws: EngineError.self) { try AtomicFolder.recover(folder + "/precious\0") }
      #expect(throws: EngineError.self) { try AtomicFolder.recover(folder + "/..\0/x") }
      #expect(try AtomicFolder.names(in: folder) == [".f.perigee-old", "f", "precious"])
      #expect(try readText(folder + "/precious/a") == "x")
      removeTree(folder + "/.f.perigee-old")
      #expect(try AtomicFolder.names(in: folder) == ["f", "precious"])
    }
  }

  @Test func removesNamesThatAreNoText() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/a/b")
      let odd: [CChar] = Array(folder.utf8CString.dropLast()) + "/a/b/".utf8.map { CChar($0) } + [-1, -2, 0]
      let descriptor = open(odd, O_CREAT | O_WRONLY, 0o600)
      #expect(descriptor >= 0)
      close(descriptor)
      #expect(throws: EngineError.self) { try AtomicFolder.copy(folder + "/a", to: folder + "/copy") }
      removeTree(folder + "/a")
      removeTree(folder + "/copy")
      #expect(try AtomicFolder.names(in: folder) == [])
    }
  }

  @Test func copiesNoLinks() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/a/b")
      try AtomicFile.write("x", to: folder + "/a/b/c")
      try AtomicFolder.copy(folder + "/a", to: folder + "/copy")
      #expect(try readText(folder + "/copy/b/c") == "x")
      try link(folder + "/a/b/out", to: "/etc")
      #expect(throws: EngineError.self) { try AtomicFolder.copy(folder + "/a", to: folder + "/other") }
    }
  }
}
