import Diagnostics
import Pipelines

/// Numbers by two names each, shown as shades.
struct Heatmap: Chart {
  static let name = "heatmap"
  static let doc = "a shade for each x and y, by the column value"
  static let needsValue = true

  let columns: [String]
  let rows: [String]
  /// By row and column; nil where there is none.
  let values: [[Double?]]
  private let labels: (x: String, y: String, value: String)

  init(_ figure: Figure) throws(EngineError) {
    let cells = try figure.cells()
    (columns, rows, values) = (cells.columns, cells.rows, cells.values)
    labels = (figure.labels.x, figure.labels.y, figure.valueLabel)
  }

  init(columns: [String], rows: [String], values: [[Double?]], x: String, y: String, value: String) {
    (self.columns, self.rows, self.values, labels) = (columns, rows, values, (x, y, value))
  }

  private static let mostLetters = 24

  func drawn() -> Picture {
    let known = values.joined().compactMap(\.self).filter(\.isFinite)
    let (low, high) = (known.min() ?? 0, known.max() ?? 0)
    let texts = values.map { $0.map { $0.map { numberText($0) } ?? "–" } }
    let rowNames = rows.map { shortened($0, letters: Self.mostLetters) }
    let columnNames = columns.map { shortened($0, letters: 14) }
    let letters = Double((texts.joined().map(\.count) + columnNames.map(\.count)).max() ?? 1)
    let left = 8 + PlotArea.letterWidth * Double(rowNames.map(\.count).max() ?? 0)
    let cell = max(PlotArea.letterWidth * letters + 8, (PlotArea.width - left) / Double(max(columns.count, 1))).rounded()
    let (top, height) = (34.0, 26.0)
    var parts = [
      Markup("text", ["class": "name", "x": 0, "y": 11], text: shortened("\(labels.y) down, \(labels.x) across", letters: 56))
    ]
    for (i, name) in columnNames.enumerated() {
      let x = left + (Double(i) + 0.5) * cell
      parts.append(Markup("text", ["x": x, "y": top - 6, "text-anchor": "middle"], [Markup(name), Markup("title", text: columns[i])]))
    }
    for (j, row) in values.enumerated() {
      let y = top + Double(j) * height
      parts.append(Markup("text", ["x": left - 6, "y": y + 17, "text-anchor": "end"], [Markup(rowNames[j]), Markup("title", text: rows[j])]))
      for (i, value) in row.enumerated() {
        let share = value.map { high > low && $0.isFinite ? ($0 - low) / (high - low) : 0.5 }
        parts.append(Self.cell(texts[j][i], share, x: left + Double(i) * cell, y: y, width: cell, height: height))
      }
    }
    let width = left + Double(columns.count) * cell + 1
    let drawing = PlotArea.drawing(
      parts, width: width, height: top + Double(rows.count) * height + 4,
      title: "\(labels.value) by \(labels.x) and \(labels.y): \(known.count) values")
    let ramp = Markup(
      "p", ["class": "ramp"],
      [
        Markup("span", text: numberText(low)), Markup("i", ["class": "shades"]), Markup("span", text: numberText(high)),
        Markup("span", text: labels.value),
      ])
    return Picture(drawing: drawing, note: high > low ? ramp : .empty, isWide: width > PlotArea.width + 2)
  }

  /// `share`: how far the value is from the least to the greatest; nil for none.
  private static func cell(_ text: String, _ share: Double?, x: Double, y: Double, width: Double, height: Double) -> Markup {
    let attributes: KeyValuePairs<StaticString, any AttributeValue> = [
      "class": share == nil ? "none" : "heat", "x": x, "y": y, "width": width - 1, "height": height - 1,
      "fill-opacity": share.map { String(Int((8 + 92 * $0).rounded())) + "%" } ?? "100%",
    ]
    return Markup("rect", attributes)
      + Markup(
        "text", ["class": share ?? 0 > 0.5 ? "value on" : "value", "x": x + width / 2, "y": y + 17, "text-anchor": "middle"], text: text)
  }
}
