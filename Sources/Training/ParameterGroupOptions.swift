import Diagnostics
import NN
import Optimizers
import TensorCore

/// Parameters that train with settings of their own: an item of `parameter_groups`.
///
/// As in PyTorch's optimizers, what a group leaves out is as for all others. Unlike there, groups need not cover the model:
/// a parameter belongs to the first group that matches it, or to none.
public struct ParameterGroupOptions: Record, Sendable {
  /// Which parameters: those whose path contains one of these as a whole part or sequence of parts.
  public var params = PathParts([])
  /// The schedule's highest step size for them; nil: `learning_rate`.
  public var learningRate: Double?
  /// The decay of those that are no biases and no norms; nil: `weight_decay`.
  public var weightDecay: Double?

  public init() {}

  public static let typeName = "ParameterGroup"
  public static let recordName = "parameter group"
  public static let fields: [Field<Self>] = [
    .value(
      "params", \.params,
      "parts of the parameters' paths: \"classifier\", { \"lora_B\", \"layer.0\" }; the first group that matches a parameter has it", required: true),
    .float("learning_rate", \.learningRate, "the schedule's highest step size for them; default: the training's", in: 0...),
    .float("weight_decay", \.weightDecay, "decay of those that are no biases and no norms; default: the training's", in: 0...),
  ]

  public static let foreignNames: [String: ForeignName] = [
    "lr": .isCalled("learning_rate"), "wd": .isCalled("weight_decay"), "names": .isCalled("params"), "modules": .isCalled("params"),
    "parameters": .isCalled("params"), "name": .isCalled("params"), "betas": .isLeftOut("groups share the optimizer's options, 'optim_args'"),
  ]

  public func validate() throws(EngineError) {
    guard !params.names.isEmpty, !params.names.contains("") else {
      throw EngineError(.argument, "'params' is empty: expected parts of parameters' paths")
    }
  }
}

/// Parts of parameters' paths in an option: one, or a list of them.
public struct PathParts: FieldValue, Sendable, Equatable {
  public var names: [String]

  public init(_ names: [String]) { self.names = names }

  public static let typeName = "string|string[]"
  public static let expected = "a string or a list of strings"
  public var configValue: ConfigValue { names.configValue }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> PathParts {
    if case .text(let name) = value { return PathParts([name]) }
    guard case .table = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    return PathParts(try [String].decode(value))
  }
}

/// Whether a dotted path contains `part` as a whole part or sequence of parts: "layer.1" is in "encoder.layer.1.bias", and not
/// in "encoder.layer.11.bias".
func pathContains(_ path: String, _ part: String) -> Bool { ("." + path + ".").contains("." + part + ".") }

/// The parts of parameters' paths that are nearest to a name which is none of them; nil where none is near.
func nearestPart(to name: String, among parameters: [(name: String, tensor: Tensor)]) -> String? {
  let parts = Set(parameters.flatMap { $0.name.split(separator: ".").map(String.init) })
  return nearestName(to: name, among: parts.sorted()).map { "did you mean '\($0)'?" }
}

extension [ParameterGroupOptions] {
  /// The optimizer's groups: of each item those parameters that it is the first to match, and the rest.
  ///
  /// - Parameters:
  ///   - norms: the parameters of norms, which do not decay.
  ///   - factor: multiplies the items' learning rates.
  ///   - weightDecay: the decay of the rest, and of items without one.
  func groups(
    of parameters: [(name: String, tensor: Tensor)], norms: Set<ObjectIdentifier>, factor: Double, weightDecay: Double
  ) -> [ParameterGroup] {
    let members = assigned(parameters)
    return zip(self, members).flatMap { group, parameters in
      ParameterGroup.decaying(
        parameters, norms: norms, learningRate: group.learningRate.map { $0 * factor }, weightDecay: group.weightDecay ?? weightDecay)
    } + ParameterGroup.decaying(members[count], norms: norms, weightDecay: weightDecay)
  }

  /// The parameters of each item, and last those of none.
  private func assigned(_ parameters: [(name: String, tensor: Tensor)]) -> [[(name: String, tensor: Tensor)]] {
    var members = [[(name: String, tensor: Tensor)]](repeating: [], count: count + 1)
    for parameter in parameters {
      let group = firstIndex { $0.params.names.contains { pathContains(parameter.name, $0) } } ?? count
      members[group].append(parameter)
    }
    return members
  }

  /// Throws for an item that changes nothing: a name that no parameter has, parameters that do not train, or that all belong to
  /// earlier items.
  ///
  /// - Parameter allowsFrozen: whether frozen parameters may begin to train later.
  func check(_ parameters: [(name: String, tensor: Tensor)], allowsFrozen: Bool) throws {
    let eligible = allowsFrozen ? parameters : parameters.filter(\.tensor.requiresGrad)
    for (i, group) in enumerated() {
      for name in group.params.names where !eligible.contains(where: { pathContains($0.name, name) }) {
        let place = "trainer options: 'parameter_groups[\(i + 1)]'"
        if parameters.contains(where: { pathContains($0.name, name) }) {
          throw EngineError(.argument, "\(place): all parameters with '\(name)' in their paths are frozen", hint: "unfreeze them, or drop the group")
        }
        throw EngineError(
          .argument, "\(place): no trainable parameter's path contains '\(name)'", hint: nearestPart(to: name, among: eligible))
      }
    }
    for (i, members) in assigned(eligible).dropLast().enumerated() where members.isEmpty {
      throw EngineError(
        .argument, "trainer options: 'parameter_groups[\(i + 1)]': earlier groups have all of its parameters",
        hint: "the first group that matches a parameter has it: put narrower groups first")
    }
  }
}
