import Diagnostics

/// All update rules; compiler, training arguments, Lua API and stubs see this list.
public enum OptimizerCatalogue {
  public static let rules: [any UpdateRule.Type] = [
    AdamW.self, AdamWHF.self, Adam.self, SGD.self, Lion.self, Adafactor.self,
  ]
}

/// Which optimizer, in the words of Transformers' `optim`.
public struct OptimizerName: FieldValue, Sendable, Equatable {
  /// "adamw_torch", "paged_adamw_32bit".
  public let name: String
  public let rule: any UpdateRule.Type
  /// Whether the state of large parameters is in a mapped file, see `PagedMemory`.
  public let isPaged: Bool

  /// The rule itself.
  public init(_ rule: any UpdateRule.Type) { (name, self.rule, isPaged) = (rule.name, rule, false) }

  private init(paged rule: any UpdateRule.Type, _ name: String) { (self.name, self.rule, isPaged) = (name, rule, true) }

  private static let all: [OptimizerName] =
    OptimizerCatalogue.rules.map { OptimizerName($0) }
    + OptimizerCatalogue.rules.compactMap { rule in rule.pagedName.map { OptimizerName(paged: rule, $0) } }

  public static func == (a: OptimizerName, b: OptimizerName) -> Bool { a.name == b.name }

  public static let typeName = "OptimizerName"
  public static var choices: [String]? { all.map(\.name) }
  public static var expected: String { "one of " + all.map { "'\($0.name)'" }.joined(separator: ", ") }
  public var configValue: ConfigValue { .text(name) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> OptimizerName {
    guard case .text(let text) = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    if let found = all.first(where: { $0.name == text }) { return found }
    let hint = foreign[text] ?? nearestName(to: text, among: all.map(\.name)).map { "did you mean '\($0)'?" }
    throw ValueMismatch(expected: expected, found: value.briefly + (hint.map { "; \($0)" } ?? ""))
  }

  /// Names of Transformers that are none here, and what stands for them.
  private static let foreign: [String: String] = {
    let same = "'adamw_torch' is the same rule, in native code"
    let narrow = "states in 8 bits are not supported, 'paged_adamw_32bit' keeps them where the system may write them out"
    return [
      "adamw_torch_fused": same, "adamw_apex_fused": same, "adamw_torch_xla": same, "adamw_torch_4bit": narrow, "adamw_torch_8bit": narrow,
      "adamw_8bit": narrow, "adamw_bnb_8bit": narrow, "paged_adamw_8bit": narrow, "adamw": "did you mean 'adamw_torch'?",
      "AdamW": "did you mean 'adamw_torch'?",
    ]
  }()
}
