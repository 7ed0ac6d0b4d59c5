import Adapters
import Diagnostics
import Training

/// An adapter's folder that PEFT loads: in its own type where PEFT has the method, else as the LoRA that it equals.
enum PEFTExport: ExportTarget {
  static let name = "peft"
  static let summary = "an adapter's folder, which PeftModel.from_pretrained loads"
  static let holdsAdapters = true

  static func write(_ model: TrainableModel, adapter: AttachedAdapter?, to folder: String) throws -> String {
    guard let adapter else {
      throw EngineError(.argument, "the model has no adapter", hint: "write the whole model: --to merged")
    }
    if adapter.method.peftType.map({ !$0.hasPrefix("PERIGEE_") }) ?? false {
      try model.save(adapter, to: folder)
    } else {
      do { try model.export(adapter, to: folder) } catch let error as EngineError where error.kind == .argument {
        throw EngineError(error.kind, error.message, hint: "write the whole model: --to merged")
      }
    }
    return "\(folder): \(adapter.method.name) on \(adapter.sites.count) layers of \(model.base.name)\n"
      + "PeftModel.from_pretrained(model, \"\(folder)\")"
  }
}
