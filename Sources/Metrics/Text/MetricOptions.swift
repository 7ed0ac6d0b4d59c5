import Diagnostics
import Files

/// Options of metrics of texts by the metrics' names, such as `{ meteor = { tokenize = "coco" } }`.
public struct MetricOptions: FieldValue, Sendable {
  /// Those that have options, with these in effect.
  private var metrics: [String: Metric] = [:]

  /// No options: every metric has its defaults.
  public init() {}

  public static var typeName: String { "table<string, table>" }
  public static var expected: String { "a table from names of metrics to their options" }

  /// Throws for a name that is no metric of texts, and for options that the metric does not have.
  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> MetricOptions {
    guard case .table(let table) = value, table.list.isEmpty, table.form != .list else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    var result = MetricOptions()
    for (name, value) in table.fields.sorted(by: { $0.key < $1.key }) {
      guard case .table(let options) = value else {
        throw ValueMismatch(expected: "a table of options", found: value.briefly, place: ".\(name)")
      }
      do throws(EngineError) {
        result.metrics[name] = try MetricCatalogue.metric(named: name).with(options: options)
      } catch {
        throw ValueMismatch(expected: expected, found: value.briefly, place: ".\(name)", report: error)
      }
    }
    return result
  }

  /// The options that are not the metrics' defaults; null where there are none.
  public var configValue: ConfigValue {
    let changed = metrics.mapValues(\.changedOptions).filter { !$0.value.isEmpty }
    return changed.isEmpty ? .null : .table(ConfigTable(fields: changed.mapValues { .table(ConfigTable(fields: $0, form: .fields)) }, form: .fields))
  }

  /// The metrics that options are given for.
  public var names: [String] { metrics.keys.sorted() }

  /// The metric called `name`, with its options. Throws for a name that is no metric's.
  public func metric(named name: String) throws -> Metric { try metrics[name] ?? MetricCatalogue.metric(named: name) }
}

extension Metric {
  /// The metric with other options than its defaults. Throws for options that it does not have, and for a metric that reads no texts.
  func with(options: ConfigTable) throws(EngineError) -> Metric {
    func configured<Scorer: TextScorer>(_ scorer: Scorer) throws(EngineError) -> any TextScorer { try scorer.with(options: Scorer(table: options)) }
    return Metric(
      name: name, doc: doc, reference: reference, kind: kind, isBinary: isBinary, greaterIsBetter: greaterIsBetter,
      computation: .texts(try configured(requiredScorer())))
  }

  /// The options that are not the defaults.
  fileprivate var changedOptions: [String: ConfigValue] {
    func changed<Scorer: TextScorer>(_ scorer: Scorer) -> [String: ConfigValue] {
      let values = Scorer.fields.map { ($0.name, $0.read(scorer), $0.read(Scorer())) }
      return Dictionary(uniqueKeysWithValues: values.filter { $0.1.json != $0.2.json }.map { ($0.0, $0.1) })
    }
    return textScorer.map { changed($0) } ?? [:]
  }
}
