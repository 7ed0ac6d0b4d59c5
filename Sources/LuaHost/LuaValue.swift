import Diagnostics

/// A value of a script, copied out of it. Tables are copied deeply; functions and objects are references.
public enum LuaValue {
  case `nil`
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  /// A string that is not UTF-8.
  case bytes([UInt8])
  case table(LuaTable)
  case function(LuaFunction)
  /// An instance of a class that the state knows.
  case object(any LuaObject)

  /// The name of the value's type, as messages tell it.
  public var typeName: String {
    switch self {
    case .nil: return "nil"
    case .bool: return "boolean"
    case .integer, .number: return "number"
    case .string, .bytes: return "string"
    case .table: return "table"
    case .function: return "function"
    case .object(let object): return type(of: object).luaName
    }
  }

  /// The same value for the fields of a record.
  public var configValue: ConfigValue {
    switch self {
    case .nil: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return .number(value)
    case .string(let value): return .text(value)
    case .bytes: return .unusable("a string that is not UTF-8")
    case .table(let table):
      return .table(table.configTable)
    case .function(let function): return .object(function, typeName: "function")
    case .object(let object): return .object(object, typeName: type(of: object).luaName)
    }
  }

  /// The text, if the value is a string of UTF-8.
  public var text: String? {
    if case .string(let text) = self { return text }
    return nil
  }

  /// The number, if the value is one.
  public var double: Double? {
    switch self {
    case .integer(let value): return Double(value)
    case .number(let value): return value
    default: return nil
    }
  }

  /// The integer, if the value is a number without a fraction.
  public var int: Int? {
    switch self {
    case .integer(let value): return value
    case .number(let value): return Int(exactly: value)
    default: return nil
    }
  }
}

/// A table's content: the values at 1, 2, 3, ..., and those with names.
public struct LuaTable {
  public var list: [LuaValue]
  public var fields: [String: LuaValue]

  public init(list: [LuaValue] = [], fields: [String: LuaValue] = [:]) {
    self.list = list
    self.fields = fields
  }

  /// The same content for records and declarations.
  public var configTable: ConfigTable {
    ConfigTable(list: list.map(\.configValue), fields: fields.mapValues(\.configValue))
  }

  /// The value with this name, or nil.
  public subscript(name: String) -> LuaValue {
    get { fields[name] ?? .nil }
    set {
      if case .nil = newValue { fields[name] = nil } else { fields[name] = newValue }
    }
  }
}
