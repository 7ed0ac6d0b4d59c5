import Diagnostics

/// A text, or several.
struct OneOrMore: FieldValue, Sendable {
  var texts: [String] = []
  /// Whether it came as a list.
  var isList = false

  static let typeName = "string|string[]"
  static let expected = "a string, or a list of strings"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> OneOrMore {
    if case .text(let text) = value { return OneOrMore(texts: [text]) }
    guard case .table = value else { throw ValueMismatch(expected: expected, found: value.briefly) }
    return OneOrMore(texts: try [String].decode(value), isList: true)
  }

  var configValue: ConfigValue { isList ? texts.configValue : .text(texts.first ?? "") }
}

/// Texts or pairs, in the shape of text-embeddings-inference: a text; a list of two texts, which is a pair; or a list of such lists.
struct TextsOrPairs: FieldValue, Sendable {
  var inputs: [[String]] = []
  /// Whether it came as a list of lists.
  var isBatch = false

  static let typeName = "string|string[]|string[][]"
  static let expected = #"a text, a pair of texts ["a", "b"], or a list of both [["a"], ["b", "c"]]"#

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> TextsOrPairs {
    if case .text(let text) = value { return TextsOrPairs(inputs: [[text]]) }
    guard case .table(let table) = value, table.form == .list, let first = table.list.first else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    if case .text = first { return TextsOrPairs(inputs: [try input(value)]) }
    var inputs: [[String]] = []
    for (place, element) in table.list.enumerated() {
      do throws(ValueMismatch) { inputs.append(try input(element)) } catch {
        throw ValueMismatch(expected: error.expected, found: error.found, place: "[\(place + 1)]\(error.place)")
      }
    }
    return TextsOrPairs(inputs: inputs, isBatch: true)
  }

  private static func input(_ value: ConfigValue) throws(ValueMismatch) -> [String] {
    let texts = try [String].decode(value)
    guard (1...2).contains(texts.count) else {
      throw ValueMismatch(expected: "one text or two", found: "\(texts.count) (several texts are several lists: [[\"a\"], [\"b\"]])")
    }
    return texts
  }

  var configValue: ConfigValue { inputs.configValue }
}

/// What texts follow from: one or several prompts, each a text or its tokens.
enum Prompts: FieldValue, Sendable {
  case texts([String])
  case tokens([[Int]])

  static let typeName = "string|string[]|integer[]|integer[][]"
  static let expected = "a text, a list of texts, a list of tokens, or a list of lists of tokens"

  static func decode(_ value: ConfigValue) throws(ValueMismatch) -> Prompts {
    if case .text(let text) = value { return .texts([text]) }
    guard case .table(let table) = value, table.form == .list, let first = table.list.first else {
      throw ValueMismatch(expected: expected, found: value.briefly)
    }
    switch first {
    case .text: return .texts(try [String].decode(value))
    case .table: return .tokens(try [[Int]].decode(value))
    default: return .tokens([try [Int].decode(value)])
    }
  }

  var configValue: ConfigValue {
    switch self {
    case .texts(let texts): texts.configValue
    case .tokens(let tokens): tokens.configValue
    }
  }
}
