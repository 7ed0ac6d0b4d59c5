import Files
import TestSupport
import Testing

/// Every page of `docs/guide` is done as a reader does it: files are written, and commands are given, in the page's order.
///
/// A block behind a line "`name`:" is the content of that file. Blocks of `sh` run, in one shell for a page; `console` is for
/// what needs a network or another machine, and does not run.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct GuideTests {
  private static let folder = packageRoot + "/docs/guide"

  private static var pages: [String] {
    get throws { try AtomicFolder.names(in: folder).filter { $0.hasSuffix(".md") && $0 != "README.md" }.sorted() }
  }

  /// The page as a script for bash.
  private func script(of page: String) throws -> String {
    var script = "set -euo pipefail\n"
    var block: (kind: String, file: String?, lines: [Substring])?
    var before: Substring = ""
    for line in try readText(Self.folder + "/" + page).split(separator: "\n", omittingEmptySubsequences: false) {
      if let open = block {
        guard line.hasPrefix("```") else {
          block?.lines.append(line)
          continue
        }
        let text = open.lines.joined(separator: "\n")
        if let file = open.file {
          script += "cat >'\(file)' <<'END OF \(file)'\n\(text)\nEND OF \(file)\n"
        } else if open.kind == "sh" {
          script += text + "\n"
        } else {
          #expect(open.kind == "console", "\(page): a block of '\(open.kind)' is neither a file nor a command:\n\(text)")
        }
        block = nil
      } else if line.hasPrefix("```") {
        block = (String(line.dropFirst(3)), before.wholeMatch(of: /`([^`]+)`:/).map { String($0.1) }, [])
      } else if !line.isEmpty {
        before = line
      }
      if line.isEmpty == false, block == nil, line.hasPrefix("```") { before = "" }
    }
    #expect(block == nil, "\(page): a block has no end")
    return script
  }

  @Test(arguments: try pages) func everyPageRunsAsItStands(_ page: String) throws {
    try withTemporaryFolder { folder in
      let program = try #require(perigeeExecutable)
      let setting = """
        export PATH='\(FilePath.folder(of: program))':$PATH HOME='\(folder)' PERIGEE_CACHE='\(folder)/.cache' XDG_DATA_HOME='\(folder)/.data' CI=1

        """
      let outcome = try bash(["-c", setting + script(of: page)], in: folder)
      #expect(outcome.code == 0, "\(page): \(outcome.output.suffix(800))\(outcome.error.suffix(1500))")
    }
  }

  @Test func theListHasEveryPage() throws {
    let list = try readText(Self.folder + "/README.md")
    for page in try Self.pages { #expect(list.contains("(\(page))"), "docs/guide/README.md does not name \(page)") }
  }
}
