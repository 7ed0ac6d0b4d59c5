import Adapters
import Diagnostics
import Files

extension TrainingArguments {
  /// The arguments that a result depends on, as a stage's key has them: those that only say where something is kept, or how it
  /// is computed, are left out, and so are those that the others leave without meaning.
  ///
  /// - Parameters:
  ///   - isMasked: whether the task is masked language modelling.
  ///   - isScripted: whether functions of a script compute in the model, which may draw random numbers: layers that are computed
  ///     again would draw others.
  public func keyValues(isMasked: Bool, isScripted: Bool) -> [String: ConfigValue] {
    guard case .table(let table) = configValue else { return [:] }
    var values = table.fields
    var without = ["save_seconds", "frozen_cache_mib"]
    if !isScripted { without.append("gradient_checkpointing") }
    if maxSteps >= 0 { without.append("num_train_epochs") }
    if warmupSteps > 0 { without.append("warmup_ratio") }
    if evalStrategy != .steps { without.append("eval_steps") }
    if earlyStoppingPatience == nil { without.append("early_stopping_threshold") }
    if loraplusLRRatio == nil { without.append("loraplus_lr_embedding") }
    if !isMasked { without.append("mlm_probability") }
    for name in without { values[name] = nil }
    // A paged optimizer computes the same.
    values["optim"] = .text(optim.rule.name)
    return values
  }
}
