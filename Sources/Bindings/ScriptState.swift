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

/// An interpreter with all that a script sees.
package enum ScriptState {
  /// The modules; one line each.
  private static func modules(_ session: Session, _ definitions: LuaDefinitions, _ tests: DeclaredTests?) -> [Module] {
    [
      tensorModule(session.random, files: tensorFiles(session)), modelsModule(session), tokenizersModule(session), adaptersModule(definitions),
      tasksModule(session),
      metricsModule(), trainerModule(session), paramsModule(session), stageModule(session), reportModule(session),
      logModule(session), testModule(tests),
    ]
  }

  /// `definitions` and `tests`: take the methods and the tests that the script defines.
  package static func make(
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
