import Diagnostics
import Files
import Foundation
import Pipelines
import Training

/// How far the trainings of a stage go.
package enum StageReach {
  /// To their end, and they wait for another process that works at the same.
  case trains
  /// To their end, unless another process works at the same.
  case attempts
  /// To the first one whose result is not there, or that may pause: its key is all that is wanted.
  case looks
}

/// Where a stage was left that did not go to its end.
package struct TurnedAway {
  package let key: StageKey
  /// The other process, in words.
  package let holder: String?
  /// Whether the training there may pause.
  package let isPausable: Bool
}

/// What many processes need that share out the stages of a script.
extension Session {
  /// Runs a stage as `runStage` does, unless another process works at it, or to find its key alone; then nil, and `turnedAway` says where.
  package func runStage<Result>(_ name: String, inputs: JSONValue, _ reach: StageReach, _ body: () throws -> Result) throws -> Result? {
    guard mode == .run, reach != .trains else { return try runStage(name, inputs: inputs, body) }
    if group.count > 1 {
      throw EngineError(
        .argument, "stage '\(name)': asha takes results as they come in, which \(group.count) processes that train together see at different times",
        hint: "take halving instead, or let processes work apart with --shard")
    }
    let isNew = !stageNames.contains(name)
    (self.reach, turnedAway, attempted) = (reach, nil, nil)
    defer { (self.reach, attempted) = (.trains, nil) }
    do {
      let result = try runStage(name, inputs: inputs, body)
      if turnedAway == nil { return result }
    } catch {
      if turnedAway == nil, let work = attempted, work.isLost { turnedAway = TurnedAway(key: work.key, holder: nil, isPausable: false) }
      // A function of the script may have made another error of it.
      if turnedAway == nil || isInterruption(error) { throw error }
    }
    if isNew { forgetStage(name) }
    return nil
  }

  /// Leaves the stage that is running.
  func turnAway(_ key: StageKey, _ holder: LeaseName?, isPausable: Bool = false) -> EngineError {
    let words = holder?.holder ?? "another process"
    turnedAway = TurnedAway(key: key, holder: holder == nil && reach == .looks ? nil : words, isPausable: isPausable)
    return EngineError(.file, "stage '\(key.name)': \(reach == .looks ? "is only looked at" : "\(words) works at it")")
  }

  /// What is in the store under the digest of a stage's key.
  package struct FoundStage {
    package var isFinished = false
    /// The process that works at it, in words.
    package var holder: String?
    /// The metrics of each evaluation so far: those of the newest saved state, or of the result.
    package var evaluations: [[String: Double]] = []
  }

  /// Looks, without taking anything: another process may be working there.
  package func look(_ digest: Digest) throws -> FoundStage {
    var found = FoundStage()
    let (folder, isFinished, holder) = try store.newest(digest)
    (found.isFinished, found.holder) = (isFinished, holder?.holder)
    guard let folder, let (history, _, _) = try? Trainer.course(in: folder) else { return found }
    found.evaluations = Trainer.evaluations(in: history).map { row in
      Dictionary(
        row.members.compactMap { name, value in ["step", "epoch"].contains(name) ? nil : (name, value.doubleValue ?? .nan) },
        uniquingKeysWith: { a, _ in a })
    }
    return found
  }

  /// Waits until a stage of these may be opened, or some seconds are over. Throws `EngineError` (`.interrupted`).
  package func wait(for digests: [Digest], seconds: Double) throws -> Bool {
    let end = DispatchTime.now().uptimeNanoseconds + UInt64(min(max(seconds, 0), 1e9) * 1e9)
    while true {
      if try digests.contains(where: store.mayOpen) { return true }
      if DispatchTime.now().uptimeNanoseconds >= end { return false }
      usleep(200_000)
      try Interrupt.check()
    }
  }
}
