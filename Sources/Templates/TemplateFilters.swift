import Foundation

/// `value|name(...)`, by name.
enum TemplateFilters {
  typealias Body = @Sendable (TemplateRenderer, TemplateValue, TemplateArguments) throws -> TemplateValue

  static let all: [String: Body] = Dictionary(uniqueKeysWithValues: texts + numbers + lists + choosing)

  /// A filter with its parameters.
  private static func filter(
    _ name: String, _ parameters: [String] = [],
    _ body: @escaping @Sendable (TemplateRenderer, TemplateValue, [TemplateValue?]) throws -> TemplateValue
  ) -> (String, Body) {
    (name, { renderer, value, arguments in try body(renderer, value, arguments.values(of: parameters, "the filter '\(name)'")) })
  }

  /// A filter of texts; other values are turned into texts first.
  private static func textFilter(_ name: String, _ body: @escaping @Sendable (String) -> String) -> (String, Body) {
    filter(name) { renderer, value, _ in try renderer.made(body(value.text)) }
  }

  // MARK: Texts

  private static let texts: [(String, Body)] = [
    textFilter("string") { $0 }, textFilter("safe") { $0 }, textFilter("upper") { $0.uppercased() }, textFilter("lower") { $0.lowercased() },
    textFilter("capitalize", PythonText.capitalized), textFilter("title", title),
    filter("trim", ["chars"]) { renderer, value, given in
      try renderer.made(PythonText.stripped(value.text, given[0].flatMap(PythonText.optional), start: true, end: true))
    },
    filter("replace", ["old", "new", "count"]) { renderer, value, given in
      try PythonText.replaced(renderer, value.text, given)
    },
    filter("indent", ["width", "first", "blank"]) { renderer, value, given in
      let width: String
      if case .string(let text)? = given[0] { width = text } else { width = String(repeating: " ", count: min(max(0, given[0]?.whole ?? 4), 1000)) }
      let lines = PythonText.lines(value.text + "\n")
      let indented = lines.enumerated().map { place, line in
        place == 0 ? (given[1]?.isTrue == true ? width : "") + line : (line.isEmpty && given[2]?.isTrue != true ? "" : width) + line
      }
      try renderer.charge(lines.count * (1 + width.utf8.count / 32))
      return try renderer.made(indented.joined(separator: "\n"))
    },
    filter("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"]) { renderer, value, given in
      var style = TemplateValue.JSONStyle()
      style.isASCII = given[0]?.isTrue ?? false
      switch given[1] {
      case nil, .some(.none): break
      case .string(let text): style.indent = text
      case let width?: style.indent = String(repeating: " ", count: min(max(0, width.whole ?? 0), 100))
      }
      if style.indent != nil { style.itemSeparator = "," }
      if let separators = try given[2]?.elements(), separators.count == 2 {
        (style.itemSeparator, style.keySeparator) = (separators[0].text, separators[1].text)
      }
      style.sortsKeys = given[3]?.isTrue ?? false
      return try renderer.made(value.json(style))
    },
  ]

  private static func title(_ text: String) -> String {
    var result = ""
    var begins = true
    for letter in text.unicodeScalars {
      result += begins ? letter.properties.uppercaseMapping : letter.properties.lowercaseMapping
      begins = letter.isPythonSpace || "-({[<".unicodeScalars.contains(letter)
    }
    return result
  }

  // MARK: Numbers and what is missing

  private static let numbers: [(String, Body)] = [
    filter("abs") { _, value, _ in
      if let whole = value.whole, whole != .min { return .int(abs(whole)) }
      guard let number = value.number else { throw TemplateMistake("the filter 'abs' does not take \(value.described)") }
      return .double(abs(number))
    },
    filter("int", ["default", "base"]) { _, value, given in
      guard given[1] == nil || given[1]?.whole == 10 else { throw TemplateMistake("the filter 'int' is supported for base 10 alone") }
      if let whole = value.whole { return .int(whole) }
      if case .double(let number) = value, let whole = Int(exactly: number.rounded(.towardZero)) { return .int(whole) }
      if case .string(let text) = value {
        let plain = PythonText.stripped(text, nil, start: true, end: true)
        if let whole = Int(plain) ?? Double(plain).flatMap({ Int(exactly: $0.rounded(.towardZero)) }) { return .int(whole) }
      }
      return given[0] ?? .int(0)
    },
    filter("float", ["default"]) { _, value, given in
      if let number = value.number { return .double(number) }
      if case .string(let text) = value, let number = Double(PythonText.stripped(text, nil, start: true, end: true)) { return .double(number) }
      return given[0] ?? .double(0)
    },
    filter("round", ["precision", "method"]) { _, value, given in
      if value.whole != nil, given[0]?.whole ?? 0 >= 0, given[1]?.text ?? "common" == "common" { return value }
      guard let number = value.number else { throw TemplateMistake("the filter 'round' does not take \(value.described)") }
      let scale = pow(10, Double(min(max(given[0]?.whole ?? 0, -300), 300)))
      switch given[1]?.text ?? "common" {
      case "common": return .double((number * scale).rounded(.toNearestOrEven) / scale)
      case "ceil": return .double((number * scale).rounded(.up) / scale)
      case "floor": return .double((number * scale).rounded(.down) / scale)
      case let other: throw TemplateMistake("the filter 'round' knows common, ceil and floor, not '\(other)'")
      }
    },
    filter("default", ["default_value", "boolean"], standard), filter("d", ["default_value", "boolean"], standard),
  ]

  private static func standard(_ renderer: TemplateRenderer, _ value: TemplateValue, _ given: [TemplateValue?]) -> TemplateValue {
    value.isUndefined || given[1]?.isTrue == true && !value.isTrue ? given[0] ?? .string("") : value
  }

  // MARK: Lists and dicts

  private static let lists: [(String, Body)] = [
    filter("length") { _, value, _ in try length(value) }, filter("count") { _, value, _ in try length(value) },
    filter("first") { _, value, _ in try value.elements().first ?? .undefined("there is no first element") },
    filter("last") { _, value, _ in try value.elements().last ?? .undefined("there is no last element") },
    filter("list") { renderer, value, _ in try renderer.made(value.elements()) },
    filter("reverse") { renderer, value, _ in
      if case .string(let text) = value { return try renderer.made(String(String.UnicodeScalarView(text.unicodeScalars.reversed()))) }
      return try renderer.made(value.elements().reversed())
    },
    filter("items") { renderer, value, _ in
      switch value {
      case .undefined: return .list([])
      case .dict(let members): return try renderer.made(members.pairs.map { .tuple([.string($0), $1]) })
      default: throw TemplateMistake("the filter 'items' takes a dict, not \(value.described)")
      }
    },
    filter("dictsort", ["case_sensitive", "by", "reverse"]) { renderer, value, given in
      guard case .dict(let members) = value else { throw TemplateMistake("the filter 'dictsort' takes a dict, not \(value.described)") }
      let place = given[1]?.text == "value" ? 1 : 0
      let pairs = members.pairs.map { TemplateValue.tuple([.string($0), $1]) }
      return try sorted(renderer, pairs, by: .int(place), isCaseSensitive: given[0]?.isTrue == true, isReversed: given[2]?.isTrue == true)
    },
    filter("sort", ["reverse", "case_sensitive", "attribute"]) { renderer, value, given in
      try sorted(renderer, value.elements(), by: given[2], isCaseSensitive: given[1]?.isTrue == true, isReversed: given[0]?.isTrue == true)
    },
    filter("unique", ["case_sensitive", "attribute"]) { renderer, value, given in
      var seen: [TemplateValue] = []
      let elements = try value.elements().filter { element in
        let key = key(renderer, element, given[1], isCaseSensitive: given[0]?.isTrue == true)
        try renderer.charge(1 + seen.count)
        if seen.contains(where: { TemplateValue.areEqual($0, key) }) { return false }
        seen.append(key)
        return true
      }
      return .list(elements)
    },
    filter("min", ["case_sensitive", "attribute"]) { renderer, value, given in try extreme(renderer, value, given, isLast: false) },
    filter("max", ["case_sensitive", "attribute"]) { renderer, value, given in try extreme(renderer, value, given, isLast: true) },
    filter("sum", ["attribute", "start"]) { renderer, value, given in
      try value.elements().reduce(given[1] ?? .int(0)) { sum, element in
        try renderer.arithmetic("+", sum, given[0].map { renderer.attribute(path: $0, of: element) } ?? element)
      }
    },
    filter("join", ["d", "attribute"]) { renderer, value, given in
      let texts = try value.elements().map { element in (given[1].map { renderer.attribute(path: $0, of: element) } ?? element).text }
      try renderer.charge(texts.count * (1 + (given[0]?.text.utf8.count ?? 0) / 32))
      return try renderer.made(texts.joined(separator: given[0]?.text ?? ""))
    },
  ]

  static func length(_ value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .undefined: .int(0)
    case .list(let elements), .tuple(let elements): .int(elements.count)
    case .dict(let members): .int(members.keys.count)
    case .string(let text): .int(text.unicodeScalars.count)
    default: throw TemplateMistake("\(value.described) has no length")
    }
  }

  /// What an element is compared by.
  private static func key(
    _ renderer: TemplateRenderer, _ element: TemplateValue, _ attribute: TemplateValue?, isCaseSensitive: Bool
  ) -> TemplateValue {
    let key = attribute.map { renderer.attribute(path: $0, of: element) } ?? element
    if !isCaseSensitive, case .string(let text) = key { return .string(text.lowercased()) }
    return key
  }

  private static func sorted(
    _ renderer: TemplateRenderer, _ elements: [TemplateValue], by attribute: TemplateValue?, isCaseSensitive: Bool, isReversed: Bool
  ) throws -> TemplateValue {
    try renderer.charge(elements.count * 8)
    let keys = elements.map { key(renderer, $0, attribute, isCaseSensitive: isCaseSensitive) }
    // Equal elements keep their order, also where the order is turned round.
    let places = try elements.indices.sorted { a, b in
      if try isReversed ? TemplateValue.isLess(keys[b], keys[a]) : TemplateValue.isLess(keys[a], keys[b]) { return true }
      return try isReversed ? !TemplateValue.isLess(keys[a], keys[b]) && a < b : !TemplateValue.isLess(keys[b], keys[a]) && a < b
    }
    return .list(places.map { elements[$0] })
  }

  private static func extreme(
    _ renderer: TemplateRenderer, _ value: TemplateValue, _ given: [TemplateValue?], isLast: Bool
  ) throws -> TemplateValue {
    let elements = try value.elements()
    guard var best = elements.first else { return .undefined("an empty list has no least or greatest element") }
    func key(_ element: TemplateValue) -> TemplateValue { Self.key(renderer, element, given[1], isCaseSensitive: given[0]?.isTrue == true) }
    for element in elements.dropFirst() where try TemplateValue.isLess(isLast ? key(best) : key(element), isLast ? key(element) : key(best)) {
      best = element
    }
    return best
  }

  // MARK: Choosing elements

  private static let choosing: [(String, Body)] = [
    ("select", { try choose($0, $1, $2, byAttribute: false, keeps: true) }), ("reject", { try choose($0, $1, $2, byAttribute: false, keeps: false) }),
    ("selectattr", { try choose($0, $1, $2, byAttribute: true, keeps: true) }),
    ("rejectattr", { try choose($0, $1, $2, byAttribute: true, keeps: false) }),
    (
      "map",
      { renderer, value, arguments in
        let elements = try value.elements()
        try renderer.charge(elements.count)
        if arguments.positional.isEmpty {
          let given = try arguments.values(of: ["attribute", "default"], "the filter 'map'")
          guard let path = given[0] else { throw TemplateMistake("the filter 'map' needs a filter's name, or 'attribute'") }
          return .list(
            elements.map { element in
              let found = renderer.attribute(path: path, of: element)
              return found.isUndefined ? given[1] ?? found : found
            })
        }
        var rest = arguments
        let name = rest.positional.removeFirst().text
        return .list(try elements.map { try renderer.filter($0, name, rest) })
      }
    ),
  ]

  private static func choose(
    _ renderer: TemplateRenderer, _ value: TemplateValue, _ arguments: TemplateArguments, byAttribute: Bool, keeps: Bool
  ) throws -> TemplateValue {
    var rest = arguments
    guard !byAttribute || !rest.positional.isEmpty else { throw TemplateMistake("the filter needs the name of an attribute") }
    let path = byAttribute ? rest.positional.removeFirst() : nil
    let test = rest.positional.isEmpty ? nil : rest.positional.removeFirst().text
    let elements = try value.elements()
    try renderer.charge(elements.count)
    return .list(
      try elements.filter { element in
        let tested = path.map { renderer.attribute(path: $0, of: element) } ?? element
        return try (test.map { try renderer.test(tested, $0, rest) } ?? tested.isTrue) == keeps
      })
  }
}
