import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore

/// A base model: its configuration, and where its weights come from. Models with heads are made from it, and share
/// its frozen weights.
public final class PretrainedModel {
  public let config: HuggingFaceConfig
  /// What the folder says about writing text, beside `config.json`, if it does.
  public let generationConfig: HuggingFaceConfig?
  static let generationConfigFile = "generation_config.json"
  public let architecture: any ModelFamily.Type
  /// The folder that it was read from; nil for a configuration with random weights.
  public let folder: String?
  /// What to call it in reports and adapter configs: the name or path that was asked for.
  public let name: String
  /// Its name on the hub; nil where it is not from the hub's cache.
  public var hubName: String? { folder.flatMap { ModelLocation.isCached(name, in: $0) ? name : nil } }
  /// Names that the file has and no model made from it used, in its last use; and names that were missing.
  public private(set) var lastReport = LoadReport()
  /// How the linear layers' weights are held in 4 bits, if they are.
  public let quantization: WeightQuantization?
  private let weights: WeightsFolder?
  private var weightsDigest: Digest?
  private let stamps: [(path: String, stamp: FileStamp?)]
  private let seed: UInt64
  private var cache: [String: Tensor] = [:]
  /// Names of what lies beside the codes of weights in 4 bits.
  private var companions: Set<String> = []

  /// What did not fit when a model was made.
  public struct LoadReport: Sendable, Equatable {
    /// In the file, not in the model.
    public var unused: [String] = []
    /// In the model, not in the file: newly initialised.
    public var missing: [String] = []
  }

  /// Opens a model folder or a hub name in the local cache. Weights are mapped, not read. `changes` take the place of
  /// values in its `config.json`. With `quantization`, linear layers are held in 4 bits.
  public init(name: String, changes: JSONObject = [:], quantization: WeightQuantization? = nil) throws {
    self.name = name
    self.quantization = quantization
    let folder = try ModelLocation.folder(of: name)
    self.folder = folder
    config = try HuggingFaceConfig(folder: folder).changed(changes)
    architecture = try ModelCatalogue.architecture(of: config)
    let path = folder + "/" + Self.generationConfigFile
    generationConfig = try fileExists(path) ? HuggingFaceConfig(path: path) : nil
    let weights = try WeightsFolder(folder)
    self.weights = weights
    stamps = ([config.path, path] + weights.files.map(\.path)).map { ($0, FileStamp($0)) }
    seed = 0
  }

  /// A model with random weights: a function of the configuration and the seed.
  public init(config: HuggingFaceConfig, name: String, seed: UInt64, quantization: WeightQuantization? = nil) throws {
    self.name = name
    self.quantization = quantization
    self.config = config
    self.seed = seed
    architecture = try ModelCatalogue.architecture(of: config)
    folder = nil
    generationConfig = nil
    weights = nil
    stamps = []
  }

  /// What the weights are a function of: the digest of the file's tensors, or configuration and seed.
  public func identity() throws -> JSONValue {
    var identity: JSONObject = ["config": .object(config.values), "seed": .int(Int(truncatingIfNeeded: seed))]
    if let weights {
      let digest = try weightsDigest ?? weights.digest()
      weightsDigest = digest
      identity = ["weights": .string(digest.hex), "config": .string(Digest(of: .object(config.values)).hex)]
    }
    if let quantization {
      identity["quantization"] = .string(([quantization.config.summary] + quantization.skipModules).joined(separator: ", "))
    }
    return .object(identity)
  }

  /// A model with a head: the one that the checkpoint has, or a new one. `headSeed` seeds what the checkpoint lacks; `settings`
  /// go to its `config.json`. Throws where a body tensor is missing.
  public func make(_ head: HeadKind, settings: JSONObject = [:], headSeed: UInt64, newHead: Bool = false) throws -> TransformerModel {
    let heads = newHead && weights != nil ? try Self.shapes(config, head).headModules : []
    let source = heads.isEmpty ? self : HeadlessSource(self, heads: heads) as any ParameterSource
    let settled = config.changed(settings).setting(head)
    var builder = ParameterBuilder(source: weights == nil ? nil : source, seed: weights == nil ? seed : headSeed)
    var model = try TransformerModel(settled, head, builder)
    if weights == nil, headSeed != seed {
      builder = ParameterBuilder(source: ModelSource(model, excluding: model.headModules), seed: headSeed)
      model = try TransformerModel(settled, head, builder)
    }
    model.generationConfig = generationConfig
    if let weights {
      var report = LoadReport(missing: builder.log.missing)
      let used = companions.union(builder.log.used.flatMap(candidates))
      report.unused = weights.names.filter { !used.contains($0) && !architecture.isNoParameter($0) }
      lastReport = report
      let heads = model.headModules
      let bodyMissing = report.missing.filter { name in !heads.contains { name.hasPrefix($0 + ".") } && !architecture.mayLack(name) }
      guard bodyMissing.isEmpty else {
        throw EngineError(
          .data,
          "\(self.name): \(bodyMissing.count) tensors of the model are missing from its weights: "
            + listed(bodyMissing), hint: suggestionForMissing(bodyMissing[0], weights))
      }
    }
    // A head trains, whatever the checkpoint has it in.
    for (name, tensor) in model.namedParameters() where tensor.quantized != nil && model.headModules.contains(where: { name.hasPrefix($0 + ".") }) {
      try tensor.makeExclusive()
    }
    if let quantization {
      // The next model shares what this one holds.
      for (path, linear) in try model.quantize(quantization) { cache[path + ".weight"] = linear.weight.detach() }
    }
    return model
  }

  /// Whether the folder's weights do not have a parameter, by its name in the model. False where there is no folder.
  public func lacks(_ name: String) -> Bool {
    guard let weights else { return false }
    return candidates(name).allSatisfy { weights[$0] == nil }
  }

  /// Whether the folder's files are still those that were opened.
  public var isCurrent: Bool { stamps.allSatisfy { path, stamp in FileStamp(path) == stamp } }

  /// The shape of a parameter in the weights; nil where they lack it.
  public func savedShape(_ name: String) throws -> [Int]? { try parameter(name, isStoredTransposed: false)?.shape }

  /// A model for counting parameters: on the device `meta`.
  public static func shapes(_ config: HuggingFaceConfig, _ head: HeadKind) throws -> TransformerModel {
    let builder = ParameterBuilder(seed: 0, on: .meta)
    return try TransformerModel(config.setting(head), head, builder)
  }

  private func suggestionForMissing(_ name: String, _ weights: WeightsFolder) -> String? {
    nearestName(to: name, among: weights.names).map { "the file has '\($0)'" }
  }
}

extension PretrainedModel: ParameterSource {
  public func parameter(_ name: String, isStoredTransposed: Bool) throws -> Tensor? {
    if let found = cache[name] { return found }
    guard let weights, let entry = candidates(name).lazy.compactMap({ weights[$0] }).first else { return nil }
    guard let file = weights.files.first(where: { $0[entry.name] != nil }) else { return nil }
    let codes = BitsAndBytesWeights(weights)
    if let matrix = try codes.matrix(entry.name) {
      let tensor = Tensor(matrix)
      companions.formUnion(codes.companions(of: entry.name))
      cache[name] = tensor
      return tensor
    }
    func check(_ bad: Int?) throws {
      guard let bad else { return }
      throw EngineError(.data, "\(file.path): tensor '\(entry.name)' has a value that is not finite at index \(bad)")
    }
    if let matrix = try file.storedMatrix(entry, isTransposed: isStoredTransposed) {
      try check(matrix.firstStoredNonFinite)
      cache[name] = matrix
    } else {
      let tensor = try file.float32(entry)
      try check(tensor.firstNonFinite)
      tensor.storage.giveBack()
      cache[name] = try isStoredTransposed ? Autograd.noGrad { try tensor.transpose(0, 1).copy() } : tensor
    }
    return cache[name]
  }

  /// Names that checkpoints use for a parameter: its own; without the body's prefix; those that only its family knows.
  private func candidates(_ name: String) -> [String] {
    let names = [name] + architecture.aliases(of: name)
    let prefix = architecture.baseModelPrefix + "."
    return names + names.compactMap { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : nil }
  }
}

/// A source without what it has below a head's modules.
private final class HeadlessSource: ParameterSource {
  private let source: any ParameterSource
  private let heads: [String]

  init(_ source: any ParameterSource, heads: [String]) { (self.source, self.heads) = (source, heads) }

  func parameter(_ name: String, isStoredTransposed: Bool) throws -> Tensor? {
    heads.contains { name.hasPrefix($0 + ".") } ? nil : try source.parameter(name, isStoredTransposed: isStoredTransposed)
  }
}

/// A model as the source of another model's parameters.
public final class ModelSource: ParameterSource {
  private let parameters: [String: Tensor]

  /// `excluding`: dotted paths of modules that the new model must initialise anew.
  public init(_ model: TransformerModel, excluding: [String] = []) {
    let kept = model.namedParameters().filter { entry in !excluding.contains { entry.name.hasPrefix($0 + ".") } }
    parameters = Dictionary(uniqueKeysWithValues: kept.map { ($0.name, $0.tensor) })
  }

  public func parameter(_ name: String, isStoredTransposed: Bool) throws -> Tensor? { parameters[name] }
}

extension HuggingFaceConfig {
  /// The configuration with other values for some keys.
  public func changed(_ changes: JSONObject) -> HuggingFaceConfig {
    var values = self.values
    for (key, value) in changes.members { values[key] = value }
    return HuggingFaceConfig(values, path: path)
  }

  /// The configuration with the labels of a head, as Transformers writes them.
  public func setting(_ head: HeadKind) -> HuggingFaceConfig {
    guard case .sequence(let labels) = head else { return self }
    return changed([
      "id2label": .object(JSONObject(labels.enumerated().map { (String($0), .string($1)) })),
      "label2id": .object(JSONObject(labels.enumerated().map { ($1, .int($0)) })), "num_labels": .int(labels.count),
    ])
  }
}
