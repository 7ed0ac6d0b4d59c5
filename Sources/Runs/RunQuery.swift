import Diagnostics
import Files

/// Which runs a list shows, and in which order.
public struct RunQuery {
  /// One condition: `r>8`, `status=finished`, `tags=paper`, `note~draft`.
  private struct Condition {
    let name: String
    let sign: String
    let value: String
  }

  private let conditions: [Condition]
  private let sort: (name: String, isDescending: Bool)?

  /// - Parameters:
  ///   - filters: conditions, all of which have to hold: a name, one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `~` (contains), and a value.
  ///   - sort: a name, with `-` in front for the largest first; nil: the newest first.
  ///
  /// Throws `EngineError` (`.argument`) for what is no condition.
  public init(filters: [String], sort: String?) throws {
    conditions = try filters.map { text in
      guard let match = text.wholeMatch(of: #/\s*([^=!<>~]*[^=!<>~\s])\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*/#) else {
        throw EngineError(
          .argument, "--filter '\(text)': expected a name, a sign and a value", hint: "such as accuracy>0.8, status=finished or note~draft")
      }
      return Condition(name: String(match.1), sign: String(match.2), value: String(match.3))
    }
    self.sort = sort.map { $0.hasPrefix("-") ? (String($0.dropFirst()), true) : ($0, false) }
  }

  /// Names that the user asked about: a list has a column for each.
  public var names: [String] {
    var seen: Set<String> = []
    return (conditions.map(\.name) + [sort?.name].compactMap(\.self)).filter { seen.insert($0).inserted }
  }

  /// Throws `EngineError` (`.argument`) for a name that none of the runs has.
  public func apply(_ runs: [RunSummary]) throws -> [RunSummary] {
    let known = runs.reduce(into: Set<String>()) { $0.formUnion($1.names) }
    for name in names where !runs.isEmpty && !known.contains(name) {
      throw EngineError(.argument, "no run has a parameter, metric or property '\(name)'", hint: suggestion(for: name, among: known.sorted()))
    }
    let found = runs.filter { run in conditions.allSatisfy { holds($0, run) } }
    guard let sort else { return found.sorted { (start($0), $0.path) > (start($1), $1.path) } }
    let keyed = found.map { ($0, $0.value(sort.name)) }
    // Runs without a value come last either way.
    let (with, without) = (keyed.filter { $0.1 != nil && $0.1 != .null }, keyed.filter { $0.1 == nil || $0.1 == .null })
    let ordered = with.sorted { a, b in
      let isLess = Self.isLess(a.1 ?? .null, b.1 ?? .null)
      let isGreater = Self.isLess(b.1 ?? .null, a.1 ?? .null)
      return isLess == isGreater ? a.0.path < b.0.path : sort.isDescending ? isGreater : isLess
    }
    return (ordered + without.sorted { $0.0.path < $1.0.path }).map(\.0)
  }

  private func start(_ run: RunSummary) -> String { run.facts["start"]?.stringValue ?? "" }

  /// Numbers as numbers, all else as text; NaN behind every number.
  private static func isLess(_ a: JSONValue, _ b: JSONValue) -> Bool {
    guard let x = a.doubleValue, let y = b.doubleValue else { return a.word < b.word }
    return y.isNaN ? !x.isNaN : x < y
  }

  /// What a run lacks is not equal, not different, and not larger than anything.
  private func holds(_ condition: Condition, _ run: RunSummary) -> Bool {
    guard let value = run.value(condition.name), value != .null else { return false }
    if let elements = value.arrayValue {
      let isThere = elements.contains { $0.word == condition.value }
      switch condition.sign {
      case "=": return isThere
      case "!=": return !isThere
      case "~": return elements.contains { $0.word.contains(condition.value) }
      default: return false
      }
    }
    if condition.sign == "~" { return value.word.contains(condition.value) }
    if let number = value.doubleValue, let other = Double(condition.value) { return Self.compare(number, condition.sign, other) }
    return Self.compare(value.word, condition.sign, condition.value)
  }

  private static func compare<Value: Comparable>(_ a: Value, _ sign: String, _ b: Value) -> Bool {
    switch sign {
    case "=": a == b
    case "!=": a != b
    case "<": a < b
    case "<=": a <= b
    case ">": a > b
    default: a >= b
    }
  }
}
