import Bindings
import Diagnostics
import Engine
import LuaHost
import LuaMethods
import Pipelines

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
    try ScriptState.make(session, options, script: script)
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
    let state = try ScriptState.make(session, RunOptions(), script: "")
    for library in libraries { try state.run(text: "require '\(library)'", name: "libraries") }
    return state
  }
}
