import Diagnostics
import NN
import Patterns
import TensorCore

/// An adapter as it sits in a model: its method, and the modules that it changes.
public final class AttachedAdapter {
  public let name: String
  public let method: any AdapterMethod
  public let targets: AdapterTargets
  /// Full paths of the modules that it is attached to, in model order.
  public private(set) var sites: [String]
  /// Full paths of the modules that train as they are.
  public let savedModules: [String]
  /// Full paths of the head's modules.
  let head: [String]
  /// The suffixes that choose `sites`, where a list of suffixes alone chose them.
  private(set) var targetSuffixes: [String]?
  let root: Module
  /// What the method does in training beside its share of the output.
  public private(set) var training: MethodTraining?
  /// The values of `modelParameters` while another adapter's are in the model.
  private var stashed: [Tensor]?

  private init(
    name: String, method: any AdapterMethod, targets: AdapterTargets, sites: [String], savedModules: [String],
    head: [String], targetSuffixes: [String]?, root: Module
  ) {
    self.name = name
    self.method = method
    self.targets = targets
    self.sites = sites
    self.savedModules = savedModules
    self.head = head
    self.targetSuffixes = targetSuffixes
    self.root = root
  }

  /// Attaches a method to a model: freezes everything else, and marks what trains.
  ///
  /// - Parameters:
  ///   - defaultTargets: targets where the options name none.
  ///   - head: suffixes of the head's modules; never adapted, trained unless `modulesToSave` says otherwise.
  /// - Throws: `EngineError` for a target that matches nothing, a rank that does not fit, a taken name.
  public static func attach(
    _ method: any AdapterMethod, to root: Module, name: String = "default", targets: AdapterTargets = AdapterTargets(),
    defaultTargets: [String], head: [String], seed: UInt64
  ) throws -> AttachedAdapter {
    try attach(
      method, to: root, name: name, targets: targets, defaultTargets: defaultTargets, head: head, adaptsHead: method.adaptsHead,
      seed: seed)
  }

  /// - Parameters:
  ///   - adaptsHead: the targets may be layers of the head, unless it is saved as it is.
  ///   - over: the adapter to build on, in place of the one that the method names.
  static func attach(
    _ method: any AdapterMethod, to root: Module, name: String, targets: AdapterTargets, defaultTargets: [String],
    head: [String], adaptsHead: Bool, over: String? = nil, seed: UInt64
  ) throws -> AttachedAdapter {
    try checkName(name)
    try method.validate()
    let modules = root.namedModules()
    let paths = modules.map(\.path)
    let (chooser, builder) = (method as? any ChoosesTargets, method as? any BuildsOnAdapter)
    let over = over ?? builder?.over
    var targets = targets
    let linears = modules.compactMap { path, module in (module as? Linear).map { (path: path, linear: $0) } }
    if let chooser { targets = chooser.completed(targets, linears: linears, head: head) }
    if targets.targetModules == nil, let over, let builder {
      // By default, every layer that the other adapter has.
      let adapted = modules.compactMap { path, module in
        (module as? Linear).flatMap { linear in base(over, of: builder, linear) == nil ? nil : path }
      }
      if !adapted.isEmpty { targets.targetModules = .suffixes(adapted) }
    }
    if targets.targetModules == nil { targets.targetModules = chooser?.defaultTargets }
    let saved = outermost(try matches(targets.modulesToSave ?? head, among: paths, option: "modules_to_save"))
    try requireParameters(saved, of: modules)
    let outside = saved + (adaptsHead ? [] : head)
    let sites = try hosts(of: method, targets, defaultTargets: defaultTargets, modules: modules, outside: outside)
    let headPaths = outermost(paths.filter { path in head.contains { isSuffix($0, of: path) } })
    try chooser?.check(sites: sites.map(\.path))
    if !method.trainsBase, let method = method as? any ChoosesParameters {
      try method.check(parameters: baseParameters(of: root, head: headPaths))
    }
    let shared = SharedParameters()
    let device = root.namedParameters().first?.tensor.device ?? .cpu
    var made: [(path: String, host: AdapterHost, adapter: Adapter, base: String?)] = []
    for (i, (path, host)) in sites.enumerated() {
      let base = try over.flatMap { over in try builder.map { try requireBase(over, of: $0, host, at: path) } }
      if base?.name != name, host.adapter(named: name) != nil {
        throw EngineError(.argument, "adapter '\(name)' exists already", hint: "give the new one another adapter_name")
      }
      let site = AdapterSite(
        path: path, index: i, hosts: sites.map(\.host), seed: seed, device: device, base: base?.adapter, shared: shared)
      if let adapter = try method.makeAdapter(for: host, at: site) { made.append((path, host, adapter, base?.name)) }
    }
    guard !made.isEmpty || sites.isEmpty else {
      throw EngineError(
        .argument, "method '\(method.name)': with these options it has nothing to attach to the target layers",
        hint: sites.allSatisfy { ($0.host as? Linear)?.bias == nil } ? "none of them has a bias" : nil)
    }
    guard method.hasSites || !saved.isEmpty || method is any ChoosesParameters else {
      throw EngineError(
        .argument, "method '\(method.name)': the model's head is a part of its body, and nothing would train",
        hint: "name modules in modules_to_save, or take another method")
    }
    try checkPositions(modules.map(\.module), made.map(\.adapter))
    guard shared.ownParameters.isEmpty || root is AdapterHost else {
      throw EngineError(.argument, "method '\(method.name)': what its layers share needs a whole model, given a part of one")
    }
    let places = Set(made.map(\.path))
    if let (path, _) = modules.first(where: { path, module in
      (module as? AdapterHost)?.adapter(named: name) != nil && !(places.contains(path) && over != nil)
    }) {
      guard made.contains(where: { $0.base == name }) else {
        throw EngineError(.argument, "adapter '\(name)' exists already", hint: "give the new one another adapter_name")
      }
      // Half of it would be left, under a name that is taken.
      throw EngineError(
        .argument, "over: adapter '\(name)' adapts '\(path)' too, which the new adapter '\(name)' would not take over",
        hint: "leave target_modules out to take over all of its layers, or give the new one another adapter_name")
    }
    try freeze(root, but: method)
    for (_, host, adapter, base) in made {
      if let base { try host.replace(base, by: adapter, name: name) } else { try host.attach(adapter, name: name) }
    }
    if !shared.ownParameters.isEmpty { try (root as? AdapterHost)?.attach(shared, name: name) }
    var roleSuffixes: [String]?
    if case .roles = targets.targetModules {
      let inBody = linears.map(\.path).filter { path in !outside.contains { isSuffix($0, of: path) || isInside(path, $0) } }
      roleSuffixes = ends(of: made.map(\.path), among: inBody)
    }
    let attached = AttachedAdapter(
      name: name, method: method, targets: targets, sites: made.map(\.path), savedModules: saved, head: headPaths,
      targetSuffixes: targets.plainSuffixes(default: defaultTargets) ?? roleSuffixes, root: root)
    try attached.markTrainable()
    attached.training = (method as? any ActsInTraining)?.makeTraining(for: attached)
    return attached
  }

  /// Throws for a saved module whose parameters all belong to another: nothing of it would train.
  private static func requireParameters(_ saved: [String], of modules: [(path: String, module: Module)]) throws {
    for case (let path, let linear as Linear) in modules where linear.isTied && saved.contains(path) {
      let owner = modules.first { $0.module.ownParameters.contains { $0.tensor === linear.weight } }?.path ?? ""
      throw EngineError(
        .argument, "modules_to_save: '\(path)' has no parameters of its own: its weight is that of '\(owner)'",
        hint: "name '\(owner)', with which both train")
    }
  }

  /// Throws where the vectors that adapters put in front of each sequence would leave no positions for its tokens.
  private static func checkPositions(_ modules: [Module], _ adapters: [Adapter]) throws {
    let own = adapters.reduce(0) { max($0, ($1 as? any Prompt)?.length ?? ($1 as? any AttentionPrefix)?.length ?? 0) }
    guard own > 0, let embeddings = modules.lazy.compactMap({ $0 as? InputEmbeddings }).first else { return }
    let others = embeddings.promptLength + (modules.compactMap { ($0 as? Attention)?.prefixLength }.max() ?? 0)
    // Two special tokens, and one of the text.
    let most = embeddings.longestInput - others - 3
    guard own <= most else {
      throw EngineError(
        .argument,
        "\(own) virtual tokens for a model of \(embeddings.longestInput) positions"
          + (others > 0 ? ", of which other adapters take \(others)" : "") + ": none would be left for a text",
        hint: most > 0 ? "set num_virtual_tokens to \(most) or less" : others > 0 ? "disable or delete the other adapters first" : nil)
    }
  }

  /// Throws for a name that could not be part of a parameter's path and of a folder's name.
  private static func checkName(_ name: String) throws {
    let isWord = name.unicodeScalars.allSatisfy {
      $0.isASCII && (Character($0).isLetter || Character($0).isNumber || "_-".unicodeScalars.contains($0))
    }
    guard isWord, !name.isEmpty, name.count <= 80 else {
      throw EngineError(.argument, "adapter_name '\(name)': expected 1 to 80 letters, digits, '_' and '-'")
    }
  }

  /// Takes the adapter off the model. What trained stays as it is.
  public func detach() throws {
    for (_, module) in root.namedModules() { try (module as? AdapterHost)?.detach(name) }
  }

  /// Another adapter may have taken over some of its layers: the others are its sites.
  public func leaveLostSites() {
    let left = adapters.map(\.path)
    guard left.count < sites.count else { return }
    (sites, targetSuffixes) = (left, nil)
  }

  private static func freeze(_ root: Module, but method: any AdapterMethod) throws {
    let whole = method as? any TrainsBase
    if whole != nil { try root.requireTrainable() }
    let chosen = Set(whole.map { whole in BaseParameter.all(of: root).filter(whole.trains).map { ObjectIdentifier($0.tensor) } } ?? [])
    for (_, tensor) in root.namedParameters() {
      let trains = chosen.contains(ObjectIdentifier(tensor))
      try tensor.setTrainable(trains)
    }
  }

  /// Marks the adapter's own parameters, its saved modules and the chosen biases as trainable.
  private func markTrainable() throws {
    for (_, module) in root.namedModules() {
      let adapter = (module as? AdapterHost)?.adapter(named: name)
      for (parameter, tensor) in adapter?.ownParameters ?? [] where !(adapter?.frozenParameters.contains(parameter) ?? true) {
        try tensor.setTrainable(true)
      }
    }
    for (_, tensor) in modelParameters { try tensor.setTrainable(true) }
  }

  /// The modules that it is attached to, with their paths and what is attached, in model order.
  public var adapters: [(path: String, host: AdapterHost, adapter: Adapter)] {
    let sites = Set(sites)
    return root.namedModules().compactMap { path, module in
      guard sites.contains(path), let host = module as? AdapterHost, let adapter = host.adapter(named: name) else { return nil }
      return (path, host, adapter)
    }
  }

  /// The linear layers among them.
  public var linearAdapters: [(path: String, linear: Linear, adapter: any LinearAdapter)] {
    adapters.compactMap { path, host, adapter in
      guard let linear = host as? Linear, let adapter = adapter as? any LinearAdapter else { return nil }
      return (path, linear, adapter)
    }
  }

  /// Number of the adapter's own parameters that are not frozen for good, without the modules that are saved with it.
  public var parameterCount: Int {
    (adapters.map(\.adapter) + (shared.map { [$0] } ?? [])).reduce(chosenParameters.reduce(0) { $0 + $1.tensor.count }) { sum, adapter in
      adapter.ownParameters.reduce(sum) { adapter.frozenParameters.contains($1.name) ? $0 : $0 + $1.tensor.count }
    }
  }

  /// The name in the model of a parameter of the adapter at a path.
  func name(of parameter: String, at path: String) -> String {
    path + (name == "default" ? "." : "." + name + ".") + parameter
  }

  /// What the layers share; nil: nothing.
  public var shared: SharedParameters? { (root as? AdapterHost)?.adapter(named: name) as? SharedParameters }

  /// The base model's parameters that the method chose to train, which those of the head and of saved modules are not.
  public var chosenParameters: [(name: String, tensor: Tensor)] {
    guard !method.trainsBase, let method = method as? any ChoosesParameters else { return [] }
    return Self.baseParameters(of: root, head: head + savedModules).filter(method.trains).map { ($0.name, $0.tensor) }
  }

  /// The base model's parameters outside the head.
  private static func baseParameters(of root: Module, head: [String]) -> [BaseParameter] {
    BaseParameter.all(of: root).filter { entry in !head.contains { isInside(entry.name, $0) } }
  }

  /// Whether the adapter takes part in its layers.
  public var isActive: Bool { adapters.allSatisfy { !$0.host.inactive.contains(name) } }

  /// Lets the adapter take part in its layers, or not; saved modules stay as they are. What is merged into a layer whose
  /// adapters change comes out of its weight first. Throws where it cannot.
  public func setActive(_ isActive: Bool) throws {
    for (_, host, _) in adapters { try host.setActive(isActive, name) }
  }

  /// Whether the adapter's values of `modelParameters` are not in the model, but another adapter's of some of them.
  public var isStashed: Bool { stashed != nil }

  /// Whether both hold values for the same parameters of the model, which then has those of one of them.
  public func sharesParameters(with other: AttachedAdapter) -> Bool {
    !Set(modelParameters.map { ObjectIdentifier($0.tensor) }).isDisjoint(with: other.modelParameters.map { ObjectIdentifier($0.tensor) })
  }

  /// Keeps the values of `modelParameters` apart, because another adapter's are about to take their place in the model.
  public func stashParameters() throws {
    if stashed == nil { stashed = try modelParameters.map { try $0.tensor.copy() } }
  }

  /// Puts the values of `modelParameters` back into the model.
  public func restoreParameters() throws {
    guard let values = stashed else { return }
    stashed = nil
    try overwriteParameters(values)
  }

  /// Runs `body` with the adapter's values of `modelParameters` in the model, and puts back what was there.
  public func withParameters<Value>(_ body: () throws -> Value) throws -> Value {
    guard let own = stashed else { return try body() }
    let others = try modelParameters.map { try $0.tensor.copy() }
    try restoreParameters()
    let result = Result { try body() }
    try overwriteParameters(others)
    stashed = own
    return try result.get()
  }

  private func overwriteParameters(_ values: [Tensor]) throws {
    for ((_, tensor), value) in zip(modelParameters, values) {
      try tensor.makeExclusive()
      try tensor.assign(value)
    }
  }

  /// Trains the adapter's parameters, saved modules and chosen biases as when it was attached, or freezes them.
  public func setTrainable(_ isTrainable: Bool) throws {
    if isTrainable { return try markTrainable() }
    for (_, tensor) in state() + modelParameters { try tensor.setTrainable(false) }
  }

  /// The model's own parameters that train with the adapter and are saved with it: those of the saved modules, those that the
  /// method chose, and the chosen biases. While the adapter is stashed, they have another one's values.
  public var modelParameters: [(name: String, tensor: Tensor)] {
    let (saved, sites) = (Set(savedModules), Set(sites))
    let modules = root.namedModules()
    var result =
      modules.flatMap { path, module in
        saved.contains(path) ? module.plainParameters().map { (name: path + "." + $0.name, tensor: $0.tensor) } : []
      } + chosenParameters
    var names: Set<String> = []
    // Several modules may have one path.
    result = result.filter { names.insert($0.name).inserted }
    for (path, module) in modules where targets.bias != .none && !(module is Adapter) {
      let isSite = sites.contains(path)
      for (parameter, tensor) in module.ownParameters where parameter.hasSuffix("bias") && (isSite || targets.bias == .all) {
        // PEFT moves a target layer's own parameters below `base_layer`.
        let key = path + (isSite ? ".base_layer." : ".") + parameter
        if names.insert(key).inserted { result.append((key, tensor)) }
      }
    }
    return result
  }

  /// `modelParameters` with the values that belong to this adapter.
  private var savedParameters: [(name: String, tensor: Tensor)] {
    let inModel = modelParameters
    return stashed.map { zip(inModel, $0).map { ($0.name, $1) } } ?? inModel
  }

  /// What the adapter changed in the model's body: the parameters that its method chose and the chosen biases, with the values
  /// that belong to this adapter. Not the saved modules.
  public var bodyParameters: [(name: String, tensor: Tensor)] {
    zip(modelParameters, savedParameters).filter { place, _ in
      !(head + savedModules).contains { Self.isInside(place.name, $0) }
    }.map(\.1)
  }

  /// Whether it has a head, or a part of one, of its own.
  public var hasHead: Bool {
    (savedModules + sites).contains { path in head.contains { Self.isInside(path, $0) || Self.isInside($0, path) } }
  }

  /// Whether a module is the head, or a part of it.
  public func isInHead(_ path: String) -> Bool { head.contains { Self.isInside(path, $0) } }

  /// The parameters of what is attached and of what the layers share.
  var ownParameters: [(name: String, tensor: Tensor)] {
    adapters.flatMap { path, _, adapter in adapter.ownParameters.map { (path + "." + $0.name, $0.tensor) } }
      + (shared?.ownParameters ?? [])
  }

  /// What belongs to the adapter and is saved with it, by PEFT's names without their prefix: its parameters, the saved
  /// modules, the chosen biases.
  public func state() -> [(name: String, tensor: Tensor)] {
    if method.trainsBase { return root.namedParameters() }
    let omits = (method as? any OmitsParameters)?.omits
    return ownParameters.filter { !(omits?($0.name) ?? false) } + savedParameters
  }
}
