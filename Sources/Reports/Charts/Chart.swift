import Diagnostics

/// A kind of chart: one file, and one line of `ChartCatalogue`.
protocol Chart: SendableMetatype {
  /// The field of `report.plot` that holds its rows.
  static var name: String { get }
  /// What it shows, for `help`.
  static var doc: String { get }
  /// Whether a figure needs a third column, `value`.
  static var needsValue: Bool { get }

  /// Throws where the figure's values cannot be shown so.
  init(_ figure: Figure) throws(EngineError)

  /// The picture.
  func drawn() -> Picture
}

extension Chart {
  static var needsValue: Bool { false }
}

/// All kinds of charts.
enum ChartCatalogue {
  static let kinds: [any Chart.Type] = [LineChart.self, BarChart.self, Heatmap.self, ScatterChart.self]

  static func kind(named name: String) -> (any Chart.Type)? { kinds.first { $0.name == name } }
}

/// A drawing, and the names of what is in it. The names are beside it, where they have room and cannot cover anything.
struct Picture: Sendable {
  var drawing: Markup
  /// Names of the series, in the order of their colours; one alone needs none.
  var legend: [String] = []
  /// Below the drawing: what has no room in it.
  var note: Markup = .empty
  /// Whether it has to keep its size, and scrolls where there is less room.
  var isWide = false

  /// With a title, as a part of a page.
  func figure(title: String) -> Markup {
    var content: [Markup] = [Markup("figcaption", text: title)]
    content.append(Markup("div", ["class": "scroll"], [drawing]))
    if legend.count > 1 || legend.first.map({ !$0.isEmpty }) ?? false {
      let shown = legend.prefix(SeriesStyle.count).enumerated().map { Markup("li", ["class": SeriesStyle.name($0.offset)], text: $0.element) }
      let rest = legend.count > shown.count ? [Markup("li", ["class": "rest"], text: "\(legend.count - shown.count) more")] : []
      content.append(Markup("ul", ["class": "legend"], shown + rest))
    }
    return Markup("figure", ["class": isWide ? "wide" : "plain"], content + [note])
  }
}

/// The look of the series of a chart: eight colours, then the same ones with dashed and dotted lines.
enum SeriesStyle {
  static let colors = 8
  static let count = 3 * colors

  /// The class names of a series; those beyond the last look are grey.
  static func name(_ number: Int) -> String {
    number < count ? "s\(number % colors) d\(number / colors)" : "rest"
  }
}

/// One value of a series, with how far it spreads to both sides.
struct ChartPoint: Sendable {
  var x: Double
  var y: Double
  var spread: Double?
  /// What a pointer that rests on it is told.
  var title: String?

  init(x: Double, y: Double, spread: Double? = nil, title: String? = nil) { (self.x, self.y, self.spread, self.title) = (x, y, spread, title) }

  /// What the y axis has to hold.
  var extent: [Double] { spread.map { [y - $0, y + $0] } ?? [y] }
}

/// Values with one name and one look.
struct ChartSeries: Sendable {
  var name: String
  var points: [ChartPoint]
  /// The place of its look; series that belong together have one.
  var style: Int
}

/// The area between two axes, in units that are pixels on a phone.
struct PlotArea {
  static let width = 360.0
  static let textHeight = 11.0
  /// The width of a letter, roughly; names are in a font that the reader's system chooses.
  static let letterWidth = 6.2

  let x: Axis
  let y: Axis
  let xLabel: String
  let yLabel: String
  let height = 232.0
  let left: Double
  let right = PlotArea.width - 14
  /// The name of the vertical axis stands above it.
  var top: Double { yLabel.isEmpty ? 10 : 24 }
  var bottom: Double { height - 34 }

  init(x: Axis, y: Axis, xLabel: String, yLabel: String) {
    (self.x, self.y, self.xLabel, self.yLabel) = (x, y, xLabel, yLabel)
    left = 10 + Self.letterWidth * Double(y.ticks.map(\.label.count).max() ?? 1)
  }

  /// The place of a point; nil for what an axis cannot show.
  func place(_ point: ChartPoint) -> (x: Double, y: Double)? {
    guard let x = x.place(of: point.x), let y = y.place(of: point.y) else { return nil }
    return (left + x * (right - left), bottom - y * (bottom - top))
  }

  /// The drawing: grid, axes with their numbers and names, and the content above them.
  func drawn(_ content: [Markup], title: String) -> Markup {
    var parts: [Markup] = []
    for tick in y.ticks {
      let place = bottom - tick.place * (bottom - top)
      parts.append(Markup("line", ["class": "grid", "x1": left, "x2": right, "y1": place, "y2": place]))
      parts.append(Markup("text", ["x": left - 6, "y": place + 4, "text-anchor": "end"], text: tick.label))
    }
    for tick in x.ticks {
      let place = left + tick.place * (right - left)
      parts.append(Markup("line", ["class": "axis", "x1": place, "x2": place, "y1": bottom, "y2": bottom + 4]))
      // The last number may be wider than the margin.
      let half = Self.letterWidth * Double(tick.label.count) / 2
      parts.append(Markup("text", ["x": min(place, Self.width - half), "y": bottom + 16, "text-anchor": "middle"], text: tick.label))
    }
    parts.append(Markup("line", ["class": "axis", "x1": left, "x2": right, "y1": bottom, "y2": bottom]))
    parts.append(Markup("text", ["class": "name", "x": 0, "y": 12], text: shortened(yLabel, letters: 52)))
    parts.append(
      Markup("text", ["class": "name", "x": (left + right) / 2, "y": height - 3, "text-anchor": "middle"], text: shortened(xLabel, letters: 44)))
    return Self.drawing(parts + content, width: Self.width, height: height, title: title)
  }

  /// The outermost element of a picture, with what is read to those who do not see it.
  static func drawing(_ parts: [Markup], width: Double, height: Double, title: String) -> Markup {
    Markup(
      "svg",
      [
        "viewBox": "0 0 \(width.attributeText) \(height.attributeText)", "width": width, "height": height, "role": "img",
        "aria-label": title,
      ], parts)
  }
}

/// The letters that have room, with an ellipsis where there are more.
func shortened(_ text: String, letters: Int) -> String { text.count <= letters ? text : text.prefix(max(letters, 2) - 1) + "…" }
