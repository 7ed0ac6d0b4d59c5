import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// The files of an adapter folder.
enum AdapterFolder {
  static let config = "adapter_config.json"
  static let weights = "adapter_model.safetensors"
  /// What PEFT wrote before version 0.5.
  static let pickledWeights = "adapter_model.bin"
  /// See `AdapterFacts`.
  static let facts = "perigee.json"
  /// What PEFT puts in front of every name.
  static let prefix = "base_model.model."
  /// The format's version.
  static let peftVersion = "0.21.2"

  /// Whether leaving a value of the common configuration out changes nothing.
  static func saysNothing(_ value: JSONValue?) -> Bool {
    [nil, .null, false, "none", []].contains(value)
  }

  /// Writes a folder; each file is read back and compared before the folder takes the place of an
  /// older one.
  static func write(
    _ config: JSONObject, _ state: [(name: String, tensor: Tensor)], facts: AdapterFacts, to folder: String,
    verify: (String) throws -> Void = { _ in }
  ) throws {
    for (name, tensor) in state {
      if let bad = tensor.firstNonFinite {
        throw EngineError(
          .notFinite, "\(folder): '\(name)' has a value that is not finite at index \(bad)")
      }
    }
    try AtomicFolder.write(to: folder) { temporary in
      try write(config, to: temporary + "/" + AdapterFolder.config)
      if facts != AdapterFacts() { try write(facts.written, to: temporary + "/" + AdapterFolder.facts) }
      try SafetensorsFile.write(
        tensors: state,
        to: temporary + "/" + AdapterFolder.weights)
      try verify(temporary)
    }
  }

  private static func write(_ object: JSONObject, to path: String) throws {
    try AtomicFile.write(.object(object), to: path)
    guard try JSONValue(file: path) == .object(object) else {
      throw EngineError(
        .file, "\(path): what was written does not read back as it was", hint: "check the disk")
    }
  }
}

extension AttachedAdapter {
  /// Largest difference between logits with the adapter merged and unmerged that rounding explains.
  public var mergeTolerance: Double { method.mergeTolerance }

  /// Writes the adapter's folder: `adapter_config.json`, `adapter_model.safetensors`, and
  /// `perigee.json` if there are `facts` for it. The folder is written whole or not at all, and
  /// read back before it replaces an older one.
  ///
  /// Where PEFT has the method, the folder is PEFT's, and PEFT loads it. Others have a `peft_type` of
  /// our own that PEFT refuses; `exportAsLoRA` writes those that are a plain LoRA for PEFT.
  /// Classifier-only saves the head alone, likewise under a type of our own: PEFT has no adapter
  /// without target modules, so for other programs save the whole model. The head is part of every
  /// folder.
  ///
  /// - Parameters:
  ///   - baseModelName: name or path of the model that the adapter belongs to.
  ///   - taskType: PEFT's `task_type`; nil where PEFT has none (masked language modelling).
  ///   - facts: what else is known of the adapter, such as where it comes from.
  /// - Throws: `EngineError` for full fine-tuning, which has no adapter, for values that are not
  ///   finite, and for a folder that cannot be written.
  public func save(
    to folder: String, baseModelName: String, taskType: String? = "SEQ_CLS", facts: AdapterFacts = AdapterFacts()
  ) throws {
    guard let peftType = method.peftType else {
      throw EngineError(
        .argument,
        "\(folder): method '\(method.name)' changes the model itself and has no adapter to save",
        hint: "save the whole model")
    }
    var config = commonConfiguration(peftType, baseModelName: baseModelName, taskType: taskType)
    if targets.bias == .loraOnly { config["bias"] = .string(type(of: method).onlyTargetBiases) }
    // A key is written once: the layers have the last word about ranks and scales, the method about what PEFT's type has besides.
    let ranks = method.ranks(adapters.compactMap { path, _, adapter in (adapter as? any RankedAdapter).map { (path, $0.rank, $0.scaling) } })
    for (key, value) in method.options(in: .configuration).members where ranks[key] == nil { config[key] = value }
    for (key, value) in ranks.members { config[key] = value }
    method.complete(&config, of: self)
    for key in type(of: method).keysUnknownToPEFT where AdapterFolder.saysNothing(config[key]) { config[key] = nil }
    var facts = facts
    facts.adapter.values = ownFolderConfiguration(peftType)
    try AdapterFolder.write(config, stored(folderState(), as: type(of: method).folderName), facts: facts, to: folder)
  }

  /// The method's name and own options, where `peft_type` and configuration do not say them; else nothing.
  private func ownFolderConfiguration(_ peftType: String) -> JSONObject {
    let method = method
    let first = AdapterCatalogue.methods.first { $0.peftType == peftType }
    let options = method.options(in: .ownFile)
    guard first.map({ $0 != type(of: method) }) ?? false || !options.isEmpty else { return [:] }
    return JSONObject([("method", .string(method.name))] + options.members)
  }

  /// The model's own weights that files have as [in, out], by name: GPT-2's, where they train beside an adapter.
  var weightsStoredTransposed: Set<String> {
    Set(root.namedModules().compactMap { path, module in (module as? Linear)?.isStoredTransposed == true ? path + ".weight" : nil })
  }

  /// The tensors as files have them, under their names there.
  private func stored(
    _ state: [(name: String, tensor: Tensor)], as fileName: (String) -> String
  ) throws -> [(name: String, tensor: Tensor)] {
    let turned = weightsStoredTransposed
    return try Autograd.noGrad {
      try state.map { name, tensor in (fileName(name), turned.contains(name) ? try tensor.transpose(0, 1).copy() : tensor) }
    }
  }

  /// Writes the adapter as a plain LoRA in PEFT's format, with which PEFT computes the same logits.
  ///
  /// DeLoRA: A' = Sigma A, B' = B, with the same r and lora_alpha; over a LoRA as well, which it
  /// contains. Other methods: see theirs. A rank above a layer's smaller side is cut to that side. Layers of the head
  /// are written whole, with the update in their weights. Parameters are those of `save`; `verify` gets the finished folder
  /// before it takes its place, and throws to keep it from doing so. Throws `EngineError` for methods whose update is not a
  /// product of two factors.
  public func exportAsLoRA(
    to folder: String, baseModelName: String, taskType: String? = "SEQ_CLS", facts: AdapterFacts = AdapterFacts(),
    verify: (String) throws -> Void = { _ in }
  ) throws {
    var factors: [(path: String, a: Tensor, b: Tensor, scaling: Double)] = []
    var whole: [(name: String, tensor: Tensor)] = []
    for (path, linear, update) in try lowRankUpdates(folder) {
      if isInHead(path) {
        whole += try mergedParameters(of: linear, update, at: path)
      } else {
        let (a, b, scaling) = try limited(update, to: min(linear.inFeatures, linear.outFeatures))
        factors.append((path, a, b, scaling))
      }
    }
    try AdapterFolder.write(
      exportConfiguration(factors.map { ($0.path, $0.a.shape[0], $0.scaling) }, baseModelName, taskType, wholeHead: !whole.isEmpty),
      stored(factors.flatMap { [($0.path + ".lora_A.weight", $0.a), ($0.path + ".lora_B.weight", $0.b)] } + whole + remainingState()) {
        AdapterFolder.prefix + $0
      },
      facts: facts, to: folder, verify: verify)
  }

  /// The layers with their updates as products of two factors. Throws for a method whose updates are none; `place` is named in the error.
  public func lowRankUpdates(_ place: String) throws -> [(path: String, linear: Linear, update: any LowRankUpdate)] {
    guard !linearAdapters.isEmpty else {
      throw EngineError(
        .argument, "\(place): method '\(method.name)' adapts no layer, there is nothing to export as LoRA", hint: "save the whole model")
    }
    return try linearAdapters.map { path, linear, adapter in
      guard let update = adapter as? any LowRankUpdate else {
        throw EngineError(
          .argument, "\(place): method '\(method.name)' cannot be written as a LoRA: its update is no product of two small factors",
          hint: "save the adapter, or merge it and save the whole model")
      }
      return (path, linear, update)
    }
  }

  private func exportConfiguration(
    _ layers: [(path: String, r: Int, scaling: Double)], _ baseModelName: String, _ taskType: String?, wholeHead: Bool
  ) -> JSONObject {
    var config = commonConfiguration("LORA", baseModelName: baseModelName, taskType: taskType)
    var plain = method as? LoRA ?? LoRA()
    if plain.initLoraWeights.isResidual { plain.initLoraWeights = .kaiming }
    let ranks = plain.ranks(layers)
    for (key, value) in plain.options.members where ranks[key] == nil { config[key] = value }
    for (key, value) in ranks.members { config[key] = value }
    if wholeHead {
      let modules = savedModules.filter { !isInHead($0) } + head
      config["modules_to_save"] = .array(modules.map { .string($0) })
    }
    return config
  }

  /// A layer's two factors; where they have more rows than the layer's smaller side, an identity and the product.
  private func limited(_ update: any LowRankUpdate, to limit: Int) throws -> (a: Tensor, b: Tensor, scaling: Double) {
    let (a, b) = try update.exportFactors()
    guard a.shape[0] > limit else { return (a, b, update.scaling) }
    let delta = try Tensor.zeros([b.shape[0], a.shape[1]]).addingProduct(b, a, scale: update.scaling)
    let isWide = delta.shape[1] > limit
    return try isWide ? (delta, Tensor.eye(limit), 1) : (Tensor.eye(limit), delta, 1)
  }

  /// A layer's weight and bias with the adapter's share.
  private func mergedParameters(
    of linear: Linear, _ adapter: any LinearAdapter, at path: String
  ) throws -> [(name: String, tensor: Tensor)] {
    try Autograd.noGrad {
      let (weight, bias) = try adapter.merged(linear.base.weight.copy(), linear.base.bias?.copy(), of: linear)
      return [(path + ".weight", weight)] + (bias.map { [(path + ".bias", $0)] } ?? [])
    }
  }

  /// What the folder holds beside the adapter's own parameters and the layers of the head that it adapts.
  func remainingState() throws -> [(name: String, tensor: Tensor)] {
    let own = Set(
      adapters.flatMap { path, _, adapter in adapter.ownParameters.map { path + "." + $0.name } }
        + (shared?.ownParameters ?? []).map(\.name))
    let inHead = sites.filter(isInHead)
    return try folderState().filter { entry in
      !own.contains(entry.name) && !inHead.contains { Self.isInside(entry.name, $0) }
    }
  }

  /// Modules that the folder holds as they are: the saved ones, and a head, or the layers of it, that nothing adapts.
  /// Without its head a classifier that PEFT loads would answer at random.
  var storedModules: [String] {
    let isTaken = { (module: String) in
      self.sites.contains { Self.isInside($0, module) }
        || self.savedModules.contains { Self.isInside($0, module) || Self.isInside(module, $0) }
    }
    let adapted = head.filter { head in sites.contains { Self.isInside($0, head) } }
    let layers = root.namedModules().filter { path, module in
      !module.ownParameters.isEmpty && !(module is Adapter) && adapted.contains { Self.isInside(path, $0) }
    }
    return savedModules + (head.filter { !adapted.contains($0) } + layers.map(\.path)).filter { !isTaken($0) }
  }

  /// `state()` with what the folder holds in place of the adapter's own parameters; nil: those.
  func savedState(_ tensors: [(name: String, tensor: Tensor)]?) -> [(name: String, tensor: Tensor)] {
    guard let tensors else { return state() }
    let own = Set(ownParameters.map(\.name))
    return tensors + state().filter { !own.contains($0.name) }
  }

  /// Where else a model has the weight of a module: a language head whose weight is the table of word embeddings, and stacks that share
  /// the table. PEFT knows each place as a module of its own, and trains them apart unless all are in the folder.
  static func places(in modules: [(path: String, module: Module)]) -> [(path: String, weight: Tensor, isHead: Bool)] {
    modules.compactMap { path, module in
      if let linear = module as? Linear, linear.isTied { return (path, linear.weight, true) }
      guard let embeddings = module as? InputEmbeddings, let name = embeddings.nameOfSharedWords else { return nil }
      return (path + "." + name, embeddings.words.weight, false)
    }
  }

  /// Those of a table that trains beside the adapter, and its name.
  private var tablePlaces: [(path: String, table: String, isHead: Bool)] {
    let trained = modelParameters
    return Self.places(in: root.namedModules()).compactMap { place in
      trained.first { $0.tensor === place.weight }.map { (place.path, $0.name, place.isHead) }
    }
  }

  /// The folder's tensors, without PEFT's prefix.
  func folderState() throws -> [(name: String, tensor: Tensor)] {
    let own = try ownFolderState()
    return own + tablePlaces.compactMap { path, table, _ in own.first { $0.name == table }.map { (path + ".weight", $0.tensor) } }
  }

  private func ownFolderState() throws -> [(name: String, tensor: Tensor)] {
    let state = savedState(try (method as? any SavesResult)?.folderTensors(of: self))
    let stored = storedModules
    let heads = root.namedModules().filter {
      stored.contains($0.path) && !savedModules.contains($0.path)
    }
    var missing = heads.flatMap { path, module in
      module.plainParameters().map { (name: path + "." + $0.name, tensor: $0.tensor) }
    }
    // An adapted layer of the head is as new as the head: its own parameters have no other place. PEFT's names.
    for (path, host, _) in adapters where isInHead(path) {
      missing += host.ownParameters.map { (path + ".base_layer." + $0.name, $0.tensor) }
    }
    let known = Set(state.map { ObjectIdentifier($0.tensor) })
    return state + missing.filter { !known.contains(ObjectIdentifier($0.tensor)) }
  }

  private func commonConfiguration(_ peftType: String, baseModelName: String, taskType: String?)
    -> JSONObject
  {
    let places = tablePlaces
    let stored = storedModules + places.map(\.path)
    var config: JSONObject = [
      "peft_type": .string(peftType), "peft_version": .string(AdapterFolder.peftVersion),
      "task_type": taskType.map { .string($0) } ?? .null, "auto_mapping": .null,
      "base_model_name_or_path": .string(baseModelName), "revision": .null, "inference_mode": true,
      "modules_to_save": stored.isEmpty ? .null : .array(stored.map { .string($0) }),
    ]
    // LoRA's word for going on with one table; other types would train two that begin alike. It has no meaning that works for PEFT where
    // stacks share the table.
    if !places.isEmpty, places.allSatisfy(\.isHead), peftType == LoRA.peftType { config["ensure_weight_tying"] = true }
    config["bias"] = .string(targets.bias.rawValue)
    // PEFT's word for layers whose weights model files have as [in, out].
    config["fan_in_fan_out"] = .bool(linearAdapters.contains { $0.linear.isStoredTransposed })
    if case .linear = method.placement {
      // Full paths where more than suffixes chose the layers: they mean the same to every reader.
      config["target_modules"] = .array((targetSuffixes ?? sites).sorted().map { .string($0) })
    } else {
      config["target_modules"] = []
      config["layers_to_transform"] = targets.layersToTransform.map { .array($0.map { .int($0) }) }
    }
    return config
  }
}

extension AdapterMethod {
  /// Ranks and scales as layers have them, in PEFT's words: the most frequent ones, and the exceptions by path. Empty without layers.
  fileprivate func ranks(_ layers: [(path: String, r: Int, scaling: Double)]) -> JSONObject {
    let options = options
    let isRankStabilized = options["use_rslora"]?.boolValue ?? false
    let layers = layers.map { path, r, scaling in
      (path: path, r: r, alpha: rounded(scaling * (isRankStabilized ? Double(r).squareRoot() : Double(r))))
    }
    guard let r = mostFrequent(layers.map(\.r)), let alpha = mostFrequent(layers.map(\.alpha)) else { return [:] }
    return [
      "r": .int(r), options["alpha"] == nil ? "lora_alpha" : "alpha": JSONValue.double(alpha).plain,
      "rank_pattern": .object(JSONObject(layers.filter { $0.r != r }.map { ($0.path, .int($0.r)) })),
      "alpha_pattern": .object(JSONObject(layers.filter { $0.alpha != alpha }.map { ($0.path, JSONValue.double($0.alpha).plain) })),
    ]
  }

  /// Takes back the rounding of dividing by the rank and multiplying again.
  private func rounded(_ value: Double) -> Double {
    let short = (value * 1e6).rounded() / 1e6
    return abs(short - value) <= 1e-12 * abs(value) ? short : value
  }

  /// The most frequent value; of several the one that comes first.
  private func mostFrequent<Value: Hashable>(_ values: [Value]) -> Value? {
    var counts: [Value: Int] = [:]
    for value in values { counts[value, default: 0] += 1 }
    let most = counts.values.max()
    return values.first { counts[$0] == most }
  }
}
