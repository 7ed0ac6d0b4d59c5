import Datasets
import Foundation
import Metrics
import TestSupport
import Testing

/// Rows and labels that the data's README states for one file.
struct GLUEFile: Sendable, CustomTestStringConvertible {
  let task: String
  let folder: String
  let trainFile: String
  let train: [Int]
  let evaluation: [[Int]]

  var testDescription: String { "\(folder)/\(trainFile)" }
}

private let files: [GLUEFile] = [
  GLUEFile(
    task: "CoLA", folder: "CoLA", trainFile: "train.tsv", train: [2261, 5435],
    evaluation: [[256, 579]]),
  GLUEFile(
    task: "sst2", folder: "SST-2", trainFile: "train.tsv", train: [26839, 33776],
    evaluation: [[338, 360]]),
  GLUEFile(
    task: "mrpc", folder: "MRPC", trainFile: "train.tsv", train: [1059, 2243],
    evaluation: [[106, 221]]),
  GLUEFile(
    task: "RTE", folder: "RTE", trainFile: "train.tsv", train: [1120, 1123],
    evaluation: [[113, 109]]),
  GLUEFile(
    task: "wnli", folder: "WNLI", trainFile: "train.tsv", train: [290, 278], evaluation: [[31, 26]]),
  GLUEFile(
    task: "qnli", folder: "QNLI", trainFile: "train.tsv", train: [4438, 4412],
    evaluation: [[2153, 2218]]),
  GLUEFile(
    task: "qnli", folder: "QNLI", trainFile: "train_more.tsv", train: [4089, 4044],
    evaluation: [[2153, 2218]]),
  GLUEFile(
    task: "qqp", folder: "QQP", trainFile: "train.tsv", train: [4536, 4570],
    evaluation: [[484, 316]]),
  GLUEFile(
    task: "qqp", folder: "QQP", trainFile: "train_more.tsv", train: [5626, 3119],
    evaluation: [[484, 316]]),
  GLUEFile(
    task: "mnli", folder: "MNLI", trainFile: "train.tsv", train: [4537, 4518, 4563],
    evaluation: [[2773, 2505, 2573], [276, 260, 272]]),
  GLUEFile(
    task: "mnli", folder: "MNLI", trainFile: "train_more.tsv", train: [2944, 2861, 2828],
    evaluation: [[2773, 2505, 2573], [276, 260, 272]]),
]

private func labelCounts(_ split: Split, _ numLabels: Int) -> [Int] {
  split.examples.reduce(into: [Int](repeating: 0, count: numLabels)) { counts, example in
    if let index = example.target.label, counts.indices.contains(index) {
      counts[index] += 1
    }
  }
}

@Test(.enabled(if: testData("glue") != nil), arguments: files)
func everyRowAndLabel(_ file: GLUEFile) throws {
  let folder = try #require(testData("glue/" + file.folder))
  let task = try GLUE.read(file.task, folder: folder, trainFile: file.trainFile)
  #expect(labelCounts(task.train, task.labelNames.count) == file.train)
  #expect(task.train.examples.count == file.train.reduce(0, +))
  #expect(task.evaluation.map { labelCounts($0, task.labelNames.count) } == file.evaluation)
  #expect(task.evaluation.map(\.examples.count) == file.evaluation.map { $0.reduce(0, +) })
  #expect(task.skippedRows.isEmpty)
  let isPair = try GLUE.task(named: file.task).hasPairs
  for split in [task.train] + task.evaluation {
    #expect(split.examples.allSatisfy { !$0.text.isEmpty && ($0.textPair != nil) == isPair })
  }
}

@Test(.enabled(if: testData("glue/STS-B") != nil)) func everyScore() throws {
  let folder = try #require(testData("glue/STS-B"))
  let task = try GLUE.read("sts-b", folder: folder)
  let table = [(task.train, 5175, 2.706), (task.evaluation[0], 1200, 2.340)]
  for (split, count, mean) in table {
    let scores = split.examples.compactMap(\.target.score)
    #expect(scores.count == count && split.examples.count == count)
    #expect(abs(scores.reduce(0, +) / Double(count) - mean) < 0.0005)
    #expect(scores.min() == 0 && scores.max() == 5)
  }
  #expect(task.labels == .scores && task.labelNames.isEmpty)
}

@Test(.enabled(if: testData("glue/SNLI") != nil)) func tablesThatAreNotGLUE() throws {
  let folder = try #require(testData("glue/SNLI"))
  var table = TableTask(
    train: folder + "/train.tsv", textColumn: "sentence1", labelColumn: "gold_label")
  table.evaluation = [folder + "/dev.tsv"]
  table.textPairColumn = "sentence2"
  table.labelNames = ["entailment", "neutral", "contradiction"]
  let task = try table.read()
  #expect(labelCounts(task.train, 3) == [2986, 3003, 3014])
  #expect(labelCounts(task.evaluation[0], 3) == [2662, 2587, 2632])
}

@Test(.enabled(if: testData("nlg/e2e/devset.csv") != nil)) func commaSeparatedRealData() throws {
  let path = try #require(testData("nlg/e2e/devset.csv"))
  var table = TableTask(train: path, textColumn: "ref", labelColumn: "mr")
  table.labelNames = nil
  let task = try table.read()
  #expect(task.train.examples.count == 3691)
  #expect(task.labelNames.count == 438)
}

@Test func textsAndLinesAreTheFiles() throws {
  try withTemporaryFolder { folder in
    let train =
      "\u{FEFF}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
      + "1\t1\t2\t\"A\u{2028}b ' \tC \"\r\n" + "\r\n" + "0\t3\t4\tD\tÉ\u{301}\r\n"
    try train.write(toFile: folder + "/train.tsv", atomically: true, encoding: .utf8)
    try train.write(toFile: folder + "/dev.tsv", atomically: true, encoding: .utf8)
    let task = try GLUE.read("MRPC", folder: folder)
    let expected = [
      Example(["\"A\u{2028}b ' ", "C \""], target: .label(1), line: 2),
      Example(["D", "É\u{301}"], target: .label(0), line: 4),
    ]
    #expect(task.train.examples == expected)
    #expect(task.evaluation.map(\.name) == ["dev"])
  }
}

@Test func unusableRowsAreCounted() throws {
  try withTemporaryFolder { folder in
    let mnli = "sentence1\tsentence2\tgold_label\na\tb\t-\nc\td\tneutral\ne\tf\t-\n"
    for name in ["train", "dev_matched"] {
      try mnli.write(toFile: "\(folder)/\(name).tsv", atomically: true, encoding: .utf8)
    }
    let task = try GLUE.read("mnli", folder: folder)
    #expect(task.train.examples == [Example(["c", "d"], target: .label(1), line: 3)])
    #expect(task.evaluation.map(\.name) == ["dev_matched"])
    #expect(
      task.skippedRows.first
        == SkippedRows(path: folder + "/train.tsv", reason: "label '-'", count: 2, firstLine: 2))
    #expect(task.skippedRows.count == 2)

    let qqp =
      "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta\nb\tc\t0\n1\t2\t3\td\te\t1\n"
    for name in ["train", "dev"] {
      try qqp.write(toFile: "\(folder)/\(name).tsv", atomically: true, encoding: .utf8)
    }
    let pairs = try GLUE.read("qqp", folder: folder)
    #expect(pairs.train.examples == [Example(["d", "e"], target: .label(1), line: 4)])
    #expect(pairs.skippedRows.map(\.firstLine) == [2, 3, 2, 3])
  }
}

@Test(arguments: [
  ("mnli", "mnli"), ("MNLI", "mnli"), ("sst2", "sst2"), ("SST-2", "sst2"), ("sst-2", "sst2"),
  ("stsb", "stsb"), ("sts-b", "stsb"), ("STS_B", "stsb"), ("CoLA", "cola"),
])
func taskNames(_ spelling: String, _ name: String) throws {
  #expect(try GLUE.task(named: spelling).name == name)
}

@Test func labelOrderIsTheHubs() throws {
  let table: [(String, [String])] = [
    ("cola", ["unacceptable", "acceptable"]), ("sst2", ["negative", "positive"]),
    ("mrpc", ["not_equivalent", "equivalent"]), ("stsb", []),
    ("qqp", ["not_duplicate", "duplicate"]), ("mnli", ["entailment", "neutral", "contradiction"]),
    ("qnli", ["entailment", "not_entailment"]), ("rte", ["entailment", "not_entailment"]),
    ("wnli", ["not_entailment", "entailment"]),
  ]
  #expect(GLUE.tasks.map(\.name) == table.map(\.0))
  #expect(GLUE.tasks.map(\.labelNames) == table.map(\.1))
}

@Test func everyMetricExistsAndFits() throws {
  for task in GLUE.tasks {
    for name in task.metricNames {
      let metric = try MetricCatalogue.metric(named: name)
      #expect((metric.kind == .regression) == (task.labelKind == .scores), "\(task.name)")
    }
  }
}

extension Target {
  fileprivate var label: Int? { if case .label(let index) = self { index } else { nil } }
  fileprivate var score: Double? { if case .score(let score) = self { score } else { nil } }
}
