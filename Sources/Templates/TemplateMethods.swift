import Foundation

/// What Python's strings, lists and dicts can do and a template may ask for: nothing that changes a value.
enum TemplateMethods {
  private typealias Body = @Sendable (TemplateRenderer, TemplateValue, [TemplateValue?]) throws -> TemplateValue

  /// nil: there is no such method.
  static func method(_ name: String, of object: TemplateValue) -> TemplateValue.Function? {
    let methods: [String: (parameters: [String], body: Body)] =
      switch object {
      case .string: strings
      case .list, .tuple: lists
      case .dict: dicts
      default: [:]
      }
    guard let (parameters, body) = methods[name] else { return nil }
    return TemplateValue.Function(name: name) { renderer, arguments in
      try body(renderer, object, arguments.values(of: parameters, "the method '\(name)'"))
    }
  }

  private static let dicts: [String: (parameters: [String], body: Body)] = [
    "get": (
      ["key", "default"],
      { _, object, given in
        guard case .dict(let members) = object, case .string(let key)? = given[0] else { return given[1] ?? .none }
        return members[key] ?? given[1] ?? .none
      }
    ),
    "keys": ([], { renderer, object, _ in try renderer.made(object.elements()) }),
    "values": (
      [],
      { renderer, object, _ in
        guard case .dict(let members) = object else { return .none }
        return try renderer.made(members.values)
      }
    ),
    "items": ([], { renderer, object, _ in try renderer.filter(object, "items", TemplateArguments()) }),
    "copy": ([], { _, object, _ in object }),
  ]

  private static let lists: [String: (parameters: [String], body: Body)] = [
    "index": (
      ["value"],
      { _, object, given in
        guard let value = given[0], let place = try object.elements().firstIndex(where: { TemplateValue.areEqual($0, value) }) else {
          throw TemplateMistake("the list does not have the element that 'index' looks for")
        }
        return .int(place)
      }
    ),
    "count": (
      ["value"],
      { _, object, given in
        guard let value = given[0] else { throw TemplateMistake("'count' needs a value") }
        return .int(try object.elements().count { TemplateValue.areEqual($0, value) })
      }
    ),
    "copy": ([], { _, object, _ in object }),
  ]

  private static let strings: [String: (parameters: [String], body: Body)] = [
    "strip": (["chars"], { try strip($0, $1, $2, start: true, end: true) }),
    "lstrip": (["chars"], { try strip($0, $1, $2, start: true, end: false) }),
    "rstrip": (["chars"], { try strip($0, $1, $2, start: false, end: true) }),
    "upper": ([], { renderer, text, _ in try renderer.made(text.text.uppercased()) }),
    "lower": ([], { renderer, text, _ in try renderer.made(text.text.lowercased()) }),
    "capitalize": ([], { renderer, text, _ in try renderer.made(PythonText.capitalized(text.text)) }),
    "title": ([], { renderer, text, _ in try renderer.made(PythonText.titled(text.text)) }),
    "startswith": (["prefix"], { _, text, given in try begins(text, given) { $0.utf8.starts(with: $1.utf8) } }),
    "endswith": (["suffix"], { _, text, given in try begins(text, given) { $0.utf8.reversed().starts(with: $1.utf8.reversed()) } }),
    "removeprefix": (
      ["prefix"],
      { renderer, text, given in
        let (text, part) = (text.text, given[0]?.text ?? "")
        return .string(text.utf8.starts(with: part.utf8) ? String(decoding: text.utf8.dropFirst(part.utf8.count), as: UTF8.self) : text)
      }
    ),
    "removesuffix": (
      ["suffix"],
      { renderer, text, given in
        let (text, part) = (text.text, given[0]?.text ?? "")
        let ends = text.utf8.reversed().starts(with: part.utf8.reversed())
        return .string(ends ? String(decoding: text.utf8.dropLast(part.utf8.count), as: UTF8.self) : text)
      }
    ),
    "replace": (["old", "new", "count"], { renderer, text, given in try PythonText.replaced(renderer, text.text, given) }),
    "split": (
      ["sep", "maxsplit"],
      { renderer, text, given in
        let most = given[1]?.whole ?? -1
        guard case .string(let separator)? = given[0] else { return try renderer.made(PythonText.words(text.text, most: most).map { .string($0) }) }
        guard !separator.isEmpty else { throw TemplateMistake("'split' has an empty separator") }
        try renderer.charge(Self.searchCost(text.text, separator))
        return try renderer.made(PythonText.parts(text.text, between: separator, most: most).map { .string($0) })
      }
    ),
    "splitlines": ([], { renderer, text, _ in try renderer.made(PythonText.lines(text.text).map { .string($0) }) }),
    "join": (
      ["elements"],
      { renderer, text, given in
        let texts = try (given[0] ?? .none).elements().map { element in
          guard case .string(let text) = element else { throw TemplateMistake("'join' takes strings, not \(element.described)") }
          return text
        }
        try renderer.charge(texts.count * (1 + text.text.utf8.count / 32))
        return try renderer.made(texts.joined(separator: text.text))
      }
    ),
    "find": (["part"], { renderer, text, given in try place(renderer, text, given).map { .int($0) } ?? .int(-1) }),
    "index": (
      ["part"],
      { renderer, text, given in
        guard let place = try place(renderer, text, given) else { throw TemplateMistake("the string does not have what 'index' looks for") }
        return .int(place)
      }
    ),
    "count": (
      ["part"],
      { renderer, text, given in
        guard case .string(let part)? = given[0], !part.isEmpty else { return .int(text.text.unicodeScalars.count + 1) }
        try renderer.charge(Self.searchCost(text.text, part))
        return .int(PythonText.parts(text.text, between: part, most: -1).count - 1)
      }
    ),
    "isdigit": ([], { _, text, _ in .bool(all(text) { [.decimal, .digit].contains($0.properties.numericType) }) }),
    "isnumeric": ([], { _, text, _ in .bool(all(text) { $0.properties.numericType != nil }) }),
    "isalpha": ([], { _, text, _ in .bool(all(text) { PythonText.isLetter($0) }) }),
    "isalnum": ([], { _, text, _ in .bool(all(text) { PythonText.isLetter($0) || $0.properties.numericType != nil }) }),
    "isspace": ([], { _, text, _ in .bool(all(text, \.isPythonSpace)) }),
    "isupper": ([], { _, text, _ in .bool(PythonText.isCased(text.text, upper: true)) }),
    "islower": ([], { _, text, _ in .bool(PythonText.isCased(text.text, upper: false)) }),
  ]

  /// What looking for `part` may cost.
  static func searchCost(_ text: String, _ part: String) -> Int {
    let (cost, overflows) = text.utf8.count.multipliedReportingOverflow(by: max(1, min(part.utf8.count, 64)))
    return overflows ? .max / 2 : cost / 256
  }

  private static func strip(_ renderer: TemplateRenderer, _ text: TemplateValue, _ given: [TemplateValue?], start: Bool, end: Bool) throws
    -> TemplateValue
  {
    try renderer.made(PythonText.stripped(text.text, given[0].flatMap(PythonText.optional), start: start, end: end))
  }

  private static func begins(_ text: TemplateValue, _ given: [TemplateValue?], _ test: (String, String) -> Bool) throws -> TemplateValue {
    let parts: [TemplateValue]
    if case .tuple(let several)? = given[0] { parts = several } else { parts = [given[0] ?? .none] }
    return .bool(
      try parts.contains { part in
        guard case .string(let part) = part else { throw TemplateMistake("expected a string to compare with, not \(part.described)") }
        return test(text.text, part)
      })
  }

  /// Where a part of a text begins, in letters.
  private static func place(_ renderer: TemplateRenderer, _ text: TemplateValue, _ given: [TemplateValue?]) throws -> Int? {
    guard case .string(let part)? = given[0] else { throw TemplateMistake("expected a string to look for") }
    return try renderer.find(part, in: text.text).map { String(decoding: text.text.utf8.prefix($0), as: UTF8.self).unicodeScalars.count }
  }

  private static func all(_ text: TemplateValue, _ test: (Unicode.Scalar) -> Bool) -> Bool {
    !text.text.isEmpty && text.text.unicodeScalars.allSatisfy(test)
  }
}
