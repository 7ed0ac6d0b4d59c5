import Adapters
import Diagnostics
import Engine
import LuaHost
import LuaMethods
import LuaTensors
import Pipelines
import TensorCore

extension LuaState: ScriptInterpreter {
  package func execute(_ script: RunScript) throws { try run(Source(path: script.path, text: script.text), name: script.title) }
}

/// The commands of the command line, without their options.
public enum Runner {
  /// Runs a pipeline: results to standard output, progress to standard error.
  package static func run(_ options: RunOptions) throws {
    var pipeline = PipelineRun(options, open: open)
    try pipeline.run()
  }

  /// Runs a pipeline once for each combination of the values of `--set`, which have commas between them; a table at the end.
  package static func multirun(_ options: RunOptions, settings: [String]) throws {
    var runs = try Multirun(options, settings: settings, open: open)
    try runs.run()
  }

  /// Does everything but the training, and prints what would be trained, and what would be taken from the store.
  package static func check(_ options: RunOptions) throws { try PipelineRun(options, open: open).check() }

  /// The parameters that a script declares, as text: it is run until it declares them, and no further.
  ///
  /// Throws what the script raises before that.
  package static func parameterHelp(_ options: RunOptions) throws -> String { try PipelineRun(options, open: open).parameterHelp() }

  static func open(_ session: Session, _ options: RunOptions, script: String) throws -> any ScriptInterpreter {
    try makeState(session, options, script: script)
  }

  /// Parameter counts of a method on a model, from its `config.json` alone.
  ///
  /// - Parameters:
  ///   - model: a folder with `config.json`, the file itself, a hub name in the local cache, or the built-in model.
  ///   - adapter: a method's name, or a Lua file that defines one; for that, the model is made with random weights.
  ///   - settings: the method's options, `num_labels=N` of a classifier (default 2), and those that all methods share.
  ///   - task: what the model is for, such as `causal_lm`; nil: classification where there is a number of labels, where the
  ///     configuration says so or where tokens see what stands behind them, else writing.
  public static func parameterCounts(model: String, adapter: String, settings: [String], task: String? = nil) throws -> String {
    let config = try ParameterCounts.config(of: model)
    guard adapter.hasSuffix(".lua") else {
      return try ParameterCounts.table(config, AdapterSettings(adapter: adapter, settings: settings), task: task)
    }
    return try withDefinitions(of: adapter) { definitions in
      guard let definition = definitions.all.last, definitions.all.count == 1 else {
        throw EngineError(.argument, "\(adapter): defines \(definitions.all.map(\.name).joined(separator: ", ")), expected one method")
      }
      return try ParameterCounts.table(config, definition.settings(settings), task: task, on: .cpu)
    }
  }

  /// Files for the Lua language server, by name.
  public static func stubs() throws -> [(name: String, text: String)] {
    let state = try documentedState(libraries: libraries)
    defer { state.close() }
    return Stubs.files(modules: state.modules, globals: state.globalFunctions)
  }

  /// The pages of the reference, by name.
  public static func reference() throws -> [(name: String, text: String)] {
    let state = try documentedState(libraries: libraries)
    defer { state.close() }
    return Reference(modules: state.modules, globals: state.globalFunctions).files()
  }

  /// What a script's `help(name)` prints: a module, a function, a class, or one of its members.
  public static func help(_ name: String) throws -> String {
    // A program without its Lua files explains itself all the same.
    let state = try (try? documentedState(libraries: libraries)) ?? documentedState(libraries: [])
    defer { state.close() }
    return try state.helpText(for: name)
  }

  /// Declarations without an explanation; a test wants none.
  public static func undocumented() throws -> [String] {
    let state = try documentedState(libraries: libraries)
    defer { state.close() }
    return missingDocumentation(modules: state.modules, globals: state.globalFunctions)
  }

  /// The Lua files that declare what they offer.
  private static let libraries = ["sweep"]

  private static func documentedState(libraries: [String]) throws -> LuaState {
    let session = Session(
      mode: .check, settings: [], runDirectory: nil, store: StageStore(), progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet)),
      seed: 42, print: { _ in })
    let state = try makeState(session, RunOptions(), script: "")
    for library in libraries { try state.run(text: "require '\(library)'", name: "libraries") }
    return state
  }
}

// MARK: - Set-up

extension Runner {
  /// The modules that a script sees; one line each.
  static func modules(_ session: Session, _ definitions: LuaDefinitions, _ tests: DeclaredTests?) -> [Module] {
    [
      tensorModule(session.random, files: tensorFiles(session)), modelsModule(session), tokenizersModule(session), adaptersModule(definitions),
      tasksModule(session),
      metricsModule(), trainerModule(session), paramsModule(session), stageModule(session), reportModule(session),
      logModule(session), testModule(tests),
    ]
  }

  /// `definitions` and `tests`: take the methods and the tests that the script defines.
  static func makeState(
    _ session: Session, _ options: RunOptions, script: String, definitions: LuaDefinitions? = nil, tests: DeclaredTests? = nil
  ) throws -> LuaState {
    let definitions = definitions ?? LuaDefinitions(session)
    var settings = LuaState.Options()
    settings.allowIO = options.allowIO
    settings.seed = session.seed
    settings.moduleFolders = moduleFolders(of: script)
    settings.nativeBytes = { Memory.liveBytes }
    settings.print = session.print
    settings.isInterrupted = { [weak session] in Interrupt.isRequested || session?.isOver() ?? false }
    let state = try LuaState(settings)
    for module in modules(session, definitions, tests) { try state.register(module) }
    for function in [state.libraryFunction] + assertions() { try state.register(function) }
    if options.allowIO { session.progress.note("warning: --allow-io: the script can read and write any file") }
    session.readMethod = { [weak definitions] in try definitions?.method($0, $1) }
    definitions.addConstructor = { [weak state] function, identity in
      guard let state else { throw EngineError(.argument, "define: the script has ended") }
      return try state.add(function, to: "adapters", identity: identity)
    }
    session.collect = { [weak state] in state?.collect() }
    session.sources = { [weak state] in (state?.sources ?? []).map { RunScript(path: $0.path, text: $0.text) } }
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
}
