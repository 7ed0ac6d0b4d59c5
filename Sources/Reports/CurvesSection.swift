import Files
import Metrics
import Pipelines

/// Learning curves: a chart for each number that stages logged, a line for each stage.
struct CurvesSection {
  private struct Line {
    let curve: LearningCurve
    /// What the legend calls it; lines of one group have one colour.
    let group: String
  }

  /// Points that all charts of a page have in all, at most: what keeps a report small.
  private static let mostPoints = 40_000
  /// Lines beyond are not drawn.
  private static let mostLines = 1_200

  private let charts: [(title: String, lines: [Line])]
  private let isCut: Bool
  private let pointsOfLine: Int

  init(_ runs: [ReportedRun]) {
    let labels = Self.labels(of: runs)
    var charts = Named<Line>()
    var count = 0
    for (run, label) in zip(runs, labels) {
      for curve in run.curves where count < Self.mostLines {
        count += 1
        let stage = StageName(curve.stage)
        let title = runs.count > 1 ? "\(curve.name) of \(stage.withoutSeed.isEmpty ? curve.stage : stage.withoutSeed)" : curve.name
        charts.append(Line(curve: curve, group: runs.count > 1 ? label : stage.withoutSeed), to: title)
      }
    }
    isCut = count >= Self.mostLines
    pointsOfLine = min(max(Self.mostPoints / max(count, 1), 24), 400)
    let order = ["loss", EvaluationName.loss]
    func rank(_ title: String) -> Int {
      let name = title.prefix { $0 != " " }
      if let place = order.firstIndex(of: String(name)) { return place }
      return name.hasPrefix("eval_") ? 2 : ["learning_rate", "grad_norm"].contains(name) ? 4 : 3
    }
    let sorted = charts.all.enumerated().sorted { (rank($0.element.name), $0.offset) < (rank($1.element.name), $1.offset) }.map(\.element)
    // One number for each line is in the tables.
    self.charts = sorted.flatMap { Self.apart($0.name, $0.values) }.filter { $0.lines.contains { $0.curve.points.count > 1 } }
  }

  /// Lines of very different lengths get charts of their own: beside 5,000 steps, nobody sees what 50 were like.
  private static func apart(_ title: String, _ lines: [Line]) -> [(title: String, lines: [Line])] {
    let lengths = lines.compactMap { $0.curve.points.last?.step }
    guard let longest = lengths.max(), let shortest = lengths.min(), longest > 5 * max(shortest, 1), !title.contains(" of ") else {
      return [(title, lines)]
    }
    var stages = Named<Line>()
    for line in lines { stages.append(line, to: StageName(line.curve.stage).base) }
    return stages.all.map { ("\(title) of \($0.name)", $0.values) }
  }

  /// What tells the runs apart: their parameters that differ, else their names.
  private static func labels(of runs: [ReportedRun]) -> [String] {
    let names = Sweep.differingParameters(of: runs).filter { $0 != "seed" }.prefix(4)
    let words = runs.map { run in names.map { "\($0)=\(run.folder.parameters[$0]?.shown ?? Sweep.none)" }.joined(separator: ", ") }
    return Set(words).count > 1 ? words : runs.map(\.name)
  }

  func markup() -> [Markup] {
    let figures = charts.map { title, lines -> Markup in
      var groups = Named<Int>()
      let names = Set(lines.map(\.group)).count > SeriesStyle.count ? lines.map { StageName($0.group).base } : lines.map(\.group)
      let series = zip(lines, names).map { line, name in
        ChartSeries(name: name, points: Self.thinned(line.curve.points, to: pointsOfLine), style: groups.place(of: name))
      }
      return LineChart(series, names: groups.all.count > 1 ? groups.all.map(\.name) : [], x: "step", y: "", beginsAtZero: true).drawn().figure(
        title: title)
    }
    return [Page.charts(figures), isCut ? Page.paragraph("Only the first \(Self.mostLines) lines are drawn.", class: "soft") : .empty]
  }

  /// At most so many points: of each stretch of steps the lowest and the highest value, so that no peak is lost.
  static func thinned(_ points: [(step: Int, value: Double)], to most: Int) -> [ChartPoint] {
    guard points.count > most else { return points.map { ChartPoint(x: Double($0.step), y: $0.value) } }
    let stretches = max(most / 2, 1)
    return (0..<stretches).flatMap { number -> [ChartPoint] in
      let range = (number * points.count / stretches)..<((number + 1) * points.count / stretches)
      guard let low = range.min(by: { points[$0].value < points[$1].value }), let high = range.max(by: { points[$0].value < points[$1].value })
      else { return [] }
      return Set([low, high]).sorted().map { ChartPoint(x: Double(points[$0].step), y: points[$0].value) }
    }
  }
}
