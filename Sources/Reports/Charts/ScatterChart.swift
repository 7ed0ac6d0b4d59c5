import Diagnostics

/// Points that two numbers place.
struct ScatterChart: Chart {
  static let name = "scatter"
  static let doc = "a point for each row"

  private let series: [ChartSeries]
  private let figure: Figure

  init(_ figure: Figure) throws(EngineError) {
    series = try figure.series()
    self.figure = figure
  }

  func drawn() -> Picture {
    let points = series.flatMap(\.points)
    let area = PlotArea(
      x: Axis(points.map(\.x), scale: figure.xScale, count: 5), y: Axis(points.flatMap(\.extent), scale: figure.yScale, count: 5),
      xLabel: figure.labels.x, yLabel: figure.labels.y)
    let content = series.map { series in
      // Thousands of elements would make a large page: a path's ends are round points as well.
      if series.points.count > 300 {
        let path = series.points.compactMap(area.place).map { "M\($0.x.attributeText) \($0.y.attributeText)h0" }.joined()
        return Markup("g", ["class": SeriesStyle.name(series.style)], [Markup("path", ["class": "points", "d": path])])
      }
      let marks = series.points.compactMap { point in
        area.place(point).map { Markup("circle", ["cx": $0.x, "cy": $0.y, "r": 3], point.title.map { [Markup("title", text: $0)] } ?? []) }
      }
      return Markup("g", ["class": SeriesStyle.name(series.style)], marks)
    }
    let title = "\(figure.labels.y) by \(figure.labels.x): \(points.count) points"
    return Picture(drawing: area.drawn(content, title: title), legend: series.map(\.name))
  }
}
