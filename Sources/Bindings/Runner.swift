import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import LuaHost
import Pipelines
import TensorCore
import TransformerModels

/// How a pipeline is run.
public struct RunOptions {
  /// Path of the script; with `resume`, empty takes the run directory's own copy.
  public var script = ""
  /// `name=value` of each `--set`.
  public var settings: [String] = []
  /// The run directory; nil takes `outputs/<script>-<time>`.
  public var out: String?
  /// An earlier run's directory to go on with.
  public var resume: String?
  /// Threads of the engine; nil takes all cores of the process.
  public var threads: Int?
  /// Bytes that tensors may take together; nil takes nine tenths of what the machine, or the control group, has.
  public var memory: Int?
  public var precision = PrecisionChoice.auto
  /// Seed where a script gives none; nil takes 42.
  public var seed: Int?
  public var isQuiet = false
  public var allowIO = false
  /// Limits reading to what `ReadPolicy` calls named.
  public var isStrict = false

  public init() {}
}

/// The commands of the command line, without their options.
public enum Runner {
  /// The engine's version; part of every stage's key.
  public static let version = "0.1.0"

  /// Runs a pipeline: results to standard output, progress to standard error.
  public static func run(_ options: RunOptions) throws {
    var options = options
    limitReading(options)
    let arithmetic = try prepare(&options)
    let opened = try openRun(options)
    let progress = Pipelines.Progress(style: ProgressStyle.detect(quiet: options.isQuiet))
    progress.note("run directory: \(opened.directory.path)")
    progress.note("\(Threads.count) threads, \(arithmetic)")
    let here = FileManager.default.currentDirectoryPath
    if options.resume != nil, let there = try opened.directory.command()["working_directory"]?.stringValue, there != here {
      progress.note("warning: the run was started in \(there): relative paths of the script now begin at \(here)")
    }
    let store = StageStore { progress.note("warning: \($0)") }
    let session = Session(
      mode: .run, settings: options.settings, runDirectory: opened.directory, store: store,
      progress: progress, seed: options.seed ?? 42, print: { print($0) })
    let state = try makeState(session, options, script: opened.originalScript)
    defer { state.close() }
    do {
      try state.run(file: opened.script)
      try session.checkSettings()
    } catch {
      try? session.runDirectory?.metrics.flush()
      progress.end("stopped")
      throw error
    }
    try keepSources(state, in: opened.directory)
    try session.runDirectory?.metrics.flush()
    try session.writeResults()
  }

  /// Does everything but the training, and prints what would be trained.
  public static func check(_ options: RunOptions) throws {
    var options = options
    limitReading(options)
    try prepare(&options)
    let progress = Pipelines.Progress(style: ProgressStyle.detect(quiet: options.isQuiet))
    let session = Session(
      mode: .check, settings: options.settings, runDirectory: nil, store: StageStore(), progress: progress,
      seed: options.seed ?? 42, print: { print($0) })
    let state = try makeState(session, options, script: options.script)
    defer { state.close() }
    try state.run(file: options.script)
    try session.checkSettings()
    if let parameters = session.parameters, !parameters.isEmpty {
      print(Table(columns: ["parameter", "value"], rows: parameters.members.map { [.string($0), .string($1.encoded(.ordered))] }).text())
      print("")
    }
    let columns: [Table.Column] = ["stage", "trainable", "total", "examples", "steps", "tokens/epoch", Table.Column("memory MB", decimals: 0)]
    print(Table(columns: columns, rows: session.plan.map { fit in
      [.string(fit.stage), .int(fit.trainable), .int(fit.total), .int(fit.examples), .int(fit.steps), .int(fit.tokens),
       .double(Double(fit.memoryBytes) / 1e6)]
    }).text())
    for fit in session.plan { for line in fit.adapters { print("\(fit.stage): \(line)") } }
  }

  /// Parameter counts of a method on a model, from its `config.json` alone.
  ///
  /// - Parameters:
  ///   - model: a folder with `config.json`, the file itself, a hub name in the local cache, or the built-in model.
  ///   - adapter: a method's name, or a Lua file that defines one; for that, the model is made with random weights.
  ///   - settings: the method's options, `num_labels=N` (default 2), and those that all methods share.
  public static func parameterCounts(model: String, adapter: String, settings: [String]) throws -> String {
    let config = try config(of: model)
    guard adapter.hasSuffix(".lua") else { return try countTable(config, AdapterSettings(adapter: adapter, settings: settings)) }
    return try withDefinitions(of: adapter) { session in
      guard let definition = session.definitions.last, session.definitions.count == 1 else {
        throw EngineError(.argument, "\(adapter): defines \(session.definitions.map(\.name).joined(separator: ", ")), expected one method")
      }
      return try countTable(config, AdapterSettings(definition, settings: settings), isShapeOnly: false)
    }
  }

  /// Files for the Lua language server, by name.
  public static func stubs() throws -> [(name: String, text: String)] {
    let state = try documentedState()
    defer { state.close() }
    return Stubs.files(modules: state.modules, globals: state.globalFunctions)
  }

  /// What a script's `help(name)` prints: a module, a function, a class, or one of its members.
  public static func help(_ name: String) throws -> String {
    let state = try documentedState()
    defer { state.close() }
    return try state.helpText(for: name)
  }

  /// Declarations without an explanation; a test wants none.
  public static func undocumented() throws -> [String] {
    let state = try documentedState()
    defer { state.close() }
    return missingDocumentation(modules: state.modules, globals: state.globalFunctions)
  }

  private static func documentedState() throws -> LuaState {
    let session = Session(
      mode: .check, settings: [], runDirectory: nil, store: StageStore(), progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet)),
      seed: 42, print: { _ in })
    return try makeState(session, RunOptions(), script: "")
  }
}

// MARK: - Set-up

extension Runner {
  /// Sets what may be read. Only the command line counts: the files of a run directory can be a stranger's.
  private static func limitReading(_ options: RunOptions) {
    // A value can be a list of paths.
    let values = options.settings.flatMap { setting in
      let value = String(setting.drop { $0 != "=" }.dropFirst())
      return ([value] + value.split(separator: ",").map(String.init)).map { ModelLocation.expandHome($0) }
    }
    let named = [".", ModelLocation.hubCache(), StageStore.defaultRoot(), options.script] + [options.out, options.resume].compactMap(\.self)
    ReadPolicy.current = ReadPolicy(
      named: named.filter { !$0.isEmpty } + values.filter(fileExists),
      codeFolders: moduleFolders(script: options.script) + (options.script.isEmpty ? [] : [FilePath.folder(of: options.script)]),
      isStrict: options.isStrict)
  }

  /// Sets threads and precision. A resumed run takes what its command line did not say from the run that it continues: its
  /// result must not depend on where it was interrupted.
  @discardableResult
  private static func prepare(_ options: inout RunOptions) throws -> String {
    if let resume = options.resume {
      let command = try RunDirectory.command(in: resume)
      options.settings = (command["settings"]?.arrayValue ?? []).compactMap(\.stringValue) + options.settings
      options.seed = options.seed ?? command["seed"]?.intValue
      if options.precision == .auto, let name = command["precision"]?.stringValue {
        options.precision = PrecisionChoice(rawValue: name) ?? .auto
      }
    }
    return configure(threads: options.threads, memory: options.memory, precision: options.precision)
  }

  /// Sets threads (nil: all cores of the process), the bytes that tensors may take, and precision, before the first product.
  /// Returns what was chosen, and why.
  @discardableResult
  package static func configure(threads: Int?, memory: Int? = nil, precision: PrecisionChoice) -> String {
    if let memory { Memory.limitBytes = memory }
    Threads.count = threads ?? Threads.count
    switch precision {
    case .fp32: Precision.current = .fp32
    case .bf16: Precision.current = .bf16
    case .auto:
      let (choice, ratio) = Precision.measured()
      Precision.current = choice
      let measurement = ratio.map { String(format: ", bf16 measured at %.1f x fp32", $0) } ?? ", no bfloat16 units"
      return "\(choice.rawValue) on \(choice.provider)\(measurement)"
    }
    let chosen = "\(Precision.current.rawValue) on \(Precision.current.provider)"
    let isEmulated = Precision.current == .bf16 && !Precision.hasBFloat16Units
    return chosen + (isEmulated ? ": this CPU has no bfloat16 units, and fp32 would be faster" : "")
  }

  /// The modules that a script sees; one line each.
  static func modules(_ session: Session) -> [Module] {
    [
      tensorModule(session), modelsModule(session), tokenizersModule(session), adaptersModule(session), tasksModule(session),
      metricsModule(), trainerModule(session), paramsModule(session), stageModule(session), reportModule(session),
      logModule(session),
    ]
  }

  static func makeState(_ session: Session, _ options: RunOptions, script: String) throws -> LuaState {
    var settings = LuaState.Options()
    settings.allowIO = options.allowIO
    settings.seed = session.seed
    settings.moduleFolders = moduleFolders(script: script)
    settings.nativeBytes = { Memory.liveBytes }
    settings.print = session.print
    settings.warn = { session.progress.note($0) }
    let state = try LuaState(settings)
    for module in modules(session) { try state.register(module) }
    if options.allowIO { session.progress.note("warning: --allow-io: the script can read and write any file") }
    session.addConstructor = { [weak state] function, identity in
      guard let state else { throw EngineError(.argument, "define: the script has ended") }
      return try state.add(function, to: "adapters", identity: identity)
    }
    session.collect = { [weak state] in state?.collect() }
    session.drawing = { [weak state, random = session.random] seed, body in
      try random.drawing(from: seed) { try state?.drawing(from: seed, body) ?? body() }
    }
    state.beforeRequire = { [weak session] name in
      guard session?.fitsUnderWay ?? 0 > 0 else { return }
      throw EngineError(
        .argument, "require: '\(name)' is read for the first time while a model is trained: the stage's key cannot tell what is in it",
        hint: "require it at the top of the script")
    }
    return state
  }

  /// Where `require` looks beside the script's folder: `$PERIGEE_LUA`, else the `lua` folder above the program or the script.
  private static func moduleFolders(script: String) -> [String] {
    var candidates: [String] = []
    if let folder = ProcessInfo.processInfo.environment["PERIGEE_LUA"], !folder.isEmpty { candidates.append(folder) }
    if !script.isEmpty {
      candidates.append(FilePath.join(FilePath.folder(of: FilePath.folder(of: script)), "lua"))
    }
    // The program lies somewhere in the build folder, or beside `lua`. The declarations in it tell ours from another's.
    var folder = FilePath.folder(of: realPath(CommandLine.arguments[0]) ?? "/")
    while folder != "/" {
      let own = FilePath.join(folder, "lua")
      if fileExists(own + "/meta/tensor.lua") { candidates.append(own) }
      folder = FilePath.folder(of: folder)
    }
    return candidates.filter(folderExists)
  }

  private struct OpenedRun {
    var directory: RunDirectory
    /// The file to run.
    var script: String
    /// Where it came from, for `require` of files beside it.
    var originalScript: String
  }

  private static func openRun(_ options: RunOptions) throws -> OpenedRun {
    if let resume = options.resume {
      let directory = try RunDirectory.resume(resume)
      let command = try directory.command()
      let script = options.script.isEmpty ? try directory.scriptPath() : options.script
      return OpenedRun(
        directory: directory, script: script, originalScript: command["script_path"]?.stringValue ?? script)
    }
    guard !options.script.isEmpty else { throw EngineError(.argument, "no script: give one, or --resume DIR") }
    let command: JSONObject = [
      "argv": .array(CommandLine.arguments.map { .string($0) }), "version": .string(version), "threads": .int(Threads.count),
      "precision": .string(Precision.current.rawValue), "seed": .int(options.seed ?? 42),
      "settings": .array(options.settings.map { .string($0) }),
      "working_directory": .string(FileManager.default.currentDirectoryPath),
    ]
    let directory = try RunDirectory.create(
      out: options.out, scriptPath: options.script, scriptText: readText(options.script), parameters: JSONObject(), command: command)
    return OpenedRun(directory: directory, script: options.script, originalScript: options.script)
  }

  /// Keeps the Lua files that the script required, beside its copy.
  private static func keepSources(_ state: LuaState, in directory: RunDirectory) throws {
    for source in state.sources.dropFirst() {
      try directory.addSource(source.text, at: FilePath.name(of: source.path))
    }
  }
}

// MARK: - Counting

extension Runner {
  private static func config(of model: String) throws -> HuggingFaceConfig {
    if model == BuiltInModel.name { return try BuiltInModel.make(model, seed: 0).base.config }
    return try model.hasSuffix(".json") ? HuggingFaceConfig(path: model) : HuggingFaceConfig(folder: ModelLocation.folder(of: model))
  }

  private static func countTable(
    _ config: HuggingFaceConfig, _ settings: AdapterSettings, isShapeOnly: Bool = true
  ) throws -> String {
    let (method, targets, labels) = (settings.method, settings.targets, settings.numLabels)
    let names = (0..<labels).map { "LABEL_\($0)" }
    let task = ModelTask.sequenceClassification(labels: names, labels == 1 ? .regression : .singleLabelClassification)
    let model =
      try isShapeOnly
      ? PretrainedModel.shapes(config, task) : PretrainedModel(config: config, name: config.path, seed: 0).make(task, headSeed: 0)
    let head = model.headParameters.reduce(0) { $0 + $1.tensor.count }
    // Counting needs an adapter of the same shapes below.
    if let underlying = method.underlying { try attach(underlying, to: model, targets, isShapeOnly) }
    let attached = try attach(method, to: model, targets, isShapeOnly)
    let trainable = model.parameterCounts().trainable
    let own = attached.parameterCount
    let total = model.parameterCounts().total
    let rows: [[JSONValue]] = [
      ["model", .string("\(model.architecture.modelType), \(labels) label\(labels == 1 ? "" : "s")")],
      ["adapter", .string(method.name)], ["modules adapted", .string(attached.sites.isEmpty ? "none" : attached.siteSummary)], ["adapter parameters", .int(own)],
      ["head parameters", .int(head)], ["trainable parameters", .int(trainable)], ["total parameters", .int(total)],
    ]
    return rows.map { row in
      let label = row[0].stringValue ?? ""
      return label + String(repeating: " ", count: 22 - label.count) + (row[1].stringValue ?? grouped(row[1].intValue ?? 0))
    }.joined(separator: "\n")
  }

  @discardableResult
  private static func attach(
    _ method: any AdapterMethod, to model: TransformerModel, _ targets: AdapterTargets, _ isShapeOnly: Bool
  ) throws -> AttachedAdapter {
    try AttachedAdapter.attach(
      method, to: model, targets: targets, defaultTargets: model.architecture.defaultTargetModules, head: model.headModules,
      seed: 0, isShapeOnly: isShapeOnly)
  }

  /// "124,647,170".
  static func grouped(_ number: Int) -> String {
    var digits = String(number)
    var groups: [String] = []
    while digits.count > 3 {
      groups.insert(String(digits.suffix(3)), at: 0)
      digits.removeLast(3)
    }
    return ([digits] + groups).joined(separator: ",")
  }
}
