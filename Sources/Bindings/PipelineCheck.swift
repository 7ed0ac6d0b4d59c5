import Diagnostics
import Engine
import Files
import LuaHost
import Pipelines

extension Runner {
  /// Does everything but the training, and prints what would be trained, and what would be taken from the store.
  public static func check(_ options: RunOptions) throws {
    limitReading(options)
    EngineSetup.configure(threads: options.threads, memory: options.memory, precision: options.precision)
    let progress = Pipelines.Progress(style: ProgressStyle.detect(quiet: options.isQuiet))
    let session = Session(
      mode: .check, settings: options.settings, runDirectory: nil, store: StageStore { progress.note("warning: \($0)") },
      progress: progress, seed: options.seed ?? 42, print: { print($0) })
    let state = try makeState(session, options, script: options.script)
    defer { state.close() }
    try state.run(file: options.script)
    try session.checkSettings()
    if let declared = session.declared, let values = session.parameters, !values.isEmpty {
      print(declared.table(values: values).text())
    }
    let columns: [Table.Column] = [
      "stage", "stored", "trainable", "total", "examples", "steps", "tokens/epoch", Table.Column("memory MB", decimals: 0),
    ]
    print(
      Table(
        columns: columns,
        rows: session.plan.map { fit in
          [
            .string(fit.stage), .string(fit.stored.rawValue), .int(fit.trainable), .int(fit.total), .int(fit.examples), .int(fit.steps),
            .int(fit.tokens), .double(Double(fit.memoryBytes) / 1e6),
          ]
        }
      ).text())
    for fit in session.plan { for line in fit.remarks { print("\(fit.stage): \(line)") } }
  }

  /// The parameters that a script declares, as text: it is run until it declares them, and no further.
  ///
  /// Throws what the script raises before that.
  public static func parameterHelp(_ options: RunOptions) throws -> String {
    limitReading(options)
    let session = Session(
      mode: .declare, settings: [], runDirectory: nil, store: StageStore(),
      progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet)), seed: 42, print: { _ in })
    let state = try makeState(session, options, script: options.script)
    defer { state.close() }
    do { try state.run(file: options.script) } catch {
      if !session.isDeclarationOver { throw error }
    }
    guard let declared = session.declared, !declared.parameters.isEmpty else {
      return "\(options.script) declares no parameters"
    }
    return "PARAMETERS of \(options.script), each given by --set name=value:\n\n" + declared.table().text()
  }
}
