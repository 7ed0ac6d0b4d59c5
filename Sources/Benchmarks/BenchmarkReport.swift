import Engine
import Files
import Pipelines
import TensorCore

/// What a benchmark found, as data and as tables.
public struct BenchmarkReport {
  /// Everything, for `--json`. Numbers are not rounded.
  public private(set) var json: JSONObject
  private var tables: [(title: String?, table: Table)] = []

  /// `name`: the benchmark's.
  init(_ name: String) {
    json = [
      "benchmark": .string(name), "engine": .string("perigee \(EngineSetup.version)"), "threads": .int(Threads.count),
      "onednn": .bool(Precision.hasOneDNN), "host": .object(HostFacts.current().json),
    ]
  }

  /// Adds members to the data alone.
  mutating func add(_ members: JSONObject) {
    for (key, value) in members.members { json[key] = value }
  }

  /// Adds a table to the text alone.
  mutating func add(_ table: Table, title: String? = nil) { tables.append((title, table)) }

  /// Adds a table of members with these names to the text alone.
  mutating func add(values: JSONObject, _ names: [String]) {
    add(Table(columns: ["measured", "value"], rows: names.map { [.string($0), Self.text(values[$0] ?? .null)] }))
  }

  /// A cell of a column in which texts and numbers stand together.
  private static func text(_ value: JSONValue) -> JSONValue {
    switch value {
    case .double(let number): .string(numberText(number))
    case .string, .null: value
    default: .string(value.encoded(.ordered))
    }
  }

  /// The tables, with an empty line between them.
  public var text: String {
    tables.map { entry in (entry.title.map { $0 + "\n" } ?? "") + entry.table.text() }.joined(separator: "\n")
  }
}

extension BenchmarkReport {
  /// Adds where the time went: a table, and `time`, an object of seconds by kind of work.
  ///
  /// - Parameters:
  ///   - count: how many of `what` (steps, layers) the profile covers; the table is for one.
  ///   - utilisation: of the same profile: adds how near each kind comes to its limit, and which one loses most.
  mutating func add(_ profile: Profile, per what: String, count: Int, _ utilisation: Utilisation? = nil) {
    let each = 1 / Double(max(1, count))
    var rows: [[JSONValue]] = []
    var seconds = JSONObject()
    var shares = JSONObject()
    func add(_ name: String, _ spent: Double, calls: JSONValue = .null, operations: Double = 0) {
      let share = profile.seconds > 0 ? spent / profile.seconds : 0
      seconds[name] = .double(spent)
      shares[name] = .double(share)
      let speed: JSONValue = operations > 0 ? .double(operations / spent / 1e9) : .null
      var row: [JSONValue] = [.string(name), .double(spent * each * 1e3), .double(share * 100), calls, speed]
      if let utilisation {
        let part = utilisation.parts.first { $0.name == name }
        row.append(part?.shareOfLimit.map { .double($0 * 100) } ?? .null)
      }
      rows.append(row)
    }
    let kinds = Profile.Kind.allCases.filter { profile[$0].calls > 0 }.sorted { profile[$0].seconds > profile[$1].seconds }
    for kind in kinds {
      let entry = profile[kind]
      add(
        kind.name, entry.seconds, calls: .int(Int((Double(entry.calls) * each).rounded())), operations: entry.operations)
    }
    add("outside kernels", max(0, profile.secondsOutside))
    var columns: [Table.Column] = [
      "kind of work", .init("ms per \(what)", decimals: 2), .init("% of time", decimals: 1), "calls", .init("GFLOP/s", decimals: 0),
    ]
    if utilisation != nil { columns.append(.init("% of limit", decimals: 0)) }
    self.add(Table(columns: columns, rows: rows))
    json["seconds_by_kind"] = .object(seconds)
    json["share_by_kind"] = .object(shares)
    json["profiled_seconds"] = .double(profile.seconds)
    let products = profile[.products]
    if let utilisation { self.add(utilisation, per: what, count: count) }
    json["product_gflop_per_s"] = products.seconds > 0 ? .double(products.operations / products.seconds / 1e9) : .null
  }

  private mutating func add(_ utilisation: Utilisation, per what: String, count: Int) {
    func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
    let values: JSONObject = [
      "gflop_per_\(what)": .double(utilisation.operations / Double(max(1, count)) / 1e9),
      "gflop_per_s": .double(utilisation.seconds > 0 ? utilisation.operations / utilisation.seconds / 1e9 : 0),
      "peak_gflop_per_s": number(utilisation.peak.map { $0 / 1e9 }), "copy_gb_per_s": .double(utilisation.copyBandwidth / 1e9),
      "model_flops_utilisation": number(utilisation.modelFLOPs),
      "slowest_part": utilisation.slowest.map { .string(utilisation.summary($0, per: what, count: count)) } ?? .null,
    ]
    add(values)
    var shares = JSONObject()
    for part in utilisation.parts { if let share = part.shareOfLimit { shares[part.name] = .double(share) } }
    json["share_of_limit_by_kind"] = .object(shares)
    add(values: values, values.keys)
  }
}
