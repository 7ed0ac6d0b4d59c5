import Files
import Metrics
import Pipelines

/// What a report says of a sweep: a heat map, means with their spread, a table, and tests.
struct SweepSection {
  let sweep: Sweep

  private var metricName: String { EvaluationName.bare(sweep.metric) }

  func markup() -> [Markup] {
    let seeds = Set(sweep.points.flatMap { $0.trials.map(\.seed) }).count
    let trials = sweep.points.map(\.trials.count).reduce(0, +)
    let title = [sweep.title, "\(trials) trainings, \(sweep.points.count) points, \(seeds) \(seeds == 1 ? "seed" : "seeds")"]
    return [
      Page.heading(title.filter { !$0.isEmpty }.joined(separator: ": ")), Page.charts(heatmaps() + [means()]), table(), tests(),
    ]
  }

  private func mean(_ point: Sweep.Point) -> Double? {
    let values = point.values(sweep.metric)
    return values.isEmpty ? nil : Statistics.mean(values)
  }

  /// The means by the two factors with the most levels, once for each combination of the others.
  func maps() -> [(title: String, map: Heatmap)] {
    guard sweep.factors.count >= 2 else { return [] }
    let ranked = sweep.factors.indices.sorted { (-sweep.factors[$0].levels.count, $0) < (-sweep.factors[$1].levels.count, $1) }
    // Names are longer than numbers, and have more room at the side.
    let pair = ranked.prefix(2).sorted { Self.width(sweep.factors[$0].levels) > Self.width(sweep.factors[$1].levels) }
    let (down, across) = (pair[0], pair[1])
    var others = Named<Sweep.Point>()
    for point in sweep.points { others.append(point, to: sweep.name(of: point, without: [down, across])) }
    return others.all.prefix(6).map { name, points in
      let (rows, columns) = (sweep.factors[down].levels, sweep.factors[across].levels)
      let values = rows.map { row in
        columns.map { column in points.first { $0.levels[down] == row && $0.levels[across] == column }.flatMap(mean) }
      }
      let map = Heatmap(columns: columns, rows: rows, values: values, x: sweep.factors[across].name, y: sweep.factors[down].name, value: metricName)
      return ("Mean \(metricName)" + (name.isEmpty ? "" : ", \(name)"), map)
    }
  }

  private static func width(_ levels: [String]) -> Int { levels.map(\.count).max() ?? 0 }

  private func heatmaps() -> [Markup] { maps().map { $0.map.drawn().figure(title: $0.title) } }

  /// Lines over a factor of numbers, with a line for each combination of the others; else a bar for each point.
  private func means() -> Markup {
    let seeds = sweep.points.map(\.trials.count).max() ?? 1
    let title = "Mean \(metricName)" + (seeds > 1 ? " and standard deviation over seeds" : "")
    let numeric = sweep.factors.indices.filter { place in
      sweep.factors[place].levels.filter { $0 != Sweep.none }.allSatisfy { Double($0) != nil } && sweep.factors[place].levels.count > 2
    }
    guard let across = numeric.max(by: { sweep.factors[$0].levels.count < sweep.factors[$1].levels.count }) else { return bars(title) }
    var lines = Named<ChartPoint>()
    for point in sweep.points {
      guard let x = Double(point.levels[across]), let mean = mean(point) else { continue }
      let words = sweep.name(of: point) + ": " + numberText(mean)
      lines.append(
        ChartPoint(x: x, y: mean, spread: Statistics.spread(point.values(sweep.metric)), title: words), to: sweep.name(of: point, without: [across]))
    }
    let numbers = lines.all.flatMap(\.values).map(\.x)
    let isWide = (numbers.min() ?? 0) > 0 && (numbers.max() ?? 1) >= 4 * (numbers.min() ?? 1)
    let series = lines.all.enumerated().map { ChartSeries(name: $1.name, points: $1.values, style: $0) }
    let chart = LineChart(
      series, names: series.map(\.name), xScale: isWide ? .log : .linear, x: sweep.factors[across].name, y: metricName)
    return chart.drawn().figure(title: title)
  }

  private func bars(_ title: String) -> Markup {
    let points = sweep.points.compactMap { point in mean(point).map { (point, $0) } }.prefix(60)
    let bars = points.enumerated().map { place, pair in
      ChartPoint(x: Double(place), y: pair.1, spread: Statistics.spread(pair.0.values(sweep.metric)))
    }
    let names = points.map { pair in
      let name = sweep.name(of: pair.0)
      return name.isEmpty ? sweep.title : name
    }
    return BarChart(categories: names, series: [ChartSeries(name: "", points: bars, style: 0)], x: "", y: metricName).drawn().figure(title: title)
  }

  private func table() -> Markup {
    let others = sweep.metrics.dropFirst()
    var table = Pipelines.Table(
      columns: sweep.factors.map { .init($0.name) } + ["seeds", .init(metricName), "spread", "lowest", "highest"]
        + others.map { .init(EvaluationName.bare($0)) })
    for point in sweep.points {
      let values = point.values(sweep.metric)
      let numbers: [JSONValue] = [mean(point), Statistics.spread(values), values.min(), values.max()].map { $0.map { .double($0) } ?? .null }
      let more = others.map { name in JSONValue.double(Statistics.mean(point.values(name))) }
      table.append(point.levels.map(Self.cell) + [.int(point.trials.count)] + numbers + more)
    }
    return Page.table(table, title: "Means over seeds; spread is the sample standard deviation")
  }

  private static func cell(_ level: String) -> JSONValue { Int(level).map { .int($0) } ?? Double(level).map { .double($0) } ?? .string(level) }

  private func tests() -> Markup {
    let comparisons = sweep.comparisons
    guard let best = sweep.best, !comparisons.isEmpty else { return .empty }
    var table = Pipelines.Table(columns: [
      "against", "seeds", "mean difference", .init("t", decimals: 2), .init("p", decimals: 3), .init("p, corrected", decimals: 3),
    ])
    for comparison in comparisons {
      let test = comparison.test
      table.append([
        .string(sweep.name(of: comparison.other)), .int(test.count), .double(test.mean), test.t.map { .double($0) } ?? .null, Self.shown(test.p),
        Self.shown(comparison.corrected),
      ])
    }
    let title =
      "The best mean, \(sweep.name(of: best)), against the others: paired t-tests over the seeds that both have; p is corrected for \(comparisons.count == 1 ? "one comparison" : "\(comparisons.count) comparisons") by Holm's method. Differences that are all equal have no t"
    return Page.table(table, title: title)
  }

  /// Thousandths are what a handful of seeds can tell.
  private static func shown(_ p: Double?) -> JSONValue { p.map { .double(($0 * 1000).rounded() / 1000) } ?? .null }
}
