import Adapters
import Diagnostics
import Training

/// A form that a trained model is written in for other programs. One file each, and one line of `ExportCatalogue`.
protocol ExportTarget: SendableMetatype {
  /// What `--to` calls it.
  static var name: String { get }
  /// What is written, and who reads it; one line.
  static var summary: String { get }
  /// Whether it can hold adapters apart from the model; else they are merged first.
  static var holdsAdapters: Bool { get }
  /// Writes the folder, and returns how it is used.
  ///
  /// - Parameter adapter: the one adapter of the model that is to be written; nil: the whole model is.
  /// - Throws: `EngineError` with the reason and the remedy for a model that the form cannot hold.
  static func write(_ model: TrainableModel, adapter: AttachedAdapter?, to folder: String) throws -> String
}

/// All forms, in the order of their list.
enum ExportCatalogue {
  static let targets: [any ExportTarget.Type] = [PEFTExport.self, MergedExport.self, LoralibExport.self, GGUFExport.self]

  static func target(named name: String) throws -> any ExportTarget.Type {
    if let found = targets.first(where: { $0.name == name }) { return found }
    let names = targets.map { $0.name }
    throw EngineError(
      .argument, "--to \(name): no such form", hint: suggestion(for: name, among: names))
  }
}
