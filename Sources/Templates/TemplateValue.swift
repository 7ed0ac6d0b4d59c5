import Files

/// What a template computes with: Python's values.
enum TemplateValue {
  /// Nothing has this name; with what a use of it would say.
  case undefined(String)
  case none
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case list([TemplateValue])
  case tuple([TemplateValue])
  case dict(Members)
  case namespace(Namespace)
  case function(Function)

  /// A dict's members in their order. Keys are compared byte by byte.
  struct Members {
    private(set) var keys: [String] = []
    private(set) var values: [TemplateValue] = []

    init() {}

    init(_ members: some Sequence<(String, TemplateValue)>) {
      for (key, value) in members { self[key] = value }
    }

    var pairs: Zip2Sequence<[String], [TemplateValue]> { zip(keys, values) }

    subscript(key: String) -> TemplateValue? {
      get { keys.firstIndex { $0.isExactly(key) }.map { values[$0] } }
      set {
        guard let newValue else { return }
        if let place = keys.firstIndex(where: { $0.isExactly(key) }) {
          values[place] = newValue
        } else {
          keys.append(key)
          values.append(newValue)
        }
      }
    }
  }

  /// `namespace(...)`: the one value that changes.
  final class Namespace {
    var members: Members
    init(_ members: Members) { self.members = members }
  }

  /// What can be called.
  struct Function {
    let name: String
    let body: (TemplateRenderer, TemplateArguments) throws -> TemplateValue
  }

  init(_ json: JSONValue) {
    self =
      switch json {
      case .null: .none
      case .bool(let value): .bool(value)
      case .int(let value): .int(value)
      case .double(let value): .double(value)
      case .string(let value): .string(value)
      case .array(let values): .list(values.map(TemplateValue.init))
      case .object(let object): .dict(Members(object.members.map { ($0, TemplateValue($1)) }))
      }
  }
}

// MARK: What Python says of them

extension TemplateValue {
  /// The name of its type in Python.
  var typeName: String {
    switch self {
    case .undefined: "undefined value"
    case .none: "None"
    case .bool: "bool"
    case .int: "int"
    case .double: "float"
    case .string: "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dict: "dict"
    case .namespace: "namespace"
    case .function: "function"
    }
  }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .double(let value): value != 0
    case .string(let value): !value.isEmpty
    case .list(let values), .tuple(let values): !values.isEmpty
    case .dict(let members): !members.keys.isEmpty
    case .namespace, .function: true
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// What a template writes: `str(x)`.
  var text: String {
    switch self {
    case .undefined: ""
    case .string(let value): value
    default: python
    }
  }

  /// `repr(x)`
  private var python: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .int(let value): String(value)
    case .double(let value): Self.text(of: value)
    case .string(let value): Self.quoted(value)
    case .list(let values): "[" + values.map(\.python).joined(separator: ", ") + "]"
    case .tuple(let values): "(" + values.map(\.python).joined(separator: ", ") + (values.count == 1 ? ",)" : ")")
    case .dict(let members): "{" + members.pairs.map { "\(Self.quoted($0)): \($1.python)" }.joined(separator: ", ") + "}"
    case .namespace: "<Namespace>"
    case .function(let function): "<function \(function.name)>"
    }
  }

  private static func text(of value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    // Swift writes an exponent from 2^54 on, Python from 1e16.
    if value.magnitude < 1e16, let whole = Int(exactly: value), whole != 0 { return "\(whole).0" }
    return value.description
  }

  private static func quoted(_ text: String) -> String {
    let quote: Unicode.Scalar = text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
    var result = String(quote)
    for letter in text.unicodeScalars {
      switch letter {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\\", quote: result.unicodeScalars.append(contentsOf: ["\\", letter])
      default:
        let isPrintable: Bool =
          switch letter.properties.generalCategory {
          case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
          case .spaceSeparator: letter == " "
          default: true
          }
        let digits = String(letter.value, radix: 16)
        func escaped(_ sign: String, _ count: Int) -> String { "\\\(sign)" + String(repeating: "0", count: count - digits.count) + digits }
        if isPrintable {
          result.unicodeScalars.append(letter)
        } else {
          result += letter.value < 0x100 ? escaped("x", 2) : letter.value < 0x10000 ? escaped("u", 4) : escaped("U", 8)
        }
      }
    }
    return result + String(quote)
  }

  /// Python's `==`.
  static func areEqual(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)): return a.isExactly(b)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return a.count == b.count && zip(a, b).allSatisfy(areEqual)
    case (.dict(let a), .dict(let b)):
      return a.keys.count == b.keys.count && a.pairs.allSatisfy { key, value in b[key].map { areEqual(value, $0) } ?? false }
    case (.namespace(let a), .namespace(let b)): return a === b
    default:
      if let a = a.whole, let b = b.whole { return a == b }
      if let a = a.number, let b = b.number { return a == b }
      return false
    }
  }

  /// Python's `<`.
  static func isLess(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
    switch (a, b) {
    case (.string(let a), .string(let b)): return a.utf8.lexicographicallyPrecedes(b.utf8)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      guard let place = zip(a, b).enumerated().first(where: { !areEqual($1.0, $1.1) })?.offset else { return a.count < b.count }
      return try isLess(a[place], b[place])
    default:
      if let a = a.whole, let b = b.whole { return a < b }
      guard let x = a.number, let y = b.number else {
        throw TemplateMistake("'<' and its like do not compare \(a.described) with \(b.described)")
      }
      return x < y
    }
  }

  /// A whole number; booleans are 0 and 1.
  var whole: Int? {
    switch self {
    case .int(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  var number: Double? { if case .double(let value) = self { value } else { whole.map(Double.init) } }

  /// For messages: the type, or what is missing.
  var described: String { if case .undefined(let what) = self { what } else { "a value of type \(typeName)" } }

  /// What a loop goes through.
  func elements() throws -> [TemplateValue] {
    switch self {
    case .undefined: return []
    case .list(let values), .tuple(let values): return values
    case .dict(let members): return members.keys.map { .string($0) }
    case .string(let text): return text.unicodeScalars.map { .string(String($0)) }
    default: throw TemplateMistake("\(described) has no elements")
    }
  }
}

// MARK: JSON

extension TemplateValue {
  /// How `json.dumps` lays a value out.
  struct JSONStyle {
    var indent: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortsKeys = false
    var isASCII = false
  }

  /// As Transformers' filter `tojson` writes it: `json.dumps` with letters as they are.
  func json(_ style: JSONStyle, level: Int = 0) throws -> String {
    switch self {
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .int(let value): return String(value)
    case .double(let value):
      if !value.isFinite { return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity" }
      return Self.text(of: value)
    case .string(let value): return Self.jsonText(value, isASCII: style.isASCII)
    case .list(let values), .tuple(let values): return try Self.enclosed("[", values.map { try $0.json(style, level: level + 1) }, "]", style, level)
    case .dict(let members):
      var pairs = Array(members.pairs)
      if style.sortsKeys { pairs.sort { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) } }
      let lines = try pairs.map { key, value in
        Self.jsonText(key, isASCII: style.isASCII) + style.keySeparator + (try value.json(style, level: level + 1))
      }
      return Self.enclosed("{", lines, "}", style, level)
    case .undefined, .namespace, .function: throw TemplateMistake("\(described) is nothing that JSON has a word for")
    }
  }

  private static func enclosed(_ open: String, _ lines: [String], _ close: String, _ style: JSONStyle, _ level: Int) -> String {
    guard let indent = style.indent, !lines.isEmpty else { return open + lines.joined(separator: style.itemSeparator) + close }
    func lineStart(_ level: Int) -> String { "\n" + String(repeating: indent, count: level) }
    return open + lineStart(level + 1) + lines.joined(separator: style.itemSeparator + lineStart(level + 1)) + lineStart(level) + close
  }

  private static func jsonText(_ text: String, isASCII: Bool) -> String {
    let plain = JSONValue.string(text).encoded(.line)
    guard isASCII else { return plain }
    return plain.unicodeScalars.map { letter in
      if letter.value < 0x7F { return String(letter) }
      return String(letter).utf16.map { "\\u" + String(repeating: "0", count: 4 - String($0, radix: 16).count) + String($0, radix: 16) }.joined()
    }.joined()
  }
}

extension String {
  /// Whether the same letters stand in both; Swift's own comparison takes an accented letter in two forms for one.
  func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

/// What a function, a filter or a test is called with.
struct TemplateArguments {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []

  init(_ positional: [TemplateValue] = []) { self.positional = positional }

  /// The values of parameters in their order. Throws `TemplateMistake` for more, and for other names.
  func values(of parameters: [String], _ what: String) throws -> [TemplateValue?] {
    guard positional.count <= parameters.count else {
      throw TemplateMistake("\(what) takes at most \(parameters.count) values, got \(positional.count)")
    }
    var values: [TemplateValue?] = positional + Array(repeating: nil, count: parameters.count - positional.count)
    for (name, value) in named {
      guard let place = parameters.firstIndex(of: name) else { throw TemplateMistake("\(what) takes no value named '\(name)'") }
      guard values[place] == nil else { throw TemplateMistake("\(what) is given '\(name)' twice") }
      values[place] = value
    }
    return values
  }
}
