/// A value that does not fit: what was expected and what came, without the place.
public struct ValueMismatch: Error, Equatable {
  /// "an integer", "a list of strings".
  public let expected: String
  /// "'abc'", "a table".
  public let found: String
  /// Where inside the value: "[2]", ".name"; empty for the value itself.
  public let place: String
  /// Set if the value itself reports what is wrong with it, instead of expected and found.
  public let report: EngineError?

  public init(expected: String, found: String, place: String = "", report: EngineError? = nil) {
    self.expected = expected
    self.found = found
    self.place = place
    self.report = report
  }

  func inside(_ outer: String) -> ValueMismatch {
    ValueMismatch(expected: expected, found: found, place: outer + place, report: report)
  }
}

/// A type that a field of a record can have.
///
/// Conversions are strict: no text where a number is wanted, no 1.5 where an integer is.
public protocol FieldValue: SendableMetatype {
  /// The type in stubs: "integer", "string[]".
  static var typeName: String { get }
  /// With its article, for messages: "an integer".
  static var expected: String { get }
  /// The names that are allowed, for a choice.
  static var choices: [String]? { get }
  /// The fields, for a nested record.
  static var nestedRecord: (any Record.Type)? { get }

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Self
  /// From text on a command line.
  static func decode(text: String) throws(ValueMismatch) -> Self
  /// The value to write to JSON, or to show as the default.
  var configValue: ConfigValue { get }
}

extension FieldValue {
  public static var choices: [String]? { nil }
  public static var nestedRecord: (any Record.Type)? { nil }

  public static func decode(text: String) throws(ValueMismatch) -> Self {
    try decode(.text(text))
  }

  static func mismatch(_ value: ConfigValue) -> ValueMismatch {
    ValueMismatch(expected: expected, found: value.briefly)
  }
}

extension Int: FieldValue {
  public static var typeName: String { "integer" }
  public static var expected: String { "an integer" }
  public var configValue: ConfigValue { .integer(self) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Int {
    switch value {
    case .integer(let whole): return whole
    case .number(let number): if let whole = Int(exactly: number) { return whole }
    default: break
    }
    throw mismatch(value)
  }

  public static func decode(text: String) throws(ValueMismatch) -> Int {
    if let whole = Int(text) { return whole }
    return try decode(Double(text).map { .number($0) } ?? .text(text))
  }
}

extension Double: FieldValue {
  public static var typeName: String { "number" }
  public static var expected: String { "a number" }
  public var configValue: ConfigValue { .number(self) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Double {
    switch value {
    case .integer(let whole): return Double(whole)
    case .number(let number):
      guard number.isFinite else { throw ValueMismatch(expected: "a finite number", found: value.briefly) }
      return number
    default: throw mismatch(value)
    }
  }

  public static func decode(text: String) throws(ValueMismatch) -> Double {
    guard let number = Double(text) else { throw mismatch(.text(text)) }
    return try decode(.number(number))
  }
}

extension Float: FieldValue {
  public static var typeName: String { "number" }
  public static var expected: String { "a number" }
  public var configValue: ConfigValue { .number(Double(self)) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Float {
    Float(try Double.decode(value))
  }

  public static func decode(text: String) throws(ValueMismatch) -> Float {
    Float(try Double.decode(text: text))
  }
}

extension Bool: FieldValue {
  public static var typeName: String { "boolean" }
  public static var expected: String { "true or false" }
  public var configValue: ConfigValue { .bool(self) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Bool {
    guard case .bool(let answer) = value else { throw mismatch(value) }
    return answer
  }

  public static func decode(text: String) throws(ValueMismatch) -> Bool {
    guard let answer = Bool(text) else { throw mismatch(.text(text)) }
    return answer
  }
}

extension String: FieldValue {
  public static var typeName: String { "string" }
  public static var expected: String { "a string" }
  public var configValue: ConfigValue { .text(self) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> String {
    guard case .text(let text) = value else { throw mismatch(value) }
    return text
  }
}

extension Array: FieldValue where Element: FieldValue {
  public static var typeName: String { "\(Element.typeName)[]" }
  public static var expected: String { "a list of \(plural(Element.typeName))" }
  public static var choices: [String]? { Element.choices }
  public static var nestedRecord: (any Record.Type)? { Element.nestedRecord }
  public var configValue: ConfigValue { .table(ConfigTable(list: map(\.configValue))) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> [Element] {
    guard case .table(let table) = value, table.fields.isEmpty, table.form != .fields else { throw mismatch(value) }
    var result: [Element] = []
    result.reserveCapacity(table.list.count)
    for (index, item) in table.list.enumerated() {
      do throws(ValueMismatch) {
        result.append(try Element.decode(item))
      } catch {
        throw error.inside("[\(index + 1)]")
      }
    }
    return result
  }

  /// Items separated by commas; the empty text is the empty list.
  public static func decode(text: String) throws(ValueMismatch) -> [Element] {
    var result: [Element] = []
    for (index, item) in text.split(separator: ",", omittingEmptySubsequences: text.isEmpty).enumerated() {
      do throws(ValueMismatch) {
        result.append(try Element.decode(text: String(item.drop(while: \.isWhitespace))))
      } catch {
        throw error.inside("[\(index + 1)]")
      }
    }
    return result
  }
}

extension Dictionary: FieldValue where Key == String, Value: FieldValue {
  public static var typeName: String { "table<string, \(Value.typeName)>" }
  public static var expected: String { "a table from names to \(plural(Value.typeName))" }
  public var configValue: ConfigValue { .table(ConfigTable(fields: mapValues(\.configValue), form: .fields)) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> [String: Value] {
    guard case .table(let table) = value, table.list.isEmpty, table.form != .list else { throw mismatch(value) }
    var result: [String: Value] = [:]
    for (name, item) in table.fields {
      do throws(ValueMismatch) {
        result[name] = try Value.decode(item)
      } catch {
        throw error.inside(".\(name)")
      }
    }
    return result
  }
}

extension Optional: FieldValue where Wrapped: FieldValue {
  public static var typeName: String { Wrapped.typeName }
  public static var expected: String { Wrapped.expected }
  public static var choices: [String]? { Wrapped.choices }
  public static var nestedRecord: (any Record.Type)? { Wrapped.nestedRecord }
  public var configValue: ConfigValue { map(\.configValue) ?? .null }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Wrapped? {
    if case .null = value { return nil }
    return try Wrapped.decode(value)
  }

  public static func decode(text: String) throws(ValueMismatch) -> Wrapped? {
    text == "none" ? nil : try Wrapped.decode(text: text)
  }
}

/// A field with a few named values: a `String` enum with its cases in order.
public protocol FieldChoice: FieldValue, RawRepresentable, CaseIterable, Sendable
where RawValue == String {}

extension FieldChoice {
  public static var typeName: String { String(describing: Self.self) }
  public static var choices: [String]? { allCases.map(\.rawValue) }
  public static var expected: String {
    "one of " + allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
  }
  public var configValue: ConfigValue { .text(rawValue) }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Self {
    guard case .text(let text) = value else { throw mismatch(value) }
    if let choice = Self(rawValue: text) { return choice }
    let near = nearestName(to: text, among: allCases.map(\.rawValue))
    throw ValueMismatch(
      expected: expected, found: value.briefly + (near.map { "; did you mean '\($0)'?" } ?? ""))
  }
}

private func plural(_ typeName: String) -> String { typeName + "s" }
