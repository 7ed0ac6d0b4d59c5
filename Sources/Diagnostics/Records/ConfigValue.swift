/// A value of a setting before it is checked: from a Lua table, a JSON file, or an option's text.
public enum ConfigValue {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case table(ConfigTable)
  /// A value of the script's world (a function, a tensor), with its name for messages.
  case object(AnyObject, typeName: String)
  /// A value that no setting can take, such as a string that is not UTF-8, with words for messages.
  case unusable(String)

  /// What messages call this value: "integer", "string 'abc'", "table", "nothing".
  public var briefly: String {
    switch self {
    case .null: return "nothing"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return String(value)
    case .number(let value): return "\(value)"
    case .text(let value):
      return value.count <= 40 ? "'\(value)'" : "'\(value.prefix(37))...'"
    case .table(let table):
      switch table.form {
      case .list: return "a list"
      case .fields: return "an object"
      case nil: return "a table"
      }
    case .object(_, let typeName): return typeName
    case .unusable(let words): return words
    }
  }
}

/// A list, a set of named values, or both at once, as a Lua table can be.
public struct ConfigTable {
  /// The values at 1, 2, 3, ...
  public var list: [ConfigValue]
  /// The values with names.
  public var fields: [String: ConfigValue]
  /// Those names in their order; empty where the source has none, as Lua.
  public var order: [String]
  /// What the source says it is, for one that tells an empty list from no names; nil where a table is both, as in Lua.
  public var form: Form?

  /// One of the two that JSON has.
  public enum Form: Sendable {
    case list
    case fields
  }

  /// The names in their order; where the source has none, by the alphabet.
  public var names: [String] { order.isEmpty ? fields.keys.sorted() : order }

  public init(list: [ConfigValue] = [], fields: [String: ConfigValue] = [:], order: [String] = [], form: Form? = nil) {
    self.list = list
    self.fields = fields
    self.order = order
    self.form = form
  }
}
