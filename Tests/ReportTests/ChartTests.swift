import Diagnostics
import Files
import Foundation
import Testing

@testable import Reports

@Suite struct ChartTests {
  @Test(arguments: [
    ([0.0, 1], ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ([0.61, 0.72], ["0.60", "0.65", "0.70", "0.75"]),
    ([0, 9_400], ["0", "2k", "4k", "6k", "8k", "10k"]),
    ([0, 187_000], ["0", "50k", "100k", "150k", "200k"]),
    ([2.3e6, 7.9e6], ["2M", "4M", "6M", "8M"]),
    ([0, 5e-4], ["0", "1e-4", "2e-4", "3e-4", "4e-4", "5e-4"]),
    ([-3, 2], ["-3", "-2", "-1", "0", "1", "2"]),
    ([0.5, 0.5], ["0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]),
    ([], ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ([.nan, .infinity, 3, 4], ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]),
  ])
  func namesRoundNumbers(values: [Double], labels: [String]) {
    let ticks = Axis(values).ticks
    #expect(ticks.map(\.label) == labels)
    for (a, b) in zip(ticks, ticks.dropFirst()) { #expect(a.place < b.place) }
    #expect(ticks.allSatisfy { (-1e-9...1 + 1e-9).contains($0.place) })
  }

  @Test func namesPowersOnLogarithmicAxes() {
    #expect(Axis([2, 4, 64], scale: .log, count: 8).ticks.map(\.label) == ["2", "4", "8", "16", "32", "64"])
    #expect(Axis([1e-5, 3e-3], scale: .log).ticks.map(\.label) == ["1e-5", "1e-4", "0.001"])
    #expect(Axis([3, 30], scale: .log).ticks.map(\.label) == ["5", "10", "20"])
    #expect(Axis([0.1, -1], scale: .log).place(of: -1) == nil)
    let extremes = Axis([-1e308, 1e308])
    #expect(extremes.ticks.count > 1 && extremes.ticks.allSatisfy { $0.place.isFinite })
  }

  /// Steps are whole numbers, also where few of them are shown.
  @Test func namesWholeSteps() {
    #expect(Axis([0, 3], isExtended: false, isWhole: true).ticks.map(\.label) == ["0", "1", "2", "3"])
  }

  @Test func placesCurvesByTheirNumbers() throws {
    let chart = LineChart(
      [ChartSeries(name: "a", points: [ChartPoint(x: 0, y: 1), ChartPoint(x: 10, y: 0), ChartPoint(x: 5, y: .nan)], style: 0)], names: ["a"],
      x: "step",
      y: "loss")
    let drawing = chart.drawn().drawing.source
    let path = try #require(drawing.firstMatch(of: #/d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"/#))
    let numbers = try [path.output.1, path.output.2, path.output.3, path.output.4].map { try #require(Double($0)) }
    // From the upper left corner to the lower right one.
    #expect(numbers[0] < 40 && numbers[1] == 24 && numbers[2] == PlotArea.width - 14 && numbers[3] == 198)
    _ = try elements(of: drawing)
  }

  /// A peak that lasts for one step is seen.
  @Test func keepsPeaksOfLongCurves() {
    let points = (0..<50_000).map { (step: $0, value: $0 == 31_234 ? 9.0 : $0 == 7 ? -9 : sin(Double($0) / 99)) }
    let thinned = CurvesSection.thinned(points, to: 200)
    #expect(thinned.count <= 200 && thinned.contains { $0.y == 9 } && thinned.contains { $0.y == -9 })
    #expect(zip(thinned, thinned.dropFirst()).allSatisfy { $0.x < $1.x })
    #expect(CurvesSection.thinned(Array(points.prefix(3)), to: 200).map(\.x) == [0, 1, 2])
  }

  // MARK: - Figures

  private func figure(_ kind: String, _ rows: [JSONObject], _ more: JSONObject = [:]) throws -> Figure {
    var json: JSONObject = ["kind": .string(kind), "x": "r", "y": "acc", "rows": .array(rows.map { .object($0) })]
    for (name, value) in more.members { json[name] = value }
    return try Figure(json: .object(json), source: "figure")
  }

  private let rows: [JSONObject] = [
    ["r": 4, "acc": 0.5, "m": "lora"], ["r": 8, "acc": 0.75, "m": "lora"], ["r": 4, "acc": 0.25, "m": "delora"],
    ["r": 8, "acc": .null, "m": "delora"],
  ]

  @Test func drawsEveryKind() throws {
    for (kind, more, shapes) in [
      ("line", ["by": "m"], 3), ("bar", ["by": "m"], 3), ("scatter", ["by": "m"], 3), ("heatmap", ["y": "m", "value": "acc"], 4),
    ] as [(String, JSONObject, Int)] {
      let drawn = try figure(kind, rows, more)
      #expect(try Figure(json: .object(drawn.json), source: "again").json == drawn.json)
      let markup = try drawn.markup().source
      let all = try elements(of: markup)
      let count = all.filter { ["circle", "rect"].contains($0.name) && $0.attributes["class"] != "box" }.count
      #expect(count == shapes, "\(kind): \(count)")
      for name in ["lora", "delora"] { #expect(markup.contains(">\(name)<"), "\(kind)") }
    }
  }

  /// What a bar is long is its number.
  @Test func measuresBars() throws {
    let widths = try elements(of: try figure("bar", rows, ["by": "m"]).markup().source).filter { $0.attributes["class"] == "bar" }
      .map { try #require(Double($0.attributes["width"] ?? "")) }
    #expect(abs(widths[1] / widths[0] - 1.5) < 0.01 && abs(widths[2] / widths[0] - 0.5) < 0.01)
  }

  @Test func saysWhatItCannotShow() throws {
    func mistake(_ kind: String, _ rows: [JSONObject], _ more: JSONObject = [:]) -> String {
      do {
        _ = try figure(kind, rows, more)
        return "none"
      } catch { return "\(error)" }
    }
    #expect(mistake("lines", rows).contains("no chart 'lines'; did you mean 'line'?"))
    #expect(mistake("line", [["r": "full", "acc": 1]]).contains("row 1: 'r' must be a number, got \"full\"; a bar chart takes names for x"))
    #expect(mistake("scatter", [["r": 1, "acc": "x"]]).contains("row 1: 'acc' must be a number"))
    #expect(mistake("heatmap", rows, ["y": "m"]).contains("missing field 'value'"))
    #expect(mistake("line", rows, ["value": "acc"]).contains("'value' is for a heatmap alone"))
    #expect(mistake("heatmap", rows, ["y": "m", "value": "acc", "by": "m"]).contains("a heatmap has no 'by'"))
    #expect(mistake("bar", rows).contains("row 3: a second one for r 4"))
    #expect(mistake("line", [["r": 0, "acc": 1]], ["x_scale": "log"]).contains("row 1: a logarithmic x axis takes numbers above 0, got 0"))
    #expect(mistake("bar", rows, ["by": "m", "y_scale": "log"]).contains("bars begin at 0"))
    #expect(mistake("line", rows, ["spread": "m"]).contains("row 1: 'm' must be a number"))
    #expect(mistake("line", rows, ["xscale": "log"]).contains("did you mean 'x_scale'?"))
    #expect(mistake("scatter", Array(repeating: ["r": 1, "acc": 1], count: 10_001)).contains("10001 rows, expected at most 10000"))
  }

  // MARK: - Markup

  /// Also where a letter combines with a mark, which makes one letter of both to Swift.
  @Test func escapesEverythingThatIsMarkup() throws {
    let hostile = "<script>\"'&\u{301}\"\u{301}>\u{0}\u{8}\u{FFFF}]]>é"
    let markup = Markup("p", ["title": hostile], text: hostile)
    #expect(markup.source.filter { "<>".contains($0) }.count == 4 && !markup.source.contains("script>\""))
    let parsed = try elements(of: markup.source)
    let clean = hostile.replacing("\u{0}", with: "\u{FFFD}").replacing("\u{8}", with: "\u{FFFD}").replacing("\u{FFFF}", with: "\u{FFFD}")
    #expect(parsed.count == 1 && parsed[0].attributes["title"] == clean && parsed[0].text == clean)
  }

  @Test func writesNumbersOfPictures() {
    #expect([0, 1, -0.04, 12.34, -2.5, 1e300, .nan].map(\.attributeText) == ["0", "1", "0", "12.3", "-2.5", "0", "0"])
  }
}
