import Diagnostics
import Files
import Testing

@Suite struct FilePathTests {
  struct Parts: Sendable {
    let path: String, folder: String, name: String, stem: String, ending: String
    init(_ path: String, _ folder: String, _ name: String, _ stem: String, _ ending: String) {
      (self.path, self.folder, self.name, self.stem, self.ending) = (path, folder, name, stem, ending)
    }
  }

  /// Folder and name as `dirname` and `basename` print them.
  static let parts: [Parts] = [
    Parts("x", ".", "x", "x", ""), Parts("./x", ".", "x", "x", ""), Parts("a/x", "a", "x", "x", ""), Parts("/x", "/", "x", "x", ""),
    Parts("a/b/x.lua", "a/b", "x.lua", "x", "lua"), Parts("a/x/", "a", "x", "x", ""), Parts("a//x//", "a", "x", "x", ""),
    Parts("/", "/", "/", "/", ""), Parts("//", "/", "/", "/", ""), Parts("//x", "/", "x", "x", ""), Parts("", ".", ".", ".", ""),
    Parts(".", ".", ".", ".", ""), Parts("..", ".", "..", "..", ""), Parts("../x", "..", "x", "x", ""), Parts("-", ".", "-", "-", ""),
    Parts("é", ".", "é", "é", ""), Parts("é/é.é", "é", "é.é", "é", "é"), Parts(".x", ".", ".x", ".x", ""), Parts("x.", ".", "x.", "x.", ""),
    Parts("x.tar.gz", ".", "x.tar.gz", "x.tar", "gz"), Parts("a.b/x", "a.b", "x", "x", ""), Parts("a\nb/c", "a\nb", "c", "c", ""),
    // These slashes are one Character with what follows, or with what comes before.
    Parts("a/\u{301}x", "a", "\u{301}x", "\u{301}x", ""), Parts("..\u{2F}\u{338}", "..", "\u{338}", "\u{338}", ""),
    Parts("\u{0D4E}/x", "\u{0D4E}", "x", "x", ""),
  ]

  @Test(arguments: parts) func splits(_ parts: Parts) {
    #expect(FilePath.folder(of: parts.path) == parts.folder)
    #expect(FilePath.name(of: parts.path) == parts.name)
    #expect(FilePath.stem(of: parts.path) == parts.stem)
    #expect(FilePath.fileExtension(of: parts.path) == parts.ending)
  }

  @Test func joins() {
    #expect(FilePath.join("a", "x") == "a/x")
    #expect(FilePath.join("a/", "x") == "a/x")
    #expect(FilePath.join("/", "x") == "/x")
    #expect(FilePath.join(".", "x") == "x")
    #expect(FilePath.join("", "x") == "x")
    #expect(FilePath.parts(of: "/a/./b//c/") == ["a", "b", "c"])
    #expect(FilePath.parts(of: "../\u{301}x") == ["..", "\u{301}x"])
  }

  @Test(arguments: ["", ".", "..", "a/b", "/", "a\0", "..\u{2F}\u{301}x"]) func isNoPlainName(_ name: String) {
    #expect(!FilePath.isPlainName(name))
  }

  @Test(arguments: [
    ("", "the path is empty"), ("a\0b", "'a\\0b': a path cannot hold the character NUL"),
    (String(repeating: "x", count: 256), "a path of 256 bytes"), (String(repeating: "a/", count: 4000), "a path of 8000 bytes"),
  ]) func refuses(_ path: String, _ message: String) {
    #expect { try FilePath.require(path) } throws: { "\($0)".contains(message) && "\($0)".count < 300 }
  }
}
