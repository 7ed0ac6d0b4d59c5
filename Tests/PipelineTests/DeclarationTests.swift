import Bindings
import Foundation
import TestSupport
import Testing

@Suite struct DeclarationTests {
  @Test func everyDeclarationIsExplained() throws {
    #expect(try Runner.undocumented() == [])
  }

  /// `perigee stubs` writes them again.
  @Test func editorStubsAreFresh() throws {
    let stubs = try Runner.stubs()
    let folder = packageRoot + "/lua/meta"
    #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == Set(stubs.map(\.name)))
    for (name, text) in stubs {
      let written = try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
      #expect(written == text, "lua/meta/\(name) is stale: run perigee stubs")
    }
  }

  /// Files stay short enough to read.
  @Test func noFileHasMoreThanFiveHundredLines() throws {
    for folder in ["Sources", "Tests", "pipelines"] {
      let files = FileManager.default.enumerator(atPath: packageRoot + "/" + folder)
      while let file = files?.nextObject() as? String {
        guard [".swift", ".c", ".h", ".lua"].contains(where: file.hasSuffix) else { continue }
        let text = try String(contentsOfFile: packageRoot + "/" + folder + "/" + file, encoding: .utf8)
        let lines = text.utf8.count { $0 == UInt8(ascii: "\n") }
        #expect(lines <= 500, "\(folder)/\(file) has \(lines) lines")
      }
    }
  }
}
