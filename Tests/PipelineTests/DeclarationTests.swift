import Bindings
import Commands
import Foundation
import TestSupport
import Testing

@Suite struct DeclarationTests {
  @Test func everyDeclarationIsExplained() throws {
    #expect(try Runner.undocumented() == [])
  }

  /// `perigee stubs` writes them again, and the reference with `--reference`.
  @Test(arguments: [("lua/meta", "perigee stubs"), ("docs/api", "perigee stubs --reference")])
  func writtenDeclarationsAreFresh(_ place: String, _ command: String) throws {
    let files = try place == "docs/api" ? Runner.reference() : Runner.stubs()
    let folder = packageRoot + "/" + place
    #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == Set(files.map(\.name)))
    for (name, text) in files {
      let written = try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
      #expect(written == text, "\(place)/\(name) is stale: run \(command)")
    }
  }

  /// Every module, class, function and option has its place there, and every link leads somewhere.
  @Test func theReferenceIsComplete() throws {
    let pages = Dictionary(uniqueKeysWithValues: try Runner.reference().map { ($0.name, $0.text) })
    for (page, part) in [
      ("README.md", "| [trainer](trainer.md) |"), ("trainer.md", "### trainer.fit(\\[options])\n"), ("trainer.md", "| `learning_rate` | `number` |"),
      ("models.md", "### Model:save(folder)"), ("adapters.md", "| `lora_alpha` |"), ("sweep.md", "| `halving` | `integer` | successive halving"),
      ("sweep.md", "(from 2 to 1000)"), ("params.md", "### params(declarations)"),
    ] { #expect(pages[page]?.contains(part) == true, "\(part) in \(page)") }
    for (page, text) in pages {
      for link in text.matches(of: /\]\(([a-zA-Z_]*(?:\.md)?)(?:#([a-z_]+))?\)/) {
        let target = link.1.isEmpty ? page : String(link.1)
        let titles = pages[target]?.split(separator: "\n").filter { $0.hasPrefix("## ") }.map { $0.dropFirst(3).lowercased() } ?? []
        #expect(pages[target] != nil && link.2.map { titles.contains(String($0)) } ?? true, "\(page): \(link.0)")
      }
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
