import Adapters
import Checkpoints
import Diagnostics
import Engine
import Files
import LuaHost
import Pipelines
import TensorCore

/// What `adapters.define` takes beside the name.
package struct DefinitionOptions: LuaRecord {
  var doc = ""
  var config = DeclaredFields()
  var build: LuaFunction?
  var delta: LuaFunction?
  var weight: LuaFunction?
  var merge: LuaFunction?
  var regularizer: LuaFunction?
  var afterStep: LuaFunction?
  var dropout: String?
  var mergeTolerance = 1e-4
  var freshEqualsBase = true
  package var exactGradient = true

  package static let recordName = "adapter definition"
  package static let fields: [Field<Self>] = [
    .value("doc", \.doc, "what the method is, in one line"),
    .value("config", \.config, "the method's options: name = default, or name = { default, doc = , min = , max = , choices = { } }"),
    .object(
      "build", \.build, "makes a layer's parameters, by the names that they are saved under; what is frozen with :freeze() never trains",
      type: "fun(layer: AdaptedLayer, c: table): table<string, Tensor>", required: true),
    .function(
      "delta", \.delta, "what is added to the layer's output, [..., out], for its input x, [..., in]; or give weight",
      type: "fun(x: Tensor, w: table<string, Tensor>, c: table): Tensor"),
    .function(
      "weight", \.weight, "the weight that takes the place of the layer's, [out, in]; or give delta",
      type: "fun(weight: Tensor, w: table<string, Tensor>, c: table): Tensor"),
    .function(
      "merge", \.merge, "the weight with the adapter's share, for methods that cannot be merged by what delta or weight say",
      type: "fun(weight: Tensor, w: table<string, Tensor>, c: table): Tensor"),
    .function(
      "regularizer", \.regularizer, "a scalar that is added to the loss, for each layer",
      type: "fun(w: table<string, Tensor>, c: table): Tensor"),
    .function(
      "after_step", \.afterStep,
      "called for each layer after every update, numbered from 0, without recording; may change the layer's tensors, frozen ones as well",
      type: "fun(w: table<string, Tensor>, c: table, step: integer, layer: AdaptedLayer)"),
    .value("dropout", \.dropout, "the name of the option that says which share of delta's input is dropped in training"),
    .float("merge_tolerance", \.mergeTolerance, "how far logits up to 1 may move by a merge", in: Above(0)),
    .value("fresh_equals_base", \.freshEqualsBase, "whether a new adapter changes nothing; perigee test-adapter checks it"),
    .value("exact_gradient", \.exactGradient, "whether the gradients are those of the loss: not where something is detached from it"),
  ]

  /// The functions that are given, by the names of their fields.
  package var functions: [(role: String, function: LuaFunction)] {
    let fields = [
      ("build", build), ("delta", delta), ("weight", weight), ("merge", merge), ("regularizer", regularizer), ("after_step", afterStep),
    ]
    return fields.compactMap { role, function in function.map { (role, $0) } }
  }

  package init() {}

  package func validate() throws(EngineError) {
    guard (delta == nil) != (weight == nil) else { throw EngineError(.argument, "give either 'delta' or 'weight'") }
    if dropout != nil, delta == nil { throw EngineError(.argument, "'dropout' is for 'delta': a weight sees no input") }
  }
}

/// A table of declared options, as `params` takes it.
struct DeclaredFields: FieldValue {
  var table = ConfigTable()

  static let typeName = "table<string, any>"
  static let expected = "a table of names and defaults"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> DeclaredFields {
    guard case .table(let table) = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    return DeclaredFields(table: table)
  }

  var configValue: ConfigValue { .table(table) }
}

// Unchecked: it is made, and its functions are called, on the one thread of its script; methods must be Sendable.
/// A method that a script has defined.
public final class LuaDefinition: @unchecked Sendable {
  public let name: String
  package let parts: DefinitionOptions
  package let fields: ParameterSet
  /// Draws of `build` come from here.
  let random: RandomState
  /// Digest of everything that the functions are made of, and of what they had captured when the method was defined.
  let digest: String

  /// Throws for a name or an option that cannot be, with the places that they would collide with.
  init(_ name: String, _ parts: DefinitionOptions, random: RandomState) throws {
    let isWord = name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || Character(Unicode.Scalar($0)).isLetter || Character(Unicode.Scalar($0)).isNumber }
    guard isWord, name.first.map({ $0.isASCII && $0.isLetter }) ?? false else {
      throw EngineError(.argument, "define: '\(name)' is no name: expected letters, digits and '_', a letter first")
    }
    let place = "config of '\(name)'"
    fields = try ParameterSet(parts.config.table, place: place)
    let declared = fields.parameters
    let common = AdapterOptions<LuaMethod>.fields.map(\.name)
    if let taken = declared.first(where: { common.contains($0.name) }) {
      throw EngineError(.argument, "\(place): '\(taken.name)' is an option of all methods", hint: "take another name")
    }
    if let dropout = parts.dropout {
      guard let field = declared.first(where: { $0.name == dropout }), field.isNumber else {
        throw EngineError(
          .argument, "dropout of '\(name)': config has no number '\(dropout)'", hint: suggestion(for: dropout, among: declared.map(\.name)))
      }
    }
    (self.name, self.parts, self.random) = (name, parts, random)
    let functions = try LuaFunction.identities(of: parts.functions)
    digest = Digest(of: ["functions": .object(functions.json), "dropout": .string(parts.dropout ?? "")] as JSONValue).hex
  }

  /// The method with these options; the others keep their defaults.
  package func method(_ given: JSONObject, place: String) throws -> LuaMethod {
    var method = LuaMethod()
    method.definition = self
    method.given = try fields.resolve(given: given, place: place)
    let p = method.dropoutShare
    guard p >= 0, p < 1 else { throw EngineError(.argument, "\(place): '\(parts.dropout ?? "")' must be a number at least 0 and below 1, got \(p)") }
    return method
  }

  /// The method with the `name=value` of each `--set`.
  package func settings(_ settings: [String]) throws -> AdapterSettings {
    try AdapterSettings(own: fields.parameters.map(\.name), settings: settings) {
      try method(fields.resolve(settings: $0), place: name + " options")
    }
  }

  /// An error of the script: a function did not do what it should.
  func mistake(_ function: LuaFunction?, _ what: String, _ text: String) -> EngineError {
    let place = function?.place ?? ""
    return EngineError(.argument, (place.isEmpty ? "" : place + ": ") + "\(what) of '\(name)' \(text)")
  }
}

extension AdapterSpec {
  /// A method that a script defined, with the options of one table: its own and those of all methods.
  convenience init(_ definition: LuaDefinition, _ options: LuaTable) throws {
    let place = definition.name + " options"
    let own = definition.fields.parameters.map(\.name)
    var common = ConfigTable(list: options.list.map(\.configValue))
    var given = JSONObject()
    for (name, value) in options.fields.sorted(by: { $0.key < $1.key }) {
      if own.contains(name) { given[name] = try value.json("\(place): '\(name)'") } else { common.fields[name] = value.configValue }
    }
    let known = own + AdapterOptions<LuaMethod>.fields.map(\.name)
    if let unknown = common.fields.keys.sorted().first(where: { !known.contains($0) }) {
      throw EngineError(.argument, "\(place): unknown field '\(unknown)'", hint: suggestion(for: unknown, among: known))
    }
    let shared = try AdapterOptions<LuaMethod>(table: common)
    self.init(
      try definition.method(given, place: place), targets: shared.targets, name: shared.adapterName, seed: shared.seed)
  }
}
