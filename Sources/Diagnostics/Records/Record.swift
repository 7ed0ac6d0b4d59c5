/// A set of named settings with defaults: a Lua options table, a JSON object, `--set name=value`.
///
/// The fields are declared once, and everything follows from them: checks, messages, editor stubs and help.
///
///     struct LoRAConfig: Record {
///       var r = 8
///       var dropout = 0.0
///       static let recordName = "LoRA config"
///       static let fields: [Field<Self>] = [
///         .int("r", \.r, "rank of the update", in: 1...4096),
///         .float("lora_dropout", \.dropout, "dropout on the adapter's input", in: 0..<1),
///       ]
///     }
public protocol Record: FieldValue {
  /// All defaults.
  init()
  static var fields: [Field<Self>] { get }
  /// What messages call it: "LoRA config".
  static var recordName: String { get }
  /// Names from elsewhere that are no fields of it, with what stands for them.
  static var foreignNames: [String: ForeignName] { get }
  /// Checks between fields, after all are set.
  func validate() throws(EngineError)
}

extension Record {
  public static var recordName: String { typeName }
  public static var foreignNames: [String: ForeignName] { [:] }
  public func validate() throws(EngineError) {}

  public static var typeName: String { String(describing: Self.self) }
  public static var expected: String { "a table" }
  public static var nestedRecord: (any Record.Type)? { Self.self }

  /// The values of all fields.
  public var configValue: ConfigValue {
    var table = ConfigTable(form: .fields)
    for field in Self.fields {
      let value = field.read(self)
      if case .null = value { continue }
      table.fields[field.name] = value
    }
    return .table(table)
  }

  /// The record that a table describes; nothing at all gives the defaults.
  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Self {
    do throws(EngineError) {
      switch value {
      case .null: return try Self(table: ConfigTable())
      case .table(let table) where table.form != .list: return try Self(table: table)
      default: break
      }
    } catch {
      throw ValueMismatch(expected: expected, found: value.briefly, report: error)
    }
    throw ValueMismatch(expected: expected, found: value.briefly)
  }

  /// Throws one error for all unknown names, else one for the first field that does not fit.
  public init(table: ConfigTable) throws(EngineError) {
    self.init()
    let names = Self.fields.map(\.name)
    let unknown = table.fields.keys.filter { !names.contains($0) }.sorted()
    if !unknown.isEmpty { throw Self.unknownFields(unknown) }
    if !table.list.isEmpty {
      throw EngineError(
        .argument, "\(Self.recordName): value without a name: \(table.list[0].briefly)",
        hint: "write name = value")
    }
    for field in Self.fields {
      let value = table.fields[field.name] ?? .null
      // A source that can say null says it on purpose.
      let isGiven = table.form == .fields && table.fields[field.name] != nil
      if case .null = value, !isGiven {
        if field.isRequired {
          throw EngineError(.argument, "\(Self.recordName): missing field '\(field.name)'")
        }
        continue
      }
      try field.set(value, in: &self)
    }
    do throws(EngineError) { try validate() } catch { throw error.at(Self.recordName) }
  }

  /// Sets one field from text, as `--set name=value` does.
  public mutating func set(_ name: String, text: String) throws(EngineError) {
    try set([(name, text)])
  }

  /// Sets several fields from text; checks between fields see all of them.
  public mutating func set(_ settings: [(name: String, value: String)]) throws(EngineError) {
    for (name, value) in settings {
      guard let field = Self.fields.first(where: { $0.name == name }) else { throw Self.unknownFields([name]) }
      try field.set(text: value, in: &self)
    }
    do throws(EngineError) { try validate() } catch { throw error.at(Self.recordName) }
  }
}
