import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import Optimizers
import TensorCore
import TestSupport
import TransformerModels

/// A recorded run of the reference implementation: inputs, and what it computed. `Tests/Fixtures/README.md` describes
/// the entries.
struct ParityFixture {
  let name: String
  let file: SafetensorsFile
  let config: JSONObject

  init(_ path: String) throws {
    name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    file = try SafetensorsFile(path)
    config = try JSONValue(parsing: file.metadata["config"] ?? "{}", source: path).objectValue ?? [:]
  }

  func text(_ key: String) -> String { config[key]?.stringValue ?? "" }
  func number(_ key: String) -> Double { config[key]?.doubleValue ?? .nan }
  func tensor(_ key: String) throws -> Tensor { try file.tensor(key) }

  var method: String { text("method") }
  var options: JSONObject { config["options"]?.objectValue ?? [:] }

  private var isLanguage: Bool { ["masked_lm", "mlm", "causal_lm", "seq2seq_lm"].contains(text("objective")) }

  func batch(_ step: Int) throws -> Batch {
    let prefix = "step\(step)."
    let labels = try tensor(prefix + "labels")
    let numbers = labels.values.map { Int32($0) }
    let offsets = try Offsets(values: tensor(prefix + "offsets").values.map { Int32($0) })
    var rows = numbers.indices.filter { numbers[$0] != ignoredLabel }
    let counted: [Int32]
    if text("objective") == "causal_lm" {
      // Each token is what the one before it should say; the first of a sequence is nobody's.
      let starts = Set(offsets.starts)
      rows = rows.filter { !starts.contains(Int32($0)) }.map { $0 - 1 }
      counted = rows.map { numbers[$0 + 1] }
    } else {
      counted = rows.map { numbers[$0] }
    }
    var batch = try Batch(
      ids: tensor(prefix + "input_ids").values.map { Int32($0) },
      tokenTypes: tensor(prefix + "token_type_ids").values.map { Int32($0) },
      offsets: offsets, labels: text("objective") == "regression" ? labels.to(.float32) : Tensor(counted, [counted.count]))
    if isLanguage { batch.rows = .some(rows.map { Int32($0) }) }
    if text("objective") == "seq2seq_lm" {
      // Where nobody asks for a target, it is the last one of its sequence, which nothing reads.
      let known = numbers.map { max($0, 0) }
      batch.targets = (known, try Offsets(values: tensor(prefix + "target_offsets").values.map { Int32($0) }))
    }
    return batch
  }

  /// The model with adapters and starting values as recorded.
  func model(_ folder: String) throws -> (model: TransformerModel, adapter: AttachedAdapter) {
    let base = try PretrainedModel(name: folder)
    let labels = (0..<max(1, Int(number("num_labels").isNaN ? 2 : number("num_labels")))).map { "LABEL_\($0)" }
    let model = try base.make(isLanguage ? .language : .sequence(labels: labels), headSeed: 1)
    let adapter = try attach(to: model)
    let starts = try file.names.filter { $0.hasPrefix("init.") }.map { (String($0.dropFirst(5)), try tensor($0)) }
    try model.load(starts.map { ($0.0.replacingOccurrences(of: ".base_layer.", with: "."), $0.1) })
    return (model, adapter)
  }

  private func attach(to model: TransformerModel) throws -> AttachedAdapter {
    var targets = AdapterTargets()
    targets.targetModules = options["target_modules"]?.arrayValue.map { .suffixes($0.compactMap(\.stringValue)) }
    if options["target_modules"]?.stringValue == "all-linear" { targets.targetModules = .allLinear }
    // PEFT adds "score" for other models' heads.
    targets.modulesToSave = options["modules_to_save"]?.arrayValue.map { $0.compactMap(\.stringValue).filter { $0 != "score" } }
    targets.layersToTransform = options["layers_to_transform"]?.arrayValue.map { $0.compactMap(\.intValue) }
    targets.layersPattern = (options["layers_pattern"]?.arrayValue ?? []).compactMap(\.stringValue)
    targets.bias = options["bias"]?.stringValue.flatMap { AdapterTargets.Bias(rawValue: $0) } ?? .none
    func attach(_ method: any AdapterMethod) throws -> AttachedAdapter {
      try AttachedAdapter.attach(
        method, to: model, targets: targets, defaultTargets: model.architecture.defaultTargetModules,
        head: model.headModules, seed: 1)
    }
    if options["sigma"]?.stringValue == "over_lora" { _ = try attach(method("lora")) }
    return try attach(method(method))
  }

  /// A method of the catalogue with those of the case's options that it has.
  private func method(_ name: String) throws -> any AdapterMethod {
    func make<Method: AdapterMethod>(_ type: Method.Type) throws -> Method {
      var table = ConfigTable()
      for (key, value) in options.members where type.fields.contains(where: { $0.name == key }) {
        table.fields[key] = value.configValue
      }
      if case .text("over_lora")? = table.fields["sigma"] {
        (table.fields["sigma"], table.fields["over"]) = (nil, .text("lora"))
      }
      return try Method(table: table)
    }
    return try make(AdapterCatalogue.method(named: name))
  }
}
