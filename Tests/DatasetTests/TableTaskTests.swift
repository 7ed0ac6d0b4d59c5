import Diagnostics
import TestSupport
import Testing

@testable import Datasets

private func write(_ text: String, _ name: String, in folder: String) throws -> String {
  let path = folder + "/" + name
  try text.write(toFile: path, atomically: true, encoding: .utf8)
  return path
}

@Test func commaSeparatedFieldsFollowRFC4180() throws {
  try withTemporaryFolder { folder in
    let text =
      "text,label\r\n\"a, \"\"b\"\"\r\nc\", 1\r\n\r\n e \"f\" ,0\n\"\",1\ng,\u{301}h\n\"i\nj\",\"0\""
    let path = try write(text, "train.csv", in: folder)
    let rows = try readRows(path, format: .csv, columns: .named(["label", "text"]))
    let expected: [(Int, [String])] = [
      (2, [" 1", "a, \"b\"\r\nc"]), (5, ["0", " e \"f\" "]), (6, ["1", ""]),
      (7, ["\u{301}h", "g"]), (8, ["0", "i\nj"]),
    ]
    #expect(rows.map(\.line) == expected.map(\.0))
    #expect(rows.map(\.content) == expected.map { .values($0.1) })
  }
}

@Test func sameRowsInEveryFormat() throws {
  try withTemporaryFolder { folder in
    let paths = [
      try write("label\ttext\tpair\n10\ta\tb\n9\tc\td\n", "train.tsv", in: folder),
      try write("label,text,pair\n10,a,b\n9,c,d\n", "dev.CSV", in: folder),
      try write(
        "{\"text\": \"a\", \"pair\": \"b\", \"label\": 10}\n\n"
          + "{\"label\": \"9\", \"text\": \"c\", \"pair\": \"d\", \"extra\": [1, {}]}\r\n",
        "dev.jsonl", in: folder),
    ]
    var table = TableTask(train: paths[0], textColumn: "text", labelColumn: "label")
    table.textPairColumn = "pair"
    table.evaluation = Array(paths[1...])
    let task = try table.read()
    #expect(task.labelNames == ["9", "10"])
    #expect(task.evaluation.map(\.name) == ["dev", "dev_2"])
    #expect(task.name == "train")
    for split in [task.train] + task.evaluation {
      #expect(split.examples.map(\.text) == ["a", "c"])
      #expect(split.examples.map(\.textPair) == ["b", "d"])
      #expect(split.examples.map(\.target) == [.label(1), .label(0)])
    }
    #expect(task.evaluation.map { $0.examples.map(\.line) } == [[2, 3], [1, 3]])
    #expect(task.metricNames == ["accuracy"] && task.metricForBestModel == "accuracy")
    #expect(task.labelNames.count == 2 && ([task.train] + task.evaluation).map(\.path) == paths)
  }
}

@Test func regressionFromJSON() throws {
  try withTemporaryFolder { folder in
    let path = try write(
      "{\"t\": \"a\", \"y\": -1.5e1}\n{\"t\": 3, \"y\": \" 2 \"}\n{\"t\": true, \"y\": 4.0}\n",
      "train.jsonl", in: folder)
    var table = TableTask(train: path, textColumn: "t", labelColumn: "y")
    table.labelKind = .scores
    let task = try table.read()
    #expect(task.train.examples.map(\.target) == [.score(-15), .score(2), .score(4)])
    #expect(task.train.examples.map(\.text) == ["a", "3", "true"])
    #expect(task.train.examples.allSatisfy { $0.textPair == nil })
    #expect(task.labels == .scores && task.metricNames == ["pearson", "spearmanr"])
  }
}

@Test func hugeFieldsAreRead() throws {
  try withTemporaryFolder { folder in
    let huge = String(repeating: "word ", count: 1_000_000)
    let contents: [(String, String)] = [
      ("a.tsv", "text\tlabel\n\(huge)\t0\nb\t1\n"), ("a.csv", "text,label\n\"\(huge)\",0\nb,1\n"),
      ("a.jsonl", "{\"text\": \"\(huge)\", \"label\": 0}\n{\"text\": \"b\", \"label\": 1}\n"),
    ]
    for (name, content) in contents {
      let path = try write(content, name, in: folder)
      let task = try TableTask(train: path, textColumn: "text", labelColumn: "label").read()
      #expect(task.train.examples.first?.text == huge, "\(name)")
    }
  }
}

@Test func limitsTakeTheSameExamplesEverywhere() throws {
  let examples = (0..<100).map { Example(["\($0)"], target: .label(0), line: $0 + 1) }
  let five = RowLimit.keep(5, of: examples, seed: 1).map(\.line)
  // Recorded: a run directory names the seed, and must mean the same examples in later versions.
  #expect(five == [57, 75, 98, 47, 4])
  #expect(Array(RowLimit.keep(50, of: examples, seed: 1).map(\.line).prefix(5)) == five)
  #expect(Set(RowLimit.keep(99, of: examples, seed: 3).map(\.line)).count == 99)
  #expect(RowLimit.keep(5, of: examples, seed: 2).map(\.line) != five)
  #expect(RowLimit.keep(100, of: examples, seed: 1) == examples)
  #expect(RowLimit.keep(nil, of: examples, seed: 1) == examples)
}

@Test func splitMix64IsTheReferences() {
  // The first outputs for seed 1234567 of the reference implementation.
  var generator = SplitMix64(seed: 1_234_567)
  #expect(generator.next() == 6_457_827_717_110_365_317)
  #expect(generator.next() == 3_203_168_211_198_807_973)
}

@Test func limitsApplyToTheirSplits() throws {
  try withTemporaryFolder { folder in
    let rows = (0..<10).map { "\($0)\t\($0 % 2)\n" }.joined()
    var table = TableTask(
      train: try write("text\tlabel\n" + rows, "train.tsv", in: folder), textColumn: "text",
      labelColumn: "label")
    table.evaluation = [try write("text\tlabel\n" + rows, "dev.tsv", in: folder)]
    table.limit = RowLimit(train: 1, evaluation: 3)
    let task = try table.read()
    #expect(task.labelNames == ["0", "1"], "classes come from the whole file")
    #expect(task.train.examples.count == 1 && task.evaluation[0].examples.count == 3)
  }
}

/// Quotes are ordinary characters, as with Python's `csv.QUOTE_NONE`: in a field's middle and around a whole one.
@Test func quotesInTabSeparatedFieldsAreText() throws {
  try withTemporaryFolder { folder in
    let texts = ["\"a whole field\"", "\"opens", "closes\"", "\"\"", "\"", "a \"b\" c", "\"x\"\"y\"", "'a'", " \"a\" "]
    let labels = texts.indices.map { $0 % 2 == 0 ? "\"yes\"" : "no" }
    let lines = zip(texts, labels).map { "\($0)\t\($0)\t\($1)\n" }.joined()
    var table = TableTask(
      train: try write("\"text\"\tpair\tlabel\n" + lines, "train.tsv", in: folder), textColumn: "\"text\"", labelColumn: "label")
    table.textPairColumn = "pair"
    let task = try table.read()
    #expect(task.train.examples.map(\.text) == texts)
    #expect(task.train.examples.map(\.textPair) == texts)
    #expect(task.labelNames == ["\"yes\"", "no"])
    #expect(task.train.examples.map(\.target) == texts.indices.map { .label($0 % 2) })
    #expect(task.train.examples.map(\.line) == Array(2...10))
  }
}
