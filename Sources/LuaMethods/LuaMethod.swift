import Adapters
import Diagnostics
import Files
import LuaHost
import LuaTensors
import NN
import TensorCore

/// A method that a script has defined with `adapters.define`: its functions make the parameters and say what they do.
package struct LuaMethod: LinearAdapterMethod, ChangesFrozenParameters {
  package static let name = "adapter"
  package static let summary = "A method that a script defines."
  package static let fields: [Field<Self>] = []
  /// `peft_type` of the folders.
  package static let folderType = "PERIGEE_LUA"

  /// nil: an instance without a script behind it, as `Record` makes one. Not for use.
  package var definition: LuaDefinition?
  /// The options, by the script's names.
  package var given = JSONObject()

  package init() {}

  package var name: String { definition?.name ?? Self.name }
  package var peftType: String? { Self.folderType }
  package var mergeTolerance: Double { definition?.parts.mergeTolerance ?? Self.mergeTolerance }

  package var freshEqualsBase: Bool { definition?.parts.freshEqualsBase ?? true }

  package static let otherKeys = ["method", "definition", "options"]

  package var options: JSONObject { ["method": .string(name), "definition": .string(definition?.digest ?? ""), "options": .object(given)] }

  package func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    for (key, value) in options.members { configuration[key] = value }
  }

  /// Share of the input that is dropped.
  var dropoutShare: Double { definition?.parts.dropout.flatMap { given[$0]?.doubleValue } ?? 0 }

  package func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    guard let definition else { throw EngineError(.argument, "the method has no definition") }
    guard linear.weight.device == .cpu else {
      throw EngineError(.argument, "method '\(name)' is defined in Lua, which needs a model with weights")
    }
    let layer = AdaptedLayer(linear, site)
    defer { layer.site = nil }
    let build = definition.parts.build
    let stream = RandomSource.stream(named: site.path)
    let results = try definition.random.drawing(from: site.seed ^ UInt64(stream) &* 0x9E37_79B9_7F4A_7C15) {
      try build?.call([.object(layer), .table(optionTable)]) ?? []
    }
    guard case .table(let table)? = results.first, table.list.isEmpty, !table.fields.isEmpty else {
      throw definition.mistake(build, "build", "must return a table of tensors by their names")
    }
    let parameters = try table.fields.sorted { $0.key < $1.key }.map { name, value in
      try parameter(name, value, definition, build, layer)
    }
    return LuaAdapter(self, definition, layer, parameters)
  }

  /// One entry of the table that `build` returned.
  private func parameter(
    _ name: String, _ value: LuaValue, _ definition: LuaDefinition, _ build: LuaFunction?, _ layer: AdaptedLayer
  ) throws -> LuaAdapter.Parameter {
    let isWord = name.utf8.allSatisfy {
      let letter = Character(Unicode.Scalar($0))
      return letter.isASCII && (letter.isLetter || letter.isNumber || "_.-".contains(letter))
    }
    guard isWord, name.first?.isLetter ?? false, !["weight", "bias"].contains(name) else {
      throw definition.mistake(
        build, "build", "gives a parameter the name '\(name)': expected letters, digits, '_', '.', and not the layer's 'weight' or 'bias'")
    }
    guard case .object(let object) = value, let tensor = object as? Tensor, tensor.dtype.isFloatingPoint else {
      throw definition.mistake(build, "build", "gives '\(name)' = \(value.configValue.briefly): expected a Tensor of floating-point numbers")
    }
    if layer.shared.contains(ObjectIdentifier(tensor)) { return (name, tensor, isShared: true, isFrozen: tensor.staysFrozen) }
    if let bad = tensor.firstNonFinite {
      throw definition.mistake(build, "build", "gives '\(name)' a value that is not finite at index \(bad)")
    }
    // A copy: what the script keeps, or gave to another layer, is not ours to train.
    return (name, try tensor.detach().to(.float32).copy(), isShared: false, isFrozen: tensor.staysFrozen)
  }

  /// The options as the functions get them.
  var optionTable: LuaTable {
    LuaTable(fields: Dictionary(given.members.map { ($0, $1.lua) }, uniquingKeysWith: { a, _ in a }))
  }

  package func makeTraining(for attached: AttachedAdapter) -> MethodTraining? {
    guard let parts = definition?.parts, parts.regularizer != nil || parts.afterStep != nil else { return nil }
    return LuaTraining(attached.linearAdapters.compactMap { $0.adapter as? LuaAdapter })
  }

  /// `after_step` may change what is frozen, also what the layers share.
  package func frozenParametersChanged(by attached: AttachedAdapter) -> [(name: String, tensor: Tensor)] {
    guard definition?.parts.afterStep != nil else { return [] }
    let name = attached.name == "default" ? "" : attached.name + "."
    let own = attached.linearAdapters.flatMap { path, _, adapter in adapter.ownParameters.map { (path + "." + name + $0.name, $0.tensor) } }
    let shared = attached.shared?.ownParameters.map { (name + $0.name, $0.tensor) } ?? []
    return (own + shared).filter { !$0.1.requiresGrad }
  }
}

/// The parameters of one layer, and the script's functions that use them.
final class LuaAdapter: Adapter, LowRankUpdate {
  typealias Parameter = (name: String, tensor: Tensor, isShared: Bool, isFrozen: Bool)

  let method: LuaMethod
  let definition: LuaDefinition
  let layer: AdaptedLayer
  private let parameters: [Parameter]
  /// Whether `delta` was found to need its input's elements.
  private var needsElements = false

  init(_ method: LuaMethod, _ definition: LuaDefinition, _ layer: AdaptedLayer, _ parameters: [Parameter]) {
    (self.method, self.definition, self.layer, self.parameters) = (method, definition, layer, parameters)
  }

  override var ownParameters: [(name: String, tensor: Tensor)] { parameters.filter { !$0.isShared }.map { ($0.name, $0.tensor) } }
  override var frozenParameters: [String] { parameters.filter { !$0.isShared && $0.isFrozen }.map(\.name) }
  override var borrowedParameters: [Tensor] { parameters.filter(\.isShared).map(\.tensor) }
  override var dropout: Double { method.dropoutShare }

  /// The tensors and the options, as the script's functions get them.
  var arguments: [LuaValue] {
    let tensors = parameters.map { ($0.name, LuaValue.object($0.tensor)) }
    return [.table(LuaTable(fields: Dictionary(uniqueKeysWithValues: tensors))), .table(method.optionTable)]
  }

  // MARK: Output

  func output(_ call: LinearCall) throws -> Tensor {
    guard definition.parts.delta != nil else { return try weighted(call) }
    let x = definition.parts.dropout == nil ? call.input : try call.input.dropout(call.context.dropout(dropout))
    if let expression = try expression() { return try expression.added(to: call.y, x) }
    return try call.y.add(delta(of: x)).to(call.y.dtype)
  }

  private func weighted(_ call: LinearCall) throws -> Tensor {
    let plain = try call.layer.base.weight.dequantized().detach()
    let weight = try weight(definition.parts.weight, "weight", plain)
    if call.isPlain { return try call.input.linear(weight, call.layer.base.bias, output: call.y.dtype) }
    return try call.y.add(call.input.linear(weight.sub(plain), output: weight.dtype)).to(call.y.dtype)
  }

  /// What `delta` does, if it is a sum of products; nil: it has to be computed.
  private func expression() throws -> LinearExpression? {
    guard !needsElements, let delta = definition.parts.delta else { return nil }
    do {
      let results = try delta.call([.object(LinearExpression(width: layer.linear.inFeatures))] + arguments)
      if results.count == 1, case .object(let object)? = results.first, let found = object as? LinearExpression,
        found.width == layer.linear.outFeatures
      {
        return found
      }
    } catch let error as EngineError where error.kind == .interrupted {
      throw error
    } catch {
      // With the elements it works, or fails for a reason of its own.
    }
    needsElements = true
    return nil
  }

  /// What `delta` makes of the elements, [..., out].
  private func delta(of x: Tensor) throws -> Tensor {
    let function = definition.parts.delta
    let results = try function?.call([.object(x.to(.float32).lent())] + arguments) ?? []
    let expected = Array(x.shape.dropLast()) + [layer.linear.outFeatures]
    guard case .object(let object)? = results.first, let y = object as? Tensor, y.shape == expected, y.dtype.isFloatingPoint else {
      throw definition.mistake(function, "delta", "returned \(described(results)): expected a Tensor of \(expected)")
    }
    return try y.to(.float32)
  }

  private func weight(_ function: LuaFunction?, _ what: String, _ base: Tensor) throws -> Tensor {
    let results = try function?.call([.object(base.lent())] + arguments) ?? []
    guard case .object(let object)? = results.first, let weight = object as? Tensor, weight.shape == base.shape, weight.dtype.isFloatingPoint
    else { throw definition.mistake(function, what, "returned \(described(results)): expected a Tensor of \(base.shape)") }
    return try weight.to(.float32)
  }

  private func described(_ results: [LuaValue]) -> String {
    guard let first = results.first else { return "nothing" }
    if case .object(let object) = first, let tensor = object as? Tensor { return "a Tensor of " + tensor.summary }
    return first.configValue.briefly
  }

  // MARK: Merging

  var isSum: Bool { definition.parts.delta != nil && definition.parts.merge == nil }

  func merged(_ weight: Tensor, _ bias: Tensor?, of layer: Linear) throws -> (weight: Tensor, bias: Tensor?) {
    if let merge = definition.parts.merge { return (try self.weight(merge, "merge", weight).copy(), bias) }
    try weight.addInPlace(deltaWeight())
    return (weight, bias)
  }

  func deltaWeight() throws -> Tensor {
    try Autograd.noGrad {
      guard definition.parts.delta != nil else {
        let base = try layer.linear.base.weight.dequantized().detach()
        return try weight(definition.parts.weight, "weight", base).sub(base)
      }
      return try expression()?.matrix(inFeatures: layer.linear.inFeatures) ?? probedMatrix()
    }
  }

  /// The matrix of a `delta` that is linear: what it makes of the unit vectors. Throws where it is not linear.
  private func probedMatrix() throws -> Tensor {
    let n = layer.linear.inFeatures
    let identity = try Tensor.eye(n)
    let rows = try stride(from: 0, to: n, by: 256).map { try delta(of: identity.slice(0, $0, min(n, $0 + 256))) }
    let matrix = try Tensor.cat(rows, 0).transpose(0, 1)
    let probe = try Tensor.randn([8, n], RandomSource(seed: 1, stream: RandomSource.stream(named: "linearity")))
    let (given, wanted) = (try delta(of: probe).values, try probe.linear(matrix).values)
    let largest = max(given.map(abs).max() ?? 0, wanted.map(abs).max() ?? 0)
    guard zip(given, wanted).allSatisfy({ abs($0 - $1) <= 1e-4 * largest }) else {
      throw definition.mistake(
        definition.parts.delta, "delta", "is not linear in x: no weight can hold it, and it cannot be merged or exported")
    }
    return matrix
  }

  // MARK: As a LoRA

  var scaling: Double { 1 }

  func loraFactors() throws -> (a: Tensor, b: Tensor) {
    try Autograd.noGrad {
      if definition.parts.delta != nil, let factors = try expression()?.loraFactors(inFeatures: layer.linear.inFeatures) {
        return factors
      }
      return try decomposed(deltaWeight())
    }
  }

  /// The factors of a matrix, by its singular values; with one of full rank, the other factor is the identity.
  private func decomposed(_ matrix: Tensor) throws -> (a: Tensor, b: Tensor) {
    let (u, s, vh) = try matrix.svd()
    let singular = s.values
    let bound = (singular.first ?? 0) * 1e-6 * Double(max(matrix.shape[0], matrix.shape[1])).squareRoot()
    let rank = max(1, singular.count { $0 > bound })
    guard rank < singular.count else {
      let (rows, columns) = (matrix.shape[0], matrix.shape[1])
      return rows <= columns ? (matrix, try .eye(rows)) : (try .eye(columns), matrix)
    }
    return (try vh.slice(0, 0, rank), try u.slice(1, 0, rank).mul(s.slice(0, 0, rank)))
  }
}

/// The script's `regularizer` and `after_step`.
final class LuaTraining: MethodTraining {
  private let adapters: [LuaAdapter]

  init(_ adapters: [LuaAdapter]) { self.adapters = adapters }

  override func regularization() throws -> Tensor? {
    var sum: Tensor?
    for adapter in adapters {
      guard let function = adapter.definition.parts.regularizer else { return nil }
      let results = try function.call(adapter.arguments)
      guard case .object(let object)? = results.first, let term = object as? Tensor, term.count == 1 else {
        throw adapter.definition.mistake(function, "regularizer", "must return a Tensor of one element")
      }
      let scalar = try term.reshape([]).to(.float32)
      sum = try sum.map { try $0.add(scalar) } ?? scalar
    }
    return sum
  }

  override func afterUpdate(_ place: TrainingPlace) throws {
    try Autograd.noGrad {
      for adapter in adapters {
        guard let function = adapter.definition.parts.afterStep else { return }
        _ = try function.call(adapter.arguments + [.integer(place.step), .object(adapter.layer)])
      }
    }
  }
}
