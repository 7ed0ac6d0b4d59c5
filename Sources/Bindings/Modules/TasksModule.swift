import Datasets
import Diagnostics
import Engine
import Files
import Foundation
import LuaHost
import Metrics
import Tasks
import Training

/// A task as a script holds it.
public final class Task: LuaObject {
  public static let luaName = "Task"
  let task: TrainingTask

  init(_ task: TrainingTask) { self.task = task }
}

extension Session {
  /// A task for the script. Its tokens are kept beside the stages' results; a check writes nothing.
  func task(_ task: TrainingTask) -> Task {
    if mode == .run { task.tokenFolder = store.root + "/tokens" }
    for rows in task.skippedRows {
      let number = rows.count == 1 ? "1 row is" : "\(rows.count) rows are"
      noteOnce("\(rows.path): \(number) left out, the first in line \(rows.firstLine): \(rows.reason)")
    }
    return Task(task)
  }
}

/// Options of `tasks.glue`.
struct GLUEOptions: LuaRecord {
  var trainFile = "train.tsv"
  var maxTrainSamples: Int?
  var maxEvalSamples: Int?
  var sampleSeed = 1

  static let recordName = "glue options"
  static let fields: [Field<Self>] = [
    .value("train_file", \.trainFile, "training file in the folder"),
    .int("max_train_samples", \.maxTrainSamples, "take so many training rows of a seeded shuffle", in: 1...),
    .int("max_eval_samples", \.maxEvalSamples, "take so many rows of each evaluation set", in: 1...),
    .int("sample_seed", \.sampleSeed, "seeds the choice of rows", in: 0...),
  ]

  static let foreignNames: [String: ForeignName] = [
    "limit": .isCalled("max_train_samples", reason: "and 'max_eval_samples'"),
    "max_samples": .isCalled("max_train_samples", reason: "and 'max_eval_samples'"),
    "seed": .isCalled("sample_seed"), "max_length": .isLeftOut("that is an option of trainer.fit"),
    "split": .isLeftOut("leave it out: the task has train.tsv to train on and dev.tsv to evaluate on"),
  ]

  var limit: RowLimit { RowLimit(train: maxTrainSamples, evaluation: maxEvalSamples, seed: UInt64(sampleSeed)) }
}

/// Options of `tasks.table`.
struct TableOptions: LuaRecord {
  var name: String?
  var trainFile = ""
  var validationFile: String?
  var validationFiles: [String] = []
  var format: TableFormatChoice?
  var textColumn = "text"
  var textPairColumn: String?
  var labelColumn = "label"
  var problemType = ProblemTypeName(SequenceClassification.self)
  var labels: [String]?
  var metrics: [String]?
  var metricForBestModel: String?
  var sample = GLUEOptions()

  static let recordName = "table options"
  static let fields: [Field<Self>] = [
    .value("name", \.name, "what reports call the task; default: the training file's name"),
    .value("train_file", \.trainFile, "training data with a header: .tsv, .csv or .jsonl", required: true),
    .value("validation_file", \.validationFile, "what to evaluate on, in the same form"),
    .value("validation_files", \.validationFiles, "several of them, instead of one; the first one selects the best weights"),
    .value("format", \.format, "default: by the file's ending"),
    .value("text_column", \.textColumn, "column of the text"),
    .value("text_pair_column", \.textPairColumn, "column of a second text"),
    .value("label_column", \.labelColumn, "column of the label, or of the score"),
    .value("problem_type", \.problemType, "classes or a number"),
    .value("labels", \.labels, "names of the classes, in order; default: those in the training file, sorted"),
    .value("metrics", \.metrics, "metrics to compute; default: accuracy, or pearson and spearmanr"),
    .value("metric_for_best_model", \.metricForBestModel, "default: the first metric"),
    .int("max_train_samples", \.sample.maxTrainSamples, "take so many training rows of a seeded shuffle", in: 1...),
    .int("max_eval_samples", \.sample.maxEvalSamples, "take so many rows of each evaluation file", in: 1...),
    .int("sample_seed", \.sample.sampleSeed, "seeds the choice of rows", in: 0...),
  ]

  func validate() throws(EngineError) {
    guard validationFile == nil || validationFiles.isEmpty else {
      throw EngineError(.argument, "\(Self.recordName): both 'validation_file' and 'validation_files'", hint: "give all files in 'validation_files'")
    }
  }

  static let foreignNames: [String: ForeignName] = GLUEOptions.foreignNames.merging([
    "train": .isCalled("train_file"), "file": .isCalled("train_file"), "path": .isCalled("train_file"),
    "data_files": .isCalled("train_file", reason: "and 'validation_file'"),
    "eval_file": .isCalled("validation_file"), "dev_file": .isCalled("validation_file"), "test_file": .isCalled("validation_file"),
    "eval_files": .isCalled("validation_files", reason: "a list"), "dev_files": .isCalled("validation_files", reason: "a list"),
    "text": .isCalled("text_column", reason: "the column's name"), "sentence": .isCalled("text_column", reason: "the column's name"),
    "sentence1_key": .isCalled("text_column"), "sentence2_key": .isCalled("text_pair_column"), "pair_column": .isCalled("text_pair_column"),
    "label": .isCalled("label_column", reason: "the column's name"), "target": .isCalled("label_column"), "target_column": .isCalled("label_column"),
    "label_list": .isCalled("labels"), "label_names": .isCalled("labels"), "classes": .isCalled("labels"),
    "id2label": .isCalled("labels", reason: "a list of names in order"),
    "num_labels": .isCalled("labels", reason: "a list of names in order; by default those in the training file"),
    "metric": .isCalled("metrics", reason: "a list"), "greater_is_better": .isLeftOut("that is an option of trainer.fit"),
    "delimiter": .isCalled("format", reason: "\"csv\", \"tsv\" or \"jsonl\""), "sep": .isCalled("format", reason: "\"csv\", \"tsv\" or \"jsonl\""),
  ]) { $1 }
}

enum TableFormatChoice: String, LuaChoice {
  case tsv, csv, jsonl
}

/// Options of the data of a language task, as a script gives them. `Owner`: what they are named after in the stubs.
struct LanguageDataOptions<Owner, Options: Record>: LuaRecord {
  var options = Options()
  var metricOptions = MetricOptions()

  static var recordName: String { Options.recordName }
  static var typeName: String { "\(Owner.self)Options" }
  static var foreignNames: [String: ForeignName] { Options.foreignNames.merging(["metric_kwargs": .isCalled("metric_options")]) { own, _ in own } }
  static var fields: [Field<Self>] {
    let own = Field.fields(of: \Self.options)
    // A data set of texts for inputs has the metrics of its papers.
    guard Options.self is any TextToText.Type || own.contains(where: { $0.name == "metrics" }) else { return own }
    return own + [
      .value(
        "metric_options", \.metricOptions,
        "options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = \"coco\" } }")
    ]
  }
  func validate() throws(EngineError) { try options.validate() }
}

func tasksModule(_ session: Session) -> Module {
  Module(
    "tasks", "Data sets and what is to be learnt from them.", classes: [taskClass(session).declaration], absent: AbsentNames.tasks,
    functions: [
      Function(
        "glue", "A GLUE task from its folder: \(GLUE.tasks.map(\.name).joined(separator: ", ")).",
        Param<String>("name", "the task, in any spelling: \"mnli\", \"SST-2\""),
        Param<String>("folder", "folder with train.tsv and dev.tsv in GLUE's layout; or \"builtin:mnli\", \"builtin:rte\""),
        Param<GLUEOptions>("options", "see the fields"), returns: "task"
      ) { name, folder, options in
        if folder.hasPrefix("builtin:") {
          return session.task(
            try BuiltInTasks.classification(folder, as: name, maxTrainSamples: options.maxTrainSamples, maxEvalSamples: options.maxEvalSamples))
        }
        return session.task(try TrainingTask(try GLUE.read(name, folder: folder, trainFile: options.trainFile, limit: options.limit)))
      },
      Function(
        "table", "Classification or regression of one's own TSV, CSV or JSONL files.",
        Param<TableOptions>("options", "see the fields"), returns: "task"
      ) { options in session.task(try TrainingTask(try tableTask(options).read())) },
    ] + TaskTypeCatalogue.languageTypes.map { constructor($0, session) } + TextToTextCatalogue.tasks.map { constructor($0, session) })
}

/// The constructor of one language task, from its declared options.
private func constructor<Kind: LanguageTaskType>(_ kind: Kind.Type, _ session: Session) -> Function {
  Function(kind.name, kind.dataSummary, Param<LanguageDataOptions<Kind, Kind.DataOptions>>("options", "see the fields"), returns: "task") { options in
    session.task(try TrainingTask(try kind.read(options.options), type: Kind(), metricOptions: options.metricOptions))
  }
}

/// The constructor of a data set of texts for inputs.
private func constructor<Data: TextToText>(_ data: Data.Type, _ session: Session) -> Function {
  Function(
    data.name, "\(data.summary) For models of base:\(data.usualType.rawValue)(), unless task_type says otherwise.",
    Param<LanguageDataOptions<Data, Data>>("options", "see the fields"), returns: "task"
  ) { options in
    let type = TaskTypeCatalogue.languageTypes.first { $0.name == options.options.type.rawValue }
    return session.task(
      try TrainingTask(try options.options.read(), type: (type ?? CausalLM.self).init(), metricOptions: options.metricOptions))
  }
}

private func tableTask(_ options: TableOptions) -> TableTask {
  var task = TableTask(train: options.trainFile, textColumn: options.textColumn, labelColumn: options.labelColumn)
  task.evaluation = options.validationFile.map { [$0] } ?? options.validationFiles
  task.format = options.format.flatMap { TableFormat(rawValue: $0.rawValue) }
  task.textPairColumn = options.textPairColumn
  task.labelKind = options.problemType.type.labelKind
  task.labelNames = options.labels
  task.metricNames = options.metrics
  task.metricForBestModel = options.metricForBestModel
  if let name = options.name { task.name = name }
  task.limit = options.sample.limit
  return task
}

private func taskClass(_ session: Session) -> Class<Task> {
  Class<Task>(
    "Examples to train and evaluate on, with their labels and metrics.",
    .property("name", "the task's name") { $0.task.name },
    .property("num_labels", "number of classes; 1 for regression, 0 for masked language modelling") { $0.task.type.head.labels.count },
    .property("labels", "names of the classes, in order") { $0.task.type.head.labels },
    .property("train_size", "number of training examples") { $0.task.train.examples.count },
    .property("metrics", "names of the metrics") { $0.task.metricNames },
    .method(
      "example", "One training example, to look at.", Param<Int>("index", "0-based", in: 0...),
      returns: "table: text, text_pair, label or completion, line"
    ) { task, index in
      let examples = task.task.train.examples
      guard index < examples.count else {
        throw EngineError(.argument, "example: index \(index) is outside the \(examples.count) examples")
      }
      let example = examples[index]
      return example.lua
    },
    .method(
      "inputs", "The texts of an evaluation set, for Model:generate.", Param<String?>("set", "its name; default: the first set"),
      returns: "list of texts"
    ) { task, set in try task.task.evaluationSet(set, for: "inputs").examples.map(\.text) },
    .method(
      "references", "What may be written for each of `inputs`, for metrics.", Param<String?>("set", "its name; default: the first set"),
      returns: "list of lists of texts, without white space at their ends"
    ) { task, set in
      try task.task.evaluationSet(set, for: "references").examples.map { example in
        LuaValue.table(LuaTable(list: example.references.map { .string($0.trimmingCharacters(in: .whitespacesAndNewlines)) }))
      }
    },
    .method(
      "filter", "The task with some of its examples, in every set; its classes stay.",
      Param<LuaFunction>("keep", "is called with every example, a table as `example` gives it; the task has those for which it returns true"),
      returns: "new task"
    ) { task, keep in
      session.task(
        try task.task.filtered { example in
          let answer = try keep.call([.table(example.lua)]).first
          if case .bool(let isKept)? = answer { return isKept }
          throw EngineError(
            .argument, "\(keep.place): the function 'keep' returned \(answer.map { "a " + $0.typeName } ?? "nothing"), expected true or false")
        })
    },
    .metamethod("__tostring", "name and sizes", Param<Task>("task", "a task")) { task in
      let sets = task.task.evaluation.map { "\($0.name) \($0.examples.count)" }.joined(separator: ", ")
      return "Task(\(task.task.name), train \(task.task.train.examples.count)" + (sets.isEmpty ? ")" : ", \(sets))")
    })
}

extension Example {
  fileprivate var lua: LuaTable {
    LuaTable(
      fields: [
        "text": .string(text), "text_pair": textPair.map { .string($0) } ?? .nil, target.luaName: target.lua, "line": .integer(line),
      ].filter { if case .nil = $0.value { false } else { true } })
  }
}

extension Target {
  fileprivate var luaName: String { if case .texts = self { "completion" } else { "label" } }

  fileprivate var lua: LuaValue {
    switch self {
    case .none: .nil
    case .label(let index): .number(Double(index))
    case .score(let score): .number(score)
    case .texts(let texts): .string(texts.first ?? "")
    }
  }
}
