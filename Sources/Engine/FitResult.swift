import Files
import Metrics
import Pipelines
import Training

/// What a training gave: numbers for reports, and the model.
package final class FitResult {
  package let stage: String
  package let model: TrainableModel
  /// Metrics of the final weights: "eval_accuracy", "eval_loss", ...; NaN in a check.
  package let metrics: [String: Double]
  package let trainable: Int
  package let total: Int
  package let steps: Int
  package let tokens: Int
  /// Seconds of training and evaluation, those of interrupted attempts included.
  package let seconds: Double
  /// The highest memory that tensors held for the training, in MB of 2^20 bytes: its model and what it computed, without other
  /// models of the process. nil where it is not known.
  package let peakTensorMB: Int?
  /// The step whose weights the model has, where that is not the last one.
  package let bestStep: Int?
  /// How the training ended, where that is not at its last step with that step's weights.
  package let endings: [String]
  /// What makes the metrics doubtful.
  package let warnings: [String]
  /// Whether a stored result was taken.
  package let isReused: Bool
  /// Whether the training was paused, as `pause_after` says: the metrics are those of that evaluation, and the model is none that could be
  /// used.
  package let isPaused: Bool
  /// The stage's key.
  package let key: String

  package init(
    stage: String, model: TrainableModel, metrics: [String: Double], trainable: Int, total: Int, steps: Int, tokens: Int,
    seconds: Double, peakTensorMB: Int? = nil, bestStep: Int? = nil, endings: [String] = [], warnings: [String] = [],
    isReused: Bool, isPaused: Bool = false, key: String
  ) {
    self.stage = stage
    self.model = model
    self.metrics = metrics
    self.trainable = trainable
    self.total = total
    self.steps = steps
    self.tokens = tokens
    self.seconds = seconds
    self.peakTensorMB = peakTensorMB
    self.bestStep = bestStep
    self.endings = endings
    self.warnings = warnings
    self.isReused = isReused
    self.isPaused = isPaused
    self.key = key
  }

  /// The metrics that are not the loss, without "eval_", and how the training ended, for one line.
  package var summary: String {
    let others = Self.text(of: metrics, withLoss: false)
    return ([others.isEmpty ? Self.text(of: metrics, withLoss: true) : others] + endings).joined(separator: "; ")
  }

  /// "accuracy 0.7950, loss 0.4936".
  package static func text(of metrics: [String: Double], withLoss: Bool) -> String {
    metrics.filter { withLoss || !$0.key.hasPrefix(EvaluationName.loss) }
      .sorted { ($0.key.hasPrefix(EvaluationName.loss) ? 1 : 0, $0.key) < ($1.key.hasPrefix(EvaluationName.loss) ? 1 : 0, $1.key) }
      .map { "\(EvaluationName.bare($0.key)) \(numberText($0.value))" }.joined(separator: ", ")
  }

  /// The numbers as stored with the stage and shown in `results.json`.
  package var facts: JSONObject {
    var facts: JSONObject = [
      "stage": .string(stage), "key": .string(key), "trainable": .int(trainable), "total": .int(total), "steps": .int(steps),
      "tokens": .int(tokens), "seconds": .double(seconds), "adapters": .array(model.adapters.map(\.facts)),
      "metrics": .object(JSONObject(metrics.sorted { $0.key < $1.key }.map { ($0.key, .double($0.value)) })),
    ]
    let earlier = model.lineage.filter { $0 != stage }
    if !earlier.isEmpty { facts["lineage"] = .array(earlier.map { .string($0) }) }
    if let peakTensorMB { facts["peak_tensor_mb"] = .int(peakTensorMB) }
    if isPaused { facts["paused"] = .bool(true) }
    if let bestStep { facts["best_step"] = .int(bestStep) }
    for (name, texts) in [("endings", endings), ("warnings", warnings)] where !texts.isEmpty {
      facts[name] = .array(texts.map { .string($0) })
    }
    return facts
  }

  /// A column of a report: a property, or a metric with or without "eval_".
  package func column(_ name: String) -> JSONValue? {
    switch name {
    case "stage": return .string(stage)
    case "trainable": return .int(trainable)
    case "total": return .int(total)
    case "steps": return .int(steps)
    case "tokens": return .int(tokens)
    case "seconds": return .double(seconds)
    case "peak_tensor_mb": return peakTensorMB.map { .int($0) } ?? .null
    case "best_step": return bestStep.map { .int($0) } ?? .null
    case "reused": return .string(isReused ? "yes" : "no")
    default: return (metrics[name] ?? metrics[EvaluationName.of(name)]).map { .double($0) }
    }
  }

  /// Names that `column` knows.
  package var columnNames: [String] {
    ["stage", "trainable", "total", "steps", "tokens", "seconds", "peak_tensor_mb", "best_step", "reused"]
      + metrics.keys.map(EvaluationName.bare).sorted()
  }
}
