import Adapters
import Checkpoints
import Diagnostics
import Files
import NN
import Tasks
import TransformerModels

extension TrainableModel {
  /// Writes an adapter's folder (PEFT's format for a LoRA), with the model that it belongs to and the stages that led to it.
  /// Throws where the model's body was trained beside its adapters: no folder of an adapter holds that.
  public func save(_ adapter: AttachedAdapter, to folder: String) throws {
    try requireBody(of: adapter, folder)
    try write(adapter, to: folder)
  }

  /// `save` for a caller that knows `changedBodyParameter` to be nil.
  public func write(_ adapter: AttachedAdapter, to folder: String) throws {
    try adapter.save(to: folder, baseModelName: base.name, taskType: Swift.type(of: type).peftType, facts: facts(of: adapter))
  }

  /// Writes an adapter as a plain LoRA that PEFT loads. The folder is read back into a new model first: unless it gives the
  /// logits of this one with the adapter alone, nothing is written.
  public func export(_ adapter: AttachedAdapter, to folder: String) throws {
    try requireBody(of: adapter, folder)
    try adapter.exportAsLoRA(
      to: folder, baseModelName: base.name, taskType: Swift.type(of: type).peftType, facts: facts(of: adapter),
      verify: { try self.compare(adapter, exportedTo: $0) })
  }

  /// Writes an adapter's factors under the names of the LoRA authors' code; see `AttachedAdapter.exportAsLoralib`.
  public func exportAsLoralib(_ adapter: AttachedAdapter, to folder: String) throws -> String {
    try requireBody(of: adapter, folder)
    return try adapter.exportAsLoralib(to: folder)
  }

  /// Throws where the model's body was trained beside an adapter, so that a folder of the adapter would not hold it.
  public func requireBody(of adapter: AttachedAdapter, _ folder: String) throws {
    guard adapter.method.peftType != nil, let name = try changedBodyParameter() else { return }
    throw EngineError(
      .argument,
      "\(folder): '\(name)' of the model itself was trained too and belongs to no adapter: the folder of adapter "
        + "'\(adapter.name)' would not hold it",
      hint: "merge the adapters and save the whole model; or save the model before the adapter is attached, and attach it to what models.load "
        + "makes of that folder")
  }

  /// Reads an adapter's folder, PEFT's or one written here, and attaches it; what trained before is frozen.
  /// `reading`: finds methods that the catalogue does not have. Returns what the user should know, one line each.
  @discardableResult
  public func loadAdapter(
    _ folder: String, name: String, head: HeadLoading, reading: AdapterMethodReader = { _, _ in nil }
  ) throws -> [String] {
    let facts = try AdapterFacts(folder: folder)
    try check(facts, ofFolder: folder)
    let labels = head == .saved ? try headLabels(facts, folder) : nil
    try keepingHeads {
      try AttachedAdapter.load(
        folder: folder, into: network, name: name, headModules: network.headModules, head: head, reading: reading)
    }
    if hasRandomFrozenHead {
      return [
        "\(folder): has no head, and that of the model is random and frozen: what it answers means nothing until it is trained; unfreeze it, or take a base model that has one"
      ]
    }
    guard head == .saved, try adapter(named: name).hasHead else { return [] }
    if let labels {
      try rename(labels: labels)
    } else if network.numLabels > 1, !HuggingFaceConfig.arePlaceholders(network.labels) {
      return ["\(folder): does not name its labels: they are taken for \(labelList(network.labels)), in this order"]
    }
    return []
  }

  /// The names of the labels of a folder's head; nil where it says nothing. Throws where the head of the model has another
  /// number of outputs.
  private func headLabels(_ facts: AdapterFacts, _ folder: String) throws -> [String]? {
    let labels = facts.labels
    guard !labels.isEmpty, !network.labels.isEmpty else { return nil }
    guard labels.count == network.numLabels else {
      throw EngineError(
        .data, "\(folder): its head is for \(labels.count) labels (\(labelList(labels))), that of the model for \(type.summary)",
        hint: "make the model for these labels, or load the adapter with head = \"new\"")
    }
    return labels
  }

  /// Writes a model folder that Transformers loads, with the tokenizer.
  public func saveModel(to folder: String) throws {
    try network.save(to: folder)
    try tokenizer.save(to: folder)
  }

  /// The adapter of a name; nil: the last one attached. Throws where there is none.
  public func adapter(named name: String?) throws -> AttachedAdapter {
    if let name {
      if let found = adapters.last(where: { $0.name == name }) { return found }
      throw EngineError(.argument, "the model has no adapter '\(name)'", hint: suggestion(for: name, among: adapters.map(\.name)))
    }
    guard let last = adapters.last else { throw EngineError(.argument, "the model has no adapter", hint: "add one first, or save the model") }
    return last
  }
}
