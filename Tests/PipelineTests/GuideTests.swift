import Files
import Foundation
import TestSupport
import Testing

/// Every page of `docs/guide` is done as a reader does it: files are written, and commands are given, in the page's order.
///
/// A block behind a line "`name`:" is the content of that file. Blocks of `sh` run, in one shell for a page; `console` is for
/// what needs a network or another machine, and does not run. In the README, blocks of `lua` are parts of a pipeline, whose text they
/// must be, or one script.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct GuideTests {
  private static let folder = packageRoot + "/docs/guide"

  private static var pages: [String] {
    get throws { try AtomicFolder.names(in: folder).filter { $0.hasSuffix(".md") && $0 != "README.md" }.sorted() }
  }

  /// The page as a script for bash. `lua`: takes blocks of Lua that are no file.
  private func script(of page: String, lua: ((String) -> Void)? = nil) throws -> String {
    var script = "set -euo pipefail\n"
    var block: (kind: String, file: String?, lines: [Substring])?
    var before: Substring = ""
    for line in try readText(page).split(separator: "\n", omittingEmptySubsequences: false) {
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
        } else if open.kind == "lua", let lua {
          lua(text)
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

  private func run(_ script: String, in folder: String, _ page: String) throws {
    let program = try #require(perigeeExecutable)
    let setting = """
      export PATH='\(FilePath.folder(of: program))':$PATH HOME='\(folder)' PERIGEE_CACHE='\(folder)/.cache' XDG_DATA_HOME='\(folder)/.data' CI=1

      """
    let outcome = try bash(["-c", setting + script], in: folder)
    #expect(outcome.code == 0, "\(page): \(outcome.output.suffix(800))\(outcome.error.suffix(1500))")
  }

  @Test(arguments: try pages) func everyPageRunsAsItStands(_ page: String) throws {
    try withTemporaryFolder { folder in try run(script(of: Self.folder + "/" + page), in: folder, page) }
  }

  /// The README's commands and scripts, with files of the names that it uses. What it runs is only checked: it takes minutes.
  @Test func theReadmeIsRight() throws {
    try withTemporaryFolder { folder in
      let pipeline = try readText(packageRoot + "/pipelines/mnli_to_rte.lua")
      var (excerpts, snippets) = (0, "")
      let commands = try script(of: packageRoot + "/README.md") { block in
        // "-- ..." stands for lines that are left out.
        let pieces = block.components(separatedBy: "-- ...\n").map { $0.trimmingCharacters(in: .newlines) }
        if pieces.allSatisfy(pipeline.contains) { excerpts += 1 } else { snippets += block + "\n" }
      }
      #expect(excerpts >= 4 && snippets.contains("tasks.table"), "\(excerpts) parts of the pipeline; the rest is\n\(snippets)")
      try AtomicFile.write(snippets, to: folder + "/readme.lua")
      try createFolder(folder + "/models")
      try AtomicFolder.copy(packageRoot + "/pipelines", to: folder + "/pipelines")
      try createFolder(folder + "/models/roberta-base")
      try AtomicFolder.copy(packageRoot + "/Tests/Fixtures/models/tiny-roberta/config.json", to: folder + "/models/roberta-base/config.json")
      for name in ["reviews", "dev"] { try AtomicFile.write("review,stars\ngood,1\nbad,0\n", to: folder + "/\(name).csv") }
      for name in ["trainset", "devset"] {
        try AtomicFile.write(
          "mr,ref\n\"name[The Vaults], eatType[pub]\",The Vaults is a pub.\nname[Blue],Blue is a place.\n", to: folder + "/\(name).csv")
      }
      try run(
        "perigee() { [ $1 = run ] && set -- check \"${@:2}\"; command perigee \"$@\"; }\n" + commands + "perigee check readme.lua\n", in: folder,
        "README.md")
    }
  }

  @Test func theListHasEveryPage() throws {
    let list = try readText(Self.folder + "/README.md")
    for page in try Self.pages { #expect(list.contains("(\(page))"), "docs/guide/README.md does not name \(page)") }
  }
}
