import Foundation
import TestSupport
import Testing
import Tokenizers

/// What a user can get wrong: each ends with one line that names the place, exit code 1, and nothing damaged.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct BadInputTests {
  /// One mistake: files to change in a folder that is otherwise right, the script's text, and what the message must say.
  struct Mistake: CustomTestStringConvertible, Sendable {
    let name: String
    var files: [String: Data] = [:]
    var script = trainScript
    var arguments: [String] = []
    let says: [String]

    var testDescription: String { name }
  }

  /// A script that trains, if everything is right.
  static let trainScript = """
    local base = models.load("model")
    local task = tasks.table { train_file = "train.tsv", text_column = "sentence", label_column = "label" }
    local m = base:classifier { task = task }
    m:add_adapter(adapters.lora { r = 2 })
    local result = trainer.fit { model = m, task = task, max_steps = 2, max_length = 16, eval_strategy = "no" }
    report.table { result, columns = { "stage", "steps" } }
    """

  private static let model = packageRoot + "/Tests/Fixtures/models/tiny-roberta"

  private static func text(_ text: String) -> Data { Data(text.utf8) }

  private static func changed(_ from: String, _ to: String) -> String { trainScript.replacingOccurrences(of: from, with: to) }

  /// A safetensors file with this header and this many bytes of data.
  private static func safetensors(_ header: String, _ bytes: Int, length: UInt64? = nil) -> Data {
    var data = withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Data($0) }
    data.append(text(header))
    data.append(Data(count: bytes))
    return data
  }

  private static let weights = (try? Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors"))) ?? Data()

  static let dataMistakes: [Mistake] = [
    Mistake(name: "no training file", script: changed("train.tsv", "trian.tsv"), says: ["pipeline.lua:2", "trian.tsv", "no such file", "train.tsv"]),
    Mistake(name: "empty file", files: ["train.tsv": Data()], says: ["pipeline.lua:2", "train.tsv"]),
    Mistake(name: "header alone", files: ["train.tsv": text("sentence\tlabel\n")], says: ["pipeline.lua:2", "train.tsv"]),
    Mistake(name: "missing column", script: changed("sentence", "sentense"), says: ["pipeline.lua:2", "'sentense'", "sentence"]),
    Mistake(name: "short row", files: ["train.tsv": text("sentence\tlabel\na b\t0\nc d\n")], says: ["train.tsv:3"]),
    Mistake(
      name: "invalid UTF-8", files: ["train.tsv": text("sentence\tlabel\n") + Data([0x61, 0xFF, 0x09, 0x30, 0x0A])], says: ["train.tsv:2", "UTF-8"]),
    Mistake(
      name: "unknown label", script: changed("label_column = \"label\"", "label_column = \"label\", labels = { \"yes\", \"no\" }"),
      says: ["train.tsv:2", "'0'", "yes"]),
    Mistake(
      name: "unknown metric", script: changed("label_column = \"label\"", "label_column = \"label\", metrics = { \"acuracy\" }"),
      says: ["pipeline.lua:2", "acuracy", "accuracy"]),
    Mistake(
      name: "metric of another kind", script: changed("label_column = \"label\"", "label_column = \"label\", metrics = { \"pearson\" }"),
      says: ["pipeline.lua:2", "metric 'pearson' is for regression, the task is a classification"]),
    Mistake(
      name: "metric of scores",
      script: changed("label_column = \"label\"", "label_column = \"label\", problem_type = \"regression\", metrics = { \"f1\" }"),
      says: ["pipeline.lua:2", "metric 'f1' is for classification, the task is a regression"]),
    Mistake(
      name: "metric of two classes", files: ["train.tsv": text("sentence\tlabel\na\t0\nb\t1\nc\t2\n")],
      script: changed("label_column = \"label\"", "label_column = \"label\", metrics = { \"f1\" }"),
      says: ["pipeline.lua:2", "metric 'f1' is for two classes, the task has 3"]),
    Mistake(name: "unknown GLUE task", script: "tasks.glue(\"rtee\", \"x\")", says: ["pipeline.lua:1", "rtee", "rte"]),
    Mistake(name: "no GLUE folder", script: "tasks.glue(\"rte\", \"nowhere\")", says: ["pipeline.lua:1", "nowhere"]),
  ]

  static let modelMistakes: [Mistake] = [
    Mistake(name: "no model", script: changed("models.load(\"model\")", "models.load(\"modle/\")"), says: ["pipeline.lua:1", "modle"]),
    Mistake(name: "config is not JSON", files: ["model/config.json": text("{")], says: ["pipeline.lua:1", "config.json"]),
    Mistake(name: "unknown architecture", files: ["model/config.json": text("{\"model_type\": \"gpt9\"}")], says: ["config.json", "'gpt9'", "gpt2"]),
    Mistake(name: "truncated weights", files: ["model/model.safetensors": weights.dropLast(100)], says: ["pipeline.lua:1", "model.safetensors"]),
    Mistake(
      name: "header larger than the file", files: ["model/model.safetensors": safetensors("{}", 0, length: 1 << 40)], says: ["model.safetensors"]),
    Mistake(
      name: "overlapping tensors",
      files: [
        "model/model.safetensors": safetensors(
          "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12)
      ],
      says: ["model.safetensors"]),
    Mistake(
      name: "wrong shape",
      files: [
        "model/model.safetensors": safetensors(
          "{\"roberta.embeddings.word_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16)
      ],
      says: ["pipeline.lua:3", "word_embeddings.weight", "[2, 2]"]),
    Mistake(
      name: "missing tensors",
      files: ["model/model.safetensors": safetensors("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4)],
      says: ["pipeline.lua:3", "missing"]),
    Mistake(name: "no tokenizer", files: ["model/tokenizer.json": text("[]")], says: ["tokenizer.json"]),
    Mistake(name: "tokenizer of another model", files: ["model/tokenizer.json": bigTokenizer], says: ["pipeline.lua:5", "different models"]),
  ]

  /// A tokenizer with more tokens than the tiny model's table has rows.
  private static let bigTokenizer: Data = {
    (try? withTemporaryFolder { folder in
      let tokenizer = try BPETrainer.train(corpus: ["a b c d e"], vocabularySize: 262, specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
      try tokenizer.save(to: folder)
      return try Data(contentsOf: URL(fileURLWithPath: folder + "/tokenizer.json"))
    }) ?? Data()
  }()

  static let scriptMistakes: [Mistake] = [
    Mistake(name: "syntax error", script: "local x = = 1", says: ["pipeline.lua:1", "unexpected symbol"]),
    Mistake(name: "misspelt option", script: changed("max_steps", "max_step"), says: ["pipeline.lua:5", "'max_step'", "'max_steps'"]),
    Mistake(
      name: "wrong type", script: changed("max_steps = 2", "max_steps = \"two\""), says: ["pipeline.lua:5", "'max_steps'", "an integer", "'two'"]),
    Mistake(name: "r = 0", script: changed("r = 2", "r = 0"), says: ["pipeline.lua:4", "'r'", "got 0"]),
    Mistake(name: "r larger than the layer", script: changed("r = 2", "r = 100"), says: ["pipeline.lua:4", "r = 100", "1 to 32"]),
    Mistake(
      name: "unknown target module", script: changed("r = 2", "target_modules = { \"qurey\" }"), says: ["pipeline.lua:4", "'qurey'", "'query'"]),
    Mistake(
      name: "adapter name that leads elsewhere", script: changed("r = 2", "r = 2, adapter_name = \"x/../../../../victim\""),
      says: ["pipeline.lua:4", "adapter_name 'x/../../../../victim'", "letters"]),
    Mistake(name: "adapter without a name", script: changed("r = 2", "r = 2, adapter_name = \"\""), says: ["pipeline.lua:4", "adapter_name ''"]),
    Mistake(
      name: "pattern that matches nothing", script: changed("r = 2", "r = 2, rank_pattern = { qurey = 4 }"),
      says: ["pipeline.lua:4", "rank_pattern: 'qurey' matches no linear layer", "'query'"]),
    Mistake(
      name: "layer that the model lacks", script: changed("r = 2", "r = 2, layers_to_transform = { 0, 99 }"),
      says: ["pipeline.lua:4", "layers_to_transform: the model has no layer 99"]),
    Mistake(
      name: "infinite learning rate", script: changed("max_steps = 2", "max_steps = 2, learning_rate = 1/0"),
      says: ["pipeline.lua:5", "'learning_rate'", "a finite number", "inf"]),
    Mistake(
      name: "infinite scale", script: changed("r = 2", "r = 2, lora_alpha = 1/0"), says: ["pipeline.lua:4", "'lora_alpha'", "a finite number"]),
    Mistake(
      name: "folder of the run", script: trainScript + "\nm:save_adapter(\"./code\")",
      says: ["pipeline.lua:7", "'./code'", "the run directory keeps its own files there"]),
    Mistake(
      name: "stages in one folder", script: "stage(\"a 1\", function() end) stage(\"a_1\", function() end)",
      says: ["pipeline.lua:1", "stage 'a_1': stage 'a 1' has the same folder"]),
    Mistake(
      name: "other built-in task", script: "tasks.glue(\"stsb\", \"builtin:rte\")",
      says: ["pipeline.lua:1", "'builtin:rte' is the task 'rte', not 'stsb'"]),
    Mistake(
      name: "prediction of bytes", script: changed("m:add_adapter", "m:predict { \"\\xff\" } m:add_adapter"),
      says: ["pipeline.lua:4", "not UTF-8"]),
    Mistake(name: "unknown function", script: changed("trainer.fit", "trainer.fitt"), says: ["pipeline.lua:5", "'fitt'", "'fit'"]),
    Mistake(name: "unknown global", script: "local x = model", says: ["pipeline.lua:1", "unknown global 'model'", "'models'"]),
    Mistake(
      name: "unknown metric for the best model", script: changed("max_steps = 2", "max_steps = 2, metric_for_best_model = \"f2\""),
      says: ["pipeline.lua:5", "'f2'"]),
    Mistake(
      name: "max_length beyond the model", script: changed("max_length = 16", "max_length = 1000"), says: ["pipeline.lua:5", "max_length = 1000"]),
    Mistake(
      name: "error inside a callback", script: changed("max_steps = 2", "max_steps = 2, on_step = function(t) local x = t.sttep end"),
      says: ["pipeline.lua:5", "'sttep'", "'step'"]),
    Mistake(name: "unknown parameter", script: "local p = params { r = 8 }", arguments: ["--set", "rr=4"], says: ["pipeline.lua:1", "rr", "'r'"]),
    Mistake(
      name: "parameter of the wrong type", script: "local p = params { r = 8 }", arguments: ["--set", "r=four"], says: ["--set r=four", "an integer"]),
    Mistake(name: "output folder in use for something else", arguments: ["--out", "model"], says: ["model"]),
    Mistake(name: "reading a file", script: "io.open(\"x\")", says: ["pipeline.lua:1", "'io'"]),
    Mistake(
      name: "non-finite loss", script: changed("max_steps = 2", "max_steps = 2, learning_rate = 1e38, max_grad_norm = 0"),
      says: ["pipeline.lua:5", "step 2", "train.tsv lines"]),
  ]

  @Test func thereAreThirty() {
    #expect(Self.dataMistakes.count + Self.modelMistakes.count + Self.scriptMistakes.count >= 30)
  }

  @Test func theUnchangedFolderTrains() throws {
    try withTemporaryFolder { folder in
      try Self.fill(folder, Mistake(name: "none", says: []))
      let outcome = try perigee(["run", "pipeline.lua", "--out", "out", "--quiet"], in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
    }
  }

  @Test(arguments: dataMistakes + modelMistakes + scriptMistakes) func isOneClearLine(_ mistake: Mistake) throws {
    try withTemporaryFolder { folder in
      try Self.fill(folder, mistake)
      let before = try Self.contents(folder + "/model")
      let out = mistake.arguments.contains("--out") ? [] : ["--out", "out"]
      let outcome = try perigee(["run", "pipeline.lua", "--quiet"] + out + mistake.arguments, in: folder)
      #expect(outcome.code == 1, "\(outcome.error)")
      let lines = outcome.error.split(separator: "\n").filter { $0.hasPrefix("perigee: error: ") }
      #expect(lines.count == 1 && outcome.error.split(separator: "\n").last == lines.first, "\(outcome.error)")
      for part in mistake.says { #expect(lines.first?.contains(part) ?? false, "\(part) in: \(outcome.error)") }
      #expect(try Self.contents(folder + "/model") == before)
    }
  }

  /// Writes a folder in which everything is right but for the mistake.
  private static func fill(_ folder: String, _ mistake: Mistake) throws {
    let manager = FileManager.default
    try manager.copyItem(atPath: model, toPath: folder + "/model")
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"].joined(separator: "\n") + "\n"
    try text(vocabulary).write(to: URL(fileURLWithPath: folder + "/model/vocab.txt"))
    try text("sentence\tlabel\na b\t0\nc d\t1\nb c\t0\n").write(to: URL(fileURLWithPath: folder + "/train.tsv"))
    try text(mistake.script).write(to: URL(fileURLWithPath: folder + "/pipeline.lua"))
    for (path, data) in mistake.files { try data.write(to: URL(fileURLWithPath: folder + "/" + path)) }
  }

  private static func contents(_ folder: String) throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    return try Dictionary(uniqueKeysWithValues: names.map { ($0, try Data(contentsOf: URL(fileURLWithPath: folder + "/" + $0))) })
  }
}
