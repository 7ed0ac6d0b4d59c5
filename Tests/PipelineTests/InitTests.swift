import Files
import Foundation
import TestSupport
import Testing

/// `perigee init`: what it writes runs as it stands.
@Suite(.serialized, .enabled(if: perigeeExecutable != nil, "perigee is not built")) struct InitTests {
  private static let rows = (0..<12).map { i in (text: "a \(i % 2 == 0 ? "good" : "bad") day, number \(i)", label: i % 2 == 0 ? "yes" : "no", i: i) }

  private static let csv = "review,kind\n" + rows.map { "\"\($0.text)\",\($0.label)\n" }.joined()

  @Test(arguments: [
    ("classes", ["reviews.csv": csv, "dev.csv": csv], "classes 'kind' of 'review', 12 rows of reviews.csv, measured on dev.csv"),
    (
      "pairs with scores",
      ["train.tsv": "sentence1\tsentence2\tscore\n" + rows.map { "\($0.text)\tb\t\(Double($0.i) / 3)\n" }.joined(), "other.tsv": "x\n"],
      "a score 'score' of 'sentence1' and 'sentence2'"
    ),
    (
      "completions", ["facts.jsonl": rows.map { "{\"mr\": \"n \($0.i)\", \"ref\": \"\($0.text)\"}\n" }.joined()],
      "'ref' for each 'mr'"
    ),
    ("texts", ["train.txt": rows.map { $0.text + "\n" }.joined()], "the texts themselves"),
  ])
  func theScriptRunsAsItStands(_ name: String, _ files: [String: String], _ summary: String) throws {
    try withTemporaryFolder { folder in
      for (file, content) in files { try AtomicFile.write(content, to: folder + "/" + file) }
      let outcome = try perigee(["init"], in: folder)
      #expect(outcome.code == 0 && outcome.output.contains(summary), "\(outcome.output)\(outcome.error)")
      let run = try perigee(["run", "pipeline.lua", "--out", "out", "--precision", "fp32", "--quiet"], in: folder)
      #expect(run.code == 0, "\(run.error)")
      #expect(run.output.contains("trainable"))
      let again = try perigee(["init"], in: folder)
      #expect(again.code == 1 && again.error.contains("--overwrite"))
    }
  }

  @Test func aModelsFolderDecidesWhatIsWritten() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("prompt,completion\na,b\n", to: folder + "/train.csv")
      for (model, expected) in [("tiny-t5", "tasks.seq2seq_lm"), ("tiny-llama", "tasks.causal_lm")] {
        try FileManager.default.createDirectory(atPath: folder + "/models/m", withIntermediateDirectories: true)
        try? FileManager.default.removeItem(atPath: folder + "/models/m/config.json")
        try FileManager.default.copyItem(
          atPath: "\(packageRoot)/Tests/Fixtures/models/\(model)/config.json", toPath: folder + "/models/m/config.json")
        let outcome = try perigee(["init", "--overwrite"], in: folder)
        #expect(outcome.output.contains("the model in models/m"), "\(outcome.error)")
        #expect(try readText(folder + "/pipeline.lua").contains(expected))
      }
    }
  }

  @Test func whatSuggestsNothingIsRefused() throws {
    try withTemporaryFolder { folder in
      #expect(try perigee(["init"], in: folder).error.contains("no data to learn from"))
      for name in ["a.csv", "b.csv"] { try AtomicFile.write("u,v\n1,2\n", to: folder + "/" + name) }
      #expect(try perigee(["init"], in: folder).error.contains("which of a.csv, b.csv is to be learnt from?"))
      try FileManager.default.removeItem(atPath: folder + "/b.csv")
      let rows = (0..<9).map { "text \($0),other \($0)\n" }.joined()
      try AtomicFile.write("u,v\n" + rows, to: folder + "/a.csv")
      #expect(try perigee(["init"], in: folder).error.contains("which column is the label?"))
    }
  }

  @Test func parametersComeFromAFile() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("local p = params { a = 1, b = { \"x\" }, c = true } print(p.a, table.concat(p.b, '+'), p.c)", to: folder + "/s.lua")
      try AtomicFile.write("{\"a\": 5, \"b\": [\"u\", \"v\"], \"c\": false}", to: folder + "/p.json")
      func run(_ arguments: [String]) throws -> Outcome { try perigee(["run", "s.lua", "--quiet"] + arguments, in: folder) }
      #expect(try run(["--set-file", "p.json"]).output == "5\tu+v\tfalse\n")
      #expect(try run(["--set", "a=7", "--set-file", "p.json"]).output == "7\tu+v\tfalse\n")
      try AtomicFile.write("{\"b\": [\"u,v\"]}", to: folder + "/p.json")
      #expect(try run(["--set-file", "p.json"]).error.contains("p.json: 'b' has \"u,v\""))
      try AtomicFile.write("{\"aa\": 3}", to: folder + "/p.json")
      #expect(try run(["--set-file", "p.json"]).error.contains("no option 'aa'"))
    }
  }
}
