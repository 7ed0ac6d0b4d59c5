import Adapters
import Checkpoints
import Diagnostics
import Files
import Tasks
import Training

extension Session {
  /// A language model to be used as it is: that of a model folder or hub name; or what a run, or one of its stages, has trained.
  ///
  /// - Parameters:
  ///   - name: a model, a run directory, or a folder in its `stages`.
  ///   - adapter: folder of an adapter that is loaded onto it.
  package func languageModel(_ name: String, adapter: String?) throws -> TrainableModel {
    let place = try Self.trained(in: FilePath.expandHome(name))
    let base = try base(place.base)
    let network = try base.languageModel(CausalLM.self, seed: UInt64(seed))
    let model = TrainableModel(CausalLM(), network: network, base: base, tokenizer: try tokenizer(of: base))
    for (number, folder) in (place.adapters + [adapter].compactMap(\.self)).enumerated() {
      try model.loadAdapter(folder, name: "adapter\(number + 1)", head: .saved).forEach(progress.note)
    }
    return model
  }

  /// The base model of what was trained, and its adapters' folders.
  private static func trained(in folder: String) throws -> (base: String, adapters: [String]) {
    guard !fileExists(folder + "/config.json"), folderExists(folder) else { return (folder, []) }
    if fileExists(folder + "/model/config.json") { return (folder + "/model", []) }
    func names(_ path: String) -> [String] { ((try? AtomicFolder.names(in: path)) ?? []).sorted() }
    let adapters = names(folder).map { folder + "/" + $0 }.filter { fileExists($0 + "/adapter_config.json") }
    if !adapters.isEmpty {
      let config = try HuggingFaceConfig(path: adapters[0] + "/adapter_config.json")
      guard let base = config["base_model_name_or_path"]?.stringValue, !base.isEmpty else {
        throw EngineError(
          .data, "\(config.path): does not say which model it belongs to", hint: "give the model, and --adapter \(adapters[0])")
      }
      return (base, adapters)
    }
    let stages = names(folder + "/stages").map { folder + "/stages/" + $0 }.filter { (try? trained(in: $0)) != nil && $0 != folder }
    guard let only = stages.first else { return (folder, []) }
    guard stages.count == 1 else {
      throw EngineError(
        .argument, "\(folder): a run with \(stages.count) trained stages, expected one of them", hint: "give \(stages.joined(separator: ", or "))")
    }
    return try trained(in: only)
  }
}
