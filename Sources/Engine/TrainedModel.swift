import Adapters
import Checkpoints
import Diagnostics
import Files
import Pipelines
import Tasks
import Training
import TransformerModels

extension Session {
  /// A session of a command that runs no script.
  package convenience init(asking seed: Int) {
    self.init(
      mode: .run, settings: [], runDirectory: nil, store: StageStore(), progress: Progress(style: .detect()), seed: seed, print: { _ in })
  }

  /// A model to be asked, as a command names it: a run directory, a folder in its `stages`, a model folder, or a hub name.
  ///
  /// What a stage trained on another stage's model stands on that one: it is looked for among the folder's neighbours. The digest in
  /// the adapter's folder says which weights are meant, and others are refused. An adapter that was trained on weights in 4 bits gets them
  /// so (QLoRA).
  ///
  /// - Parameters:
  ///   - adapters: folders of adapters that are loaded onto it, in this order.
  ///   - needsHead: whether its head has to have been trained.
  package func trainedModel(_ name: String, adapters: [String] = [], needsHead: Bool = true) throws -> TrainableModel {
    let path = FilePath.expandHome(name)
    if !fileExists(path), let run = TrainedFolder.newestRun(path) {
      throw EngineError(.file, "\(name): no such folder", hint: "did you mean \(run)?")
    }
    let place = try TrainedFolder(path)
    let folders = place.adapters + adapters.map { FilePath.expandHome($0) }
    let facts = try folders.first.map { try AdapterFacts(folder: $0) }
    var failures: [String] = []
    for candidate in place.candidates(for: facts) {
      let base: PretrainedModel
      do {
        base = try self.base(candidate, facts?.baseQuantization?.quantization)
      } catch let error as EngineError where place.model == nil {
        failures.append("\(error)")
        continue
      }
      let model = try self.model(of: base, adapter: folders.first, facts)
      guard try facts.map(model.isBase) ?? true else {
        failures.append("\(candidate) has other weights")
        continue
      }
      for (number, folder) in folders.enumerated() {
        let notes = try model.loadAdapter(folder, name: "adapter\(number + 1)", head: .saved)
        if needsHead { notes.forEach(progress.note) }
      }
      guard !needsHead || !model.hasRandomFrozenHead else {
        throw EngineError(.argument, "\(name): nothing has trained the head that would answer", hint: "give a folder of an adapter that has a head")
      }
      return model
    }
    throw EngineError(
      .data, "\(name): the model that its adapter was trained on is not found: \(failures.joined(separator: "; "))",
      hint: "give that model's folder, and --adapter \(folders.first ?? "DIR")")
  }

  /// The base model with the head that an adapter's folder is for; without one, with its own.
  private func model(of base: PretrainedModel, adapter: String?, _ facts: AdapterFacts?) throws -> TrainableModel {
    let tokenizer = try tokenizer(of: base)
    let word = try adapter.map { try HuggingFaceConfig(path: $0 + "/adapter_config.json")["task_type"]?.stringValue } ?? nil
    var hasHead: Bool { get throws { if case .usable = try base.savedHead() { true } else { false } } }
    let isLanguage = try adapter == nil ? !hasHead : word.map { $0 != Regression.peftType } ?? false
    if isLanguage, let type = try TaskTypeCatalogue.languageTypes(of: base.architecture, base.config).first {
      return TrainableModel(type.init(), network: try base.languageModel(type, seed: UInt64(seed)), base: base, tokenizer: tokenizer)
    }
    let choice = try base.headChoice(for: adapter.map { try Self.headType($0, facts, base) } ?? nil)
    let network = try base.make(choice.type.head, settings: choice.type.settings, headSeed: UInt64(seed), newHead: choice.isNew)
    try network.setTrainable(false)
    return TrainableModel(choice.type, network: network, base: base, tokenizer: tokenizer, isHeadNew: choice.isNew)
  }

  /// What the head in an adapter's folder is for; nil: it has none.
  private static func headType(_ folder: String, _ facts: AdapterFacts?, _ base: PretrainedModel) throws -> (any SequenceTaskType)? {
    let weights = folder + "/adapter_model.safetensors"
    guard fileExists(weights), let count = try base.headOutputs(in: SafetensorsFile(weights)) else { return nil }
    let type = TaskTypeCatalogue.usualSequenceType(labels: count)
    let labels = facts?.labels ?? []
    return type.init(labels: labels.count == count ? labels : type == Regression.self ? Regression().labels : HuggingFaceConfig.placeholders(count))
  }
}

/// What a folder of a run or of a stage has: a whole model, or adapters and where their base model may be.
struct TrainedFolder {
  /// A whole model; nil: adapters only.
  let model: String?
  let adapters: [String]
  /// The base model's name in the first adapter's folder.
  private let base: String?
  /// The folder with the run's stages.
  private let stages: String?

  /// Throws where it holds several stages.
  init(_ folder: String) throws {
    guard !fileExists(folder + "/config.json"), folderExists(folder) else { (model, adapters, base, stages) = (folder, [], nil, nil); return }
    let root = FilePath.folder(of: folder)
    if fileExists(folder + "/model/config.json") { (model, adapters, base, stages) = (folder + "/model", [], nil, nil); return }
    let own = fileExists(folder + "/adapter_config.json") ? [folder] : []
    let found = own.isEmpty ? Self.names(folder).map { folder + "/" + $0 }.filter { fileExists($0 + "/adapter_config.json") } : own
    if !found.isEmpty {
      // Those that stand on others come behind them.
      let ordered = try found.map { ($0, try AdapterFacts(folder: $0).upstream.count) }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }.map(\.0)
      let config = try HuggingFaceConfig(path: ordered[0] + "/adapter_config.json")
      guard let name = config["base_model_name_or_path"]?.stringValue, !name.isEmpty else {
        throw EngineError(.data, "\(config.path): does not say which model it belongs to", hint: "give the model, and --adapter \(ordered[0])")
      }
      (model, adapters, base, stages) = (nil, ordered, name, own.isEmpty ? root : FilePath.folder(of: root))
      return
    }
    let trained = Self.names(folder + "/stages").map { folder + "/stages/" + $0 }.filter { (try? TrainedFolder($0))?.isTrained == true }
    guard trained.count < 2 else {
      throw EngineError(
        .argument, "\(folder): a run with \(trained.count) trained stages, expected one of them", hint: "give \(trained.joined(separator: ", or "))")
    }
    guard let only = trained.first else { (model, adapters, base, stages) = (folder, [], nil, nil); return }
    self = try TrainedFolder(only)
  }

  /// Models that the adapters may belong to, the likeliest first.
  func candidates(for facts: AdapterFacts?) -> [String] {
    if let model { return [model] }
    let neighbours =
      stages.map { stages in (facts?.stages ?? []).reversed().map { stages + "/" + RunDirectory.stageFolderName($0) + "/model" } } ?? []
    return neighbours.filter { fileExists($0 + "/config.json") } + [base].compactMap(\.self)
  }

  /// The last run directory of a script, where `perigee run` chose its name: "outputs/x-20261130-152945" for "outputs/x".
  static func newestRun(_ path: String) -> String? {
    let (folder, name) = (FilePath.folder(of: path), FilePath.name(of: path) + "-")
    return names(folder).last { $0.hasPrefix(name) && fileExists(FilePath.join(folder, $0) + "/command.json") }.map { FilePath.join(folder, $0) }
  }

  private var isTrained: Bool { !adapters.isEmpty || model?.hasSuffix("/model") == true }

  private static func names(_ path: String) -> [String] { ((try? AtomicFolder.names(in: path)) ?? []).sorted() }
}
