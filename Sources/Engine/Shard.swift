import Diagnostics
import Foundation

/// One of several processes that run the same script over one stage store, and the part of a sweep's points that it takes first:
/// `--shard 3/12`, or `--shard auto` in a Slurm array.
package struct Shard: Equatable, Sendable {
  /// From 1.
  package let number: Int
  package let count: Int
  /// The name of its run directory in the folder that `--out` names: no two processes of a sweep have the same.
  package let folderName: String

  package static let auto = "auto"

  /// Throws `EngineError` (`.argument`) for what is no shard.
  package init(_ text: String, environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    if text == Self.auto {
      self = try Shard(slurm: environment)
      return
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let number = parts[0], let count = parts[1] else {
      throw EngineError(.argument, "--shard \(text): expected a number and how many there are, such as 3/12, or auto in a Slurm array")
    }
    guard (1...Self.most).contains(count) else {
      throw EngineError(.argument, "--shard \(text): expected a number of shards from 1 to \(Self.most), got \(count)")
    }
    guard (1...count).contains(number) else {
      throw EngineError(
        .argument, "--shard \(text): expected a shard from 1 to \(count), got \(number)",
        hint: number == 0 ? "shards are counted from 1; in a Slurm array that begins with 0, give --shard auto" : nil)
    }
    (self.number, self.count, folderName) = (number, count, "shard-\(number)-of-\(count)")
  }

  private static let most = 100_000

  /// The task of a Slurm array: any range, step and list of numbers.
  private init(slurm environment: [String: String]) throws {
    func value(_ name: String) throws -> Int {
      guard let text = environment[name], let value = Int(text), value >= 0 else {
        throw EngineError(
          .argument, "--shard auto: \(name) is \(environment[name].map { "'\($0)', expected a number" } ?? "not set")",
          hint: "auto reads what Slurm sets in a job array (sbatch --array=0-11); elsewhere give a shard such as 3/12")
      }
      return value
    }
    let (id, first) = (try value("SLURM_ARRAY_TASK_ID"), try value("SLURM_ARRAY_TASK_MIN"))
    let tasks = try value("SLURM_ARRAY_TASK_COUNT")
    let step = max(1, Int(environment["SLURM_ARRAY_TASK_STEP"] ?? "") ?? 1)
    guard (1...Self.most).contains(tasks), id >= first else {
      throw EngineError(.argument, "--shard auto: SLURM_ARRAY_TASK_ID is \(id), of \(tasks) tasks from \(first) on: expected a task among them")
    }
    // Of a list such as 1,5,6, two tasks may get the same number: they then begin with the same points, and share them out all the same.
    (number, count, folderName) = ((id - first) / step % tasks + 1, tasks, "task-\(id)")
  }
}
