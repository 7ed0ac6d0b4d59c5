import Files

/// Where a trainer keeps what a killed run goes on from.
public protocol TrainerStore: AnyObject {
  /// Saves a state: `write` puts files into the folder that it gets; only a complete state counts.
  func saveState(_ write: (String) throws -> Void) throws
  /// The folder of the last complete state; nil where there is none.
  func stateFolder() throws -> String?
  /// A folder for files that the run needs only while it works.
  var scratchFolder: String? { get }
}

/// Told of texts that were written: how many, of how many, and their tokens.
public typealias TextObserver = (_ done: Int, _ total: Int, _ tokens: Int) -> Void

/// What a trainer tells while it works. Every closure may throw to stop the run.
public struct TrainerCallbacks {
  /// After every update.
  public var onStep: ((Trainer) throws -> Void)?
  /// After every evaluation, with its metrics.
  public var onEvaluate: ((Trainer, [String: Double]) throws -> Void)?
  /// After every epoch, with its number, from 1.
  public var onEpoch: ((Trainer, Int) throws -> Void)?
  /// How far an evaluation is that lets the model write: texts that are done of a set, all of the set, and the tokens of those done.
  public var onText: TextObserver?
  /// A row for `metrics.jsonl`.
  public var onLog: ((JSONObject) throws -> Void)?
  /// Something that the user should know, in one line.
  public var onWarning: ((String) -> Void)?
  /// Runs its second argument, in which a script may be called, with random numbers of the script that begin at this seed; what
  /// is drawn outside goes on as if nothing had been drawn. nil: no script draws.
  public var drawing: ((_ seed: UInt64, () throws -> Void) throws -> Void)?
  /// Whether a script can be called, which must change nothing that no result would hold.
  var runsScript: Bool { drawing != nil }
  /// Whether the closures may unfreeze parameters, so that a parameter group of frozen ones is no mistake.
  public var mayUnfreeze = false
  /// Called once before the first update, with the updates in all and those done already.
  public var onBegin: ((Trainer, _ total: Int, _ done: Int) throws -> Void)?

  public init() {}
}
