import Diagnostics
import Files
import Foundation
import Pipelines
import Runs
import TensorCore
import Training

/// What executes a pipeline's script.
package protocol ScriptInterpreter: AnyObject {
  func execute(_ script: RunScript) throws
  /// Frees the script's objects; the interpreter runs nothing more.
  func close()
}

/// One pipeline, run or checked, around whatever executes its script.
package struct PipelineRun {
  /// Makes what executes the script, from the session, the options, and the path that the script came from.
  package typealias Opening = (Session, RunOptions, _ script: String) throws -> any ScriptInterpreter

  var options: RunOptions
  let open: Opening

  package init(_ options: RunOptions, open: @escaping Opening) { (self.options, self.open) = (options, open) }
}

extension PipelineRun {
  /// Runs the pipeline: results to standard output, progress to standard error.
  package mutating func run() throws { try run { _, interpreter, script in try interpreter.execute(script) } }

  /// The same, with `work` in place of executing the script.
  ///
  /// - Parameter isInteractive: for statements that somebody types: stages and parameters may be given again, and where nothing was
  ///   trained no run directory is left.
  package mutating func run(
    isInteractive: Bool = false, _ work: (Session, any ScriptInterpreter, RunScript) throws -> Void
  ) throws {
    let group = options.group
    do {
      options.limitReading()
      if group.count > 1 {
        try JointStart.compare(options)
        let share = try group.shareOfCores()
        options.threads = options.threads ?? share
      }
      try group.rank == 0 ? runFirst(isInteractive, work) : follow(work)
      try group.end(with: nil)
    } catch {
      do { try group.end(with: error) } catch let failure { (group as? MPIProcessGroup)?.abort(failure) }
      throw error
    }
  }

  /// Runs the pipeline beside the first of several processes, which alone has the run directory, writes and tells.
  private mutating func follow(_ work: (Session, any ScriptInterpreter, RunScript) throws -> Void) throws {
    Interrupt.protectWork()
    let start = try JointStart(hearing: options)
    options.settings = start.settings
    let session = Session(
      mode: .run, settings: start.settings, runDirectory: nil, store: StageStore(),
      progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet), write: { _ in }), seed: start.seed ?? 42, print: { _ in })
    session.group = options.group
    let interpreter = try open(session, options, start.original)
    defer { interpreter.close() }
    try work(session, interpreter, start.script)
    try session.checkSettings()
    try meetAtEnd()
  }

  /// A run has finished when all of its processes have.
  private func meetAtEnd() throws { _ = try options.group.first("the end of the script") { .null } }

  private mutating func runFirst(_ isInteractive: Bool, _ work: (Session, any ScriptInterpreter, RunScript) throws -> Void) throws {
    let directory = try openDirectory()
    let arithmetic = EngineSetup.configure(
      threads: options.threads, memory: options.memory, precision: options.precision, isShared: options.shard != nil)
    let progress = Pipelines.Progress(style: ProgressStyle.detect(quiet: options.isQuiet))
    progress.keep = directory.record
    let index = RunIndex { progress.note("warning: \($0)") }
    directory.onBegin = { path in
      Interrupt.protectWork()
      index.register(path)
      progress.note("run directory: \(path)")
    }
    let processes = options.group.count > 1 ? "\(options.group.count) processes, here " : ""
    progress.note("\(processes)\(Threads.words), \(arithmetic)")
    noteOtherFolder(directory, progress)
    noteOtherProducts(directory, progress)
    let (script, original) = try script(in: directory)
    try directory.prepare(script, invocation)
    try JointStart(settings: options.settings, seed: options.seed, script: script, original: original).tell(options.group)
    if progress.isWatched, !options.allowIO, !isInteractive { progress.plan = plan(script, original) }
    let session = Session(
      mode: .run, settings: options.settings, runDirectory: directory, store: StageStore { progress.note("warning: \($0)") },
      progress: progress, seed: options.seed ?? 42,
      print: { line in
        print(line)
        directory.record(line)
      })
    session.writesTensorBoard = options.writesTensorBoard
    session.isInteractive = isInteractive
    session.group = options.group
    session.shard = options.shard
    session.saysWhy = options.saysWhy
    let interpreter = try open(session, options, original)
    defer { interpreter.close() }
    do {
      try work(session, interpreter, script)
      try session.checkSettings()
      try meetAtEnd()
      noteUnshared(session, progress)
      if !isInteractive || directory.isBegun {
        try session.writeResults()
        try directory.end(.finished, sources: session.requiredSources())
      }
      if directory.isBegun { index.register(directory.path) }
    } catch {
      progress.end("stopped")
      let error = directory.refusal ?? error
      // What was finished before is worth as much as in a run that ends well.
      if directory.isBegun { try? session.writeResults() }
      note(error, in: directory, session.requiredSources())
      if directory.isBegun { index.register(directory.path) }
      throw error
    }
    if let failure = directory.outputFailure { progress.note("warning: \(failure)") }
  }

  /// Opens the run directory. A resumed run takes what its command line did not say from the run that it continues: its
  /// result must not depend on where it was interrupted.
  private mutating func openDirectory() throws -> RunDirectory {
    let directory: RunDirectory
    if let resume = options.resume {
      directory = try RunDirectory.resume(resume, overwrite: options.overwrite)
    } else {
      directory = try RunDirectory.create(out: options.out, overwrite: options.overwrite)
      guard !options.script.isEmpty || directory.earlier != nil && options.goesOn else {
        throw EngineError(.argument, "no script: give one, or --resume DIR")
      }
    }
    let isResumed = options.resume != nil || options.goesOn
    if isResumed, let last = directory.earlier?.invocations.last {
      options.settings = last.settings + options.settings
      options.seed = options.seed ?? last.seed
    }
    // What was measured once is not measured anew, with another outcome, when the same command is given again.
    if isResumed || !options.overwrite { takePrecision(of: directory) }
    return directory
  }

  private mutating func takePrecision(of directory: RunDirectory) {
    guard options.precision == .auto, let last = directory.earlier?.invocations.last else { return }
    options.precision = last.precision == .bf16 ? .bf16 : .fp32
  }

  private var invocation: Invocation {
    var invocation = Invocation()
    invocation.argv = options.arguments
    invocation.version = EngineSetup.version
    invocation.workingDirectory = FileManager.default.currentDirectoryPath
    invocation.settings = options.settings
    invocation.seed = options.seed ?? 42
    invocation.precision = Precision.current == .bf16 ? .bf16 : .fp32
    invocation.threads = Threads.count
    invocation.host = HostFacts.current()
    invocation.products = Products.text
    return invocation
  }

  /// A script without points has nothing to share out.
  private func noteUnshared(_ session: Session, _ progress: Pipelines.Progress) {
    guard let shard = session.shard, shard.count > 1, !session.isSharedOut else { return }
    progress.note(
      "warning: --shard: the script has no sweep.run, so nothing was shared out: all \(shard.count) processes came to the same stages, and waited for "
        + "the first")
  }

  private func noteOtherFolder(_ directory: RunDirectory, _ progress: Pipelines.Progress) {
    let here = FileManager.default.currentDirectoryPath
    guard let there = directory.earlier?.invocations.last?.workingDirectory, there != here else { return }
    progress.note("warning: the run was started in \(there): relative paths of the script now begin at \(here)")
  }

  private func noteOtherProducts(_ directory: RunDirectory, _ progress: Pipelines.Progress) {
    guard let there = directory.earlier?.invocations.last?.products, there != Products.text else { return }
    progress.note("warning: the run multiplied with \(there), and continues with \(Products.text): results differ by rounding")
  }

  /// What to run, and where it came from, for `require` of files beside it.
  private func script(in directory: RunDirectory) throws -> (script: RunScript, original: String) {
    guard options.script.isEmpty, let earlier = directory.earlier else {
      return (try options.source(), directory.earlier?.scriptPath ?? options.script)
    }
    return (try RunScript(file: directory.codeFolder + "/" + earlier.script), earlier.scriptPath)
  }

  /// Notes an error as the end of the run. That this fails, too, is less than the error itself.
  private func note(_ error: any Error, in directory: RunDirectory, _ sources: [RunScript]) {
    let code = isInterruption(error) ? Interrupt.exitCode : 1
    try? directory.end(
      isInterruption(error) ? .interrupted : .failed, exitCode: Int(code), error: "\(error)".inOneLine, sources: sources)
  }
}
