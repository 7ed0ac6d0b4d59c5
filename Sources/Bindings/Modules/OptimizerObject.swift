import Diagnostics
import LuaHost
import LuaTensors
import Optimizers
import TensorCore
import Training

/// Tensors in a field of an options table.
struct TensorList: FieldValue {
  var tensors: [Tensor]

  static let typeName = "Tensor[]"
  static let expected = "a list of Tensors"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> TensorList {
    guard case .table(let table) = value, table.fields.isEmpty else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    var tensors: [Tensor] = []
    for (i, item) in table.list.enumerated() {
      guard case .object(let object, _) = item, let tensor = object as? Tensor else {
        throw ValueMismatch(expected: "a Tensor", found: item.briefly, place: "[\(i + 1)]")
      }
      tensors.append(tensor)
    }
    return TensorList(tensors: tensors)
  }

  var configValue: ConfigValue {
    .table(ConfigTable(list: tensors.map { .object($0, typeName: Tensor.luaName) }))
  }
}

/// Options of an optimizer for a loop of a script's own: the rule's, and what it is to update.
struct OptimizerOptions<Rule: UpdateRule>: LuaRecord {
  var rule = Rule()
  var parameters: TensorList?
  var model: TrainableModel?
  var learningRate = Rule.defaultLearningRate
  var weightDecay = Rule.defaultWeightDecay

  static var recordName: String { Rule.recordName }
  static var typeName: String { "\(Rule.self)Options" }
  static var fields: [Field<Self>] {
    [
      .value("parameters", \.parameters, "float32 tensors that require gradients; all of them decay"),
      .object(
        "model", \.model,
        "instead of parameters: a model's trainable ones; biases and norms do not decay",
        type: "Model"),
      .float("learning_rate", \.learningRate, "step size", in: 0...),
    ] + Field.fields(of: \.rule) + [.float("weight_decay", \.weightDecay, "weight decay", in: 0...)]
  }

  func validate() throws(EngineError) {
    guard (parameters == nil) != (model == nil) else {
      throw EngineError(.argument, "give either 'parameters' or 'model'")
    }
    try rule.validate()
    guard learningRate.isFinite, weightDecay.isFinite else {
      throw EngineError(.argument, "'learning_rate' and 'weight_decay' must be finite")
    }
  }

  /// The parameters in groups. Throws for those that the optimizer could not update.
  fileprivate func groups() throws -> [ParameterGroup] {
    let name = Rule.functionName
    if let model {
      let parameters = model.network.trainableParameters()
      guard !parameters.isEmpty else {
        throw EngineError(.argument, "\(name): the model has no parameter that requires gradients")
      }
      return ParameterGroup.decaying(model.network, weightDecay: weightDecay)
    }
    let tensors = parameters?.tensors ?? []
    guard !tensors.isEmpty else { throw EngineError(.argument, "\(name): 'parameters' is empty") }
    var seen: Set<ObjectIdentifier> = []
    for (i, tensor) in tensors.enumerated() {
      guard tensor.isLeaf, tensor.requiresGrad, tensor.dtype == .float32 else {
        throw EngineError(
          .argument,
          "\(name): parameters[\(i + 1)] is \(tensor.summary): expected a float32 tensor that "
            + "requires gradients and is no result"
        )
      }
      guard seen.insert(ObjectIdentifier(tensor)).inserted else {
        throw EngineError(.argument, "\(name): parameters[\(i + 1)] is given twice")
      }
    }
    return [ParameterGroup(tensors.enumerated().map { (String($0), $1) }, weightDecay: weightDecay)]
  }
}

/// An optimizer in a training loop of a script's own.
public final class OptimizerObject: LuaObject {
  public static let luaName = "Optimizer"
  fileprivate let optimizer: Optimizer
  fileprivate var learningRate: Double
  fileprivate var steps = 0

  init<Rule: UpdateRule>(_ options: OptimizerOptions<Rule>) throws {
    optimizer = Optimizer(options.rule, try options.groups())
    learningRate = options.learningRate
  }

  fileprivate func parameters() -> [Tensor] {
    optimizer.groups.flatMap { $0.parameters.map(\.tensor) }
  }

  /// Limits the norm of all gradients together, and returns what it was.
  fileprivate func clip(_ limit: Double) throws -> Double {
    let norm = optimizer.gradientNorm()
    let scale = optimizer.clippingScale(norm: norm, limit: limit)
    if scale != 1 { try parameters().forEach { try $0.grad?.mulInPlace(scale) } }
    return norm
  }
}

/// The functions of optimizers in the module `trainer`.
func optimizerFunctions() -> [Function] { OptimizerCatalogue.rules.map { constructor($0) } }

/// The constructor of one optimizer, from its declared options.
private func constructor<Rule: UpdateRule>(_ rule: Rule.Type) -> Function {
  Function(
    Rule.functionName, Rule.summary + " For a loop of the script's own.",
    Param<OptimizerOptions<Rule>>("options", "see the fields"), returns: "optimizer"
  ) { try OptimizerObject($0) }
}

func optimizerClass() -> Class<OptimizerObject> {
  Class<OptimizerObject>(
    "An optimizer of a list of parameters.",
    .property(
      "learning_rate", "the step size of the next update", get: { $0.learningRate },
      set: { optimizer, value in
        guard value.isFinite, value >= 0 else {
          throw EngineError(
            .argument, "learning_rate = \(value): expected a finite number of at least 0")
        }
        optimizer.learningRate = value
      }),
    .property("steps", "updates done") { $0.steps },
    .method("step", "Updates every parameter that has a gradient.") { optimizer in
      try optimizer.optimizer.step(learningRate: optimizer.learningRate)
      optimizer.steps += 1
    },
    .method("zero_grad", "Forgets all gradients.") { optimizer in
      optimizer.parameters().forEach { $0.grad = nil }
    },
    .method(
      "clip_grad_norm", "Scales all gradients so that their norm together is at most a limit.",
      Param<Double>("max_norm", "the limit", in: Above(0)), returns: "norm before"
    ) { try $0.clip($1) },
    .metamethod("__tostring", "rule and sizes", Param<OptimizerObject>("optimizer", "an optimizer")) {
      "\(type(of: $0.optimizer.rule))(\($0.parameters().count) parameters, learning_rate = \($0.learningRate))"
    })
}
