import Diagnostics
import Files
import Foundation
import Pipelines

extension PipelineRun {
  /// Does everything but the training, and prints what would be trained, and what would be taken from the store.
  package func check() throws {
    options.limitReading()
    // It writes nothing, no choice either.
    EngineSetup.cacheFolder = nil
    EngineSetup.configure(threads: options.threads, memory: options.memory, precision: options.precision)
    let progress = Pipelines.Progress(style: ProgressStyle.detect(quiet: options.isQuiet))
    let session = Session(
      mode: .check, settings: options.settings, runDirectory: nil, store: StageStore { progress.note("warning: \($0)") },
      progress: progress, seed: options.seed ?? 42, print: { print($0) })
    let interpreter = try open(session, options, options.script)
    defer { interpreter.close() }
    try interpreter.execute(options.source())
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
          func number(_ value: Int?) -> JSONValue { value.map { .int($0) } ?? .null }
          return [
            .string(fit.stage), .string(fit.stored.rawValue), number(fit.trainable), .int(fit.total), .int(fit.examples), number(fit.steps),
            number(fit.tokens), fit.memoryBytes.map { .double(Double($0) / 1e6) } ?? .null,
          ]
        }
      ).text())
    for fit in session.plan { for line in fit.remarks { print("\(fit.stage): \(line)") } }
  }

  /// The stages that the script will come to, for whoever watches the run; nil where that takes long to find out, or the script goes
  /// wrong without results. Nothing of it is told: the run itself will.
  func plan(_ script: RunScript, _ original: String) -> PipelinePlan? {
    let silent = Pipelines.Progress(style: ProgressStyle(mode: .quiet))
    let session = Session(
      mode: .check, settings: options.settings, runDirectory: nil, store: StageStore(), progress: silent, seed: options.seed ?? 42,
      print: { _ in })
    let end = Date().addingTimeInterval(Self.planSeconds)
    session.isOver = { Date() > end }
    guard let interpreter = try? open(session, options, original) else { return nil }
    defer { interpreter.close() }
    do { try interpreter.execute(script) } catch { return nil }
    return PipelinePlan(
      session.plan.map { stage in
        let facts = stage.stored == .yes ? nil : session.store.newestFacts(named: stage.stage)
        let steps = facts?["steps"]?.doubleValue.flatMap { $0 > 0 ? $0 : nil }
        let seconds = steps.flatMap { steps in facts?["seconds"]?.doubleValue.map { $0 / steps } }
        return PipelinePlan.Stage(name: stage.stage, steps: stage.steps, isStored: stage.stored == .yes, secondsOfStep: seconds)
      })
  }

  /// Longer than this nobody waits to be told how long it takes.
  private static let planSeconds = 4.0

  /// The parameters that a script declares, as text. Throws what the script raises before that.
  package func parameterHelp() throws -> String {
    let script = try options.source()
    guard let declared = try declaredParameters(of: script), !declared.parameters.isEmpty else { return "\(script.title) declares no parameters" }
    return "PARAMETERS of \(script.title), each given by --set name=value:\n\n" + declared.table().text()
  }

  /// The parameters that a script declares; nil where it declares none: it is run until it declares them, and no further.
  ///
  /// Throws what the script raises before that.
  func declaredParameters(of script: RunScript) throws -> ParameterSet? {
    options.limitReading()
    let session = Session(
      mode: .declare, settings: [], runDirectory: nil, store: StageStore(),
      progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet)), seed: 42, print: { _ in })
    let interpreter = try open(session, options, options.script)
    defer { interpreter.close() }
    do { try interpreter.execute(script) } catch {
      if !session.isDeclarationOver { throw error }
    }
    return session.declared
  }
}
