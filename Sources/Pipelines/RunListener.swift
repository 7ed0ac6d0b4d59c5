import Files

/// Hears what happens in a run: the log of metrics does, and whatever else shows or keeps a run's numbers. One file each;
/// `Session.listeners` has the list.
///
/// Rows are numbers and texts by name, such as `{"stage": "mnli", "step": 10, "loss": 0.5}`. All calls come one after another.
/// An error that is thrown ends the run.
public protocol RunListener: AnyObject {
  /// A stage begins to train, goes on after `step`, or was found finished (`step` is then `Int.max`). `rows` are those that its
  /// training has logged so far. Rows that the listener has heard before and that are not among them did not count. `settings`: with
  /// what it trains; nil for what is no training.
  func stageBegan(_ stage: String, rows: [JSONObject], step: Int, settings: TrainingSettings?) throws

  /// A row was logged. `isRepeatable`: a script that is run again from its start logs it again.
  func logged(_ row: JSONObject, isRepeatable: Bool) throws

  /// A stage has ended; `facts` are its result, as `results.json` has it. `isReused`: it was found finished.
  func stageEnded(_ facts: JSONObject, isReused: Bool) throws

  /// Everything that was heard has to outlive the process: a state is about to be saved.
  func keep() throws
}
