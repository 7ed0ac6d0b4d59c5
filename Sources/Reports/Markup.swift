import Foundation

/// A piece of a page: HTML or SVG, in the form that readers of XML take as well. Texts are escaped here and nowhere else, so that no
/// name of a user's becomes markup.
struct Markup: Sendable, Equatable {
  let source: String

  static let empty = Markup(source: "")

  private init(source: String) { self.source = source }

  /// Text, with everything escaped that means something in markup or is no letter of XML.
  init(_ text: String) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": bytes += "&amp;".utf8
      case "<": bytes += "&lt;".utf8
      case ">": bytes += "&gt;".utf8
      case "\"": bytes += "&quot;".utf8
      case "'": bytes += "&#39;".utf8
      case "\u{9}", "\u{A}", " "..."\u{FFFD}", "\u{10000}"...: bytes += String(scalar).utf8
      default: bytes += "\u{FFFD}".utf8
      }
    }
    source = String(decoding: bytes, as: UTF8.self)
  }

  /// An element with its content.
  init(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, any AttributeValue> = [:], _ content: [Markup] = []) {
    var text = "<\(name)"
    for (name, value) in attributes { text += " \(name)=\"\(value.attributeText)\"" }
    if content.isEmpty, Self.void.contains("\(name)") {
      source = text + "/>"
    } else {
      source = text + ">" + content.map(\.source).joined() + "</\(name)>"
    }
  }

  /// An element with text in it.
  init(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, any AttributeValue> = [:], text: String) {
    self.init(name, attributes, [Markup(text)])
  }

  /// Markup of the program's own, such as a style sheet.
  init(trusted source: StaticString) { self.source = "\(source)" }

  static func + (a: Markup, b: Markup) -> Markup { Markup(source: a.source + b.source) }

  /// Elements without content, which HTML never closes, and SVG's shapes.
  private static let void: Set<String> = ["meta", "br", "rect", "line", "path", "circle"]
}

extension [Markup] {
  /// The pieces one after another.
  var joined: Markup { reduce(.empty, +) }
}

/// The value of an attribute: a text, or a number in units of the picture.
protocol AttributeValue {
  var attributeText: String { get }
}

extension String: AttributeValue {
  var attributeText: String { Markup(self).source }
}

extension Int: AttributeValue {
  var attributeText: String { String(self) }
}

extension Double: AttributeValue {
  /// To a tenth of a unit, which no screen shows. A picture that is wrong for a number that is none stays well-formed.
  var attributeText: String {
    guard let tenths = Int(exactly: (self * 10).rounded()) else { return "0" }
    let text = String(abs(tenths) / 10)
    let fraction = abs(tenths) % 10
    return (tenths < 0 ? "-" : "") + (fraction == 0 ? text : "\(text).\(fraction)")
  }
}
