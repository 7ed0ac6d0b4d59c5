import Adapters
import Checkpoints
import Diagnostics
import Files
import Pipelines
import Tasks
import TensorCore
import TransformerModels

/// Parameter counts of a method on a model, from its `config.json`.
package enum ParameterCounts {
  /// The configuration of a model: a folder with `config.json`, the file itself, a hub name in the local cache, or the built-in
  /// model.
  package static func config(of model: String) throws -> HuggingFaceConfig {
    if model == BuiltInModel.name { return try BuiltInModel.make(model, seed: 0).base.config }
    return try model.hasSuffix(".json") ? HuggingFaceConfig(path: model) : HuggingFaceConfig(folder: ModelLocation.folder(of: model))
  }

  /// The counts as lines of text.
  ///
  /// - Parameters:
  ///   - task: the name of the type of task that the model is for; nil: see `head`.
  ///   - device: where the model is made; a method that a script defined needs weights.
  package static func table(
    _ config: HuggingFaceConfig, _ settings: AdapterSettings, task: String? = nil, on device: Device = .meta
  ) throws -> String {
    let (method, targets) = (settings.method, settings.targets)
    let (kind, summary) = try head(config, task: task, labels: settings.numLabels)
    let model =
      try device == .meta
      ? PretrainedModel.shapes(config, kind) : PretrainedModel(config: config, name: config.path, seed: 0).make(kind, headSeed: 0)
    let head = model.headParameters.reduce(0) { $0 + $1.tensor.count }
    // Counting needs an adapter of the same shapes below.
    if let underlying = (method as? any BuildsOnAdapter)?.underlying { try attach(underlying, to: model, targets) }
    let attached = try attach(method, to: model, targets)
    let trainable = model.parameterCounts().trainable
    let own = attached.parameterCount
    let total = model.parameterCounts().total
    let rows: [[JSONValue]] = [
      ["model", .string("\(model.architecture.modelType), \(summary)")],
      ["adapter", .string(method.name)], ["modules adapted", .string(attached.sites.isEmpty ? "none" : attached.siteSummary)],
      ["adapter parameters", .int(own)],
      ["head parameters", .int(head)], ["trainable parameters", .int(trainable)], ["total parameters", .int(total)],
    ]
    return rows.map { row in
      let label = row[0].stringValue ?? ""
      return label + String(repeating: " ", count: 22 - label.count) + (row[1].stringValue ?? grouped(String(row[1].intValue ?? 0)))
    }.joined(separator: "\n")
  }

  /// The model's head, and a word for it.
  ///
  /// Where no task is named: that of a classifier if there is a number of labels, the configuration says so, or tokens see what stands
  /// behind them; else the head that writes text.
  private static func head(_ config: HuggingFaceConfig, task: String?, labels: Int?) throws -> (HeadKind, summary: String) {
    let family = try ModelCatalogue.architecture(of: config)
    let languages = try TaskTypeCatalogue.languageTypes(of: family, config)
    let names = TaskTypeCatalogue.sequenceTypes.map { $0.name } + languages.map { $0.name }
    if let task, !names.contains(task) {
      throw EngineError(.argument, "--task \(task): no task of a \(family.modelType) model", hint: suggestion(for: task, among: names))
    }
    let isClassifier = try labels != nil || config.strings("architectures", default: []).first?.hasSuffix(ModelCatalogue.sequenceClass) == true
    let writer = task == nil && isClassifier ? nil : languages.first { task == nil ? $0.kind != .masked : $0.name == task }
    if let writer {
      guard labels == nil else {
        throw EngineError(.argument, "--set num_labels with --task \(writer.name): its scores are those of the vocabulary")
      }
      return (.language, writer.name)
    }
    let type = TaskTypeCatalogue.sequenceTypes.first { $0.name == task }
    let count = labels ?? (type?.labelCounts.contains(2) == false ? 1 : 2)
    if let type, !type.labelCounts.contains(count) {
      throw EngineError(.argument, "--set num_labels=\(count) with --task \(type.name): its head \(type.misfit(labels: count))")
    }
    return (.sequence(labels: (0..<count).map { "LABEL_\($0)" }), "\(count) label\(count == 1 ? "" : "s")")
  }

  @discardableResult
  private static func attach(
    _ method: any AdapterMethod, to model: TransformerModel, _ targets: AdapterTargets
  ) throws -> AttachedAdapter {
    try AttachedAdapter.attach(
      method, to: model, targets: targets, defaultTargets: model.architecture.defaultTargetModules, head: model.headModules,
      seed: 0)
  }
}
