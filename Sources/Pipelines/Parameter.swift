import Diagnostics
import Files

/// One parameter that a pipeline declares. Its default gives its type; values are read and checked as fields of records are.
public struct Parameter: Sendable {
  public let name: String
  public let defaultValue: JSONValue
  public let doc: String?
  /// Bounds of a number, both included; for a list, of its elements.
  private let range: Bounds
  /// The allowed values; for a list, of its elements. Nil allows all.
  private let choices: [JSONValue]?
  private let type: any FieldValue.Type

  /// Throws `EngineError` (`.argument`) for a name that `--set` could not carry, a default that has
  /// no type (null, object), or one that its own bounds or choices exclude.
  public init(
    _ name: String, default value: JSONValue, doc: String? = nil, minimum: Double? = nil,
    maximum: Double? = nil, choices: [JSONValue]? = nil
  ) throws {
    let isWord = name.utf8.allSatisfy {
      let scalar = Character(Unicode.Scalar($0))
      return scalar.isASCII && (scalar.isLetter || scalar.isNumber || "_.-".contains(scalar))
    }
    guard isWord, name.first?.isLetter ?? false else {
      throw EngineError(
        .argument,
        "parameter '\(name)': a name is letters, digits, '_', '.', '-', and starts with "
          + "a letter")
    }
    (self.name, self.doc, self.choices) = (name, doc, choices)
    (range, defaultValue) = (Bounds(minimum: minimum, maximum: maximum), value)
    type = try Self.type(of: value, name)
    do throws(EngineError) { _ = try self.value(value.configValue) } catch { throw error.at("parameter '\(name)': its default") }
  }

  /// The same with what a table says about it: `doc`, `min`, `max`, `choices`.
  init(_ name: String, default value: JSONValue, described words: [String: ConfigValue]) throws {
    let known = ["doc", "min", "max", "choices"]
    if let unknown = words.keys.sorted().first(where: { !known.contains($0) }) {
      throw EngineError(.argument, "parameter '\(name)': unknown field '\(unknown)'", hint: suggestion(for: unknown, among: known))
    }
    func read<Value: FieldValue>(_ key: String, as type: Value.Type) throws -> Value? {
      do throws(ValueMismatch) { return try words[key].map { value throws(ValueMismatch) in try Value.decode(value) } } catch {
        throw EngineError(.argument, "parameter '\(name)': '\(key)' must be \(error.expected), got \(error.found)")
      }
    }
    try self.init(
      name, default: value, doc: read("doc", as: String.self), minimum: read("min", as: ParameterNumber.self)?.value,
      maximum: read("max", as: ParameterNumber.self)?.value,
      choices: read("choices", as: [SimpleValue].self)?.map { $0.configValue.json })
  }

  /// The type of a default value.
  private static func type(of value: JSONValue, _ name: String) throws -> any FieldValue.Type {
    guard let elements = value.arrayValue else {
      if let type = simpleType(of: value) { return type }
      throw EngineError(
        .argument, "parameter '\(name)': expected a boolean, number, string or list as default, given \(value.kindName)")
    }
    if elements.isEmpty { return [SimpleValue].self }
    let types = elements.map(simpleType)
    // A list of 1 and 2.5 is a list of numbers.
    if types.allSatisfy({ $0 == Int.self || $0 == ParameterNumber.self }), types.contains(where: { $0 == ParameterNumber.self }) {
      return [ParameterNumber].self
    }
    guard let type = types[0], types.allSatisfy({ $0 == type }) else {
      throw EngineError(.argument, "parameter '\(name)': the elements of a list must be of one simple type")
    }
    return list(of: type)
  }

  private static func simpleType(of value: JSONValue) -> (any FieldValue.Type)? {
    switch value {
    case .bool: Bool.self
    case .int: Int.self
    case .double: ParameterNumber.self
    case .string: String.self
    case .array, .null, .object: nil
    }
  }

  private static func list<Element: FieldValue>(of type: Element.Type) -> any FieldValue.Type { [Element].self }

  /// Whether values are numbers.
  public var isNumber: Bool { type == Int.self || type == ParameterNumber.self }

  /// "an integer from 1 to 64", for messages and help.
  public var expectation: String {
    let words = [type.expected, range.words].filter { !$0.isEmpty }.joined(separator: " ")
    return words + (choices.map { ", one of " + $0.map { "'\($0.word)'" }.joined(separator: ", ") } ?? "")
  }

  /// A value as the parameter's type. Throws what is wrong with it, naming the parameter.
  public func value(_ given: ConfigValue) throws(EngineError) -> JSONValue {
    try checked { () throws(ValueMismatch) in try type.decode(given).configValue.json }
  }

  /// The value that a user's text stands for: lists are `a,b,c`, or JSON where an element holds a comma.
  public func value(text: String) throws(EngineError) -> JSONValue {
    if defaultValue.arrayValue != nil, text.hasPrefix("["), let list = try? JSONValue(parsing: text, source: name) {
      return try value(list.configValue)
    }
    return try checked { () throws(ValueMismatch) in try type.decode(text: text).configValue.json }
  }

  /// Whether a text has several values between commas, each of which the parameter takes.
  func isSeveral(_ text: String) -> Bool {
    guard text.contains(","), let values = try? SettingGrid.values(text, at: name) else { return false }
    return values.allSatisfy { (try? value(text: $0)) != nil }
  }

  private func checked(_ decode: () throws(ValueMismatch) -> JSONValue) throws(EngineError) -> JSONValue {
    do throws(ValueMismatch) {
      let value = try decode()
      for element in value.arrayValue ?? [value] {
        if let number = element.doubleValue, !range.contains(number) { throw ValueMismatch(expected: expectation, found: element.number) }
        if let choices, !choices.contains(where: { $0.plain == element.plain }) {
          let near = element.stringValue.flatMap { nearestName(to: $0, among: choices.compactMap(\.stringValue)) }
          throw ValueMismatch(
            expected: expectation, found: element.configValue.briefly + (near.map { "; did you mean '\($0)'?" } ?? ""))
        }
      }
      return value
    } catch {
      let expected = error.place.isEmpty ? expectation : error.expected
      throw EngineError(.argument, "'\(name)\(error.place)' must be \(expected), got \(error.found)")
    }
  }
}

/// Bounds that a script gives.
private struct Bounds: ValueRange, Sendable {
  let minimum: Double?
  let maximum: Double?

  func contains(_ value: Double) -> Bool { value >= minimum ?? -.infinity && value <= maximum ?? .infinity }

  var words: String {
    switch (minimum, maximum) {
    case (let low?, let high?) where low <= high: (low...high).words
    case (let low?, let high?): "at least \(low) and at most \(high)"
    case (let low?, nil): (low...).words
    case (nil, let high?): (...high).words
    case (nil, nil): ""
    }
  }
}

/// A number, which may be infinite: a script's "without end".
private struct ParameterNumber: FieldValue {
  let value: Double
  static let typeName = "number"
  static let expected = "a number"
  var configValue: ConfigValue { .number(value) }

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> ParameterNumber {
    if case .number(let number) = value, number.isInfinite { return ParameterNumber(value: number) }
    return ParameterNumber(value: try Double.decode(value))
  }

  static func decode(text: String) throws(ValueMismatch) -> ParameterNumber {
    try decode(Double(text).map { .number($0) } ?? .text(text))
  }
}

/// An element of a list whose default is empty: anything but a list or a table; of a command line, text.
private struct SimpleValue: FieldValue {
  let configValue: ConfigValue
  static let typeName = "value"
  static let expected = "a number, a string, true or false"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> SimpleValue {
    switch value {
    case .bool, .integer, .number, .text: return SimpleValue(configValue: value)
    case .null, .table, .object, .unusable: throw ValueMismatch(expected: expected, found: value.briefly)
    }
  }
}
