import Diagnostics
import Foundation

/// Lines through points that have an order.
struct LineChart: Chart {
  static let name = "line"
  static let doc = "lines through the points of each series, by x"

  private let series: [ChartSeries]
  private let names: [String]
  private let xScale: Axis.Scale
  private let yScale: Axis.Scale
  private let labels: (x: String, y: String)
  /// Whether the horizontal axis begins at 0.
  private var beginsAtZero = false

  init(_ figure: Figure) throws(EngineError) {
    let all = try figure.series()
    series = all.map { series in
      var sorted = series
      sorted.points.sort { $0.x < $1.x }
      return sorted
    }
    names = all.map(\.name)
    (xScale, yScale, labels) = (figure.xScale, figure.yScale, figure.labels)
  }

  /// Lines of the page's own: learning curves, sweeps. `names`: of the looks.
  init(_ series: [ChartSeries], names: [String], xScale: Axis.Scale = .linear, x: String, y: String, beginsAtZero: Bool = false) {
    self.beginsAtZero = beginsAtZero
    (self.series, self.names, self.xScale, yScale, labels) = (series, names, xScale, .linear, (x, y))
  }

  /// Above this many points a line has no marks for them.
  private static let mostMarks = 40

  func drawn() -> Picture {
    let points = series.flatMap(\.points)
    let isWhole = points.allSatisfy { $0.x.rounded() == $0.x }
    let area = PlotArea(
      x: Axis(points.map(\.x) + (beginsAtZero ? [0] : []), scale: xScale, count: 5, isExtended: false, isWhole: isWhole),
      y: Axis(points.flatMap(\.extent), scale: yScale, count: 5), xLabel: labels.x, yLabel: labels.y)
    // Where several lines share a look, none of them is to hide the others.
    let isShared = Set(series.map(\.style)).count < series.count
    // Spreads at one place would cover each other.
    let isSpread = points.contains { $0.spread ?? 0 > 0 }
    let content = series.map { series in
      let shift = isSpread ? 3 * (Double(series.style) - Double(names.count - 1) / 2) : 0
      return Self.drawn(series, in: area, isThin: isShared, shift: min(max(shift, -12), 12))
    }
    let title = (labels.y.isEmpty ? "" : "\(labels.y) by ") + "\(labels.x): " + (names.count > 1 ? "\(names.count) lines" : "a line")
    return Picture(drawing: area.drawn(content, title: title), legend: names)
  }

  private static func drawn(_ series: ChartSeries, in area: PlotArea, isThin: Bool, shift: Double) -> Markup {
    var path = ""
    var marks: [Markup] = []
    var isDown = false
    for point in series.points {
      guard var place = area.place(point) else {
        isDown = false
        continue
      }
      place.x += shift
      path += "\(isDown ? "L" : "M")\(place.x.attributeText) \(place.y.attributeText)"
      isDown = true
      if let spread = point.spread, spread > 0 { marks.append(errorBar(point, spread, x: place.x, in: area)) }
      if series.points.count <= mostMarks {
        marks.append(Markup("circle", ["cx": place.x, "cy": place.y, "r": 2.4], point.title.map { [Markup("title", text: $0)] } ?? []))
      }
    }
    let line = path.isEmpty ? [] : [Markup("path", ["class": isThin ? "line thin" : "line", "d": path])]
    return Markup("g", ["class": SeriesStyle.name(series.style)], line + marks)
  }

  private static func errorBar(_ point: ChartPoint, _ spread: Double, x: Double, in area: PlotArea) -> Markup {
    guard let low = area.place(ChartPoint(x: point.x, y: point.y - spread)), let high = area.place(ChartPoint(x: point.x, y: point.y + spread))
    else { return .empty }
    let path = "M\(x.attributeText) \(low.y.attributeText)V\(high.y.attributeText)"
    let ends = [low, high].map { "M\((x - 3).attributeText) \($0.y.attributeText)h6" }.joined()
    return Markup("path", ["class": "spread", "d": path + ends])
  }
}
