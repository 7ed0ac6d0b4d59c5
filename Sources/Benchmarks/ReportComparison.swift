import Diagnostics
import Files
import Pipelines

/// A benchmark's report beside an earlier one of the same benchmark: `--compare`.
public struct ReportComparison: Sendable {
  /// A measured number of both.
  public struct Line: Sendable, Equatable {
    public let name: String
    public let before, now: Double

    /// How many times the earlier one; nil where that was 0.
    public var ratio: Double? { before == 0 ? nil : now / before }
    var json: JSONValue { ratio.map { .double($0) } ?? .null }
  }

  /// Something that both were measured with, and that is not the same.
  public struct Difference: Sendable, Equatable {
    public let name: String
    public let before, now: String
  }

  public private(set) var lines: [Line] = []
  public private(set) var differences: [Difference] = []
  /// The earlier report's file.
  public let path: String

  /// Numbers that say what was done, and not how well.
  private static let facts: Set<String> = ["dropout"]
  /// Whole numbers that are measured.
  private static let measured: Set<String> = ["peak_rss_mb", "peak_tensor_mb"]
  /// Objects whose numbers follow from others.
  private static let derived: Set<String> = ["share_by_kind"]

  /// The earlier report in a file. Throws for a file that is none, and for one of another benchmark than `name`.
  public static func earlier(_ path: String, of name: String) throws -> JSONObject {
    guard let json = try JSONValue(file: path).objectValue, let found = json["benchmark"]?.stringValue else {
      throw EngineError(.data, "--compare \(path): it is no benchmark's report", hint: "write one with perigee bench \(name) --json > FILE")
    }
    guard found == name else {
      throw EngineError(.argument, "--compare \(path): it is a report of 'bench \(found)', this is 'bench \(name)'")
    }
    return json
  }

  public init(_ now: JSONObject, beside before: JSONObject, path: String) {
    self.path = path
    let earlier = Dictionary(Self.leaves(.object(before), ""), uniquingKeysWith: { first, _ in first })
    for (name, value) in Self.leaves(.object(now), "") {
      let other = earlier[name]
      if Self.isMeasured(name, value) {
        if let now = value.doubleValue, let before = other?.doubleValue { lines.append(Line(name: name, before: before, now: now)) }
      } else if other != value, other?.doubleValue == nil || other?.doubleValue != value.doubleValue {
        differences.append(Difference(name: name, before: other.map(Self.text) ?? "nothing", now: Self.text(value)))
      }
    }
  }

  private static func isMeasured(_ name: String, _ value: JSONValue) -> Bool {
    let last = String(name.split(separator: ".").last ?? "")
    guard case .double = value else { return measured.contains(last) }
    return !facts.contains(last)
  }

  private static func text(_ value: JSONValue) -> String { value.stringValue ?? value.encoded(.line) }

  /// Numbers, texts and flags by their path. Items of a list are told apart by their name, shape and precision; lists of anything else are
  /// one text.
  private static func leaves(_ value: JSONValue, _ path: String) -> [(String, JSONValue)] {
    func below(_ name: String) -> String { path.isEmpty ? name : path + "." + name }
    switch value {
    case .object(let object):
      return object.members.flatMap { key, value in derived.contains(key) ? [] : leaves(value, below(key)) }
    case .array(let items):
      let objects = items.compactMap(\.objectValue)
      guard objects.count == items.count, !items.isEmpty else {
        return items.contains { $0.stringValue != nil } ? [(path, .string(items.compactMap(\.stringValue).joined(separator: " ")))] : []
      }
      return objects.flatMap { item in
        let labels = ["name", "shape", "precision"]
        let name = labels.compactMap { item[$0]?.stringValue }.joined(separator: " ")
        return item.members.flatMap { key, value in labels.contains(key) ? [] : leaves(value, below(name) + "." + key) }
      }
    case .null: return []
    default: return [(path, value)]
    }
  }

  var json: JSONValue {
    var (ratios, others) = (JSONObject(), JSONObject())
    for line in lines { ratios[line.name] = line.json }
    for difference in differences { others[difference.name] = ["before": .string(difference.before), "now": .string(difference.now)] }
    return ["file": .string(path), "ratios": .object(ratios), "differences": .object(others)]
  }
}

extension BenchmarkReport {
  /// Adds how the numbers stand beside those of an earlier report, and what else differs between the two.
  public mutating func compare(with earlier: JSONObject, path: String) {
    let comparison = ReportComparison(json, beside: earlier, path: path)
    add(["compared_with": comparison.json])
    if !comparison.differences.isEmpty {
      add(
        Table(
          columns: ["what differs", "before", "now"],
          rows: comparison.differences.map { [.string($0.name), .string($0.before), .string($0.now)] }),
        title: "warning: the two were not measured in the same way, so ratios may compare different things")
    }
    add(
      Table(
        columns: ["measured", .init("before", decimals: 4), .init("now", decimals: 4), .init("now / before", decimals: 3)],
        rows: comparison.lines.map { [.string($0.name), .double($0.before), .double($0.now), $0.json] }),
      title: "beside \(path)")
  }
}
