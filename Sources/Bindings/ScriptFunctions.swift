import Diagnostics
import Engine
import Files
import LuaHost
import LuaMethods
import LuaTensors
import Metrics
import Optimizers
import Tasks
import TensorCore
import Training
import TransformerModels

/// `lr_scheduler_type`: a schedule's name, or a function that is one.
enum SchedulerChoice: FieldValue {
  case named(Schedule.Kind)
  case function(LuaFunction)

  static let typeName =
    Schedule.Kind.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: "|") + "|fun(step: integer, total_steps: integer): number"
  static var expected: String { Schedule.Kind.expected + ", or a function" }

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> SchedulerChoice {
    if case .object(let object, _) = value, let function = object as? LuaFunction { return .function(function) }
    do throws(ValueMismatch) {
      return .named(try Schedule.Kind.decode(value))
    } catch {
      throw ValueMismatch(expected: expected, found: error.found)
    }
  }

  var configValue: ConfigValue {
    switch self {
    case .named(let kind): kind.configValue
    case .function(let function): .object(function, typeName: "function")
    }
  }
}

extension FitOptions {
  /// The schedule, as a name or a function.
  var schedulerChoice: SchedulerChoice {
    get { schedule.map { .function($0) } ?? .named(arguments.lrSchedulerType) }
    set {
      switch newValue {
      case .named(let kind): (arguments.lrSchedulerType, schedule) = (kind, nil)
      case .function(let function): schedule = function
      }
    }
  }

  static var scheduler: Field<Self> {
    .value(
      "lr_scheduler_type", \.schedulerChoice,
      "course of the learning rate: a name, or a function that gives the multiplier of the update after `step` updates")
  }

  /// Throws for settings that a function leaves without meaning.
  func checkFunctions() throws(EngineError) {
    guard schedule != nil else { return }
    let plain = TrainingArguments()
    let ignored =
      arguments.warmupSteps > 0
      ? "warmup_steps"
      : arguments.warmupRatio > 0
        ? "warmup_ratio"
        : arguments.lrSchedulerKwargs != plain.lrSchedulerKwargs ? "lr_scheduler_kwargs" : nil
    if let ignored {
      throw EngineError(.argument, "'\(ignored)' has no meaning with a function as lr_scheduler_type: the function is the whole course")
    }
  }

  /// All functions that take part, by the names of their options.
  var given: [(role: String, function: LuaFunction)] {
    let options = [
      ("on_step", onStep), ("on_evaluate", onEvaluate), ("on_epoch", onEpoch), ("lr_scheduler_type", schedule), ("loss", loss),
      ("compute_metrics", computeMetrics), ("logits_processor", logitsProcessor),
    ]
    return options.compactMap { role, function in function.map { (role, $0) } }
  }

  /// The functions for the trainer, with checks of what they return.
  func functions(in session: Session) -> TrainerFunctions {
    var functions = TrainerFunctions()
    functions.logitsProcessor = logitsProcessor?.logitsProcessor(session, seed: arguments(in: session).usedSeed)
    if let schedule {
      functions.schedule = { done, total in
        try ScriptAnswer(schedule, "lr_scheduler_type", [.integer(done), .integer(total)]).multiplier(step: done)
      }
    }
    if let loss {
      functions.loss = { logits, labels, model in
        try ScriptAnswer(loss, "loss", [.object(logits), .object(labels), .object(model)]).scalar()
      }
    }
    if let computeMetrics {
      functions.metrics = { predictions in
        try ScriptAnswer(computeMetrics, "compute_metrics", predictions.lua).metrics(allowsNaN: false)
      }
      functions.textMetrics = { predictions in
        try ScriptAnswer(computeMetrics, "compute_metrics", predictions.lua).metrics(allowsNaN: false)
      }
    }
    return functions
  }

  /// Names of the script's own metrics, called with what the first evaluation set should give: a check has nothing else.
  func metricNames(_ model: TrainableModel, _ task: TrainingTask, _ arguments: TrainingArguments) throws -> [String] {
    guard let computeMetrics else { return [] }
    let predictions =
      arguments.generation == nil ? try Trainer.references(model, task, arguments)?.lua : try Trainer.writtenReferences(model, task)?.lua
    return try predictions.map { try ScriptAnswer(computeMetrics, "compute_metrics", $0).metrics(allowsNaN: true).keys.sorted() } ?? []
  }
}

/// What functions compute, those of the model's own methods included, with what they captured as it is now; `model` is the one that
/// they work on.
func functionIdentities(_ given: [(role: String, function: LuaFunction)], _ model: TrainableModel) throws -> JSONObject {
  var functions = given
  for case let method as LuaMethod in model.adapters.map(\.method) {
    for (role, function) in method.definition?.parts.functions ?? [] where !functions.contains(where: { $0.function === function }) {
      functions.append(("\(method.name).\(role)", function))
    }
  }
  return try LuaFunction.identities(of: functions, known: [("model", model)]).json
}

extension Predictions {
  /// The arguments of `compute_metrics`.
  fileprivate var lua: [LuaValue] {
    func list(_ answers: [Answer]) -> LuaValue {
      .table(
        LuaTable(
          list: answers.map { answer in
            switch answer {
            case .label(let index): .integer(index)
            case .score(let score): .number(score)
            case .token(let id): .integer(Int(id))
            }
          }))
    }
    return [list(answers), list(references), logits.map { .object($0) } ?? .nil]
  }
}

extension WrittenPredictions {
  /// The arguments of `compute_metrics` where the model writes.
  fileprivate var lua: [LuaValue] {
    func list(_ values: [LuaValue]) -> LuaValue { .table(LuaTable(list: values)) }
    return [
      list(texts.map { .string($0) }), list(references.map { list($0.map { .string($0) }) }), list(tokens.map { list($0.map { .integer(Int($0)) }) }),
    ]
  }
}

/// What a script's function returned, which has to be checked.
struct ScriptAnswer {
  private let values: [LuaValue]
  private let function: LuaFunction
  private let role: String

  init(_ function: LuaFunction, _ role: String, _ arguments: [LuaValue]) throws {
    (self.function, self.role) = (function, role)
    values = try function.call(arguments)
  }

  private func mismatch(_ got: String, _ expected: String, hint: String? = nil) -> EngineError {
    EngineError(.argument, "\(function.place): the function '\(role)' returned \(got): expected \(expected)", hint: hint)
  }

  private var got: String {
    guard let value = values.first else { return "nothing" }
    if case .object(let tensor as Tensor) = value { return "a tensor of \(tensor.summary)" }
    return words(value)
  }

  private func words(_ value: LuaValue) -> String {
    if let number = value.double { return number.isNaN ? "nan" : "\(number)" }
    return value.typeName == "nil" ? "nil" : "a \(value.typeName)"
  }

  /// Changed scores of tokens: those that were given, where nothing was returned. Another tensor is checked as they are.
  func scores(_ given: Tensor) throws -> Tensor {
    let expected = "a float32 tensor [\(given.count)] of numbers, or nothing where the scores were changed in place"
    let result: Tensor
    switch values.first {
    case nil, .nil?: result = given
    case .object(let tensor as Tensor)?: result = tensor
    default: throw mismatch(got, expected)
    }
    guard result.dtype == .float32, result.shape == given.shape else { throw mismatch(got, expected) }
    if let bad = result.floats.first(where: { $0.isNaN || $0 == .infinity }) { throw mismatch("a score of \(bad.isNaN ? "nan" : "inf")", expected) }
    return result
  }

  func multiplier(step: Int) throws -> Double {
    let expected = "a finite number of at least 0"
    guard let number = values.first?.double, number.isFinite, number >= 0 else {
      throw mismatch("\(got) for step \(step)", expected)
    }
    return number
  }

  func scalar() throws -> Tensor {
    let expected = "a scalar float32 tensor with a gradient"
    guard case .object(let tensor as Tensor)? = values.first else {
      throw mismatch(got, expected, hint: values.first?.double == nil ? "end it with 'return loss'" : "return the tensor itself, without :item()")
    }
    guard tensor.count == 1 else { throw mismatch(got, expected, hint: "reduce it with :mean()") }
    guard tensor.dtype == .float32 || tensor.dtype == .float64 else { throw mismatch(got, expected) }
    guard tensor.requiresGrad || !Autograd.isEnabled else {
      throw mismatch("a tensor that does not depend on the logits", expected, hint: "compute it with operations on tensors, without :item()")
    }
    return tensor
  }

  func metrics(allowsNaN: Bool) throws -> [String: Double] {
    let expected = "a table of names and finite numbers"
    guard case .table(let table)? = values.first else { throw mismatch(got, expected) }
    guard table.list.isEmpty else { throw mismatch("a value without a name", expected, hint: "write { name = number }") }
    guard !table.fields.isEmpty else { throw mismatch("an empty table", expected) }
    var result: [String: Double] = [:]
    for (name, value) in table.fields.sorted(by: { $0.key < $1.key }) {
      guard let number = value.double, allowsNaN || number.isFinite else {
        throw mismatch("\(words(value)) as '\(name)'", expected)
      }
      let bare = EvaluationName.bare(name)
      guard !bare.isEmpty, bare != "loss" else { throw mismatch("the name '\(name)'", "another one: eval_loss is the loss itself") }
      result[bare] = number
    }
    return result
  }
}
