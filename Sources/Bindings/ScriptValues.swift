import Diagnostics
import Files
import LuaHost

extension LuaValue {
  /// The value for a canonical description; functions and objects are refused.
  func json(_ place: String) throws -> JSONValue {
    switch self {
    case .function, .object, .bytes:
      throw EngineError(.argument, "\(place): a \(typeName) cannot be part of it: expected numbers, texts, booleans and tables of them")
    case .table(let table):
      if table.fields.isEmpty { return .array(try table.list.map { try $0.json(place) }) }
      var object = JSONObject(try table.fields.sorted { $0.key < $1.key }.map { ($0.key, try $0.value.json(place)) })
      for (i, value) in table.list.enumerated() { object[String(i + 1)] = try value.json(place) }
      return .object(object)
    default: return configValue.json
    }
  }
}

extension JSONValue {
  /// The value for a script.
  var lua: LuaValue {
    switch self {
    case .null: return .nil
    case .bool(let value): return .bool(value)
    case .int(let value): return .integer(value)
    case .double(let value): return .number(value)
    case .string(let value): return .string(value)
    case .array(let values): return .table(LuaTable(list: values.map(\.lua)))
    case .object(let object):
      return .table(LuaTable(fields: Dictionary(object.members.map { ($0, $1.lua) }, uniquingKeysWith: { a, _ in a })))
    }
  }
}
