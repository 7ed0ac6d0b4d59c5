import Checkpoints
import Diagnostics
import Files
import NN
import Patterns
import TensorCore

/// A linear adapter whose update is a product of two factors, `scaling * B A`: it can be written as
/// a plain LoRA.
public protocol LowRankUpdate: SummedAdapter {
  /// s.
  var scaling: Double { get }
  /// A: [r, in], and B: [out, r], of the equal plain LoRA.
  func loraFactors() throws -> (a: Tensor, b: Tensor)
  /// The same over the pre-trained weight, where training changed the layer's own. Default: `loraFactors()`.
  func exportFactors() throws -> (a: Tensor, b: Tensor)
}

extension LowRankUpdate {
  public func deltaWeight() throws -> Tensor {
    let (a, b) = try loraFactors()
    return try Tensor.zeros([b.rows, a.columns]).addingProduct(b, a, scale: scaling)
  }

  public func exportFactors() throws -> (a: Tensor, b: Tensor) { try loraFactors() }
}

/// A linear adapter with a rank and a scale that may differ between layers; folders list them as PEFT does.
public protocol RankedAdapter: LinearAdapter {
  /// r.
  var rank: Int { get }
  /// s: `lora_alpha` over r, or over its root.
  var scaling: Double { get }
}

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

  /// Reads the object under `key`; a missing one matches no layer. Throws `EngineError` for
  /// anything else, with what was `expected`, and for a pattern that is no regular expression.
  init(
    _ config: HuggingFaceConfig, _ key: String, _ expected: String, _ convert: (JSONValue) -> Value?
  ) throws {
    let json = config[key] ?? .object([:])
    let members = json.objectValue.map { Array($0.members) } ?? []
    let values = members.compactMap { convert($0.1) }
    guard json.objectValue != nil, values.count == members.count else {
      throw EngineError(
        .data, "\(config.path): \(key): expected an object of \(expected), given \(json.excerpt())")
    }
    do {
      try self.init(Array(zip(members.map(\.0), values)), kind: .data)
    } catch {
      throw error.at("\(config.path): \(key)")
    }
  }

  /// The object that the other initialiser reads.
  func json(_ convert: (Value) -> JSONValue) -> JSONValue {
    .object(JSONObject(zip(patterns, values).map { ($0, convert($1)) }))
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

extension LayerPattern<Int> {
  /// `rank_pattern` and `alpha_pattern` of a folder.
  static func ranksAndAlphas(_ config: HuggingFaceConfig) throws -> (LayerPattern<Int>, LayerPattern<Double>) {
    (
      try LayerPattern<Int>(config, "rank_pattern", "ranks of at least 1") { $0.intValue.flatMap { $0 >= 1 ? $0 : nil } },
      try LayerPattern<Double>(config, "alpha_pattern", "numbers of at least 0") {
        $0.doubleValue.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
      }
    )
  }
}

extension LayerPattern: FieldValue where Value: FieldValue {
  public static var typeName: String { "table<string, \(Value.typeName)>" }
  public static var expected: String { "a table of patterns with \(Value.typeName)s" }
  public var configValue: ConfigValue {
    .table(ConfigTable(fields: Dictionary(zip(patterns, values.map(\.configValue)), uniquingKeysWith: { first, _ in first })))
  }

  /// Of a table, which has no order, the longest pattern that matches counts; of patterns of one length the first by name.
  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> LayerPattern {
    guard case .table(let table) = value, table.list.isEmpty else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    let patterns = table.fields.keys.sorted { ($1.count, $0) < ($0.count, $1) }
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
