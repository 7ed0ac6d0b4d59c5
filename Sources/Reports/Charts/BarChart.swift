import Diagnostics
import Pipelines

/// A bar for each name, from left to right, because names are wider than high.
struct BarChart: Chart {
  static let name = "bar"
  static let doc = "a bar for each x, or for each x and series"

  private let categories: [String]
  private let series: [ChartSeries]
  private let labels: (x: String, y: String)

  init(_ figure: Figure) throws(EngineError) {
    let named = try figure.namedSeries()
    (categories, series, labels) = (named.categories, named.series, figure.labels)
  }

  /// Bars of the page's own; x of a point is the place of its name.
  init(categories: [String], series: [ChartSeries], x: String, y: String) { (self.categories, self.series, labels) = (categories, series, (x, y)) }

  private static let barHeight = 13.0
  private static let mostLetters = 22

  func drawn() -> Picture {
    let bars = series.flatMap(\.points)
    let axis = Axis(bars.flatMap(\.extent) + [0], scale: .linear, count: 4)
    let names = categories.map { shortened($0, letters: Self.mostLetters) }
    let values = bars.map { numberText($0.y) }
    let left = 8 + PlotArea.letterWidth * Double(names.map(\.count).max() ?? 0)
    let right = PlotArea.width - 6 - PlotArea.letterWidth * Double(values.map(\.count).max() ?? 0)
    let groupHeight = Double(series.count) * Self.barHeight + 8
    let bottom = 18 + Double(categories.count) * groupHeight
    func place(_ value: Double) -> Double { left + (axis.place(of: value) ?? 0) * (right - left) }
    var parts = axis.ticks.flatMap { tick in
      let x = left + tick.place * (right - left)
      return [
        Markup("line", ["class": "grid", "x1": x, "x2": x, "y1": 16, "y2": bottom]),
        Markup("text", ["x": x, "y": bottom + 13, "text-anchor": "middle"], text: tick.label),
      ]
    }
    parts.append(Markup("text", ["class": "name", "x": 0, "y": 11], text: shortened(labels.y, letters: 52)))
    for (i, name) in names.enumerated() {
      let top = 18 + Double(i) * groupHeight
      let label = Markup(
        "text", ["x": left - 6, "y": top + groupHeight / 2 + 4, "text-anchor": "end"], [Markup(name), Markup("title", text: categories[i])])
      parts.append(label)
    }
    for (number, series) in series.enumerated() {
      let content = series.points.flatMap { point -> [Markup] in
        let top = 22 + point.x * groupHeight + Double(number) * Self.barHeight
        let ends = [place(0), place(point.y)].sorted()
        let rect = Markup(
          "rect", ["class": "bar", "x": ends[0], "y": top, "width": max(ends[1] - ends[0], 0.5), "height": Self.barHeight - 2],
          point.title.map { [Markup("title", text: $0)] } ?? [])
        let middle = top + (Self.barHeight - 2) / 2
        let reach = [point.y, point.y + (point.spread ?? 0), 0].max() ?? 0
        let value = Markup("text", ["class": "value", "x": place(reach) + 4, "y": middle + 4], text: numberText(point.y))
        guard let spread = point.spread, spread > 0 else { return [rect, value] }
        let (low, high) = (place(point.y - spread), place(point.y + spread))
        let whisker = Markup(
          "path",
          [
            "class": "spread over",
            "d": "M\(low.attributeText) \(middle.attributeText)H\(high.attributeText)"
              + [low, high].map { "M\($0.attributeText) \((middle - 3).attributeText)v6" }.joined(),
          ])
        return [rect, whisker, value]
      }
      parts.append(Markup("g", ["class": SeriesStyle.name(series.style)], content))
    }
    parts.append(Markup("line", ["class": "axis", "x1": place(0), "x2": place(0), "y1": 16, "y2": bottom]))
    let drawing = PlotArea.drawing(
      parts, width: PlotArea.width, height: bottom + 20, title: "\(labels.y) by \(labels.x): \(bars.count) bars")
    return Picture(drawing: drawing, legend: series.map(\.name))
  }
}
