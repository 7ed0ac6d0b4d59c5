import Diagnostics
import Files
import NN

/// Trains chosen parameters of the base model and leaves the others as they are; by default the query and value projections,
/// a baseline of LoRA's size of matrices (RoBERTa-base: 14,155,776 numbers).
///
/// Nothing is attached, and nothing is to be merged. The folder has the parameters and a `peft_type` of our own.
public struct SelectiveFineTuning: ChoosesParameters {
  public static let name = "selective"
  public static let summary = "Trains chosen parameters of the base model: by default the query and value weights."

  /// Ends of the parameters' names, after a dot; nil: the weights of the query and value projections.
  public var parameters: [String]?

  public init() {}

  public static let fields: [Field<Self>] = [
    .value(
      "parameters", \.parameters,
      "names of parameters, or their ends after a dot, such as query.weight or LayerNorm.bias; default: the weights that give queries and values"
    ).saved(optional: true)
  ]

  public func validate() throws(EngineError) {
    guard parameters?.isEmpty != true else { throw EngineError(.argument, "parameters is empty: expected at least one name") }
  }

  public func check(parameters all: [BaseParameter]) throws {
    let names = all.map(\.name)
    for name in parameters ?? [] where !names.contains(where: { AttachedAdapter.isSuffix(name, of: $0) }) {
      let ends = Set(
        names.flatMap { path in
          let parts = path.split(separator: ".")
          return (1...max(1, min(3, parts.count))).map { parts.suffix($0).joined(separator: ".") }
        })
      throw EngineError(
        .argument, "parameters: '\(name)' matches no parameter outside the head",
        hint: nearestName(to: name, among: ends.sorted()).map { "did you mean '\($0)'?" } ?? "such as query.weight")
    }
  }

  public func trains(_ parameter: BaseParameter) -> Bool {
    if let parameters { return parameters.contains { AttachedAdapter.isSuffix($0, of: parameter.name) } }
    let roles: [Role?] = [.query, .value, .fused]
    return parameter.key == "weight" && parameter.linear.map { roles.contains($0.role) } == true
  }

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    let names = attached.chosenParameters.map(\.name)
    let all = attached.root.plainParameters().map(\.name)
    configuration["parameters"] = .array((parameters ?? AttachedAdapter.ends(of: names, among: all, parts: 2) ?? names).map { .string($0) })
  }
}
