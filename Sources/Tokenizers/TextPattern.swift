import Diagnostics
import Files
import Patterns

/// What a component of `tokenizer.json` looks for in a text: `{"String": "..."}`, or `{"Regex": "..."}`.
enum TextPattern: Sendable {
  /// At least one byte.
  case text([UInt8])
  case expression(SplittingPattern)

  init(_ json: JSONValue?, at place: String) throws {
    switch (json?["String"], json?["Regex"]) {
    case (.string(let text)?, _) where !text.isEmpty: self = .text(Array(text.utf8))
    case (_, .string(let text)?):
      do { self = .expression(try SplittingPattern(text)) } catch { throw EngineError(.data, "\(place): \(error.message)") }
    default:
      throw EngineError(.data, "\(place): expected a pattern, {\"Regex\": \"...\"} or {\"String\": \"...\"}")
    }
  }

  /// Bytes of the shortest match, as far as that is known.
  var leastLength: Int {
    if case .text(let wanted) = self { wanted.count } else { 1 }
  }

  /// Where it stands in a text, from left to right and without overlaps.
  func matches(in text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
    switch self {
    case .expression(let expression): return expression.matches(in: text)
    case .text(let wanted):
      var found: [Range<Int>] = []
      var position = 0
      while position + wanted.count <= text.count {
        if text[position] == wanted[0], text[position..<position + wanted.count].elementsEqual(wanted) {
          found.append(position..<position + wanted.count)
          position += wanted.count
        } else {
          position += 1
        }
      }
      return found
    }
  }

  /// The text with `content` in the place of every match.
  func replaced(with content: [UInt8], in text: [UInt8]) -> [UInt8] {
    text.withUnsafeBufferPointer { buffer in
      let matches = matches(in: buffer)
      if matches.isEmpty { return text }
      var (out, position) = ([UInt8](), 0)
      out.reserveCapacity(text.count)
      for match in matches {
        out += buffer[position..<match.lowerBound]
        out += content
        position = match.upperBound
      }
      return out + buffer[position...]
    }
  }
}
