import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore

/// What to do with the head in an adapter's folder.
public enum HeadLoading: String, Sendable, CaseIterable {
  /// The model's head gets the folder's values; another number of labels is an error.
  case saved
  /// The model keeps its head.
  case new
}

/// The method of a folder whose `peft_type` the catalogue does not have; nil: it is not known here either.
public typealias AdapterMethodReader = (_ peftType: String, _ config: HuggingFaceConfig) throws -> (any AdapterMethod)?

extension AttachedAdapter {
  /// Reads an adapter's folder, PEFT's or one of `save`, and attaches the adapter with its values.
  ///
  /// Folder and model must agree: every tensor has its place, and every place its tensor. PEFT's
  /// `target_modules` may be a list or a pattern; `rank_pattern` and `alpha_pattern` count. Options
  /// that are neither known nor empty are refused. If anything is wrong, the model stays as it was.
  ///
  /// - Parameters:
  ///   - folder: with `adapter_config.json` and `adapter_model.safetensors`, or `adapter_model.bin`: PEFT's older format, or a
  ///     checkpoint of the LoRA authors' code under that name.
  ///   - name: what the adapter is called in the model.
  ///   - headModules: suffixes of the head's modules.
  ///   - head: whether the folder's head is taken.
  ///   - isTrainable: whether adapter and head train; else everything is frozen.
  ///   - reading: finds methods that the catalogue does not have.
  /// - Throws: `EngineError` naming the file and the key or tensor.
  public static func load(
    folder: String, into root: Module, name: String = "default", headModules: [String],
    head: HeadLoading = .saved,
    isTrainable: Bool = true, reading: AdapterMethodReader = { _, _ in nil }
  ) throws -> AttachedAdapter {
    let reader = try AdapterFolderReader(folder, modules: root.namedModules(), reading: reading)
    return try undoingOnError(root) {
      let attached = try attach(
        reader.method, overNew: reader.underlying(), to: root, name: name, targets: reader.targets, head: headModules, adaptsHead: true,
        seed: 0)
      try reader.load(into: attached, head: head)
      if !isTrainable { try root.setTrainable(false) }
      return attached
    }
  }

  /// Runs `body`; if it throws, takes the adapters that it attached off again, and trains what
  /// trained before.
  private static func undoingOnError<Result>(_ root: Module, _ body: () throws -> Result) throws
    -> Result
  {
    let flags = root.namedParameters().map {
      (tensor: $0.tensor, requiresGrad: $0.tensor.requiresGrad)
    }
    let hosts = root.namedModules().compactMap { $0.module as? AdapterHost }.map {
      ($0, Set($0.adapters.map(\.name)))
    }
    do {
      return try body()
    } catch {
      for (host, names) in hosts {
        for (name, _) in host.adapters where !names.contains(name) { try host.detach(name) }
      }
      for (tensor, requiresGrad) in flags { try tensor.setTrainable(requiresGrad) }
      throw error
    }
  }
}

/// An adapter's folder, read and checked as far as that is possible without the model's tensors.
private struct AdapterFolderReader {
  let config: HuggingFaceConfig
  let method: any AdapterMethod
  let targets: AdapterTargets
  private let file: any TensorFile
  /// Whether the folder says which base it was trained on, as those written here.
  private let isOwn: Bool
  /// Whether the LoRA authors' code wrote the file.
  private var isLoralib: Bool { file is RenamedTensorFile }
  /// Modules that PEFT lists for any classifier, and that this model does not have.
  private let absent: [String]

  /// Names that PEFT adds to `modules_to_save` of every classifier.
  private static let classifierNames = ["classifier", "score"]
  /// Keys that say nothing about the adapter's mathematics.
  private static let informative = [
    "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config", "inference_mode", "megatron_core",
    "peft_version",
    "qalora_group_size", "revision", "runtime_config", "task_type", "total_step",
  ]
  /// Keys of PEFT that change the mathematics in ways that are not supported.
  private static let refused = [
    "alora_invocation_tokens", "arrow_config", "corda_config",
    "fan_in_fan_out", "kasa_config",
    "layer_replication", "loftq_config", "lora_bias", "lora_ga_config",
    "megatron_config",
    "monteclora_config", "target_parameters", "trainable_token_indices", "use_bdlora",
    "use_qalora", "velora_config",
  ]
  private static let structural = [
    "peft_type", "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform",
    "layers_pattern", "bias", "r", "lora_alpha",
    "rank_pattern", "alpha_pattern", "init_lora_weights", "over", "use_effective_conv2d",
  ]

  init(_ folder: String, modules: [(path: String, module: Module)], reading: AdapterMethodReader) throws {
    let written = try Self.config(folder)
    let facts = try AdapterFacts(folder: folder)
    let own = facts.adapter
    isOwn = facts.baseDigest != nil
    let ownPath = folder + "/" + AdapterFolder.facts
    config = written.adding(own.options, from: ownPath)
    let known = AdapterCatalogue.methods.flatMap { method in method.peftTypes.map { ($0, method) } }
    let type = try config.string("peft_type")
    let ofType = known.filter { $0.0 == type }
    let named = ofType.first { $0.1.name == own.method }
    if let name = own.method, named == nil {
      throw EngineError(
        .data, "\(ownPath): 'adapter': no method '\(name)' has peft_type '\(type)'", hint: suggestion(for: name, among: ofType.map { $0.1.name }))
    }
    if let found = named ?? ofType.first {
      method = try found.1.init(saved: config)
    } else if let found = try reading(type, config) {
      method = found
    } else {
      throw EngineError(
        .data,
        "\(config.path): peft_type '\(type)' is not supported, expected one of \(Self.distinct(known.map(\.0)).joined(separator: ", "))"
      )
    }
    try Self.check(own, of: method, ownPath)
    let accepted =
      Self.informative + Self.structural + Swift.type(of: method).otherKeys + Swift.type(of: method).optionNames(in: .configuration)
      + Swift.type(of: method).optionNames(in: .ownFile)
      // What PEFT says of GPT-2's layers, which files have as [in, out].
      + (modules.contains { ($0.module as? Linear)?.isStoredTransposed == true } ? ["fan_in_fan_out"] : [])
    for (key, value) in config.values.members where !accepted.contains(key) && !Self.isEmpty(value) {
      throw EngineError(
        .data, "\(config.path): \(key) = \(value.excerpt()) is not supported",
        hint: Self.refused.contains(key)
          ? nil : nearestName(to: key, among: accepted).map { "did you mean '\($0)'?" })
    }
    (targets, absent) = try Self.targets(config, of: method, modules: modules)
    file = try Self.weights(folder)
  }

  /// Throws unless the options in `perigee.json` are those that the method keeps there.
  private static func check(_ own: AdapterFacts.MethodOptions, of method: any AdapterMethod, _ path: String) throws {
    let names = Swift.type(of: method).optionNames(in: .ownFile)
    if let unknown = own.options.keys.first(where: { !names.contains($0) }) {
      throw EngineError(.data, "\(path): 'adapter': unknown field '\(unknown)'", hint: suggestion(for: unknown, among: ["method"] + names))
    }
    if own.method != nil, let missing = names.first(where: { own.options[$0] == nil }) {
      throw EngineError(.data, "\(path): 'adapter': missing field '\(missing)'")
    }
  }

  /// The method that the folder's is built on, with the folder's options.
  func underlying() throws -> (any AdapterMethod)? {
    try (method as? any BuildsOnAdapter)?.underlying.map { try type(of: $0).init(saved: config) }
  }

  private static func distinct(_ names: [String]) -> [String] {
    names.indices.filter { names.firstIndex(of: names[$0]) == $0 }.map { names[$0] }
  }

  private static func config(_ folder: String) throws -> HuggingFaceConfig {
    let path = folder + "/" + AdapterFolder.config
    guard fileExists(path) || !fileExists(folder + "/config.json") else {
      throw EngineError(
        .file, "\(folder): is a model folder, expected an adapter's with \(AdapterFolder.config)")
    }
    return try HuggingFaceConfig(path: path)
  }

  private static func weights(_ folder: String) throws -> any TensorFile {
    let (path, pickled) = (folder + "/" + AdapterFolder.weights, folder + "/" + AdapterFolder.pickledWeights)
    guard !fileExists(path), fileExists(pickled) else { return try SafetensorsFile(path) }
    let file = try TorchArchive(pickled)
    return file.names.contains(where: LoralibNames.isOwn) ? try RenamedTensorFile(file, LoralibNames.peft) : file
  }

  /// Values that switch nothing on.
  private static func isEmpty(_ value: JSONValue) -> Bool {
    switch value {
    case .null, .bool(false), .string(""): true
    case .array(let elements): elements.isEmpty
    case .object(let members): members.isEmpty
    default: false
    }
  }
}

// MARK: - Targets

extension AdapterFolderReader {
  private static func targets(
    _ config: HuggingFaceConfig, of method: any AdapterMethod, modules: [(path: String, module: Module)]
  ) throws -> (AdapterTargets, absent: [String]) {
    var result = AdapterTargets()
    let isClassifier = try config.string("task_type", default: "") == "SEQ_CLS"
    let wanted = try config.strings("modules_to_save", default: isClassifier ? classifierNames : [])
    let absent = wanted.filter { name in
      classifierNames.contains(name)
        && !modules.contains { AttachedAdapter.isSuffix(name, of: $0.path) }
    }
    // Whatever else is the table of word embeddings is listed beside it; `load` compares them.
    let places = AttachedAdapter.places(in: modules).map(\.path)
    let saved = wanted.filter { name in !absent.contains(name) && !places.contains { AttachedAdapter.isSuffix(name, of: $0) } }
    result.modulesToSave = saved
    let biases = AdapterTargets.Bias.allCases.map(\.rawValue)
    if config["bias"] == .string(type(of: method).onlyTargetBiases) {
      result.bias = .loraOnly
    } else {
      result.bias = AdapterTargets.Bias(rawValue: try config.string("bias", among: biases, default: "none")) ?? .none
    }
    result.layersToTransform = try layers(config)
    if case .string(let pattern)? = config["layers_pattern"] {
      result.layersPattern = pattern.isEmpty ? [] : [pattern]
    } else {
      result.layersPattern = try config.strings("layers_pattern", default: [])
    }
    // The lists that PEFT writes for linear layers say nothing where none is adapted.
    guard case .linear = method.placement else { return (result, absent) }
    let linears = modules.filter { $0.module is Linear }.map(\.path)
    result.excludeModules = try excluded(config, among: linears)
    let isSaved = { (path: String) in
      modules.contains { module in
        AttachedAdapter.isInside(path, module.path)
          && saved.contains { AttachedAdapter.isSuffix($0, of: module.path) }
      }
    }
    switch config["target_modules"] {
    case .string("all-linear"): result.targetModules = .allLinear
    case .string(let pattern): result.targetModules = .pattern(pattern)
    default:
      // PEFT lists layers of saved modules too, and leaves them alone.
      let names = try config.strings("target_modules")
      result.targetModules = .suffixes(
        names.filter { name in
          let found = linears.filter { AttachedAdapter.isSuffix(name, of: $0) }
          return found.isEmpty || !found.allSatisfy(isSaved)
        })
    }
    return (result, absent)
  }

  private static func layers(_ config: HuggingFaceConfig) throws -> [Int]? {
    guard let value = config["layers_to_transform"] else { return nil }
    if let layer = value.intValue { return [layer] }
    let layers = (value.arrayValue ?? []).compactMap(\.intValue)
    guard !layers.isEmpty, layers.count == value.arrayValue?.count else {
      throw EngineError(
        .data,
        "\(config.path): 'layers_to_transform' must be an integer or a list of integers, got \(value.excerpt())"
      )
    }
    return layers
  }

  private static func excluded(_ config: HuggingFaceConfig, among linears: [String]) throws
    -> [String]
  {
    guard case .string(let pattern)? = config["exclude_modules"] else {
      let names = try config.strings("exclude_modules", default: [])
      return names.filter { name in linears.contains { AttachedAdapter.isSuffix(name, of: $0) } }
    }
    return try AttachedAdapter.paths(linears, match: pattern, option: "\(config.path): exclude_modules", kind: .data)
  }
}

// MARK: - Tensors

extension AdapterFolderReader {
  /// Copies the file's values into the adapter, the head and the chosen biases. If they are refused, all is as it was.
  func load(into attached: AttachedAdapter, head: HeadLoading) throws {
    let fileName = type(of: method).folderName(of:)
    let isHead = { (name: String) in
      attached.head.contains { AttachedAdapter.isInside(name, $0) }
        || absent.contains { AttachedAdapter.isInside(name, $0) }
    }
    let isHeadInFile = { (name: String) in
      [AdapterFolder.prefix, "base_model."].contains { name.hasPrefix($0) && isHead(String(name.dropFirst($0.count))) }
    }
    let (result, checks) = (method as? any SavesResult, method as? any ChecksFolder)
    let taken = try result?.folderTensors(of: attached)
    var places = attached.savedState(taken)
    if head == .new { places.removeAll { isHead($0.name) } }
    let copies = try baseCopies(of: attached) + tiedCopies(of: attached)
    let given = file.names.filter { name in
      if copies.contains(name) { return false }
      // With bias = "all", PEFT also writes biases of the head that it replaced.
      if name.contains(".original_module.") || name.contains(".modules_to_save.") { return false }
      if checks?.ignores(name) ?? false { return false }
      return head == .saved || !isHeadInFile(name)
    }
    // A head that the adapter froze is in its folder all the same.
    let extra =
      head == .new
      ? []
      : try attached.folderState().filter { entry in
        !places.contains { $0.name == entry.name } && given.contains(fileName(entry.name))
      }
    places += extra
    do { try checks?.check(tensors: given) } catch let error as EngineError { throw error.at(config.path) }
    try checkNames(given, wanted: places.map { fileName($0.name) })
    let turned = attached.weightsStoredTransposed
    var values: [(tensor: Tensor, value: Tensor)] = []
    for (name, tensor) in places {
      var read = try file.float32(file.entry(fileName(name)))
      if isLoralib { read = try LoralibNames.whole(read, name, shape: tensor.shape) }
      let value = turned.contains(name) && read.rank == 2 ? try Autograd.noGrad { try read.transpose(0, 1).copy() } : read
      guard value.shape == tensor.shape else {
        throw shapeError(name, value.shape, tensor.shape, isHead: isHead(name))
      }
      if let bad = value.firstNonFinite {
        throw EngineError(
          .data, "\(file.path): tensor '\(name)' has a value that is not finite at index \(bad)")
      }
      values.append((tensor, value))
    }
    // The method may still refuse what the tensors say; then the head is again what it was.
    let before = try values.map { (tensor: $0.tensor, value: try $0.tensor.copy()) }
    do {
      for (tensor, value) in values {
        try tensor.makeExclusive()
        try tensor.assign(value)
      }
      if let taken { try result?.take(taken, into: attached) }
      try checks?.didLoad(attached)
    } catch {
      for (tensor, value) in before { try tensor.assign(value) }
      throw error
    }
  }

  /// The names of what PEFT copies from the base model into the folder of an adapter of its language head. Throws where the model's
  /// head is another one.
  private func baseCopies(of attached: AttachedAdapter) throws -> [String] {
    try attached.linearAdapters.filter { $0.linear.role == .head }.compactMap { path, linear, _ in
      let name = AdapterFolder.prefix + path + ".base_layer.weight"
      guard file.names.contains(name), !attached.isInHead(path) else { return nil }
      guard try file.float32(file.entry(name)).values == linear.base.weight.values else {
        throw EngineError(
          .data, "\(file.path): '\(name)' differs from the model's '\(path).weight'", hint: "the adapter was made for another base model")
      }
      return name
    }
  }

  /// The names of further places of a table of word embeddings in the folder of an adapter beside which that trains. Throws where they are
  /// several tables in the folder, as PEFT's are unless `ensure_weight_tying` is set.
  private func tiedCopies(of attached: AttachedAdapter) throws -> [String] {
    let (fileName, trained) = (type(of: method).folderName(of:), attached.modelParameters)
    let places = AttachedAdapter.places(in: attached.root.namedModules())
    var copies: [String] = []
    for (path, weight, _) in places {
      let (copy, table) = (fileName(path + ".weight"), trained.first { $0.tensor === weight }.map { fileName($0.name) })
      let (hasCopy, hasTable) = (file.names.contains(copy), table.map(file.names.contains) ?? false)
      guard hasCopy || hasTable, !(hasTable && !hasCopy && isOwn) else { continue }
      guard let table, hasCopy, hasTable, try file.float32(file.entry(copy)).values == file.float32(file.entry(table)).values else {
        throw EngineError(
          .data, "\(file.path): the word embeddings and '\(path)' were trained apart, and are one table in this model",
          hint: places.allSatisfy(\.isHead)
            ? "train them in PEFT with ensure_weight_tying=True and the embeddings' full path in modules_to_save"
            : "PEFT cannot train the one table of a model with an encoder: leave it out of modules_to_save there")
      }
      copies.append(copy)
    }
    return copies
  }

  private func checkNames(_ given: [String], wanted: [String]) throws {
    let missing = wanted.filter { !given.contains($0) }
    let unexpected = given.filter { !wanted.contains($0) }
    guard !missing.isEmpty || !unexpected.isEmpty else { return }
    var parts: [String] = []
    if !missing.isEmpty { parts.append("missing: " + listed(missing)) }
    if !unexpected.isEmpty { parts.append("unexpected: " + listed(unexpected)) }
    let near =
      if let name = unexpected.first {
        nearestName(to: name, among: missing.isEmpty ? wanted : missing).map {
          "did you mean '\($0)' by '\(name)'?"
        }
      } else {
        nil as String?
      }
    throw EngineError(
      .data,
      "\(file.path): the tensors are not those that the config and the model need; "
        + parts.joined(separator: "; "), hint: near)
  }

  private func shapeError(_ name: String, _ given: [Int], _ expected: [Int], isHead: Bool)
    -> EngineError
  {
    if isHead {
      return EngineError(
        .data, "\(file.path): the head's '\(name)' has shape \(given), the model's \(expected)",
        hint: "make the model with as many labels, or load the adapter with head = \"new\"")
    }
    let base = config["base_model_name_or_path"]?.stringValue.map { " of '\($0)'" } ?? ""
    return EngineError(
      .data, "\(file.path): tensor '\(name)' has shape \(given), expected \(expected)",
      hint: "the adapter was made for a model\(base)")
  }
}
