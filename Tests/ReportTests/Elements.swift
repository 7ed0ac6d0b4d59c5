import Foundation
import FoundationXML

/// An element of a page.
struct PageElement {
  var name: String
  var attributes: [String: String]
  /// Its text, with that of the elements in it.
  var text = ""
}

/// All elements of a text, in the order of their beginnings. Throws where it is not well-formed.
func elements(of markup: String) throws -> [PageElement] {
  final class Reader: NSObject, XMLParserDelegate {
    var all: [PageElement] = []
    var open: [Int] = []
    var mistake: String?

    func parser(_: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?, attributes: [String: String]) {
      open.append(all.count)
      all.append(PageElement(name: name, attributes: attributes))
    }
    func parser(_: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) { open.removeLast() }
    func parser(_: XMLParser, foundCharacters text: String) { for place in open { all[place].text += text } }
    func parser(_ parser: XMLParser, parseErrorOccurred error: any Error) { mistake = "line \(parser.lineNumber): \(error)" }
  }
  struct Malformed: Error { var what: String }
  let reader = Reader()
  let parser = XMLParser(data: Data(markup.utf8))
  parser.delegate = reader
  guard parser.parse() else { throw Malformed(what: reader.mistake ?? "no markup") }
  return reader.all
}
