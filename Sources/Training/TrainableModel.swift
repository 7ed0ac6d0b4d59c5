import Adapters
import Diagnostics
import Files
import Foundation
import Generation
import NN
import Tasks
import TensorCore
import Tokenizers
import TransformerModels

/// A model as a script holds it: a network with a head, the tokenizer, and what was attached to it.
public final class TrainableModel {
  public let network: TransformerModel
  /// What its head is for.
  public private(set) var type: any TaskType
  /// The base model: its frozen weights, and what adapter configurations name.
  public let base: PretrainedModel
  public let tokenizer: Tokenizer
  /// Attached adapters, oldest first.
  public private(set) var adapters: [AttachedAdapter] = []
  /// Where the body's weights come from, if another model's training changed them.
  let body: TransformerModel?
  /// Names of the stages that trained this model or what it was made from, oldest first.
  public var lineage: [String]
  /// The names of the labels of each adapter that has a head of its own.
  private var adapterLabels: [String: [String]] = [:]
  /// The content of a head that began with random values; nil: it came from somewhere.
  private let randomHead: Digest?
  /// What works on it, so that it has to stay as it is; nil: nothing. See `requireIdle`.
  var occupation: Occupation?
  /// Whether something does.
  public var isOccupied: Bool { occupation != nil }

  enum Occupation {
    case training, writing
    /// Its training is not at its end, and its weights are those of no result.
    case paused
  }

  /// `isHeadNew`: the head's values are random.
  public init(
    _ type: any TaskType, network: TransformerModel, base: PretrainedModel, tokenizer: Tokenizer, body: TransformerModel? = nil,
    lineage: [String] = [], isHeadNew: Bool = false
  ) {
    randomHead = isHeadNew ? network.headDigest : nil
    self.type = type
    self.network = network
    self.base = base
    self.tokenizer = tokenizer
    self.body = body
    self.lineage = lineage
  }

  /// Attaches a method; what trained before is frozen.
  @discardableResult
  public func addAdapter(
    _ method: any AdapterMethod, name: String = "default", targets: AdapterTargets = AdapterTargets(), seed: UInt64
  ) throws -> AttachedAdapter {
    let method = try (method as? any NeedsTokens)?.tokenized { try tokenizer.encode($0).ids.map { Int32($0) } } ?? method
    try keepingHeads {
      try AttachedAdapter.attach(
        method, to: network, name: name, targets: targets, defaultTargets: network.architecture.defaultTargetModules,
        head: network.headModules, seed: seed)
    }
    return try adapter(named: name)
  }

  /// Keeps an attached adapter. Of those whose layers it took over, the rest stays, or nothing.
  func register(_ attached: AttachedAdapter) {
    adapters.forEach { $0.leaveLostSites() }
    adapters.removeAll { $0.sites.isEmpty && $0.method.hasSites || $0.name == attached.name }
    adapters.append(attached)
    adapterLabels[attached.name] = attached.hasHead ? network.labels : nil
  }

  /// Whether the head answers at random, and nothing is about to change that: it is frozen.
  public var hasRandomFrozenHead: Bool {
    randomHead != nil && network.headParameters.allSatisfy { !$0.tensor.requiresGrad } && network.headDigest == randomHead
  }

  /// Gives the labels other names, in the order of the head's outputs. Throws for another number of them.
  public func rename(labels: [String]) throws {
    try setLabels(labels)
    for attached in adapters where attached.hasHead && !attached.isStashed { adapterLabels[attached.name] = labels }
  }

  private func setLabels(_ labels: [String]) throws {
    try network.rename(labels: labels)
    if let kind = Swift.type(of: type) as? any SequenceTaskType.Type { type = kind.init(labels: labels) }
  }

  /// Gives the labels the names that go with an adapter's head, which is in the model again.
  func takeLabels(of owner: AttachedAdapter) throws {
    if let labels = adapterLabels[owner.name], labels != network.labels { try setLabels(labels) }
  }

  /// The names of the labels of an adapter's head, or of the model's.
  func labels(of adapter: AttachedAdapter) -> [String] { adapterLabels[adapter.name] ?? network.labels }

  /// Forgets an adapter that was taken off.
  func remove(_ attached: AttachedAdapter) { adapters.removeAll { $0 === attached } }

  /// A model for another task on this one's body: a new head, and copies of the adapters, frozen, of which the same take part. A
  /// language model's head is no new one where there is one already.
  ///
  /// What the body itself learnt (full fine-tuning, masked language modelling) is carried over; modules that trained beside
  /// adapters (`modules_to_save`) start again from the base model, as the protocol of the LoRA paper asks.
  public func newHead(_ type: any TaskType, seed: UInt64) throws -> TrainableModel {
    // A network of its own: this model may go on training.
    let source =
      try trainsBody || changedBodyParameter() != nil
      ? unmerged { try makeBody(self.type, from: network, seed: 0).network } : body
    let (fresh, new) = try makeBody(type, from: source, seed: seed)
    let result = TrainableModel(
      type, network: fresh, base: base, tokenizer: tokenizer, body: source, lineage: lineage,
      isHeadNew: fresh.headParameters.contains { new.contains($0.name) })
    let carried = adapters.filter { $0.method.hasSites || !$0.bodyParameters.isEmpty }
    for attached in carried { try result.copy(attached, seed: seed).setActive(attached.isActive) }
    // Those that are in the model here are in it there; the head is that of one that takes part.
    let present = carried.filter { !$0.isStashed }
    for attached in present.filter({ !$0.isActive }) + present.filter(\.isActive) {
      try result.bringParameters(of: result.adapter(named: attached.name))
    }
    try fresh.setAdapters(enabled: network.adaptersEnabled)
    try fresh.setTrainable(false)
    try fresh.headParameters.forEach { try $0.tensor.setTrainable(true) }
    return result
  }

  /// A network with a new head on what this model's adapters were trained on.
  func makeBody() throws -> TransformerModel { try makeBody(type, from: body, seed: 0).network }

  /// The network, and the names of its parameters that the source has not: they start anew with every seed.
  private func makeBody(
    _ type: any TaskType, from source: TransformerModel?, seed: UInt64
  ) throws -> (network: TransformerModel, new: Set<String>) {
    let isHeadNew = type.head.isSequence
    guard let source else {
      let network = try base.make(type.head, settings: type.settings, headSeed: seed, newHead: isHeadNew)
      return (network, Set(base.lastReport.missing))
    }
    let builder = ParameterBuilder(source: ModelSource(source, excluding: isHeadNew ? source.headModules : []), seed: seed)
    let config = network.config.changed(type.settings).setting(type.head)
    let copy = try TransformerModel(config, type.head, builder)
    copy.generationConfig = source.generationConfig
    return (copy, Set(builder.log.missing))
  }

  /// The first parameter of the body that has other values than what the adapters are trained on, and that no adapter has
  /// changed: only the whole model holds it. nil: there is none.
  public func changedBodyParameter() throws -> String? {
    let start = try makeBody(type, from: body, seed: 0)
    let expected = Dictionary(start.network.plainParameters().map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    let owned = Set(
      (network.headParameters + adapters.filter { !$0.method.trainsBase }.flatMap { $0.modelParameters + $0.changedParameters })
        .map { ObjectIdentifier($0.tensor) })
    let merged = network.namedModules().compactMap { $0.module as? Linear }.filter { !$0.merged.isEmpty && $0.isUntrainedSinceMerge }
    let bases = merged.flatMap { linear in
      [(linear.weight, linear.base.weight)] + (linear.bias.flatMap { bias in linear.base.bias.map { (bias, $0) } }.map { [$0] } ?? [])
    }
    let unmerged = Dictionary(bases.map { (ObjectIdentifier($0), $1) }, uniquingKeysWith: { first, _ in first })
    return network.plainParameters().first { name, tensor in
      guard !owned.contains(ObjectIdentifier(tensor)), !start.new.contains(name), let other = expected[name] else { return false }
      return !(unmerged[ObjectIdentifier(tensor)] ?? tensor).hasElements(of: other)
    }?.name
  }

  private func copy(_ attached: AttachedAdapter, seed: UInt64) throws -> AttachedAdapter {
    try keepingHeads { try attached.attachCopy(to: network, head: network.headModules, seed: seed) }
    let copy = try adapter(named: attached.name)
    let values = Dictionary(attached.carriedParameters.map { ($0.name, $0.tensor) }, uniquingKeysWith: { a, _ in a })
    for (name, tensor) in copy.carriedParameters {
      guard let value = values[name] else { continue }
      try tensor.makeExclusive()
      try tensor.assign(value)
    }
    return copy
  }

  /// The mean loss of a batch with the methods' own terms. Parameters are those of `TaskType.loss`.
  public func loss(_ batch: Batch, labelSmoothing: Double = 0, divisor: Double? = nil) throws -> Tensor {
    try addingTerms(to: type.loss(network, batch, labelSmoothing: labelSmoothing, divisor: divisor), batch, divisor: divisor)
  }

  /// A loss with the methods' own terms. They count by the batch's share of the divisor, so that they count once in an update.
  func addingTerms(to loss: Tensor, _ batch: Batch, divisor: Double?) throws -> Tensor {
    let share = divisor.map { Double(batch.labelCount) / $0 } ?? 1
    return try activeTrainings.compactMap { try $0.regularization() }.reduce(loss) { try $0.add($1.mul(share)) }
  }

  /// What the active adapters' methods do in training.
  var activeTrainings: [MethodTraining] {
    // Whether one is active takes a walk through the model, in every step: most methods do nothing there.
    adapters.compactMap { adapter in adapter.training.flatMap { adapter.isActive ? $0 : nil } }
  }

  /// What a run changes, by name: everything that trains, and frozen parameters that methods change nevertheless.
  public var changedParameters: [(name: String, tensor: Tensor)] {
    network.trainableParameters() + adapters.flatMap(\.changedParameters)
  }

  /// What trains in every update: not what a forward pass may leave out.
  var steadyParameters: [(name: String, tensor: Tensor)] {
    let drawn = Set(
      adapters.filter { ($0.method as? any DrawsParameters)?.drawsParameters ?? false }.flatMap { $0.state().map { ObjectIdentifier($0.tensor) } })
    let all = network.trainableParameters()
    return drawn.isEmpty ? all : all.filter { !drawn.contains(ObjectIdentifier($0.tensor)) }
  }

  /// Whether parameters of the body itself train, so that only the whole model holds what was learnt.
  public var trainsBody: Bool {
    let saved = Set(adapters.flatMap { ($0.state() + $0.modelParameters).map { ObjectIdentifier($0.tensor) } })
    let head = Set(network.headParameters.map { ObjectIdentifier($0.tensor) })
    return adapters.contains { $0.method.trainsBase }
      || network.trainableParameters().contains { !saved.contains(ObjectIdentifier($0.tensor)) && !head.contains(ObjectIdentifier($0.tensor)) }
  }

  /// Whether a model folder holds what was learnt: parameters of the body train, and nothing is attached to it.
  public var isWhole: Bool { trainsBody && adapters.allSatisfy { !$0.method.hasSites } }

  /// Freezes or unfreezes the parameters whose path contains `name` as a whole part or sequence of parts. Returns how many
  /// parameters it met; throws where it meets none.
  @discardableResult
  public func setTrainable(_ trainable: Bool, matching name: String) throws -> Int {
    let parameters = network.namedParameters()
    let matching = parameters.filter { pathContains($0.name, name) }
    guard !matching.isEmpty else {
      throw EngineError(
        .argument, "\(trainable ? "unfreeze" : "freeze"): no parameter's path contains '\(name)'",
        hint: nearestPart(to: name, among: parameters))
    }
    for (_, tensor) in matching { try tensor.setTrainable(trainable) }
    return matching.reduce(0) { $0 + $1.tensor.count }
  }

  /// What the model is: its structure, the content of every parameter, and which adapters take part. Equal identities train
  /// equally.
  public func identity() throws -> JSONValue {
    let stream = DigestStream()
    var trainable: [JSONValue] = []
    for (name, tensor) in network.namedParameters() {
      stream.update(name, tensor)
      if tensor.requiresGrad { trainable.append(.string(name)) }
    }
    let attached = adapters.map { adapter -> JSONValue in
      var values = adapter.method.options
      values["method"] = .string(adapter.method.name)
      values["sites"] = .string(Digest(of: adapter.sites.joined(separator: " ")).hex)
      // What is built on another adapter has its scales, which the method's options do not tell.
      let scalings = adapter.linearAdapters.map { ($0.adapter as? any RankedAdapter).map { JSONValue.double($0.scaling) } ?? .null }
      values["scalings"] = .string(Digest(of: .array(scalings)).hex)
      values["active"] = .bool(adapter.isActive)
      values["labels"] = .array(labels(of: adapter).map { .string($0) })
      values["merged"] = .bool(adapter.linearAdapters.contains { $0.linear.merged.contains(adapter.name) })
      return .object(values)
    }
    var identity: JSONObject = [
      "architecture": .string(network.architecture.modelType), "task": .string(type.name),
      "config": .string(Digest(of: .object(network.config.values)).hex), "parameters": .string(stream.finish().hex),
      "trainable": .string(Digest(of: .array(trainable)).hex), "adapters": .array(attached),
      "adapters_enabled": .bool(network.adaptersEnabled),
      "forward_passes": .int(Int(network.context.step)),
    ]
    let tokens = network.generationTokens
    if !tokens.isEmpty { identity["generation_tokens"] = .object(tokens) }
    return .object(identity)
  }
}

extension Tensor {
  /// Whether the elements are bit for bit those of another tensor. Weights in 4 bits do not change.
  fileprivate func hasElements(of other: Tensor) -> Bool {
    if quantized != nil || other.quantized != nil { return quantized != nil && other.quantized != nil }
    guard dtype == other.dtype, count == other.count else { return false }
    // What never trained is shared.
    guard storage !== other.storage || byteOffset != other.byteOffset else { return true }
    defer {
      storage.giveBack()
      other.storage.giveBack()
    }
    return memcmp(pointer, other.pointer, count * dtype.size) == 0
  }
}

extension AttachedAdapter {
  /// What belongs to the adapter's mathematics and goes with it to another model: its parameters, what the layers share, and
  /// what its method trained or changed in the base.
  var carriedParameters: [(name: String, tensor: Tensor)] {
    adapters.flatMap { path, _, adapter in adapter.ownParameters.map { (path + "." + $0.name, $0.tensor) } }
      + (shared?.ownParameters ?? []) + bodyParameters + changedParameters
  }
}
