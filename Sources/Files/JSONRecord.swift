import Diagnostics

// Records as JSON: the files that we write for ourselves have their fields declared once, and are read strictly. A key that
// is missing, unknown or of another type is an error, because a file that was damaged or edited by mistake must not be read
// as if it said nothing.

extension Record {
  /// The record in a JSON file.
  ///
  /// - Throws: `EngineError`: `.file` for a file that cannot be read; `.data` for text that is no JSON, for a value that is
  ///   no object, and for keys that are unknown (with the nearest known one), missing where the field is required, or of
  ///   another type. The message begins with the path, and names the key.
  public init(jsonFile path: String) throws {
    try self.init(json: JSONValue(file: path), source: path)
  }

  /// The record in a JSON value; `source`, usually a file's path, begins messages.
  ///
  /// `null` is a value like others here: only a field that may be empty takes it. Throws `EngineError` (`.data`) as
  /// `init(jsonFile:)` does.
  public init(json: JSONValue, source: String) throws(EngineError) {
    guard case .table(let table) = json.configValue, json.objectValue != nil else {
      throw EngineError(.data, "\(source): expected an object, found \(json.kindName)")
    }
    do throws(EngineError) { try self.init(table: table) } catch { throw Self.mistake(error, in: source) }
  }

  /// A mistake in a file: its path in the place of the record's name.
  public static func mistake(_ error: EngineError, in path: String) -> EngineError {
    let name = recordName + ": "
    let words = error.message.hasPrefix(name) ? String(error.message.dropFirst(name.count)) : error.message
    return EngineError(.data, "\(path): \(words)", hint: error.hint)
  }

  /// The record as a JSON object, fields in their order; those without a value are left out.
  public var json: JSONObject {
    var object = JSONObject()
    for field in Self.fields {
      let value = field.read(self)
      if case .null = value { continue }
      object[field.name] = value.json
    }
    return object
  }
}

extension JSONValue {
  /// The value as a record's field reads it.
  public var configValue: ConfigValue {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): .integer(value)
    case .double(let value): .number(value)
    case .string(let value): .text(value)
    case .array(let elements): .table(ConfigTable(list: elements.map(\.configValue), form: .list))
    case .object(let object):
      .table(
        ConfigTable(
          fields: Dictionary(object.members.map { ($0, $1.configValue) }, uniquingKeysWith: { $1 }), order: object.keys, form: .fields))
    }
  }
}

extension JSONValue: FieldValue {
  public static var typeName: String { "any" }
  public static var expected: String { "numbers, texts, booleans and tables of them" }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> JSONValue {
    do throws(EngineError) { return try value.json(at: "") } catch { throw ValueMismatch(expected: expected, found: value.briefly) }
  }
}

extension ConfigValue {
  /// The value as JSON, names in their order; what JSON has no words for is null.
  public var json: JSONValue {
    switch self {
    case .null, .object, .unusable: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .int(value)
    case .number(let value): return .double(value)
    case .text(let value): return .string(value)
    case .table(let table):
      let isList = !table.list.isEmpty || table.fields.isEmpty
      if table.form.map({ $0 == .list }) ?? isList { return .array(table.list.map(\.json)) }
      return .object(JSONObject(table.names.map { ($0, table.fields[$0]?.json ?? .null) }))
    }
  }

  /// The same for a value of a script: a table that is a list and has names as well becomes an object. Throws, at `place`, for what
  /// JSON has no words for.
  public func json(at place: String) throws(EngineError) -> JSONValue {
    switch self {
    case .object, .unusable:
      throw EngineError(.argument, "\(place): a \(briefly) cannot be part of it: expected numbers, texts, booleans and tables of them")
    case .table(let table):
      var elements: [JSONValue] = []
      for element in table.list { elements.append(try element.json(at: place)) }
      if table.fields.isEmpty, table.form != .fields { return .array(elements) }
      var object = JSONObject()
      for name in table.names { object[name] = try table.fields[name]?.json(at: place) }
      for (i, element) in elements.enumerated() { object[String(i + 1)] = element }
      return .object(object)
    default: return json
    }
  }
}
