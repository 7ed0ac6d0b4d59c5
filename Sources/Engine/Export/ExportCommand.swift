import Adapters
import Diagnostics
import Files
import Pipelines
import Training

/// What `perigee export` was asked for.
public struct ExportCommand {
  /// See `Session.trainedModel`.
  public var model = ""
  /// A stage of the run; nil: the only one that was trained.
  public var stage: String?
  /// Folders of adapters that are loaded onto it.
  public var adapters: [String] = []
  /// The name of the form.
  public var target = ""
  /// Whether adapters are merged first, where the form could hold them apart.
  public var merges = false
  /// The folder to write.
  public var output = ""
  /// Whether it may be replaced.
  public var overwrites = false

  public init() {}

  /// What there is for `--to`, a line each.
  public static var targets: [String] { ExportCatalogue.targets.map { "\($0.name): \($0.summary)" } }

  /// Writes the folder, and returns lines about what is in it and how it is used.
  public func run() throws -> String {
    let target = try ExportCatalogue.target(named: target)
    try FilePath.require(output)
    guard overwrites || (try? AtomicFolder.names(in: output))?.isEmpty ?? !fileExists(output) else {
      throw EngineError(.file, "\(output): exists already", hint: "choose another folder, or give --overwrite")
    }
    let trained = try Session(asking: 42).trainedModel(place(), adapters: adapters, needsHead: false)
    Interrupt.protectWork()
    let isApart = target.holdsAdapters && !merges
    if !isApart, !trained.adapters.isEmpty { try Self.explaining { try trained.merge() } }
    let adapter = isApart ? try Self.onlyAdapter(of: trained) : nil
    return try target.write(trained, adapter: adapter, to: output)
  }

  /// The folder that holds the model.
  private func place() throws -> String {
    guard let stage else { return model }
    let folder = FilePath.join(FilePath.expandHome(model), "stages")
    let place = FilePath.join(folder, RunDirectory.stageFolderName(stage))
    guard folderExists(place) else {
      let names = ((try? AtomicFolder.names(in: folder)) ?? []).sorted()
      throw EngineError(
        .argument, "\(model): has no stage '\(stage)'" + (names.isEmpty ? "" : ": its stages are \(names.joined(separator: ", "))"),
        hint: suggestion(for: stage, among: names))
    }
    return place
  }

  /// The adapter of a model; of several that act together, their sum. nil: the model has none.
  private static func onlyAdapter(of model: TrainableModel) throws -> AttachedAdapter? {
    guard model.adapters.count > 1 else { return model.adapters.first }
    let names = model.adapters.map(\.name)
    return try explaining { try model.addWeightedAdapter(names, weights: names.map { _ in 1 }, .cat, name: "sum") }
  }

  /// Runs `body`; where an adapter is not what it needs, the error says what to do instead in the words of the command.
  private static func explaining<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as EngineError where error.kind == .argument {
      let remedy = error.message.hasPrefix("merge") ? "write the adapter's folder: --to peft" : "write the whole model: --to merged"
      throw EngineError(error.kind, error.message, hint: remedy)
    }
  }
}
