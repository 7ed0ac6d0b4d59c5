import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import LuaHost
import Pipelines
import TensorCore
import TransformerModels

/// The commands of the command line, without their options.
public enum Runner {
  /// The engine's version; part of every stage's key.
  public static let version = "0.1.0"

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
  static func limitReading(_ options: RunOptions) {
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
    let state = try LuaState(settings)
    for module in modules(session) { try state.register(module) }
    if options.allowIO { session.progress.note("warning: --allow-io: the script can read and write any file") }
    session.addConstructor = { [weak state] function, identity in
      guard let state else { throw EngineError(.argument, "define: the script has ended") }
      return try state.add(function, to: "adapters", identity: identity)
    }
    session.collect = { [weak state] in state?.collect() }
    session.sources = { [weak state] in state?.sources ?? [] }
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
