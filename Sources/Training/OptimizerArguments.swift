import Diagnostics
import Foundation
import Optimizers
import TensorCore

/// Options of an optimizer that is chosen elsewhere: a table whose fields the chosen rule declares.
public struct OptimizerArguments: FieldValue {
  public var fields: [String: ConfigValue] = [:]

  public init() {}

  public static let typeName = "table"
  public static let expected = "a table of named options"
  public var configValue: ConfigValue { fields.isEmpty ? .null : .table(ConfigTable(fields: fields)) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> OptimizerArguments {
    guard case .table(let table) = value, table.list.isEmpty else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    var result = OptimizerArguments()
    result.fields = table.fields
    return result
  }
}

extension TrainingArguments {
  /// The chosen rule with its options. Throws for options that the rule does not have.
  public func updateRule() throws(EngineError) -> any UpdateRule {
    var fields = optimArgs.fields
    let plain = TrainingArguments()
    let adam: [(name: String, option: String, isGiven: Bool)] = [
      ("adam_beta1", "betas", adamBeta1 != plain.adamBeta1), ("adam_beta2", "betas", adamBeta2 != plain.adamBeta2),
      ("adam_epsilon", "eps", adamEpsilon != plain.adamEpsilon),
    ]
    let isAdam = optim.rule is any AdamRule.Type
    for (name, option, isGiven) in adam where isGiven {
      guard isAdam else {
        throw EngineError(
          .argument, "'\(name)' has no meaning with optim = \"\(optim.name)\"", hint: "options of an optimizer stand in optim_args")
      }
      if fields[option] != nil {
        throw EngineError(.argument, "'\(option)' in 'optim_args' is given twice, as '\(name)' too")
      }
    }
    if isAdam {
      fields["betas"] = fields["betas"] ?? [adamBeta1, adamBeta2].configValue
      fields["eps"] = fields["eps"] ?? .number(adamEpsilon)
    }
    do throws(EngineError) {
      return try make(optim.rule, fields)
    } catch {
      throw error.at("'optim_args'")
    }
  }

  private func make<Rule: UpdateRule>(_ rule: Rule.Type, _ fields: [String: ConfigValue]) throws(EngineError) -> any UpdateRule {
    try Rule(table: ConfigTable(fields: fields))
  }

  /// The optimizer, without parameters.
  ///
  /// - Parameter scratchFolder: where mapped files lie; nil: the system's folder for temporary files.
  func optimizer(scratchFolder: String?) throws -> Optimizer {
    let folder = scratchFolder ?? FileManager.default.temporaryDirectory.path
    return Optimizer(try updateRule(), paged: optim.isPaged ? PagedMemory(folder: folder) : nil)
  }

  /// Throws for settings of optimizer and groups that exclude each other.
  func checkOptimizer() throws(EngineError) {
    let rule = try updateRule()
    if !rule.usesLearningRate {
      let own =
        loraplusLRRatio != nil
        ? "loraplus_lr_ratio"
        : parameterGroups?.contains { $0.learningRate != nil } == true
          ? "learning_rate of a parameter group" : nil
      if let own {
        throw EngineError(.argument, "'\(own)' has no meaning with relative_step = true: the optimizer sets the step size itself")
      }
    }
    if loraplusLRRatio != nil, parameterGroups != nil {
      throw EngineError(
        .argument, "'loraplus_lr_ratio' and 'parameter_groups' exclude each other: LoRA+ makes the groups",
        hint: "give the group of 'lora_B' a learning_rate instead")
    }
    if loraplusLREmbedding != nil, loraplusLRRatio == nil {
      throw EngineError(.argument, "'loraplus_lr_embedding' needs 'loraplus_lr_ratio'")
    }
    for (name, value) in [("loraplus_lr_ratio", loraplusLRRatio), ("loraplus_lr_embedding", loraplusLREmbedding)]
    where value?.isFinite == false {
      throw EngineError(.argument, "'\(name)' must be a finite number")
    }
  }
}
