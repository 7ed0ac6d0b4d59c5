/// `value is name(...)`, by name.
enum TemplateTests {
  typealias Body = @Sendable (TemplateValue, [TemplateValue]) throws -> Bool

  static let all: [String: Body] = {
    var all = kinds
    for (names, test) in comparisons { for name in names { all[name] = test } }
    return all
  }()

  private static let kinds: [String: Body] = [
    "defined": { value, _ in !value.isUndefined },
    "undefined": { value, _ in value.isUndefined },
    "none": { value, _ in if case .none = value { true } else { false } },
    "true": { value, _ in if case .bool(true) = value { true } else { false } },
    "false": { value, _ in if case .bool(false) = value { true } else { false } },
    "boolean": { value, _ in if case .bool = value { true } else { false } },
    "integer": { value, _ in if case .int = value { true } else { false } },
    "float": { value, _ in if case .double = value { true } else { false } },
    "number": { value, _ in value.number != nil },
    "string": { value, _ in if case .string = value { true } else { false } },
    "mapping": { value, _ in if case .dict = value { true } else { false } },
    "sequence": { value, _ in
      switch value {
      case .string, .list, .tuple, .dict, .undefined: true
      default: false
      }
    },
    "iterable": { value, _ in
      switch value {
      case .string, .list, .tuple, .dict, .undefined: true
      default: false
      }
    },
    "callable": { value, _ in if case .function = value { true } else { false } },
    "odd": { value, _ in try whole(value, "odd") & 1 == 1 },
    "even": { value, _ in try whole(value, "even") & 1 == 0 },
    "divisibleby": { value, given in
      let divisor = try whole(other(given, "divisibleby"), "divisibleby")
      guard divisor != 0 else { throw TemplateMistake("a division by zero") }
      return divisor == -1 ? true : try whole(value, "divisibleby") % divisor == 0
    },
    "upper": { value, _ in PythonText.isCased(value.text, upper: true) },
    "lower": { value, _ in PythonText.isCased(value.text, upper: false) },
    "filter": { value, _ in TemplateFilters.all[value.text] != nil },
    "test": { value, _ in all[value.text] != nil },
    "in": { value, given in
      switch try (other(given, "in"), value) {
      case (.string(let text), .string(let part)): part.isEmpty || PythonText.parts(text, between: part, most: 1).count > 1
      case (let container, _): try container.elements().contains { TemplateValue.areEqual($0, value) }
      }
    },
  ]

  private static let comparisons: [([String], Body)] = [
    (["eq", "equalto", "=="], { TemplateValue.areEqual($0, try other($1, "eq")) }),
    (["ne", "!="], { !TemplateValue.areEqual($0, try other($1, "ne")) }),
    (["lt", "lessthan", "<"], { try TemplateValue.isLess($0, other($1, "lt")) }),
    (["gt", "greaterthan", ">"], { try TemplateValue.isLess(other($1, "gt"), $0) }),
    (["le", "<="], { try TemplateValue.areEqual($0, other($1, "le")) || TemplateValue.isLess($0, other($1, "le")) }),
    (["ge", ">="], { try TemplateValue.areEqual($0, other($1, "ge")) || TemplateValue.isLess(other($1, "ge"), $0) }),
    (
      ["sameas"],
      { value, given in
        switch (value, try other(given, "sameas")) {
        case (.bool(let a), .bool(let b)): a == b
        case (.none, .none): true
        default: throw TemplateMistake("the test 'sameas' is supported for true, false and none alone", hint: "use '=='")
        }
      }
    ),
  ]

  private static func other(_ given: [TemplateValue], _ test: String) throws -> TemplateValue {
    guard given.count == 1 else { throw TemplateMistake("the test '\(test)' needs one value, got \(given.count)") }
    return given[0]
  }

  private static func whole(_ value: TemplateValue, _ test: String) throws -> Int {
    guard let whole = value.whole else { throw TemplateMistake("the test '\(test)' takes a whole number, not \(value.described)") }
    return whole
  }
}
