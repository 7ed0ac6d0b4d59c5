import Adapters
import Datasets
import Diagnostics
import Files
import Pipelines
import TensorCore
import Tokenizers
import Training
import TransformerModels

import struct Foundation.Date

/// One run of a pipeline: what its Lua modules share.
package final class Session {
  /// What happens to `trainer.fit`.
  package enum Mode {
    /// Trains, or takes a stored result.
    case run
    /// Checks everything and notes what would be trained.
    case check
    /// Runs the script until it has declared its parameters.
    case declare
  }

  /// One training that `check` found, or one set for which a model writes: that has no steps.
  package struct PlannedStage {
    package var stage: String
    package var trainable: Int?
    package var total: Int
    package var examples: Int
    package var steps: Int?
    package var tokens: Int?
    package var memoryBytes: Int?
    package var stored: Stored
    /// Lines about it: each adapter's method, parameters and modules, texts that are cut.
    package var remarks: [String]

    /// Whether its result is in the store.
    package enum Stored: String {
      case yes, no
      /// A state is, from which it goes on.
      case state = "in part"
      /// It begins with what another stage leaves that is not stored.
      case unknown
    }
  }

  package let mode: Mode
  package let settings: [String]
  package let runDirectory: RunDirectory?
  package let store: StageStore
  package let progress: Progress
  /// The seed where a script gives none.
  package let seed: Int
  /// Takes lines for standard output.
  package let print: (String) -> Void
  /// The script and the files that it has required, in order.
  package var sources: () -> [RunScript] = { [] }

  /// Frees the models and tensors that the script has dropped.
  package var collect: () -> Void = {}

  /// Whether it is said what makes a stage run again that ran before.
  package var saysWhy = true

  /// Whether somebody types the statements: stages and parameters may be given again.
  package var isInteractive = false

  /// Whether the run gets event files for TensorBoard.
  package var writesTensorBoard = true
  private var tensorBoard: TensorBoardLog?

  /// The processes that train together. The first of them has the run directory, and writes; the others have none.
  package var group: any ProcessGroup = SingleProcess()
  /// The run directory of the first process, when it has written something for the script there.
  private var writtenFolder: String?

  /// Which of several processes this is that run the same script; nil: it is alone.
  package var shard: Shard?
  /// Whether the script has asked for the shard, to share out its points.
  package var isSharedOut = false
  /// How far the trainings of the stage go that is running.
  var reach = StageReach.trains
  /// Where the last stage was left that did not go to its end.
  package internal(set) var turnedAway: TurnedAway?
  /// What the stage works at that is attempted.
  var attempted: StageWork?

  /// Whether the script is to go no further.
  package var isOver: () -> Bool = { false }

  /// When `results.json` was last written.
  package var lastWritten = Date.distantPast
  /// Trainings that are under way: more than one where a callback trains another model.
  package var fitsUnderWay = 0
  /// Runs a part of the script with random numbers from a seed of its own; see `TrainerCallbacks.drawing`.
  package var drawing: (UInt64, () throws -> Void) throws -> Void = { _, body in try body() }

  /// Where the module `tensor` draws from.
  package let random: RandomState
  /// Reads the methods in adapters' folders that the engine does not know: those that a script defines.
  package var readMethod: AdapterMethodReader = { _, _ in nil }

  package private(set) var parameters: JSONObject?
  /// The script's parameters, as it declared them.
  package private(set) var declared: ParameterSet?
  /// Whether a script in the mode `declare` has come as far as it is to go.
  package private(set) var isDeclarationOver = false
  /// The training that is under way, for rows that its callbacks log.
  package var fitName: String?
  /// The innermost stage that is running, and its inputs.
  package var stage: (name: String, inputs: JSONValue, fits: Int)?
  package private(set) var stageNames: Set<String> = []
  /// Those of them that may come again: a training in them was, or may be, paused.
  private var pausableStages: Set<String> = []
  private var tables: [JSONValue] = []
  private var figures: [JSONValue] = []
  /// The numbers of every stage. Their models are the script's to keep or to drop.
  private var results: [JSONObject] = []
  package var plan: [PlannedStage] = []
  /// Stages of the plan whose result nobody has.
  package var unstoredStages: Set<String> = []
  private var shown: Set<String> = []
  let cards = KnownCards()
  private var bases: [String: [PretrainedModel]] = [:]
  /// Base models are kept with their tokenizers: no other can have the identity of one that went.
  private var baseTokenizers: [ObjectIdentifier: (base: PretrainedModel, tokenizer: Tokenizer)] = [:]

  package init(
    mode: Mode, settings: [String], runDirectory: RunDirectory?,
    store: StageStore, progress: Progress, seed: Int, print: @escaping (String) -> Void
  ) {
    self.mode = mode
    self.settings = settings
    self.runDirectory = runDirectory
    self.store = store
    self.progress = progress
    self.seed = seed
    self.print = print
    random = RandomState(seed: seed)
  }

  // MARK: Parameters

  /// Resolves the script's declared parameters against `--set`. Throws if it is done twice.
  package func declare(_ declared: ParameterSet) throws -> JSONObject {
    guard parameters == nil || isInteractive else {
      throw EngineError(.argument, "params: declared twice", hint: "declare all parameters in one call")
    }
    self.declared = declared
    try endDeclaration()
    let values = try declared.resolve(settings: settings, offersMultirun: true)
    parameters = values
    try runDirectory?.declare(values)
    return values
  }

  /// Stops a script that was run for its parameters alone. No script can catch that, as it cannot catch Ctrl-C.
  private func endDeclaration() throws {
    if isOver() { throw EngineError(.interrupted, "the time for a plan is over") }
    guard mode == .declare else { return }
    isDeclarationOver = true
    throw EngineError(.interrupted, "the parameters are declared")
  }

  /// Throws where `--set` was given and the script declares nothing.
  package func checkSettings() throws {
    guard parameters == nil, let first = settings.first else { return }
    throw EngineError(.argument, "--set \(first): the script declares no parameters", hint: "declare them with params { ... }")
  }

  // MARK: The run directory

  /// Makes the run directory, if it is not there: from here on there is something to keep.
  package func begin() throws {
    guard let runDirectory, !runDirectory.isBegun else { return }
    try runDirectory.begin(sources: requiredSources())
  }

  /// The Lua files that the script has required so far.
  package func requiredSources() -> [RunScript] { Array(sources().dropFirst()) }

  /// Those who hear what happens in the run; none in a check.
  package func listeners() throws -> [any RunListener] {
    try begin()
    guard let runDirectory else { return [] }
    // A finished run that is run again has its files already.
    if writesTensorBoard, tensorBoard == nil, !runDirectory.isKept { tensorBoard = TensorBoardLog(run: runDirectory.path) }
    return [try runDirectory.metrics()] + [tensorBoard].compactMap(\.self)
  }

  // MARK: Stages

  /// Runs a stage's body; fits inside belong to it.
  package func runStage<Result>(_ name: String, inputs: JSONValue, _ body: () throws -> Result) throws -> Result {
    try endDeclaration()
    try checkSettings()
    guard !name.isEmpty else { throw EngineError(.argument, "stage: the name is empty") }
    try FilePath.requireNoNUL(name, "stage")
    if let stage { throw EngineError(.argument, "stage '\(name)': inside stage '\(stage.name)'; stages do not nest") }
    guard stageNames.insert(name).inserted || isInteractive || pausableStages.contains(name) else {
      throw EngineError(.argument, "stage '\(name)': another stage has this name")
    }
    let folder = RunDirectory.stageFolderName(name)
    if let other = stageNames.first(where: { $0 != name && RunDirectory.stageFolderName($0) == folder }) {
      throw EngineError(.argument, "stage '\(name)': stage '\(other)' has the same folder", hint: "a space and '_' do not tell them apart")
    }
    stage = (name, inputs, 0)
    defer { stage = nil }
    return try body()
  }

  /// Lets a stage come again that did not go to its end.
  func forgetStage(_ name: String) { stageNames.remove(name) }

  /// The name and inputs of the next fit, or other work with a result: those of its stage, with a number from the second one on.
  /// `usual`: what its name is outside of all stages. `isPausable`: whether it may come again to go on.
  package func nextFit(_ usual: String, isPausable: Bool = false) throws -> (name: String, inputs: JSONValue) {
    try endDeclaration()
    try checkSettings()
    if isPausable { try pausableStages.insert(pausableStage()) }
    guard var current = stage else {
      var number = 1
      while stageNames.contains(number == 1 ? usual : "\(usual)-\(number)") { number += 1 }
      let name = number == 1 ? usual : "\(usual)-\(number)"
      stageNames.insert(name)
      return (name, .null)
    }
    current.fits += 1
    stage = current
    return (current.fits == 1 ? current.name : "\(current.name)-\(current.fits)", current.inputs)
  }

  private func pausableStage() throws -> String {
    guard let stage else {
      throw EngineError(.argument, "pause_after: only in a stage, by whose name the training goes on", hint: "write stage(name, function)")
    }
    return stage.name
  }

  // MARK: Reports

  /// Keeps a training's numbers; those of a training that went on replace those that it had when it was paused.
  package func record(_ facts: JSONObject) {
    results.removeAll { $0["paused"] != nil && $0["stage"] == facts["stage"] }
    results.append(facts)
  }

  /// Prints a table and keeps it for `results.json`.
  package func report(_ table: Table, title: String?) throws {
    if let title { print(title) }
    print(table.text())
    var entry: JSONObject = ["columns": .array(table.columns.map { .string($0.name) }), "rows": table.json]
    if let title { entry["title"] = .string(title) }
    tables.append(.object(entry))
    try writeResults()
  }

  /// Keeps a figure for `results.json`.
  package func addFigure(_ figure: JSONObject) throws {
    figures.append(.object(figure))
    try writeResults()
  }

  /// Writes the tables, the figures and every fit's numbers so far.
  package func writeResults() throws {
    try begin()
    lastWritten = Date()
    var all: JSONObject = ["tables": .array(tables), "stages": .array(results.map { .object($0) })]
    if !figures.isEmpty { all["figures"] = .array(figures) }
    try runDirectory?.writeResults(.object(all))
  }

  /// A row of `metrics.jsonl`.
  package func log(_ row: JSONObject) throws {
    // What a training logs goes on where it was cut off; all else of the script runs again.
    for listener in try listeners() { try listener.logged(row, isRepeatable: fitName == nil) }
  }

  // MARK: Models

  /// A base model by folder, hub name, or "builtin:tiny"; opened once for each way to hold its weights, and again
  /// where its files have become others: the script may have written them.
  package func base(_ name: String, _ quantization: WeightQuantization? = nil) throws -> PretrainedModel {
    try endDeclaration()
    if let found = bases[name]?.first(where: { $0.quantization == quantization && $0.isCurrent }) { return found }
    let base: PretrainedModel
    if name.hasPrefix("builtin:") {
      let builtIn = try BuiltInModel.make(name, seed: UInt64(seed), quantization: quantization)
      base = builtIn.base
      register(base, tokenizer: builtIn.tokenizer)
    } else {
      base = try PretrainedModel(name: name, quantization: quantization)
    }
    bases[name, default: []].removeAll { $0.quantization == quantization }
    bases[name, default: []].append(base)
    return base
  }

  /// A base model from a configuration, with its own tokenizer.
  package func register(_ base: PretrainedModel, tokenizer: Tokenizer) {
    baseTokenizers[ObjectIdentifier(base)] = (base, tokenizer)
  }

  /// The tokenizer in a base model's folder, or the one that it was made with.
  package func tokenizer(of base: PretrainedModel) throws -> Tokenizer {
    if let found = baseTokenizers[ObjectIdentifier(base)] { return found.tokenizer }
    guard let folder = base.folder else {
      throw EngineError(.argument, "\(base.name): has no tokenizer", hint: "give models.from_config a tokenizer")
    }
    let tokenizer = try Tokenizer.load(folder: folder)
    register(base, tokenizer: tokenizer)
    return tokenizer
  }

  /// Shows a line, unless it was shown before.
  package func noteOnce(_ text: String) {
    if shown.insert(text).inserted { progress.note(text) }
  }

  /// Calls `body` with the place of a file or folder that the script writes: inside the run directory. Whatever a script
  /// writes goes through here. A check finds mistakes in the path, and writes nothing.
  package func write(to path: String, _ body: (_ place: String) throws -> Void) throws {
    try FilePath.require(path)
    let parts = FilePath.parts(of: path)
    guard !FilePath.isAbsolute(path), !parts.contains("..") else {
      throw EngineError(.file, "'\(path)': scripts write inside the run directory: expected a relative path without '..'")
    }
    guard let first = parts.first, !RunDirectory.ownNames.contains(first) else {
      throw EngineError(.file, "'\(path)': the run directory keeps its own files there", hint: "choose another name")
    }
    let folder = try group.first("writing '\(path)'") {
      guard let runDirectory else { return .null }
      try begin()
      try body(runDirectory.place(path))
      return .string(runDirectory.path)
    }
    writtenFolder = folder.stringValue
  }

  /// A path to read from: from the working directory, or, where nothing is there, from the run directory, which
  /// `write` leads to.
  package func readablePath(_ path: String) -> String {
    guard let root = runDirectory?.folder ?? writtenFolder, !FilePath.isAbsolute(path) else { return path }
    return !fileExists(path) && fileExists(root + "/" + path) ? root + "/" + path : path
  }
}
