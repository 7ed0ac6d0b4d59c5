import Diagnostics
import Engine
import Files
import Foundation
import LuaHost
import Pipelines
import TensorCore

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
  /// Replaces the run that `out` or `resume` holds, finished or not.
  public var overwrite = false
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

extension Runner {
  /// Runs a pipeline: results to standard output, progress to standard error.
  public static func run(_ options: RunOptions) throws {
    var options = options
    limitReading(options)
    let directory = try open(&options)
    let arithmetic = EngineSetup.configure(threads: options.threads, memory: options.memory, precision: options.precision)
    let progress = Pipelines.Progress(style: ProgressStyle.detect(quiet: options.isQuiet))
    progress.keep = directory.record
    directory.onBegin = { path in
      Interrupt.protectWork()
      progress.note("run directory: \(path)")
    }
    progress.note("\(Threads.count) threads, \(arithmetic)")
    noteOtherFolder(directory, progress)
    let script = try self.script(options, in: directory)
    try directory.prepare(script.kept, invocation(options))
    let session = Session(
      mode: .run, settings: options.settings, runDirectory: directory, store: StageStore { progress.note("warning: \($0)") },
      progress: progress, seed: options.seed ?? 42,
      print: { line in
        print(line)
        directory.record(line)
      })
    let state = try makeState(session, options, script: script.original)
    defer { state.close() }
    do {
      try state.run(file: script.file)
      try session.checkSettings()
      try session.writeResults()
      try directory.end(.finished, sources: session.requiredSources())
    } catch {
      progress.end("stopped")
      let error = directory.refusal ?? error
      note(error, in: directory, session.requiredSources())
      throw error
    }
    if let failure = directory.outputFailure { progress.note("warning: \(failure)") }
  }

  /// Opens the run directory. A resumed run takes what its command line did not say from the run that it continues: its
  /// result must not depend on where it was interrupted.
  private static func open(_ options: inout RunOptions) throws -> RunDirectory {
    guard let resume = options.resume else {
      guard !options.script.isEmpty else { throw EngineError(.argument, "no script: give one, or --resume DIR") }
      let directory = try RunDirectory.create(out: options.out, overwrite: options.overwrite)
      // What was measured once is not measured anew, with another outcome, when the same command is given again.
      if !options.overwrite { takePrecision(of: directory, &options) }
      return directory
    }
    let directory = try RunDirectory.resume(resume, overwrite: options.overwrite)
    if let last = directory.earlier?.invocations.last {
      options.settings = last.settings + options.settings
      options.seed = options.seed ?? last.seed
    }
    takePrecision(of: directory, &options)
    return directory
  }

  private static func takePrecision(of directory: RunDirectory, _ options: inout RunOptions) {
    guard options.precision == .auto, let last = directory.earlier?.invocations.last else { return }
    options.precision = last.precision == .bf16 ? .bf16 : .fp32
  }

  private static func invocation(_ options: RunOptions) -> Invocation {
    var invocation = Invocation()
    invocation.argv = CommandLine.arguments
    invocation.version = EngineSetup.version
    invocation.workingDirectory = FileManager.default.currentDirectoryPath
    invocation.settings = options.settings
    invocation.seed = options.seed ?? 42
    invocation.precision = Precision.current == .bf16 ? .bf16 : .fp32
    invocation.threads = Threads.count
    invocation.host = HostFacts.current()
    return invocation
  }

  private static func noteOtherFolder(_ directory: RunDirectory, _ progress: Pipelines.Progress) {
    let here = FileManager.default.currentDirectoryPath
    guard let there = directory.earlier?.invocations.last?.workingDirectory, there != here else { return }
    progress.note("warning: the run was started in \(there): relative paths of the script now begin at \(here)")
  }

  /// The file to run; where it came from, for `require` of files beside it; and what the run directory keeps of it.
  private static func script(_ options: RunOptions, in directory: RunDirectory) throws -> (file: String, original: String, kept: RunScript) {
    guard options.script.isEmpty, let earlier = directory.earlier else {
      return (options.script, directory.earlier?.scriptPath ?? options.script, RunScript(path: options.script, text: try readText(options.script)))
    }
    let file = directory.codeFolder + "/" + earlier.script
    return (file, earlier.scriptPath, RunScript(path: file, text: try readText(file)))
  }

  /// Notes an error as the end of the run. That this fails, too, is less than the error itself.
  private static func note(_ error: any Error, in directory: RunDirectory, _ sources: [RunScript]) {
    let isInterruption = (error as? EngineError)?.kind == .interrupted || (error as? LuaError)?.isInterruption ?? false
    let words = (error as? LuaError)?.message ?? "\(error)"
    let code = isInterruption ? Interrupt.exitCode : 1
    try? directory.end(
      isInterruption ? .interrupted : .failed, exitCode: Int(code), error: words.inOneLine, sources: sources)
  }
}
