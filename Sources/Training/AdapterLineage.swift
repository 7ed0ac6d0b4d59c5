import Adapters
import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore
import TransformerModels

/// What an adapter's folder says beside PEFT's files about where the adapter comes from, and the checks that rest on it.
extension TrainableModel {
  /// The model that the adapter belongs to, the stages that led to it, the adapters that it was trained on top of, and the
  /// names of its labels.
  func facts(of adapter: AttachedAdapter) throws -> AdapterFacts {
    var facts = AdapterFacts()
    (facts.baseModel, facts.baseDigest, facts.stages) = (base.name, try baseDigest().hex, lineage)
    facts.baseQuantization = base.quantization.map(BitsAndBytesConfig.init)
    let own = Set(adapter.modelParameters.map { ObjectIdentifier($0.tensor) })
    let below = adapters.prefix { $0 !== adapter }.filter { other in
      other.isActive && !other.adapters.isEmpty || !own.isSuperset(of: other.partsOfBody)
    }
    facts.upstream = try below.map { AdapterFacts.Upstream(adapterName: $0.name, digest: try $0.digest().hex) }
    facts.labels = labels(of: adapter)
    // The body has them as they began, whatever was trained beside the adapter: the folder holds that.
    facts.initialised = Dictionary(randomBodyParameters.filter { !own.contains(ObjectIdentifier($0.tensor)) }.map { ($0.name, $0.digest) }) {
      first, _ in first
    }
    return facts
  }

  /// The content of the body that adapters are trained on: what another model must have for them to mean the same. Where it was
  /// written or trained in this model, what it has become counts.
  func baseDigest() throws -> Digest {
    if try changedBodyParameter() != nil { return try unmerged { network.bodyDigest() } }
    return try body?.bodyDigest() ?? Digest(of: base.identity())
  }

  /// Parameters of the body that the base model's weights lack, such as a pooler, which no digest of those has.
  private var randomBodyParameters: [(name: String, tensor: Tensor, digest: String)] {
    guard body == nil else { return [] }
    let heads = network.headModules
    return network.plainParameters().filter { name, _ in base.lacks(name) && !heads.contains { name.hasPrefix($0 + ".") } }.map { name, tensor in
      let stream = DigestStream()
      stream.update(name, tensor)
      return (name, tensor, stream.finish().hex)
    }
  }

  /// Whether an adapter was trained on the body that this model has; true where its folder does not say what it was trained on.
  ///
  /// A body that a stage trained is known by its parameters, whether it is that stage's model or was read from what the stage saved.
  public func isBase(of facts: AdapterFacts) throws -> Bool {
    guard let wanted = facts.baseDigest else { return true }
    return try wanted == baseDigest().hex || wanted == unmerged { network.bodyDigest(without: base.lacks) }.hex
  }

  /// Throws where a folder says that its adapter belongs to another body, or stands on adapters that this model lacks.
  func check(_ facts: AdapterFacts, ofFolder folder: String) throws {
    guard facts.baseDigest != nil else { return }
    if try !isBase(of: facts) {
      let stages = facts.stages ?? []
      throw EngineError(
        .data,
        "\(folder): the adapter was trained on '\(facts.baseModel ?? "?")'"
          + (stages.isEmpty ? "" : " (stages \(stages.joined(separator: ", ")))")
          + " with other weights than those of this model, '\(base.name)'",
        hint: "load it into a model made from the base that it was trained on")
    }
    let random = randomBodyParameters
    if let other = facts.initialised.keys.sorted().first(where: { name in !random.contains { $0.name == name && $0.digest == facts.initialised[name] }
    }) {
      throw EngineError(
        .data,
        "\(folder): the adapter was trained with another '\(other)' than this model's: the base model lacks it, and it began with random values",
        hint: "make the model with the same seed")
    }
    let here = Set(try adapters.map { try $0.digest().hex })
    for below in facts.upstream where !here.contains(below.digest) {
      throw EngineError(
        .data, "\(folder): the adapter was trained on top of adapter '\(below.adapterName)', which this model lacks",
        hint: "load that one first")
    }
  }

  /// Throws unless the exported folder in a new model gives this model's logits with the adapter alone.
  func compare(_ adapter: AttachedAdapter, exportedTo folder: String) throws {
    let fresh = try makeBody()
    _ = try AttachedAdapter.load(folder: folder, into: fresh, headModules: fresh.headModules)
    let probe = try self.probe()
    let (own, exported) = (try alone(adapter) { try network.predictInFloat32(probe) }, try fresh.predictInFloat32(probe))
    if let difference = own.difference(from: exported, tolerance: adapter.mergeTolerance) {
      throw EngineError(
        .argument, "export: a model with the exported LoRA gives other logits, by \(difference), more than rounding explains; nothing was written",
        hint: "save the adapter instead")
    }
  }

  /// Runs `body` while one adapter takes part, with its head, and no other does; then all is as it was.
  private func alone<Value>(_ adapter: AttachedAdapter, _ body: () throws -> Value) throws -> Value {
    let (wereEnabled, wereActive) = (network.adaptersEnabled, adapters.map { ($0, $0.isActive) })
    return try unmerged {
      let result = Result {
        try network.setAdapters(enabled: true)
        for other in adapters { try other.setActive(other === adapter) }
        return try adapter.withParameters(body)
      }
      for (other, wasActive) in wereActive { try other.setActive(wasActive) }
      try network.setAdapters(enabled: wereEnabled)
      return try result.get()
    }
  }

  /// Three short sequences of ordinary tokens: what a change of form must not change the logits of.
  func probe() throws -> Batch {
    let source = RandomSource(seed: 0, stream: RandomSource.stream(named: "probe"))
    let lengths = [5, 12, 3].map { min($0, network.maxLength) }
    let ids = source.permutation(tokenizer.vocabularySize)
    let offsets = Offsets(lengths: lengths)
    var tokens = (0..<offsets.total).map { Int32(ids[$0 % ids.count]) }
    // Where an encoder reads, a head may ask for the token that ends a text.
    if network.encoderLayout != nil, let end = network.config["eos_token_id"]?.intValue {
      for next in offsets.values.dropFirst() { tokens[Int(next) - 1] = Int32(end) }
    }
    return try Batch(ids: tokens, offsets: offsets)
  }
}

extension AttachedAdapter {
  /// The parameters of the model's body that the adapter changed, and that have its values whether it is active or not.
  fileprivate var partsOfBody: [ObjectIdentifier] {
    (modelParameters.filter { !isInHead($0.name) } + changedParameters).map { ObjectIdentifier($0.tensor) }
  }

  /// The content of the adapter, without its head.
  func digest() throws -> Digest {
    let stream = DigestStream()
    for (name, tensor) in carriedParameters { stream.update(name, tensor) }
    return stream.finish()
  }
}

extension TransformerModel {
  /// The content of the parameters outside the head, without adapters and without those that `isLeftOut` names.
  fileprivate func bodyDigest(without isLeftOut: (String) -> Bool = { _ in false }) -> Digest {
    let stream = DigestStream()
    for (name, tensor) in plainParameters() where !headModules.contains(where: { name.hasPrefix($0 + ".") }) && !isLeftOut(name) {
      stream.update(name, tensor)
    }
    return stream.finish()
  }

  /// The content of the head.
  var headDigest: Digest {
    let stream = DigestStream()
    for (name, tensor) in headParameters { stream.update(name, tensor) }
    return stream.finish()
  }
}

extension DigestStream {
  /// A parameter's name, shape, type and elements, or its codes where it is held in 4 bits.
  func update(_ name: String, _ tensor: Tensor) {
    update(Array("\(name) \(tensor.shape) \(tensor.dtype.rawValue)\n".utf8))
    if let matrix = tensor.quantized {
      matrix.withContent { update($0) }
    } else {
      update(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.count * tensor.dtype.size))
      tensor.storage.giveBack()
    }
  }
}
