import Diagnostics
import Patterns

/// Values for some layers. A pattern is a regular expression that matches a layer's path, or the
/// end of it after a dot; the first that matches counts. PEFT's rule.
public struct LayerPattern<Value: Sendable & Equatable>: Sendable, Equatable {
  /// Patterns in the order in which they are tried.
  public let patterns: [String]
  /// The patterns' values.
  public let values: [Value]
  private let expressions: [RegularExpression]

  /// Matches no layer.
  public init() { (patterns, values, expressions) = ([], [], []) }

  /// Values for layers with these very paths.
  init(exactly layers: [(path: String, value: Value)]) throws {
    try self.init(layers.map { (RegularExpression.escaped($0.path), $0.value) }, kind: .argument)
  }

  private init(_ members: [(pattern: String, value: Value)], kind: EngineError.Kind) throws(EngineError) {
    var expressions: [RegularExpression] = []
    for member in members { expressions.append(try RegularExpression(endingPath: member.pattern, kind: kind)) }
    self.expressions = expressions
    patterns = members.map(\.pattern)
    values = members.map(\.value)
  }

  /// The value for a layer; nil where no pattern matches it.
  public subscript(path: String) -> Value? {
    expressions.firstIndex { $0.matchesWhole(path) }.map { values[$0] }
  }
}

extension RegularExpression {
  /// A pattern that matches a path, or the end of it after a dot.
  init(endingPath pattern: String, kind: EngineError.Kind = .argument) throws(EngineError) {
    // First alone: the message has to name what was written.
    _ = try RegularExpression(pattern, kind: kind)
    try self.init("(.*\\.)?(\(pattern))", kind: kind)
  }
}

extension LayerPattern: FieldValue where Value: FieldValue {
  public static var typeName: String { "table<string, \(Value.typeName)>" }
  public static var expected: String { "a table of patterns with \(Value.typeName)s" }
  public var configValue: ConfigValue {
    .table(ConfigTable(fields: Dictionary(zip(patterns, values.map(\.configValue)), uniquingKeysWith: { first, _ in first }), form: .fields))
  }

  /// Of a JSON object the first pattern that matches counts, as for PEFT. Of a table, which has no order, the longest one does; of
  /// patterns of one length the first by name.
  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> LayerPattern {
    guard case .table(let table) = value, table.list.isEmpty, table.form != .list else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    let patterns = table.order.isEmpty ? table.fields.keys.sorted { ($1.count, $0) < ($0.count, $1) } : table.order
    var members: [(pattern: String, value: Value)] = []
    for pattern in patterns {
      do throws(ValueMismatch) {
        members.append((pattern, try Value.decode(table.fields[pattern] ?? .null)))
      } catch {
        throw ValueMismatch(expected: error.expected, found: error.found, place: "['\(pattern)']" + error.place)
      }
    }
    do throws(EngineError) {
      return try LayerPattern(members, kind: .argument)
    } catch {
      throw ValueMismatch(expected: "regular expressions as names", found: error.message)
    }
  }

  /// "query=4,value=2".
  public static func decode(text: String) throws(ValueMismatch) -> LayerPattern {
    var table = ConfigTable()
    for part in text.split(separator: ",") {
      guard let equals = part.lastIndex(of: "="), equals > part.startIndex else {
        throw ValueMismatch(expected: "pattern=value, separated by commas", found: "'\(text)'")
      }
      let value = try Value.decode(text: String(part[part.index(after: equals)...]))
      table.fields[String(part[..<equals])] = value.configValue
    }
    return try decode(.table(table))
  }
}
