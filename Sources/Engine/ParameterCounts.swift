import Adapters
import Checkpoints
import Diagnostics
import Files
import Pipelines
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
  /// `device`: where the model is made; a method that a script defined needs weights.
  package static func table(
    _ config: HuggingFaceConfig, _ settings: AdapterSettings, on device: Device = .meta
  ) throws -> String {
    let (method, targets, labels) = (settings.method, settings.targets, settings.numLabels)
    let names = (0..<labels).map { "LABEL_\($0)" }
    let kind = HeadKind.sequence(labels: names)
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
      ["model", .string("\(model.architecture.modelType), \(labels) label\(labels == 1 ? "" : "s")")],
      ["adapter", .string(method.name)], ["modules adapted", .string(attached.sites.isEmpty ? "none" : attached.siteSummary)],
      ["adapter parameters", .int(own)],
      ["head parameters", .int(head)], ["trainable parameters", .int(trainable)], ["total parameters", .int(total)],
    ]
    return rows.map { row in
      let label = row[0].stringValue ?? ""
      return label + String(repeating: " ", count: 22 - label.count) + (row[1].stringValue ?? grouped(String(row[1].intValue ?? 0)))
    }.joined(separator: "\n")
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
