import Adapters
import Diagnostics
import Training

/// The factors, and the head, under the names of the LoRA authors' code.
enum LoralibExport: ExportTarget {
  static let name = "lora"
  static let summary = "lora.safetensors with the names of the LoRA authors' code (microsoft/LoRA), for load_state_dict(..., strict=False)"
  static let holdsAdapters = true

  static func write(_ model: TrainableModel, adapter: AttachedAdapter?, to folder: String) throws -> String {
    guard let adapter else {
      throw EngineError(.argument, "the model has no adapter", hint: "write the whole model: --to merged")
    }
    let scales = try model.exportAsLoralib(adapter, to: folder)
    return "\(folder)/\(LoralibNames.fileName): \(adapter.sites.count) layers with " + scales
      + "\nmodel.load_state_dict(safetensors.torch.load_file(\"\(folder)/\(LoralibNames.fileName)\"), strict=False)"
  }
}
