import Checkpoints
import Files
import NN
import TensorCore
import TestSupport
import Testing

/// `perigee embed` and `model:embed`, which have the same vectors.
@Suite(.serialized, .enabled(if: perigeeExecutable != nil, "perigee is not built")) struct EmbedTests {
  private static let model = packageRoot + "/Tests/Fixtures/labels/mnli"

  /// The numbers that a script prints in rows.
  private func scriptVectors(_ expression: String) throws -> [[Double]] {
    try ScriptHost.with { host, folder in
      let lines = try host.printed(
        "local model = models.load('\(Self.model)'):classifier() for _, row in ipairs(\(expression)) do print(table.concat(row, ' ')) end")
      return lines.map { $0.split(separator: " ").map { Double($0) ?? .nan } }
    }
  }

  @Test func rowsGetTheVectorsOfScripts() throws {
    let texts = ["a dog", "the cat sat here"]
    let list = "{ '\(texts[0])', '\(texts[1])' }"
    let expected = try scriptVectors("model:embed(\(list), { normalize = true }):tolist()")
    #expect(expected.map(\.count) == [32, 32])
    // One text is no list, and the mean over its states is its vector.
    let single = try scriptVectors("{ model:embed('\(texts[0])'):tolist(), model:hidden_states('\(texts[0])'):mean(0):tolist() }")
    expectClose("mean of the states", single[0], single[1], relative: 1e-5)
    let first = try scriptVectors("model:hidden_states(\(list), { layer = 0 })[2]:tolist()")
    let cls = try scriptVectors("model:embed(\(list), { layer = 0, pooling = 'cls' }):tolist()")
    expectClose("first token", first[0], cls[1], relative: 1e-6)

    try withTemporaryFolder { folder in
      func embed(_ arguments: [String]) throws -> Outcome {
        try perigee(["embed", Self.model] + arguments + ["--precision", "fp32", "--threads", "1"], in: folder)
      }
      try AtomicFile.write("n\treview\n" + texts.enumerated().map { "\($0)\t\($1)\n" }.joined(), to: folder + "/new.tsv")
      try AtomicFile.write(texts.joined(separator: "\n") + "\n", to: folder + "/new.txt")
      let table = try embed(["new.tsv", "--text", "review", "--normalize"])
      let rows = table.output.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
      #expect(table.code == 0 && rows.first == ["n", "review", "embedding"], "\(table.error)")
      for (i, row) in rows.dropFirst().enumerated() {
        #expect(row[1] == texts[i])
        let vector = try JSONValue(parsing: row[2], source: "row").arrayValue?.compactMap(\.doubleValue) ?? []
        expectClose("row \(i)", vector, expected[i], relative: 1e-5)
      }
      let lines = try embed(["new.txt", "--normalize"])
      let object = try JSONValue(parsing: String(lines.output.split(separator: "\n")[1]), source: "line")
      #expect(object["text"] == .string(texts[1]))
      expectClose("line", object["embedding"]?.arrayValue?.compactMap(\.doubleValue) ?? [], expected[1], relative: 1e-5)
      let file = try embed(["new.txt", "--normalize", "--out", "v.safetensors"])
      #expect(file.code == 0 && file.output.isEmpty, "\(file.error)")
      let tensor = try SafetensorsFile(folder + "/v.safetensors").tensor("embeddings")
      #expect(tensor.shape == [2, 32])
      expectClose("tensor", tensor.values, expected.flatMap { $0 }, relative: 1e-5)
      try AtomicFile.write("sentence1\tsentence2\na dog\ta cat\n", to: folder + "/pair.tsv")
      for (arguments, message) in [
        (["pair.tsv"], "sentence1 and sentence2 are a pair"), (["new.txt", "--pooling", "max"], "must be one of 'mean', 'cls', 'lasttoken'"),
        (["new.txt", "--layer", "9"], "the model has 1"), (["new.txt", "--out", "v.safetensors"], "--overwrite"),
      ] {
        let wrong = try embed(arguments)
        #expect(wrong.code == 1 && wrong.error.contains(message) && wrong.output.isEmpty, "\(arguments): \(wrong.error)")
      }
    }
  }
}
