import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import Metrics
import Pipelines
import Tasks
import Training
import TransformerModels

/// The model card of a folder that a training saved, or a script after it: `README.md` with the front matter of PEFT and Transformers, and what is known
/// of the training. What is not known is left out.
///
/// All above `marker` is written anew with every run; what follows it is the user's and stays, and so does a file without it.
struct ModelCard {
  static let fileName = "README.md"
  static let marker = "<!-- Perigee writes all above this line anew. What you write below it is kept. -->"

  /// The stored training, and what it was asked to learn.
  let stage: StoredStage
  let task: TrainingTask
  let base: PretrainedModel
  /// The command of the run, without the program.
  let command: [String]
  /// The rows that the training logged.
  let history: [JSONObject]

  /// Writes the cards of a stage's folder: one for each adapter, one for a whole model. `earlier`: the folder whose place it takes.
  func write(in folder: String, earlier: String) throws {
    for name in try AtomicFolder.names(in: folder).sorted() {
      let place = folder + "/" + name
      let adapter = fileExists(place + "/adapter_config.json")
      guard adapter || fileExists(place + "/config.json") else { continue }
      let old = earlier + "/\(name)/" + Self.fileName
      let text = Self.keeping(fileExists(old) ? try readText(old) : nil, in: try text(of: place, isAdapter: adapter))
      try AtomicFile.write(text, to: place + "/" + Self.fileName)
    }
  }

  /// The card with what a user wrote into an older one.
  static func keeping(_ old: String?, in text: String) -> String {
    guard let old else { return text }
    return old.range(of: marker).map { text + old[$0.upperBound...].drop { $0 == "\n" } } ?? old
  }

  /// The card of a folder that is written, without what a user added.
  func text(of folder: String, isAdapter: Bool) throws -> String {
    let facts = isAdapter ? try AdapterFacts(folder: folder) : AdapterFacts()
    let config = try HuggingFaceConfig(path: folder + (isAdapter ? "/adapter_config.json" : "/config.json"))
    // No stage trained or wrote the weights that the adapter lies on.
    let isOnBase = try isAdapter && facts.baseDigest == Digest(of: base.identity()).hex
    let parts = [
      "---\n" + Self.yaml(.object(frontMatter(config, isAdapter: isAdapter, isOnBase: isOnBase))) + "---\n",
      introduction(isAdapter, isOnBase: isOnBase), results, description(facts, config, isAdapter: isAdapter), data, procedure, trainingResults,
      lineage(facts), versions(config), Self.marker + "\n",
    ]
    return parts.filter { !$0.isEmpty }.joined(separator: "\n")
  }

  // MARK: - Front matter

  /// Whether PEFT has the type of an adapter: ours are told by their beginning.
  private static func isPEFTs(_ config: HuggingFaceConfig) -> Bool { config["peft_type"]?.stringValue?.hasPrefix("PERIGEE_") == false }

  private func frontMatter(_ config: HuggingFaceConfig, isAdapter: Bool, isOnBase: Bool) -> JSONObject {
    var values = JSONObject()
    var tags: [String] = []
    if let name = base.hubName {
      values["base_model"] = .string(name)
      tags += isOnBase ? ["base_model:adapter:" + name] : []
    }
    if !isAdapter || Self.isPEFTs(config) { values["library_name"] = .string(isAdapter ? "peft" : "transformers") }
    values["pipeline_tag"] = .string(pipelineTag)
    let methods = isAdapter ? config["peft_type"]?.stringValue.map { [$0.lowercased().replacing("perigee_", with: "")] } ?? [] : []
    values["tags"] = .array((tags + methods + ["perigee"]).map { .string($0) })
    let metrics = finiteMetrics
    if !metrics.isEmpty {
      let results: [JSONValue] = evaluatedSets.compactMap { set in
        let own = metrics.filter { split(of: $0.name) == set.name && $0.name != EvaluationName.loss + (set.isFirst ? "" : set.suffix) }
        if own.isEmpty { return nil }
        let type = task.name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "-" }
        return [
          "task": ["type": .string(pipelineTag)], "dataset": ["name": .string(task.name), "type": .string(String(type)), "split": .string(set.name)],
          "metrics": .array(own.map { ["type": .string(bare($0.name, set)), "value": .double($0.value)] }),
        ]
      }
      if !results.isEmpty { values["model-index"] = [["name": .string(stage.key.name), "results": .array(results)]] }
    }
    return values
  }

  private var pipelineTag: String {
    switch Swift.type(of: task.type).peftType {
    case "SEQ_CLS": "text-classification"
    case "CAUSAL_LM": "text-generation"
    case "SEQ_2_SEQ_LM": "text2text-generation"
    default: "fill-mask"
    }
  }

  private struct EvaluatedSet {
    let name: String
    let suffix: String
    let isFirst: Bool
  }

  private var evaluatedSets: [EvaluatedSet] {
    task.evaluation.enumerated().map { EvaluatedSet(name: $1.name, suffix: $1.suffix, isFirst: $0 == 0) }
  }

  /// The set that a metric was measured on: the first, unless its name ends with another one's suffix.
  private func split(of metric: String) -> String? {
    (evaluatedSets.dropFirst().first { metric.hasSuffix($0.suffix) } ?? evaluatedSets.first)?.name
  }

  private func bare(_ metric: String, _ set: EvaluatedSet) -> String {
    let name = EvaluationName.bare(metric)
    return !set.isFirst && name.hasSuffix(set.suffix) ? String(name.dropLast(set.suffix.count)) : name
  }

  private var finiteMetrics: [(name: String, value: Double)] {
    stage.metrics.filter(\.value.isFinite).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// A value as YAML in blocks. Texts are in quotes, so that none is taken for something else, and numbers have a point: YAML 1.1 takes
  /// 1e-05 for a text.
  static func yaml(_ value: JSONValue, indent: String = "") -> String {
    func item(_ value: JSONValue) -> String {
      switch value {
      case .object: return "\n" + yaml(value, indent: indent + "  ")
      case .array: return "\n" + yaml(value, indent: indent)
      case .double(let number):
        let text = "\(number)"
        return " " + (text.contains("e") && !text.contains(".") ? text.replacing("e", with: ".0e") : text) + "\n"
      default: return " " + value.encoded(.line) + "\n"
      }
    }
    switch value {
    case .object(let object): return object.members.map { "\(indent)\($0):" + item($1) }.joined()
    case .array(let elements):
      return elements.map { element in
        guard element.objectValue != nil else { return "\(indent)-" + item(element) }
        // The first member stands behind the dash.
        return indent + "- " + yaml(element, indent: indent + "  ").dropFirst(indent.count + 2)
      }.joined()
    default: return indent + item(value).dropFirst()
    }
  }

  // MARK: - Sections

  private func code(_ text: String) -> String { "`" + text.replacing("`", with: "'").inOneLine + "`" }

  private func bullets(_ lines: [String]) -> String { lines.map { "- \($0)\n" }.joined() }

  private var baseName: String { base.hubName.map { "[\($0)](https://huggingface.co/\($0))" } ?? code(FilePath.name(of: base.name)) }

  private func introduction(_ isAdapter: Bool, isOnBase: Bool) -> String {
    let from = !isAdapter ? "model was trained from \(baseName)" : "adapter was trained on " + (isOnBase ? baseName : "a model made from \(baseName)")
    return "# \(stage.key.name.inOneLine)\n\nThis \(from), with the data \(code(task.name)).\n"
  }

  private var results: String {
    let metrics = finiteMetrics
    if metrics.isEmpty { return "" }
    return "It achieves the following results on the evaluation set:\n"
      + bullets(metrics.map { "\(EvaluationName.bare($0.name)): \($0.value)" })
  }

  private func description(_ facts: AdapterFacts, _ config: HuggingFaceConfig, isAdapter: Bool) -> String {
    func count(_ name: String) -> String? { stage.facts[name]?.intValue.map { grouped("\($0)") } }
    var lines = [String?]()
    if isAdapter, let type = config["peft_type"]?.stringValue {
      lines.append("Method: \(type)" + (Self.isPEFTs(config) ? " (PEFT loads this folder)" : " (Perigee alone loads this folder)"))
    }
    lines += [count("trainable").map { "Trained parameters: \($0)" + (count("total").map { " of \($0)" } ?? "") }]
    let labels = facts.labels.isEmpty ? config["id2label"]?.objectValue?.values.compactMap(\.stringValue) ?? [] : facts.labels
    if !labels.isEmpty { lines.append("Labels, in the order of the outputs: " + labels.map(code).joined(separator: ", ")) }
    lines += [arguments["max_length"]?.intValue.map { "Inputs were cut to \($0) tokens" }]
    return "## Model description\n\n" + bullets(lines.compactMap(\.self))
  }

  private var data: String {
    func size(_ count: Int) -> String { count == 0 ? "" : ": \(grouped("\(count)")) example\(count == 1 ? "" : "s")" }
    var lines = ["Training: \(code(task.train.name))" + size(task.train.examples.count)]
    lines += task.evaluation.map { "Evaluation: \(code($0.name))" + size($0.examples.count) }
    lines += task.skippedRows.map { "Left out: \($0.count) rows with \($0.reason)" }
    return "## Training and evaluation data\n\n" + bullets(lines)
  }

  private var arguments: JSONObject { stage.key.inputs["arguments"]?.objectValue ?? JSONObject() }

  private var procedure: String {
    func quoted(_ word: String) -> String {
      word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./=,:+@%".contains($0)) } && !word.isEmpty
        ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }
    let line = (["perigee"] + command.map(quoted)).joined(separator: " ")
    return "## Training procedure\n\n" + (command.isEmpty ? "" : "    \(line.inOneLine)\n\n") + "### Training hyperparameters\n\n"
      + bullets((arguments.members + [("precision", stage.key.inputs["precision"] ?? .null)]).map { "\($0): \($1.stringValue ?? $1.encoded(.line))" })
  }

  /// A row for each evaluation, with the training loss that was last logged.
  private var trainingResults: String {
    let names = history.first { $0[EvaluationName.loss] != nil }?.keys.filter { $0.hasPrefix("eval_") && $0 != EvaluationName.loss } ?? []
    var (rows, loss) = ([[JSONValue]](), JSONValue.null)
    for row in history {
      if let value = row["loss"] { loss = value }
      guard let evaluated = row[EvaluationName.loss] else { continue }
      rows.append([loss, row["epoch"] ?? .null, row["step"] ?? .null, evaluated] + names.map { row[$0] ?? .null })
    }
    if rows.isEmpty { return "" }
    func cell(_ value: JSONValue) -> String {
      if case .double(let number) = value { numberText(number) } else { value == .null ? "" : value.encoded(.line) }
    }
    let titles = ["Training loss", "Epoch", "Step", "Validation loss"] + names.map(EvaluationName.bare)
    let lines = [titles, titles.map { _ in "---:" }] + rows.map { $0.map(cell) }
    return "### Training results\n\n" + lines.map { "| " + $0.joined(separator: " | ") + " |\n" }.joined()
  }

  private func lineage(_ facts: AdapterFacts) -> String {
    var lines = ["Base model: \(baseName)"]
    if let stages = facts.stages, stages.count > 1 { lines.append("Stages: " + stages.map(code).joined(separator: ", ")) }
    if let digest = facts.baseDigest { lines.append("Digest of the weights below the adapter (XXH3): \(code(digest))") }
    lines += facts.upstream.map { "Trained on top of the adapter \(code($0.adapterName)) with the digest \(code($0.digest))" }
    lines.append("Key of the training (digest of all that went into it): \(code(stage.key.digest.hex))")
    return "### Lineage\n\n" + bullets(lines)
  }

  private func versions(_ config: HuggingFaceConfig) -> String {
    let engine = stage.key.inputs["engine"]?.stringValue.map { "Perigee \($0)" }
    let format = Self.isPEFTs(config) ? config["peft_version"]?.stringValue.map { "Format of PEFT \($0)" } : nil
    return "### Framework versions\n\n" + bullets([engine, format].compactMap(\.self))
  }
}
