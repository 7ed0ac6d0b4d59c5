import Files
import Pipelines

/// The parts that pages are made of.
enum Page {
  /// A whole file. It loads nothing: no script, no font, no picture of elsewhere.
  static func document(title: String, version: String, _ content: [Markup]) -> String {
    let head = Markup(
      "head", [:],
      [
        Markup("meta", ["charset": "utf-8"]), Markup("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
        Markup("meta", ["name": "generator", "content": generator]), Markup("title", text: title),
        Markup("style", [:], [Markup(trusted: styleSheet)]),
      ])
    let foot = Markup("footer", text: "Written by perigee report, version \(version).")
    return "<!DOCTYPE html>\n" + Markup("html", ["lang": "en"], [head, Markup("body", [:], content + [foot])]).source + "\n"
  }

  /// What says, near the beginning of a file, that it is a report.
  static let generator = "perigee report"

  static func section(_ title: String, id: String? = nil, _ content: [Markup]) -> Markup {
    if content.allSatisfy({ $0 == .empty }) { return .empty }
    let heading = id.map { Markup("h2", ["id": $0], text: title) } ?? Markup("h2", text: title)
    return Markup("section", [:], [heading] + content)
  }

  static func heading(_ text: String) -> Markup { Markup("h3", text: text) }

  static func paragraph(_ text: String, class name: String = "plain") -> Markup { Markup("p", ["class": name], text: text) }

  /// Pictures side by side, as many as have room.
  static func charts(_ figures: [Markup]) -> Markup { figures.isEmpty ? .empty : Markup("div", ["class": "charts"], figures) }

  /// Rows that a page shows at most.
  static let mostRows = 400

  /// A table in a box of its own, which scrolls where the page is narrower.
  static func table(_ table: Pipelines.Table, title: String? = nil) -> Markup {
    // A column in which nothing stands says nothing.
    let used = table.columns.indices.filter { place in table.rows.contains { $0[place] != .null && $0[place] != .string("") } }
    if used.isEmpty { return .empty }
    let table = Pipelines.Table(columns: used.map { table.columns[$0] }, rows: table.rows.map { row in used.map { row[$0] } })
    let isNumeric = table.isNumeric
    let shown = Pipelines.Table(columns: table.columns, rows: Array(table.rows.prefix(mostRows)))
    func cell(_ tag: StaticString, _ text: String, _ column: Int) -> Markup {
      let name = isNumeric[column] ? "number" : text.count > 48 ? "long" : ""
      return name.isEmpty ? Markup(tag, text: text) : Markup(tag, ["class": name], text: text)
    }
    let head = Markup("thead", [:], [Markup("tr", [:], table.columns.enumerated().map { cell("th", $0.element.name, $0.offset) })])
    let body = shown.cellTexts.map { row in Markup("tr", [:], row.enumerated().map { cell("td", $0.element, $0.offset) }) }
    // Not a caption, which would scroll with the table.
    let heading = title.map { paragraph($0, class: "title") } ?? .empty
    let box = heading + Markup("div", ["class": "scroll"], [Markup("table", [:], [head, Markup("tbody", [:], body)])])
    let rest = table.rows.count - shown.rows.count
    return rest > 0 ? box + paragraph("\(rest) more rows are in results.json.", class: "soft") : box
  }

  /// Names with a value each.
  static func facts(_ facts: [(name: String, value: String)]) -> Markup {
    let items = facts.map { Markup("div", [:], [Markup("dt", text: $0.name), Markup("dd", text: $0.value)]) }
    return items.isEmpty ? .empty : Markup("dl", [:], items)
  }
}
