import Diagnostics
import Files

/// One parameter that a pipeline declares. Its default gives its type.
public struct Parameter: Sendable {
  /// What a value may be, inferred from the default.
  public enum Kind: String, Sendable {
    case boolean = "true or false"
    case integer = "an integer"
    case number = "a number"
    case string = "a string"
    case list = "a list"

    var plural: String {
      switch self {
      case .boolean: "true or false"
      case .integer: "integers"
      case .number: "numbers"
      case .string: "strings"
      case .list: "lists"
      }
    }
  }

  public let name: String
  public let defaultValue: JSONValue
  public let doc: String?
  /// Bounds of a number, both included; for a list, of its elements.
  public let minimum: Double?
  public let maximum: Double?
  /// The allowed values; for a list, of its elements. Nil allows all.
  public let choices: [JSONValue]?
  public let kind: Kind
  /// The kind of a list's elements; nil for an empty default list, whose elements are anything.
  let elementKind: Kind?

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
    guard let kind = Self.kind(of: value) else {
      throw EngineError(
        .argument,
        "parameter '\(name)': expected a boolean, number, string or list as default, "
          + "given \(value.kindName)")
    }
    self.name = name
    self.kind = kind
    self.doc = doc
    self.minimum = minimum
    self.maximum = maximum
    self.choices = choices
    // A list of 1 and 2.5 is a list of numbers.
    let elementKinds = Set((value.arrayValue ?? []).map { Self.kind(of: $0) })
    if elementKinds == [.integer, .number] {
      elementKind = .number
    } else {
      if elementKinds.count > 1 || elementKinds.contains(nil) || elementKinds.contains(.list) {
        throw EngineError(
          .argument, "parameter '\(name)': the elements of a list must be of one simple type")
      }
      elementKind = elementKinds.first ?? nil
    }
    defaultValue = value
    if let mistake = mistake(in: value) {
      throw EngineError(.argument, "parameter '\(name)': its default: \(mistake)")
    }
  }

  /// "an integer of at least 1", for messages and help.
  public var expectation: String {
    var text = kind == .list ? "a comma-separated list" : kind.rawValue
    if let element = elementKind, kind == .list {
      text += " of " + element.plural
    }
    func number(_ value: Double) -> String { JSONValue.double(value).number }
    switch (minimum, maximum) {
    case (let low?, let high?): text += " from \(number(low)) to \(number(high))"
    case (let low?, nil): text += " of at least \(number(low))"
    case (nil, let high?): text += " of at most \(number(high))"
    case (nil, nil): break
    }
    if let choices { text += ", one of " + choices.map(\.word).joined(separator: ", ") }
    return text
  }

  /// The value that a user's text stands for; nil if it is none of this kind.
  func parse(_ text: String) -> JSONValue? {
    if kind == .list { return parseList(text) }
    return Self.parse(text, as: kind)
  }

  private func parseList(_ text: String) -> JSONValue? {
    if text.hasPrefix("[") {
      guard let value = try? JSONValue(parsing: text, source: name) else { return nil }
      guard let elements = value.arrayValue else { return nil }
      let converted = elements.compactMap { element in
        elementKind.map { element.converted(to: $0) } ?? element
      }
      return converted.count == elements.count ? .array(converted) : nil
    }
    if text.isEmpty { return [] }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map {
      String($0.drop { $0 == " " })
    }
    let values = parts.compactMap { Self.parse($0, as: elementKind ?? .string) }
    return values.count == parts.count ? .array(values) : nil
  }

  private static func parse(_ text: String, as kind: Kind) -> JSONValue? {
    switch kind {
    case .boolean: text == "true" ? true : text == "false" ? false : nil
    case .integer:
      Int(text).map { .int($0) } ?? Double(text).flatMap { Int(exactly: $0) }.map { .int($0) }
    case .number: Double(text).flatMap { $0.isNaN ? nil : .double($0) }
    case .string: .string(text)
    case .list: nil
    }
  }

  /// What is wrong with a value of the right kind; nil if nothing is.
  func mistake(in value: JSONValue) -> String? {
    for element in value.arrayValue ?? [value] {
      if let number = element.doubleValue {
        if number.isNaN || number < minimum ?? -.infinity || number > maximum ?? .infinity {
          return "expected \(expectation), given \(element.number)"
        }
      }
      if let choices, !choices.contains(element) {
        let near = element.stringValue.flatMap {
          nearestName(to: $0, among: choices.compactMap(\.stringValue))
        }
        return "expected \(expectation), given \(element.word)"
          + (near.map { "; did you mean '\($0)'?" } ?? "")
      }
    }
    return nil
  }

  static func kind(of value: JSONValue) -> Kind? {
    switch value {
    case .bool: .boolean
    case .int: .integer
    case .double: .number
    case .string: .string
    case .array: .list
    case .null, .object: nil
    }
  }
}

/// The parameters that a pipeline declares, and their values for one run.
public struct ParameterSet: Sendable {
  public let parameters: [Parameter]

  /// Throws `EngineError` (`.argument`) for two parameters of one name.
  public init(_ parameters: [Parameter]) throws {
    var names: Set<String> = []
    for parameter in parameters where !names.insert(parameter.name).inserted {
      throw EngineError(.argument, "parameter '\(parameter.name)' is declared twice")
    }
    self.parameters = parameters
  }

  /// The value of every parameter, in order of declaration.
  ///
  /// - Parameters:
  ///   - settings: the `name=value` of each `--set`; the last one of a name wins. Lists are written
  ///     `a,b,c`, or as JSON where an element holds a comma.
  ///   - stored: values of an earlier run (its `params.json`), used in place of defaults.
  ///
  /// Throws one `EngineError` (`.argument`) that lists every mistake.
  public func resolve(
    settings: [String] = [], over stored: JSONObject = JSONObject()
  ) throws -> JSONObject {
    var mistakes: [String] = []
    var values = JSONObject()
    for parameter in parameters {
      values[parameter.name] = parameter.defaultValue
      guard let value = stored[parameter.name] else { continue }
      if let converted = value.converted(to: parameter.kind),
        parameter.mistake(in: converted) == nil
      {
        values[parameter.name] = converted
      } else {
        mistakes.append(
          "stored \(parameter.name): expected \(parameter.expectation), given \(value.excerpt())")
      }
    }
    for setting in settings {
      try FilePath.requireNoNUL(setting, "--set")
      guard let equals = setting.firstIndex(of: "="), equals > setting.startIndex else {
        mistakes.append("--set \(setting): expected name=value")
        continue
      }
      let name = String(setting[..<equals])
      let text = String(setting[setting.index(after: equals)...])
      guard let parameter = parameters.first(where: { $0.name == name }) else {
        let hint = suggestion(for: name, among: parameters.map(\.name))
        let none = parameters.isEmpty ? "the script declares none" : nil
        mistakes.append(
          "--set \(setting): no parameter '\(name)'" + ((hint ?? none).map { "; \($0)" } ?? ""))
        continue
      }
      guard let value = parameter.parse(text) else {
        mistakes.append("--set \(setting): expected \(parameter.expectation), given '\(text)'")
        continue
      }
      if let mistake = parameter.mistake(in: value) {
        mistakes.append("--set \(setting): \(mistake)")
      } else {
        values[name] = value
      }
    }
    if mistakes.count == 1 { throw EngineError(.argument, mistakes[0]) }
    if !mistakes.isEmpty {
      throw EngineError(
        .argument, "\(mistakes.count) mistakes: " + mistakes.joined(separator: " | "))
    }
    return values
  }

  /// The value of every parameter, where `given` names some and the others keep their defaults. Throws `EngineError`
  /// (`.argument`) for the first that does not fit; messages begin with `place`.
  public func resolve(given: JSONObject, place: String) throws -> JSONObject {
    var values = JSONObject()
    for parameter in parameters { values[parameter.name] = parameter.defaultValue }
    for (name, value) in given.members {
      guard let parameter = parameters.first(where: { $0.name == name }) else {
        throw EngineError(
          .argument, "\(place): unknown field '\(name)'", hint: suggestion(for: name, among: parameters.map(\.name)))
      }
      guard let converted = value.converted(to: parameter.kind) else {
        throw EngineError(.argument, "\(place): '\(name)' must be \(parameter.expectation), given \(value.excerpt())")
      }
      if let mistake = parameter.mistake(in: converted) { throw EngineError(.argument, "\(place): '\(name)': \(mistake)") }
      values[name] = converted
    }
    return values
  }

  /// The values in a `params.json`. Throws `EngineError` (`.data`), which begins with `source`, for what no parameter can be.
  static func values(_ json: JSONValue, source: String) throws -> JSONObject {
    guard let object = json.objectValue else {
      throw EngineError(.data, "\(source): expected an object, found \(json.kindName)")
    }
    for (name, value) in object.members {
      let simple = (value.arrayValue ?? [value]).allSatisfy { element in
        switch element {
        case .null, .array, .object: false
        case .bool, .int, .double, .string: true
        }
      }
      guard simple else {
        throw EngineError(
          .data, "\(source): '\(name)' must be a boolean, a number, a string or a list of these, got \(value.excerpt())")
      }
    }
    return object
  }

  /// A table of names, defaults, expectations and docs for help; with the values of a run, if they are given.
  public func table(values: JSONObject? = nil) -> Table {
    var columns: [Table.Column] = ["parameter", "value", "default", "type", "what"]
    if values == nil { columns.remove(at: 1) }
    return Table(
      columns: columns,
      rows: parameters.map { parameter in
        var words = [parameter.name]
        if let values { words.append(values[parameter.name]?.word ?? "") }
        words += [parameter.defaultValue.word, parameter.expectation, parameter.doc ?? ""]
        return words.map { JSONValue.string($0) }
      })
  }
}

extension JSONValue {
  /// A string without quotes, a list as `a,b`, all else as JSON: how a user writes it.
  var word: String {
    switch self {
    case .string(let text): text
    case .array(let elements): elements.map(\.word).joined(separator: ",")
    default: number
    }
  }

  /// A number without a needless `.0`.
  var number: String {
    let text = encoded(.canonical)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// The same value as `kind`: an integer can serve as a number, and `2.0` as an integer.
  func converted(to kind: Parameter.Kind) -> JSONValue? {
    switch kind {
    case .integer: intValue.map { .int($0) }
    case .number: doubleValue.map { .double($0) }
    default: Parameter.kind(of: self) == kind ? self : nil
    }
  }
}
