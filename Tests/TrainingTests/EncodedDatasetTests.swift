import Datasets
import Diagnostics
import Files
import Foundation
import TensorCore
import TestSupport
import Testing
import Tokenizers

@testable import Tasks

/// Examples become tokens once: equal data is read from a file, and nothing that may happen to the file changes a result.
@Suite(.engine) struct EncodedDatasetTests {
  /// Enough examples for a file to be worth it.
  private static let examples = (0..<3_000).map { i in
    Example(
      ["the cat \(i) sat on mat \(i * i)"] + (i % 3 == 0 ? ["a dog \(i % 7)"] : []), target: .label(i % 2), line: i + 2)
  }

  private static func tokenizer(_ corpus: String = "the cat sat on a mat with the dog") throws -> Tokenizer {
    try BPETrainer.train(
      corpus: [corpus], vocabularySize: 300, specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
  }

  private func encode(
    _ tokenizer: Tokenizer, maxLength: Int = 32, _ folder: String? = nil, examples: [Example] = examples
  ) throws -> EncodedDataset {
    try EncodedDataset(
      examples, source: "train.tsv", for: SequenceClassification(labels: ["no", "yes"]), tokenizer: tokenizer, maxLength: maxLength, folder: folder)
  }

  private func expectEqual(_ a: EncodedDataset, _ b: EncodedDataset, sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(a.tokens == b.tokens, sourceLocation: sourceLocation)
    #expect(a.targets == b.targets && a.lines == b.lines, sourceLocation: sourceLocation)
  }

  private func files(_ folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  @Test(arguments: [1, 2, 5]) func anyNumberOfThreadsGivesTheSameTokens(threads: Int) throws {
    let before = Threads.count
    defer { Threads.count = before }
    let tokenizer = try Self.tokenizer()
    Threads.count = threads
    let data = try encode(tokenizer)
    for (i, example) in Self.examples.enumerated() where i % 97 == 0 {
      let expected = try tokenizer.encode(example.text, pair: example.textPair, maxLength: 32)
      let batch = try data.batch([i])
      #expect(batch.ids == expected.ids && batch.tokenTypes == expected.tokenTypeIds)
      #expect(data.specialTokens([i]) == expected.specialTokensMask.map { $0 != 0 })
    }
  }

  /// Two files of one name, and two limits of one file, are two splits.
  @Test func splitsOfOneNameKeepTheirOwnTokens() throws {
    func split(_ labels: [Int]) -> Split {
      Split(name: "data", path: "data.csv", examples: labels.map { Example(["the cat"], target: .label($0), line: 2) })
    }
    let task = try TrainingTask(
      TaskDefinition(
        name: "t", labels: .classes, labelNames: ["0", "1"], metricNames: ["accuracy"], metricForBestModel: "accuracy",
        train: split([0, 1]), evaluation: [split([1, 0])]))
    let tokenizer = try Self.tokenizer()
    func encoded(_ split: Split) throws -> EncodedDataset { try task.encoded(split, tokenizer: tokenizer, maxLength: 8) }
    #expect(try encoded(task.train).targets == [.label(0), .label(1)])
    #expect(try encoded(task.evaluation[0]).targets == [.label(1), .label(0)])
    // So are two lengths.
    let short = try task.encoded(task.train, tokenizer: tokenizer, maxLength: 3)
    #expect(try short.lengths.reduce(0, +) < encoded(task.train).lengths.reduce(0, +))
  }

  @Test func tokensAreReadFromTheFile() throws {
    try withTemporaryFolder { folder in
      let tokenizer = try Self.tokenizer()
      let plain = try encode(tokenizer)
      try expectEqual(encode(tokenizer, folder + "/deep/tokens"), plain)
      #expect(files(folder + "/deep/tokens").count == 1)
      try expectEqual(encode(tokenizer, folder + "/deep/tokens"), plain)

      // Tokens that no tokenizer would give, under the same key, come back: it is the file that is read.
      var marked = plain.tokens
      marked.ids[5] += 1
      try TokenFile(folder: folder + "/deep/tokens", examples: Self.examples, type: MaskedLM(), tokenizer: tokenizer, maxLength: 32).write(marked)
      #expect(try encode(tokenizer, folder + "/deep/tokens").tokens == marked)
    }
  }

  @Test func whateverTheTokensDependOnNamesTheFile() throws {
    try withTemporaryFolder { folder in
      let tokenizer = try Self.tokenizer()
      _ = try encode(tokenizer, folder)
      _ = try encode(tokenizer, maxLength: 31, folder)
      _ = try encode(try Self.tokenizer("zebra zebra zebra quick quick"), folder)
      _ = try encode(tokenizer, folder, examples: Array(Self.examples.dropLast()))
      var moved = Self.examples
      moved[0].inputs = [moved[0].inputs.joined(), ""]
      _ = try encode(tokenizer, folder, examples: moved)
      #expect(files(folder).count == 5)
      // Labels and lines are the examples' own.
      var relabelled = Self.examples
      (relabelled[0].target, relabelled[0].line) = (.label(7), 99)
      let data = try encode(tokenizer, folder, examples: relabelled)
      #expect(files(folder).count == 5 && data.targets[0] == .label(7) && data.lines[0] == 99)
    }
  }

  @Test func aFewTokensAreNotWorthAFile() throws {
    try withTemporaryFolder { folder in
      _ = try encode(try Self.tokenizer(), folder + "/tokens", examples: Array(Self.examples.prefix(50)))
      #expect(files(folder).isEmpty)
    }
  }

  @Test(arguments: ["flipped", "cut", "empty", "text", "folder"]) func aDamagedFileIsWrittenAgain(damage: String) throws {
    try withTemporaryFolder { folder in
      let tokenizer = try Self.tokenizer()
      let plain = try encode(tokenizer, folder)
      let path = folder + "/" + (try #require(files(folder).first))
      let good = try readFile(path)
      var bytes = good
      switch damage {
      case "flipped": bytes[bytes.count / 2] ^= 1
      case "cut": bytes = bytes.prefix(bytes.count - 9)
      case "empty": bytes = Data()
      default: bytes = Data("no tensors here".utf8)
      }
      if damage == "folder" {
        try FileManager.default.removeItem(atPath: path)
        try createFolder(path + "/inside")
      } else {
        try bytes.write(to: URL(fileURLWithPath: path))
      }
      try expectEqual(encode(tokenizer, folder), plain)
      if damage != "folder" { #expect(try readFile(path) == good) }
    }
  }

  @Test func aFolderThatCannotBeWrittenIsNoError() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("a file", to: folder + "/file")
      let tokenizer = try Self.tokenizer()
      try expectEqual(encode(tokenizer, folder + "/file/tokens"), encode(tokenizer))
    }
  }

  @Test func theFirstBadExampleIsNamed() throws {
    let tokenizer = try Self.tokenizer()
    let error = #expect(throws: EngineError.self) { try encode(tokenizer, maxLength: 1) }
    #expect("\(try #require(error))".hasPrefix("train.tsv:2: "))
  }
}
