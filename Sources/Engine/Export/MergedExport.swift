import Adapters
import Checkpoints
import Training

/// The whole model with its adapters in the weights, as a folder of Transformers.
enum MergedExport: ExportTarget {
  static let name = "merged"
  static let summary = "a whole model's folder with the adapters in its weights, which Transformers loads"
  static let holdsAdapters = false

  static func write(_ model: TrainableModel, adapter: AttachedAdapter?, to folder: String) throws -> String {
    try model.saveModel(to: folder)
    let name = try HuggingFaceConfig(folder: folder)["architectures"]?[0]?.stringValue ?? "AutoModel"
    return
      "\(folder): \(name), \(model.network.plainParameters().reduce(0) { $0 + $1.tensor.count }) parameters in float32\n\(name).from_pretrained(\"\(folder)\")"
  }
}
