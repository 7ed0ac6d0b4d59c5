import Checkpoints
import Files
import Foundation
import Pipelines
import Runs
import Training

/// How a pipeline is run.
package struct RunOptions {
  /// The command line that the run directory keeps.
  package var arguments = CommandLine.arguments
  /// Path of the script; with `resume`, empty takes the run directory's own copy.
  package var script = ""
  /// A script that is in no file; `script` is then what its copy is called.
  package var text: RunScript? { didSet { script = text?.path ?? "" } }
  /// `name=value` of each `--set`.
  package var settings: [String] = []
  /// The run directory; nil takes `outputs/<script>-<time>`.
  package var out: String?
  /// An earlier run's directory to go on with.
  package var resume: String?
  /// Goes on with a run that `out` holds, as `resume` does.
  package var goesOn = false
  /// Replaces the run that `out` or `resume` holds, finished or not.
  package var overwrite = false
  /// Threads of the engine; nil takes all cores of the process.
  package var threads: Int?
  /// Bytes that tensors may take together; nil takes nine tenths of what the machine, or the control group, has.
  package var memory: Int?
  package var precision = PrecisionChoice.auto
  /// Which of several processes this is that share out a sweep's points; nil: it is alone.
  package var shard: Shard?
  /// The processes that train together.
  package var group: any ProcessGroup = SingleProcess()
  /// Seed where a script gives none; nil takes 42.
  package var seed: Int?
  package var isQuiet = false
  /// Whether it is said what makes a stage run again that ran before.
  package var saysWhy = true
  /// Whether the run gets event files for TensorBoard.
  package var writesTensorBoard = true
  package var allowIO = false
  /// Limits reading to what `ReadPolicy` calls named.
  package var isStrict = false

  package init() {}
}

extension RunOptions {
  /// The script. Throws `EngineError` where its file cannot be read.
  func source() throws -> RunScript { try text ?? RunScript(file: script) }

  /// Sets what may be read. Only the command line counts: the files of a run directory can be a stranger's.
  func limitReading() {
    // A value can be a list of paths.
    let values = settings.flatMap { setting in
      let value = String(setting.drop { $0 != "=" }.dropFirst())
      return ([value] + value.split(separator: ",").map(String.init)).map { FilePath.expandHome($0) }
    }
    let named =
      [".", ModelLocation.hubCache(), StageStore.defaultRoot(), script]
      + [out, resume, TensorBoardLog.chosenFolder(), RunIndex.defaultFolder()].compactMap(\.self)
    ReadPolicy.current = ReadPolicy(
      named: named.filter { !$0.isEmpty } + values.filter(fileExists),
      codeFolders: moduleFolders(of: script) + (script.isEmpty ? [] : [FilePath.folder(of: script)]),
      isStrict: isStrict)
  }
}

/// Where `require` looks beside the script's folder: `$PERIGEE_LUA`, else the `lua` folder above the program or the script.
package func moduleFolders(of script: String) -> [String] {
  var candidates: [String] = []
  if let folder = ProcessInfo.processInfo.environment["PERIGEE_LUA"], !folder.isEmpty { candidates.append(FilePath.expandHome(folder)) }
  if !script.isEmpty {
    candidates.append(FilePath.join(FilePath.folder(of: FilePath.folder(of: script)), "lua"))
  }
  // The program lies somewhere in the build folder, or beside `lua`. The declarations in it tell ours from another's.
  var folder = FilePath.folder(of: realPath("/proc/self/exe") ?? realPath(CommandLine.arguments[0]) ?? "/")
  while folder != "/" {
    let own = FilePath.join(folder, "lua")
    if fileExists(own + "/meta/tensor.lua") { candidates.append(own) }
    folder = FilePath.folder(of: folder)
  }
  return candidates.filter(folderExists)
}
