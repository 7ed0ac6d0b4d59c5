import Datasets
import Diagnostics
import Foundation
import TestSupport
import Testing

/// A file, what is asked of it, and the one line that the user sees (`F` stands for the folder).
struct BadFile: Sendable, CustomTestStringConvertible {
  let name: String
  let file: String
  let bytes: [UInt8]?
  let expected: String
  let configure: @Sendable (inout TableTask) -> Void

  init(
    _ name: String, _ file: String, _ content: String?, _ expected: String,
    configure: @escaping @Sendable (inout TableTask) -> Void = { _ in }
  ) {
    self.name = name
    self.file = file
    self.bytes = content.map { Array($0.utf8) }
    self.expected = expected
    self.configure = configure
  }

  init(_ name: String, _ file: String, bytes: [UInt8], _ expected: String) {
    self.name = name
    self.file = file
    self.bytes = bytes
    self.expected = expected
    self.configure = { _ in }
  }

  var testDescription: String { name }
}

private let header = "text\tlabel\n"
private let good = header + "a\t0\nb\t1\n"
private let regression: @Sendable (inout TableTask) -> Void = { $0.labelKind = .scores }

private let badFiles: [BadFile] = [
  BadFile("missing", "train.tsv", nil, "F/train.tsv: no such file"),
  BadFile("empty tsv", "t.tsv", "", "F/t.tsv: empty file, expected a header line"),
  BadFile("empty jsonl", "t.jsonl", "", "F/t.jsonl: empty file, expected rows"),
  BadFile("header only", "t.tsv", header, "F/t.tsv: no rows after the header"),
  BadFile("header only, csv", "t.csv", "text,label", "F/t.csv: no rows after the header"),
  BadFile("blank lines only", "t.jsonl", "\n\r\n", "F/t.jsonl: no rows"),
  BadFile(
    "not UTF-8", "t.tsv", bytes: Array(header.utf8) + [0x61, 0xE9, 0x09, 0x30, 0x0A],
    "F/t.tsv:2: invalid UTF-8; save the file as UTF-8"),
  BadFile(
    "NUL", "t.tsv", header + "a\t0\nb\0\t1\n",
    "F/t.tsv:3: NUL byte; expected text, is the file binary or damaged?"),
  BadFile(
    "unknown extension", "t.txt", good,
    "F/t.txt: the format cannot be told from the extension; expected .tsv, .csv, .jsonl, or name the format"
  ),
  BadFile(
    "misspelt column", "t.tsv", "txt\tlabel\na\t0\n",
    "F/t.tsv:1: no column 'text' (columns: txt, label); did you mean 'txt'?"),
  BadFile(
    "wrong separator", "t.tsv", "text,label\na,0\n",
    "F/t.tsv:1: no column 'text' (columns: text,label); the header has commas: give format = \"csv\", or call the file .csv"),
  BadFile(
    "wrong separator, no likeness", "t.csv", "a;b;c;d;e;f\n",
    "F/t.csv:1: no column 'text' (columns: a;b;c;d;e;f); the header has ';', which separates no columns: expected commas (csv) or tabs (tsv)"),
  BadFile("column twice", "t.tsv", "text\ttext\tlabel\n", "F/t.tsv:1: 2 columns are called 'text'"),
  BadFile(
    "too few fields", "t.tsv", header + "a\t0\nb\n",
    "F/t.tsv:3: 1 of 2 tab-separated fields (a line break inside a text?)"),
  BadFile(
    "too many fields", "t.tsv", header + "a\t0\t\nb\tc\t1\n",
    "F/t.tsv:3: 3 tab-separated fields, expected 2 (a tab inside a text?)"),
  BadFile(
    "too few fields, csv", "t.csv", "text,label\n\"a\nb\",0\nc\n",
    "F/t.csv:4: 1 of 2 comma-separated fields (a line break outside quotes?)"),
  BadFile(
    "too many fields, csv", "t.csv", "text,label\na,0,\nb,c,1\n",
    "F/t.csv:3: 3 comma-separated fields, expected 2 (a comma outside quotes?)"),
  BadFile(
    "open quote", "t.csv", "text,label\na,0\n\"b,1\nc,0\n",
    "F/t.csv:3: a quoted field that opens on this line never closes"),
  BadFile(
    "text after a quote", "t.csv", "text,label\n\"a\nb\"c,1\n",
    "F/t.csv:3: text after the closing quote of a field; a quote inside a quoted field is written twice"
  ),
  BadFile(
    "broken JSON", "t.jsonl", "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"b\"",
    "F/t.jsonl:2: invalid JSON: expected ',' or '}', the text ends (byte 12)"),
  BadFile(
    "half a character", "t.jsonl", "{\"text\": \"a \\ud83d\", \"label\": 0}",
    "F/t.jsonl:1: invalid JSON: half of a surrogate pair (byte 18)"),
  BadFile(
    "JSON array", "t.jsonl", "[{\"text\": \"a\", \"label\": 0}]",
    "F/t.jsonl:1: not a JSON object, expected one object per line (a JSON array? write its elements on lines of their own)"
  ),
  BadFile(
    "JSON without the column", "t.jsonl", "{\"txt\": \"a\", \"label\": 0}",
    "F/t.jsonl:1: no column 'text' (columns: label, txt); did you mean 'txt'?"),
  BadFile(
    "JSON null", "t.jsonl", "{\"text\": null, \"label\": 0}",
    "F/t.jsonl:1: column 'text' is null, expected a string or a number"),
  BadFile(
    "JSON nested", "t.jsonl", "{\"text\": [\"a\"], \"label\": 0}",
    "F/t.jsonl:1: column 'text' is an array or an object, expected a string or a number"),
  BadFile(
    "JSON NUL", "t.jsonl", "{\"text\": \"a\\u0000\", \"label\": 0}",
    "F/t.jsonl:1: column 'text' holds a NUL character"),
  BadFile(
    "JSON too deep", "t.jsonl", String(repeating: "[", count: 100_000),
    "F/t.jsonl:1: invalid JSON: nested deeper than 128 levels (byte 128)"
  ),
  BadFile(
    "unknown label", "t.tsv", good + "c\tO\n",
    "F/t.tsv:4: unknown label 'O', expected one of 0, 1", configure: { $0.labelNames = ["0", "1"] }),
  BadFile(
    "only skipped", "t.tsv", good,
    "F/t.tsv: no usable rows, all were skipped: 1 with label '0', 1 with label '1'",
    configure: {
      $0.labelNames = ["x", "y"]
      $0.skippedLabels = ["0", "1"]
    }),
  BadFile(
    "row without a label", "t.csv", "text,label\na,pos\nb,neg\nc,\n",
    "F/t.csv: column 'label' is empty in some rows, expected a label in each; give the labels' names if '' is one of them"),
  BadFile(
    "one class", "t.tsv", header + "a\t0\n",
    "F/t.tsv: column 'label' needs at least two different labels, found '0'"),
  BadFile(
    "a number in two ways", "t.tsv", header + "a\t1\nb\t0\nc\t1.0\n",
    "F/t.tsv: column 'label' has '1' and '1.0', which are the same number; write it in one way, or give the labels' names"),
  BadFile(
    "scores as classes", "t.tsv", header + (0...1000).map { "a\t\($0).5\n" }.joined(),
    "F/t.tsv: column 'label' has 1001 different labels, expected at most 1000; for scores, set the problem type to regression"
  ),
  BadFile(
    "NaN", "t.tsv", good + "c\tnan\n", "F/t.tsv:4: score 'nan' is not a finite number",
    configure: regression),
  BadFile(
    "overflow", "t.tsv", good + "c\t1e999\n", "F/t.tsv:4: score '1e999' is not a finite number",
    configure: regression),
  BadFile(
    "no score", "t.tsv", good + "c\t \n", "F/t.tsv:4: score '' is not a finite number",
    configure: regression),
  BadFile(
    "label names of a regression", "t.tsv", good,
    "label names and skipped labels are not for regression",
    configure: {
      $0.labelKind = .scores
      $0.labelNames = ["0", "1"]
    }),
  BadFile(
    "label names twice", "t.tsv", good,
    "label names: expected two or more different names, got [0, 0]",
    configure: { $0.labelNames = ["0", "0"] }),
  BadFile(
    "one column for all", "t.tsv", good,
    "text and label columns: expected different columns, got text, text, label",
    configure: { $0.textPairColumn = "text" }),
  BadFile(
    "limit 0", "t.tsv", good, "train limit: expected at least 1, got 0",
    configure: { $0.limit.train = 0 }),
  BadFile(
    "no metrics", "t.tsv", good, "metrics: expected at least one",
    configure: { $0.metricNames = [] }),
  BadFile(
    "best metric", "t.tsv", good,
    "metric_for_best_model: 'acuracy' is not among the task's metrics; did you mean 'accuracy'?",
    configure: { $0.metricForBestModel = "acuracy" }),
]

private func message(_ folder: String, _ body: () throws -> Void) -> String {
  do {
    try body()
  } catch let error as EngineError {
    return "\(error)".replacingOccurrences(of: folder, with: "F")
  } catch {
    return "not an EngineError: \(error)"
  }
  return "no error"
}

@Test(arguments: badFiles)
func badFile(_ item: BadFile) throws {
  try withTemporaryFolder { folder in
    let path = folder + "/" + item.file
    if let bytes = item.bytes { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
    var table = TableTask(train: path, textColumn: "text", labelColumn: "label")
    item.configure(&table)
    #expect(message(folder) { _ = try table.read() } == item.expected)
  }
}

@Test func unseenLabelInEvaluation() throws {
  try withTemporaryFolder { folder in
    for (name, content) in [("train.tsv", good), ("dev.tsv", header + "c\t2\n")] {
      try content.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
    }
    var table = TableTask(train: folder + "/train.tsv", textColumn: "text", labelColumn: "label")
    table.evaluation = [folder + "/dev.tsv"]
    #expect(
      message(folder) { _ = try table.read() }
        == "F/dev.tsv:2: unknown label '2', expected one of 0, 1")
  }
}

@Test func badGLUE() throws {
  try withTemporaryFolder { folder in
    func write(_ content: String, _ name: String) throws {
      try content.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
    }
    func read(_ task: String, trainFile: String = "train.tsv") -> String {
      message(folder) { _ = try GLUE.read(task, folder: folder, trainFile: trainFile) }
    }
    #expect(read("mnil") == "GLUE has no task 'mnil'; did you mean 'mnli'?")
    let missing = message(folder) { _ = try GLUE.read("rte", folder: folder + "/RTE") }
    #expect(missing == "F/RTE: no such folder; expected the folder of rte with train.tsv in it")
    try write("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n", "train.tsv")
    #expect(read("rte") == "F/dev.tsv: no such file")
    #expect(
      read("rte", trainFile: "trian.tsv") == "F/trian.tsv: no such file; did you mean 'train.tsv'?")
    #expect(
      read("qnli")
        == "F/train.tsv:1: no column 'question' (columns: index, sentence1, sentence2, label)")
    #expect(
      read("wnli") == "F/train.tsv:2: unknown label 'entailment', expected one of 0, 1")
    #expect(read("cola") == "F/train.tsv:1: unknown label 'sentence1', expected one of 0, 1")
    try write("index\tsentence1\tsentence2\tscore\n0\ta\tb\t5.5\n", "train.tsv")
    #expect(read("stsb") == "F/train.tsv:2: score 5.5 is out of range, expected 0.0 to 5.0")
    try write("a\t1\tb\n", "train.tsv")
    #expect(
      read("cola")
        == "F/train.tsv:1: 3 of 4 tab-separated fields (a line break inside a text?)")
    try FileManager.default.createDirectory(
      atPath: folder + "/glue/RTE", withIntermediateDirectories: true)
    let tooHigh = message(folder) { _ = try GLUE.read("rte", folder: folder + "/glue") }
    #expect(tooHigh == "F/glue: no train.tsv in this folder; did you mean 'F/glue/RTE'?")
  }
}
