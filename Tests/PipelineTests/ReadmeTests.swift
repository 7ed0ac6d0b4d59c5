import Foundation
import TestSupport
import Testing

@Suite struct ReadmeTests {
  /// The README's Lua is cut from the pipeline, so that it cannot drift; "-- ..." stands for lines that are left out.
  @Test func excerptsAreThePipelines() throws {
    let readme = try String(contentsOfFile: packageRoot + "/README.md", encoding: .utf8)
    let pipeline = try String(contentsOfFile: packageRoot + "/pipelines/mnli_to_rte.lua", encoding: .utf8)
    let section = try #require(readme.components(separatedBy: "\n## A pipeline\n").last?.components(separatedBy: "\n### ").first)
    let blocks = section.components(separatedBy: "```lua\n").dropFirst().compactMap { $0.components(separatedBy: "```").first }
    #expect(blocks.count >= 3)
    for piece in blocks.flatMap({ $0.components(separatedBy: "-- ...\n") }) {
      #expect(pipeline.contains(piece.trimmingCharacters(in: .newlines)), "the README shows what the pipeline does not have:\n\(piece)")
    }
  }
}
