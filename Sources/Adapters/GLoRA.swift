import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// Generalised LoRA: scales and shifts of weight and bias.
///
/// `W' = W + W * A + B`, `b' = b + b * D + E + W C`, `y = W' x + b'`, products with `*` element by element; W and b are the
/// layer's own, whatever other adapters do. Each of the five has a form:
///
/// | | lora | vector | constant | none |
/// |---|---|---|---|---|
/// | A, B | `Xd Xu`, [out, r] [r, in] | [out, 1] | [1] | 0 |
/// | C | `Xd Xu`, [in, r] [r, 1] | [in, 1] | | 0 |
/// | D, E | | [out] | [1] | 0 |
///
/// Xu starts Xavier-uniform and everything else at 0, so that a fresh adapter changes nothing. Without options the forms are those
/// of `config_A_B`, `config_C` and `config_D_E`, as in PEFT. With `supernet`, every layer stores the largest forms, and draws one of
/// 432 configurations in each forward pass of training: of a smaller form it uses the first column or number. Evaluations
/// use the largest, until `setGLoRAConfigurations` gives every layer one; `lua/glora_search.lua` finds them. A layer without a
/// bias has no C, D and E.
///
/// Merge: W', b'. Paper: Chavan et al. 2023, arXiv 2306.07967.
public struct GLoRA: LinearAdapterMethod, DrawsParameters, ChecksFolder {
  public static let name = "glora"
  public static let summary = "Generalised LoRA: scales and shifts weight and bias; as a supernet, of all configurations at once."

  /// What A and B are made of.
  public enum MatrixForm: String, FieldChoice { case lora, vector, constant, none }
  /// What C is made of.
  public enum ColumnForm: String, FieldChoice { case lora, vector, none }
  /// What D and E are made of.
  public enum BiasForm: String, FieldChoice { case vector, constant, none }

  /// Rank of what has the form `lora`.
  public var r = 8
  /// nil: lora.
  public var configAB: MatrixForm?
  /// nil: lora.
  public var configC: ColumnForm?
  /// nil: constant.
  public var configDE: BiasForm?
  /// Trains all configurations at once, in place of the one that the options give.
  public var supernet = false

  public init() {}

  public static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of what has the form lora", in: 1...65_536),
    .value("config_A_B", \.configAB, "form of the weight's scale and shift; default lora")
      .saved(optional: true) { $0.supernet ? nil : $0.configAB ?? .lora },
    .value("config_C", \.configC, "form of the column that goes through the weight into the bias; default lora")
      .saved(optional: true) { $0.supernet ? nil : $0.configC ?? .lora },
    .value("config_D_E", \.configDE, "form of the bias's scale and shift; default constant")
      .saved(optional: true) { $0.supernet ? nil : $0.configDE ?? .constant },
    .value("supernet", \.supernet, "every layer draws its forms anew in each forward pass of training")
      .saved(optional: true) { $0.supernet ? true : nil },
  ]

  public func validate() throws(EngineError) {
    guard !supernet || (configAB == nil && configC == nil && configDE == nil) else {
      throw EngineError(
        .argument, "glora options: a supernet draws its forms: config_A_B, config_C and config_D_E have no meaning",
        hint: "leave them out")
    }
  }

  /// The forms of all layers, without a supernet.
  private var forms: GLoRAConfiguration {
    let (ab, c, de) = (configAB ?? .lora, configC ?? .lora, configDE ?? .constant)
    return GLoRAConfiguration(a: ab, b: ab, c: c, d: de, e: de)
  }

  public static let peftType: String? = "GLORA"
  public static let keysUnknownToPEFT = ["bias", "fan_in_fan_out"]
  /// A folder of PEFT's has one configuration.
  private static let supernetType = "PERIGEE_GLORA_SUPERNET"
  public static var peftTypes: [String] { ["GLORA", supernetType] }
  public var peftType: String? { supernet ? Self.supernetType : Self.peftType }
  public var drawsParameters: Bool { supernet }

  public static let otherKeys = ["init_weights"]

  public func complete(_ configuration: inout JSONObject, of attached: AttachedAdapter) {
    if !supernet { configuration["init_weights"] = true }
  }

  public mutating func adopt(_ config: HuggingFaceConfig) throws {
    let type = try config.string("peft_type")
    guard supernet == (type == Self.supernetType) else {
      throw EngineError(.data, "\(config.path): supernet is \(supernet), which peft_type '\(type)' is not")
    }
  }

  /// PEFT writes the zeros of parts without parameters.
  public func ignores(_ tensor: String) -> Bool { tensor.hasSuffix(".zeros") && tensor.contains(".glora_") }

  /// Numbers that name no forms would be no configuration.
  public func didLoad(_ attached: AttachedAdapter) throws {
    for (path, _, adapter) in attached.linearAdapters {
      guard let codes = (adapter as? GLoRAAdapter)?.codes, codes.contains(where: { $0 != GLoRAConfiguration.drawn }) else { continue }
      guard GLoRAConfiguration(codes: codes) == nil else { continue }
      throw EngineError(.data, "'\(path).\(GLoRAAdapter.configurationName)' is \(codes), which names no forms of the five parts")
    }
  }

  public func makeAdapter(for linear: Linear, at site: AdapterSite) throws -> (any LinearAdapter)? {
    try checkRank(r, of: linear, at: site)
    let (rows, columns) = (linear.outFeatures, linear.inFeatures)
    let forms = supernet ? .largest : self.forms
    func factors(_ name: String, _ rows: Int, _ columns: Int) throws -> GLoRAPart {
      GLoRAPart(
        down: try site.parameter(name + ".Xd", [rows, r], .zeros), up: try site.parameter(name + ".Xu", [r, columns], .xavierUniform))
    }
    func values(_ name: String, _ shape: [Int]) throws -> GLoRAPart {
      GLoRAPart(values: try site.parameter(name + ".X", shape, .zeros))
    }
    func matrix(_ name: String, _ form: MatrixForm) throws -> GLoRAPart? {
      switch form {
      case .lora: try factors(name, rows, columns)
      case .vector: try values(name, [rows, 1])
      case .constant: try values(name, [1])
      case .none: nil
      }
    }
    func column() throws -> GLoRAPart? {
      switch forms.c {
      case .lora: try factors("glora_C", columns, 1)
      case .vector: try values("glora_C", [columns, 1])
      case .none: nil
      }
    }
    func row(_ name: String, _ form: BiasForm) throws -> GLoRAPart? {
      form == .none ? nil : try values(name, form == .vector ? [rows] : [1])
    }
    var parts: [(name: String, part: GLoRAPart)] = []
    if let part = try matrix("glora_A", forms.a) { parts.append(("glora_A", part)) }
    if let part = try matrix("glora_B", forms.b) { parts.append(("glora_B", part)) }
    if linear.bias != nil {
      if let part = try column() { parts.append(("glora_C", part)) }
      if let part = try row("glora_D", forms.d) { parts.append(("glora_D", part)) }
      if let part = try row("glora_E", forms.e) { parts.append(("glora_E", part)) }
    }
    guard supernet || !parts.isEmpty else { return nil }
    let chosen = try supernet ? site.parameter(GLoRAAdapter.configurationName, [5], .constant(GLoRAConfiguration.drawn)) : nil
    return GLoRAAdapter(
      parts: parts, forms: forms, chosen: chosen, layer: linear, stream: RandomSource.stream(named: "glora " + site.path))
  }
}

/// The forms of the five parts in one layer.
public struct GLoRAConfiguration: Sendable, Equatable {
  public var a = GLoRA.MatrixForm.lora
  public var b = GLoRA.MatrixForm.lora
  public var c = GLoRA.ColumnForm.lora
  public var d = GLoRA.BiasForm.vector
  public var e = GLoRA.BiasForm.vector

  public init() {}

  init(a: GLoRA.MatrixForm, b: GLoRA.MatrixForm, c: GLoRA.ColumnForm, d: GLoRA.BiasForm, e: GLoRA.BiasForm) {
    (self.a, self.b, self.c, self.d, self.e) = (a, b, c, d, e)
  }

  /// What a supernet stores.
  public static let largest = GLoRAConfiguration()

  /// Stands in a tensor for no configuration.
  static let drawn = -1.0

  /// The places of the forms in their lists.
  var codes: [Double] {
    func code<Form: CaseIterable & Equatable>(_ form: Form) -> Double { Double(Array(Form.allCases).firstIndex(of: form) ?? 0) }
    return [code(a), code(b), code(c), code(d), code(e)]
  }

  /// From `codes`; nil for other numbers.
  init?(codes: [Double]) {
    func form<Form: CaseIterable>(_ i: Int, _ type: Form.Type) -> Form? {
      let forms = Array(Form.allCases)
      guard codes.count == 5, let code = Int(exactly: codes[i]), forms.indices.contains(code) else { return nil }
      return forms[code]
    }
    guard let a = form(0, GLoRA.MatrixForm.self), let b = form(1, GLoRA.MatrixForm.self), let c = form(2, GLoRA.ColumnForm.self),
      let d = form(3, GLoRA.BiasForm.self), let e = form(4, GLoRA.BiasForm.self)
    else { return nil }
    self.init(a: a, b: b, c: c, d: d, e: e)
  }

  /// One of all, each as likely as any other.
  init(_ draw: RandomSource) {
    let bits = draw.bits(5)
    func form<Form: CaseIterable>(_ i: Int) -> Form {
      let forms = Array(Form.allCases)
      return forms[Int((UInt64(bits[i]) * UInt64(forms.count)) >> 32)]
    }
    self.init(a: form(0), b: form(1), c: form(2), d: form(3), e: form(4))
  }
}

/// What is stored of one of the five: two factors, or numbers.
struct GLoRAPart {
  var down, up: Tensor?
  var values: Tensor?

  init(down: Tensor, up: Tensor) { (self.down, self.up) = (down, up) }
  init(values: Tensor) { self.values = values }

  func parameters(_ name: String) -> [(name: String, tensor: Tensor)] {
    [("Xd", down), ("Xu", up), ("X", values)].compactMap { suffix, tensor in tensor.map { (name + "." + suffix, $0) } }
  }

  /// `Xd Xu`.
  func product() throws -> Tensor? {
    guard let down, let up else { return values }
    return try down.matmul(up)
  }

  /// The vector: the first column of what is stored.
  func vector() throws -> Tensor? { try down?.slice(1, 0, 1) ?? values }

  /// The constant: the first number, in as many axes.
  func constant() throws -> Tensor? { try down?.slice(0, 0, 1).slice(1, 0, 1) ?? values?.slice(0, 0, 1) }
}

/// The five parts of one layer.
public final class GLoRAAdapter: Adapter, LinearAdapter {
  private let parts: [(name: String, part: GLoRAPart)]
  /// What the parts are, unless a configuration was chosen or is drawn.
  private let forms: GLoRAConfiguration
  /// The supernet's configuration in this layer, as codes, [5]: a tensor, so that it is saved.
  private let chosen: Tensor?
  private let stream: UInt32
  let sizes: (rows: Int, columns: Int, hasBias: Bool)
  static let configurationName = "glora_config"

  init(parts: [(name: String, part: GLoRAPart)], forms: GLoRAConfiguration, chosen: Tensor?, layer: Linear, stream: UInt32) {
    (self.parts, self.forms, self.chosen, self.stream) = (parts, forms, chosen, stream)
    sizes = (layer.outFeatures, layer.inFeatures, layer.bias != nil)
  }

  public override var ownParameters: [(name: String, tensor: Tensor)] {
    parts.flatMap { $0.part.parameters($0.name) } + (chosen.map { [(Self.configurationName, $0)] } ?? [])
  }

  public override var frozenParameters: [String] { [Self.configurationName] }

  /// Whether the layer is one of a supernet.
  var isSupernet: Bool { chosen != nil }

  var codes: [Double]? { chosen?.values }

  /// The configuration that was chosen for a supernet's layer; nil: it is drawn in training. Setting does nothing elsewhere.
  var configuration: GLoRAConfiguration? {
    get { codes.flatMap(GLoRAConfiguration.init(codes:)) }
    set {
      let codes = newValue?.codes ?? [Double](repeating: GLoRAConfiguration.drawn, count: 5)
      for (i, code) in codes.enumerated() { chosen?.set(code, at: i) }
    }
  }

  /// What the layer computes with; `context` is nil outside a forward pass.
  private func current(_ context: ForwardContext?) -> GLoRAConfiguration {
    guard isSupernet else { return forms }
    if let configuration { return configuration }
    // Draws are functions of the pass, so that layers that are computed again in the backward pass repeat them.
    guard let context, context.isTraining, isTrained else { return .largest }
    return GLoRAConfiguration(RandomSource(seed: context.seed, stream: stream, step: context.step))
  }

  private func part(_ name: String) -> GLoRAPart? { parts.first { $0.name == name }?.part }

  private func matrix(_ name: String, _ form: GLoRA.MatrixForm) throws -> Tensor? {
    switch form {
    case .lora: try part(name)?.product()
    case .vector: try part(name)?.vector()
    case .constant: try part(name)?.constant()
    case .none: nil
    }
  }

  private func row(_ name: String, _ form: GLoRA.BiasForm) throws -> Tensor? {
    switch form {
    case .vector: try part(name)?.vector()
    case .constant: try part(name)?.constant()
    case .none: nil
    }
  }

  /// `W' - W`, [out, in], and `b' - b`, [out]; nil: 0.
  private func changes(_ layer: Linear, _ context: ForwardContext?) throws -> (weight: Tensor?, bias: Tensor?) {
    let (weight, bias) = layer.base
    let forms = current(context)
    func sum(_ terms: [Tensor], _ shape: [Int]) throws -> Tensor? {
      guard let first = terms.first else { return nil }
      return try terms.dropFirst().reduce(first) { try $0.add($1) }.broadcast(to: shape)
    }
    let scale = try matrix("glora_A", forms.a).map { try weight.mul($0) }
    let shift = try matrix("glora_B", forms.b)
    guard let bias else { return (try sum([scale, shift].compactMap { $0 }, weight.shape), nil) }
    let column = forms.c == .none ? nil : try forms.c == .lora ? part("glora_C")?.product() : part("glora_C")?.vector()
    let terms = [
      try row("glora_D", forms.d).map { try bias.mul($0) }, try row("glora_E", forms.e),
      try column.map { try weight.matmul($0).squeeze(1) },
    ]
    return (try sum([scale, shift].compactMap { $0 }, weight.shape), try sum(terms.compactMap { $0 }, bias.shape))
  }

  public func output(_ call: LinearCall) throws -> Tensor {
    let (weight, bias) = try changes(call.layer, call.context)
    var y = call.y
    if let weight { y = try y.addingLinear(call.input.to(weight.dtype), weight, scale: 1) }
    if let bias {
      // A row for all tokens, onto activations of any type.
      y = try y.addingLinear(Tensor.ones(call.input.shape.dropLast() + [1]), bias.reshape([bias.count, 1]), scale: 1)
    }
    return y
  }

  public func merged(_ weight: Tensor, _ bias: Tensor?, of layer: Linear) throws -> (weight: Tensor, bias: Tensor?) {
    let changes = try changes(layer, nil)
    if let change = changes.weight { try weight.addInPlace(change) }
    if let change = changes.bias { try bias?.addInPlace(change) }
    return (weight, bias)
  }
}

/// A layer of a supernet, as a search sees it.
public struct GLoRALayer: Sendable {
  public let path: String
  public let outFeatures, inFeatures, r: Int
  public let hasBias: Bool
  /// nil: drawn in training, the largest elsewhere.
  public let configuration: GLoRAConfiguration?
}

extension AttachedAdapter {
  private func supernet(_ caller: String) throws -> [(path: String, linear: Linear, adapter: GLoRAAdapter)] {
    guard let method = method as? GLoRA, method.supernet else {
      throw EngineError(
        .argument, "\(caller): adapter '\(name)' of method '\(type(of: method).name)' is no supernet",
        hint: "adapters.glora{ supernet = true }")
    }
    return linearAdapters.compactMap { path, linear, adapter in (adapter as? GLoRAAdapter).map { (path, linear, $0) } }
  }

  /// The layers of a supernet. Throws for other adapters.
  public func gloraLayers() throws -> [GLoRALayer] {
    let r = (method as? GLoRA)?.r ?? 0
    return try supernet("glora_layers").map { path, _, adapter in
      GLoRALayer(
        path: path, outFeatures: adapter.sizes.rows, inFeatures: adapter.sizes.columns, r: r, hasBias: adapter.sizes.hasBias,
        configuration: adapter.configuration)
    }
  }

  /// Gives every layer of a supernet a configuration, in the order of `gloraLayers()`; nil: it is drawn again. Throws for
  /// other adapters, another number of layers, and a merged adapter.
  public func setGLoRAConfigurations(_ configurations: [GLoRAConfiguration?]) throws {
    let layers = try supernet("set_glora")
    guard layers.count == configurations.count else {
      throw EngineError(.argument, "set_glora: \(configurations.count) configurations for \(layers.count) layers")
    }
    if let (path, _, _) = layers.first(where: { $0.linear.merged.contains(name) }) {
      throw EngineError(.argument, "set_glora: adapter '\(name)' is merged into '\(path)'", hint: "unmerge first")
    }
    for ((_, _, adapter), configuration) in zip(layers, configurations) { adapter.configuration = configuration }
  }
}
