import Diagnostics
import Files

extension JSONValue {
  /// The value as a setting, as a script would give it.
  public var configValue: ConfigValue {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): .integer(value)
    case .double(let value): .number(value)
    case .string(let value): .text(value)
    case .array(let values): .table(ConfigTable(list: values.map(\.configValue)))
    case .object(let object):
      .table(ConfigTable(fields: Dictionary(object.members.map { ($0, $1.configValue) }, uniquingKeysWith: { a, _ in a })))
    }
  }
}
