import Checkpoints
import Diagnostics
import TransformerModels

/// The types of tasks; scripts, configurations and model folders see these lists.
public enum TaskTypeCatalogue {
  /// What `base:classifier` and `tasks.table` make.
  public static let sequenceTypes: [any SequenceTaskType.Type] = [SequenceClassification.self, Regression.self]
  /// What answers in tokens.
  public static let languageTypes: [any LanguageTaskType.Type] = [MaskedLM.self, CausalLM.self, Seq2SeqLM.self]

  /// All of them.
  static var types: [any TaskType.Type] { sequenceTypes + languageTypes }

  /// Those of `languageTypes` that a model can be for: its tokens see what the type shows them, and no more.
  public static func languageTypes(of family: any ModelFamily.Type, _ config: HuggingFaceConfig) throws -> [any LanguageTaskType.Type] {
    let kind = try LanguageKind(of: family, config)
    return languageTypes.filter { $0.kind == kind }
  }

  /// What a head with so many outputs is for, unless somebody says it: Transformers' rule, one is a score.
  public static func usualSequenceType(labels count: Int) -> any SequenceTaskType.Type {
    sequenceTypes.first { $0.labelCounts.contains(count) } ?? SequenceClassification.self
  }

  /// Training arguments that have no meaning for a type.
  public static func foreignArguments(of type: any TaskType.Type) -> [String] {
    types.flatMap { $0.ownArguments }.filter { !type.ownArguments.contains($0) }
  }
}

/// Which type of sequence task, in the words of Transformers' `problem_type`.
public struct ProblemTypeName: FieldValue {
  public let type: any SequenceTaskType.Type

  public init(_ type: any SequenceTaskType.Type) { self.type = type }

  private static var names: [String] { TaskTypeCatalogue.sequenceTypes.map { $0.name } }
  public static let typeName = "ProblemType"
  public static var choices: [String]? { names }
  public static var expected: String { "one of " + names.map { "'\($0)'" }.joined(separator: ", ") }
  public var configValue: ConfigValue { .text(type.name) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> ProblemTypeName {
    guard case .text(let text) = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    if let found = TaskTypeCatalogue.sequenceTypes.first(where: { $0.name == text }) { return ProblemTypeName(found) }
    let hint = nearestName(to: text, among: names).map { "; did you mean '\($0)'?" }
    throw ValueMismatch(expected: expected, found: value.briefly + (hint ?? ""))
  }
}
