import Adapters
import Diagnostics
import Files
import Generation
import Tasks

extension TrainingArguments {
  /// The arguments that a result depends on, as a stage's key has them: those that only say where something is kept, or how it
  /// is computed, are left out, and those that the others leave without meaning have their defaults.
  ///
  /// - Parameters:
  ///   - type: what is trained: arguments that other types of tasks read alone have their defaults.
  ///   - isScripted: whether functions of a script compute in the model, which may draw random numbers: layers that are computed
  ///     again would draw others.
  public func keyValues(for type: any TaskType, isScripted: Bool) -> [String: ConfigValue] {
    guard case .table(let table) = configValue, case .table(let plain) = TrainingArguments().configValue else { return [:] }
    var values = table.fields
    values["save_seconds"] = nil
    // Where it is not given, it is left out: results that were stored before there was such an argument keep their keys.
    if microBatchSize == nil { values["micro_batch_size"] = nil }
    values["frozen_cache_mib"] = nil
    var meaningless = TaskTypeCatalogue.foreignArguments(of: Swift.type(of: type))
    if !isScripted { meaningless.append("gradient_checkpointing") }
    if maxSteps >= 0 { meaningless.append("num_train_epochs") }
    if warmupSteps > 0 { meaningless.append("warmup_ratio") }
    if labelSmoothingFactor == 0 { meaningless.append("label_smoothing_type") }
    for name in meaningless { values[name] = plain.fields[name] }
    if maxTargetLength == maxLength { values["max_target_length"] = nil }
    if evalStrategy == .steps { values["eval_steps"] = .integer(usedEvalSteps) }
    if var generation {
      generation.batchSize = GenerationOptions().batchSize
      values["generation"] = generation.configValue
    }
    // A paged optimizer computes the same.
    values["optim"] = .text(optim.rule.name)
    return values
  }
}
