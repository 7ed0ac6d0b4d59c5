import Datasets
import Diagnostics
import Files
import Foundation
import Generation
import Metrics
import Pipelines
import Tasks
import TensorCore
import Training

/// A text that a model wrote for an evaluation set, as stages keep it.
package struct PredictedText: Record {
  /// The prompt's place among those of the set, from 0.
  package var number = 0
  package var prompt = ""
  package var text = ""
  /// What the set has for the prompt.
  package var references: [String] = []
  /// Tokens that were written.
  package var tokens = 0
  /// See `WrittenText.score`.
  package var score = 0.0

  package init() {}

  package static let recordName = "prediction"
  package static let fields: [Field<Self>] = [
    .int("number", \.number, "place of the prompt, from 0", in: 0..., required: true),
    .value("prompt", \.prompt, "what the model was given", required: true),
    .value("text", \.text, "what it wrote", required: true),
    .value("references", \.references, "what the set has", required: true),
    .int("tokens", \.tokens, "number of written tokens", in: 0..., required: true),
    .float("score", \.score, "log probability, as the length penalty has it", required: true),
  ]

  static let fileName = "predictions.jsonl"

  /// A line for each.
  static func lines(_ all: [PredictedText]) -> String { all.map { JSONValue.object($0.json).encoded(.line) + "\n" }.joined() }

  static func read(_ path: String) throws -> [PredictedText] {
    try readText(path).split(separator: "\n").enumerated().map { line, text in
      let source = "\(path):\(line + 1)"
      return try PredictedText(json: JSONValue(parsing: Array(text.utf8), source: source), source: source)
    }
  }
}

/// What a model is asked to write: the trainer's inputs, and what else the key depends on.
package struct PredictRequest {
  package var model: TrainableModel
  package var task: TrainingTask
  /// The evaluation set; nil: the first.
  package var set: String?
  /// With a seed.
  package var arguments: TrainingArguments
  package var functions = TrainerFunctions()
  /// What `functions` compute, by role; part of the key.
  package var functionIdentities = JSONObject()

  package init(model: TrainableModel, task: TrainingTask, arguments: TrainingArguments) {
    (self.model, self.task, self.arguments) = (model, task, arguments)
  }

  fileprivate var options: GenerationOptions { arguments.generation ?? GenerationOptions() }
}

/// What a model wrote for an evaluation set.
package final class PredictResult {
  package let stage: String
  /// In the set's order; without texts in a check.
  package let predictions: [PredictedText]
  /// "eval_rougeL", ...; NaN in a check.
  package let metrics: [String: Double]
  /// Seconds of writing, those of interrupted attempts included.
  package let seconds: Double
  package let isReused: Bool
  package let key: String

  init(stage: String, predictions: [PredictedText], metrics: [String: Double], seconds: Double, isReused: Bool, key: String) {
    (self.stage, self.predictions, self.metrics) = (stage, predictions, metrics)
    (self.seconds, self.isReused, self.key) = (seconds, isReused, key)
  }

  package var tokens: Int { predictions.reduce(0) { $0 + $1.tokens } }

  /// The numbers as stored with the stage and shown in `results.json`.
  package var facts: JSONObject {
    [
      "stage": .string(stage), "key": .string(key), "texts": .int(predictions.count), "tokens": .int(tokens), "seconds": .double(seconds),
      "metrics": .object(JSONObject(metrics.sorted { $0.key < $1.key }.map { ($0.key, .double($0.value)) })),
    ]
  }

  package var summary: String {
    ([metrics.isEmpty ? nil : FitResult.text(of: metrics, withLoss: true), "\(predictions.count) texts"]).compactMap { $0 }.joined(separator: "; ")
  }
}

extension Session {
  /// Lets a model write for an evaluation set, or takes the stored result; one that was cut off goes on with the texts that are missing.
  package func predict(_ request: PredictRequest) throws -> PredictResult {
    let (model, task) = (request.model, request.task)
    guard !model.isOccupied else {
      throw EngineError(.argument, "trainer.predict: the model is being trained", hint: "trainer:evaluate works in callbacks")
    }
    _ = try model.fittedType(of: task)
    let split = try task.evaluationSet(request.set, for: "trainer.predict")
    let evaluation = try TextEvaluation(model, task, split, request.options, request.arguments, request.functions)
    let (name, inputs) = try nextFit("predict")
    let key = StageKey(name: name, inputs: try keyInputs(request, split, inputs))
    if mode == .check { return try planPredict(key, request, evaluation.set) }
    switch try open(key) {
    case .finished(let stored):
      let result = try reuse(stored)
      progress.note("\(name): reused (\(result.summary))")
      return try finish(result, stored, of: model)
    case .begun(let work, _):
      defer { work?.close() }
      // The first of several processes writes, the others wait.
      var written: PredictResult?
      let stored = try publish(key, work) { work in
        if !work.isResumed { sayWhy(key) }
        for remark in try task.textRemarks(model.network, request.options) { progress.note("\(name): \(remark)") }
        let writing = try Writing(work, evaluation, name, request.arguments.saveSeconds)
        try begin()
        try model.unchanged { try writing.run(progress) }
        let result = PredictResult(
          stage: name, predictions: writing.predictions, metrics: try writing.metrics(), seconds: writing.seconds, isReused: false,
          key: key.digest.hex)
        written = result
        return try work.finish(result.facts) {
          try AtomicFile.write(PredictedText.lines(result.predictions), to: $0 + "/" + PredictedText.fileName)
        }
      }
      let result = try written ?? reuse(stored)
      progress.end(result.summary)
      return try finish(result, stored, of: model)
    }
  }

  /// Everything that the texts and their metrics depend on.
  private func keyInputs(_ request: PredictRequest, _ split: Split, _ inputs: JSONValue) throws -> JSONValue {
    var options = request.options
    options.batchSize = GenerationOptions().batchSize
    let sets = request.task.identity["evaluation"]?.arrayValue ?? []
    var values: JSONObject = [
      "engine": .string(EngineSetup.version), "model": try request.model.identity(),
      "set": sets.first { $0.arrayValue?.first?.stringValue == split.name }?.arrayValue?.last ?? .null,
      "metrics": .array(try (request.task.textMetrics.map(\.name) + request.task.textRemarks).map { .string($0) }),
      "generation": options.configValue.json, "max_length": .int(request.arguments.maxLength),
      "precision": .string(Precision.current.rawValue), "tokenizer": .string(request.model.tokenizer.digest().hex),
    ]
    if let options = request.task.identity["metric_options"] { values["metric_options"] = options }
    if options.doSample || request.functions.logitsProcessor != nil { values["seed"] = .int(Int(clamping: request.arguments.usedSeed)) }
    if inputs != .null { values["inputs"] = inputs }
    if !request.functionIdentities.keys.isEmpty { values["functions"] = .object(request.functionIdentities) }
    return .object(values)
  }

  private func reuse(_ stored: StoredStage) throws -> PredictResult {
    PredictResult(
      stage: stored.key.name, predictions: try PredictedText.read(stored.folder + "/" + PredictedText.fileName), metrics: stored.metrics,
      seconds: stored.facts["seconds"]?.doubleValue ?? 0, isReused: true, key: stored.key.digest.hex)
  }

  private func finish(_ result: PredictResult, _ stored: StoredStage, of model: TrainableModel) throws -> PredictResult {
    var row: JSONObject = ["stage": .string(result.stage), "texts": .int(result.predictions.count), "tokens": .int(result.tokens)]
    for (name, value) in result.metrics.sorted(by: { $0.key < $1.key }) { row[name] = .double(value) }
    try log(row)
    var facts = result.facts
    if !model.lineage.isEmpty { facts["lineage"] = .array(model.lineage.map { .string($0) }) }
    try conclude(facts, isReused: result.isReused, stored)
    return result
  }

  /// Notes what would be written. The result is the stored one, where there is one; else it has the prompts, and metrics without values.
  private func planPredict(_ key: StageKey, _ request: PredictRequest, _ set: PromptSet) throws -> PredictResult {
    let (stored, status) = try lookUp(key, request.model)
    plan.append(
      PlannedStage(
        stage: key.name, total: request.model.network.parameterCounts().total, examples: set.prompts.count,
        stored: status, remarks: try request.task.textRemarks(request.model.network, request.options)))
    if let stored { return try reuse(stored) }
    let names = try request.task.textMetrics.map { EvaluationName.of($0.name) }
    return PredictResult(
      stage: key.name, predictions: set.prompts.indices.map { PredictedText(set, $0, nil) },
      metrics: Dictionary(names.map { ($0, .nan) }, uniquingKeysWith: { a, _ in a }), seconds: 0, isReused: false, key: "")
  }
}

extension PredictedText {
  fileprivate init(_ set: PromptSet, _ number: Int, _ written: WrittenText?) {
    (self.number, prompt, references) = (number, set.prompts[number], set.references[number])
    (text, tokens, score) = (written?.text ?? "", written?.tokens.count ?? 0, written?.score ?? 0)
  }
}

extension TrainingTask {
  /// A set that is evaluated; nil: the first. `what` begins the message where there is none.
  package func evaluationSet(_ name: String?, for what: String) throws -> Split {
    guard let found = name == nil ? evaluation.first : evaluation.first(where: { $0.name == name }) else {
      throw EngineError(
        .argument, "\(what): task \(self.name) has no evaluation set\(name.map { " '\($0)'" } ?? "")",
        hint: name.flatMap { suggestion(for: $0, among: evaluation.map(\.name)) })
    }
    return found
  }
}

/// Writing under way: texts that are finished are kept, and saved now and then. They depend on nothing but their prompts and numbers,
/// so that a run which was cut off goes on with the others.
private final class Writing {
  private let work: StageWork
  private let file: PartialFile
  private let evaluation: TextEvaluation
  private let name: String
  private let saveSeconds: Double
  private var done: [Int: PredictedText] = [:]
  private var unsaved: [PredictedText] = []
  private(set) var seconds: Double

  init(_ work: StageWork, _ evaluation: TextEvaluation, _ name: String, _ saveSeconds: Double) throws {
    (self.work, self.evaluation, self.name, self.saveSeconds) = (work, evaluation, name, saveSeconds)
    file = try work.partialFile(PredictedText.fileName)
    seconds = file.facts["seconds"]?.doubleValue ?? 0
    for text in try PredictedText.read(file.partialPath) where evaluation.set.prompts.indices.contains(text.number) { done[text.number] = text }
  }

  var predictions: [PredictedText] { done.keys.sorted().compactMap { done[$0] } }

  func metrics() throws -> [String: Double] {
    let scores = try evaluation.scores(of: predictions.map(\.text))
    return Dictionary(uniqueKeysWithValues: scores.map { (EvaluationName.of($0.key), $0.value) })
  }

  private func save() throws {
    guard !unsaved.isEmpty else { return }
    try work.requireHeld()
    try file.append(PredictedText.lines(unsaved), count: done.count, facts: ["seconds": .double(seconds)])
    unsaved = []
  }

  func run(_ progress: Pipelines.Progress) throws {
    let all = evaluation.set.prompts.indices
    var tokens = predictions.reduce(0) { $0 + $1.tokens }
    progress.begin(name, total: all.count, unit: "texts", step: done.count, tokens: tokens)
    var (lastSave, lastTime) = (Date(), Date())
    do {
      try evaluation.write(all.filter { done[$0] == nil }) { number, text in
        let text = PredictedText(evaluation.set, number, text)
        done[number] = text
        unsaved.append(text)
        let now = Date()
        (seconds, lastTime) = (seconds + now.timeIntervalSince(lastTime), now)
        tokens += text.tokens
        progress.update(step: done.count, tokens: tokens)
        guard now.timeIntervalSince(lastSave) >= saveSeconds else { return }
        try save()
        // A slow disk is written to less often, so that saving takes a few per cent of the time at most.
        lastSave = Date().addingTimeInterval(20 * Date().timeIntervalSince(now))
      }
    } catch {
      // What is finished is worth the same, whatever ended the rest.
      try? save()
      throw error
    }
    try save()
  }
}
