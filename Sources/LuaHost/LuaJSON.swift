import Diagnostics
import Files

extension LuaValue {
  /// The value as JSON; a table that is a list and has names as well becomes an object. Throws, at `place`, for functions, objects
  /// and strings that are not UTF-8.
  public func json(_ place: String) throws(EngineError) -> JSONValue { try configValue.json(at: place) }
}

extension JSONValue {
  /// The value for a script.
  public var lua: LuaValue {
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

extension [(role: String, identity: FunctionIdentity)] {
  /// The identities by their roles, for a key.
  public var json: JSONObject {
    JSONObject(
      map { role, identity in
        (role, ["code": .string(identity.code.hex), "captured": .string(identity.captured.hex)] as JSONValue)
      })
  }
}
