import Diagnostics
import Files
import Patterns
import TestSupport
import Testing

/// The answers of Python's `re`, from Fixtures/make_fixtures.py.
private struct Fixture {
  let texts: [String]
  let refused: [String]
  let answers: [JSONValue]

  init() throws {
    let json = try JSONValue(file: packageRoot + "/Tests/PatternTests/Fixtures/regular_expressions.json")
    texts = json["texts"]?.arrayValue?.compactMap(\.stringValue) ?? []
    refused = json["refused"]?.arrayValue?.compactMap(\.stringValue) ?? []
    answers = json["answers"]?.arrayValue ?? []
  }
}

@Suite struct RegularExpressionTests {
  @Test func answersAsPythonDoes() throws {
    let fixture = try Fixture()
    #expect(fixture.answers.count > 600 && fixture.texts.count > 60)
    for answer in fixture.answers {
      let pattern = try #require(answer["pattern"]?.stringValue)
      guard let longest = answer["longest"]?.intValue else {
        #expect(throws: EngineError.self, "\(pattern)") { try RegularExpression(pattern) }
        continue
      }
      let expression = try RegularExpression(pattern)
      let whole = Set(answer["fullmatch"]?.arrayValue?.compactMap(\.intValue) ?? [])
      // Flags stand at the beginning alone.
      let anywhere = pattern.hasPrefix("(?") ? nil : try RegularExpression("(?s:.*)(?:\(pattern))(?s:.*)")
      let part = Set(answer["search"]?.arrayValue?.compactMap(\.intValue) ?? [])
      for (i, text) in fixture.texts.enumerated() where text.unicodeScalars.count <= longest {
        #expect(expression.matchesWhole(text) == whole.contains(i), "fullmatch of \(pattern) and \(text.debugDescription)")
        #expect(anywhere?.matchesWhole(text) ?? part.contains(i) == part.contains(i), "search of \(pattern) in \(text.debugDescription)")
      }
    }
  }

  static let refusals = [
    (#"(a)\1"#, "a back-reference, which is not supported, at position 5"),
    ("(?P<n>a)(?P=n)", "a back-reference, which is not supported, at position 12"),
    ("(a)(?(1)b|c)", "a condition on a group, which is not supported, at position 6"),
    ("(?>a)b", "an atomic group, which is not supported, at position 3"),
    ("a*+", "a possessive repeat, which is not supported, at position 2"),
    ("(?x)a b", "the flag x, which is not supported, at position 3"),
    (#"\N{BULLET}"#, "a character by its name, which is not supported, at position 2"),
    ("a{30000}", "a repeat of 30000, expected at most 20000, at position 8"),
    ("(?:a{200}){200}", "too large, expected at most 20000 characters with repeats written out"),
    ("(query", "missing ), unterminated subpattern at position 6"), ("[a", "unterminated character set at position 2"),
    ("a**", "multiple repeat at position 3"), ("*a", "nothing to repeat at position 1"),
  ]

  @Test("refused with its reason", arguments: refusals)
  func refuses(_ pattern: String, _ reason: String) {
    #expect(throws: EngineError(.data, "'\(pattern)' is not a valid regular expression: \(reason)")) {
      try RegularExpression(pattern, kind: .data)
    }
  }

  @Test func refusesWhatTheFixtureListsAsUnsupported() throws {
    for pattern in try Fixture().refused {
      #expect(throws: EngineError.self, "\(pattern.prefix(40))") { try RegularExpression(pattern) }
    }
  }

  /// Each would take a backtracking matcher longer than the age of the universe.
  @Test(
    "ends", .timeLimit(.minutes(1)),
    arguments: [
      "(([a-z.0-9]+)+)+#", "(a|a)*b", "(a*)*b", "(?:a?){200}a{200}b", "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)b", "(?=(a+)+b)a*", "(?<!(?=(a|a)*b)a)b|c",
      "(?:(?=(?:(?=(?:a|a)*b)a|a)*b)a|a)*b",
    ])
  func ends(_ pattern: String) throws {
    let expression = try RegularExpression(pattern)
    let text = String(repeating: "a", count: 200)
    #expect(!expression.matchesWhole(text))
    #expect(expression.matchesWhole(text + "b") == (pattern.hasSuffix("b") && !pattern.hasPrefix("(?<!")))
  }

  @Test func largePatternsAreRefusedSoon() {
    for pattern in [
      String(repeating: "(", count: 90_000), String(repeating: "a", count: 200_000),
      String(repeating: "(?:a{100}", count: 90) + String(repeating: "){100}", count: 90),
      String(repeating: "(?:", count: 90) + String(repeating: "){19999}", count: 90) + "{", String(repeating: "a|", count: 50_000),
    ] {
      let message = (try? RegularExpression(pattern)) == nil ? "refused" : "accepted"
      #expect(message == (pattern.hasSuffix("{") ? "accepted" : "refused"), "\(pattern.prefix(20))")
    }
  }

  @Test func escapedTextMatchesItselfAlone() throws {
    for text in ["bert.encoder.layer.0", "a+b*(c)[d]{e}|f^g$h\\i-j k#l~m&n\"o", "é中😀", "_0"] {
      let expression = try RegularExpression(RegularExpression.escaped(text))
      #expect(expression.matchesWhole(text))
      #expect(!expression.matchesWhole(text + "x") && !expression.matchesWhole("x" + text))
    }
    #expect(try !RegularExpression(RegularExpression.escaped("a.b")).matchesWhole("axb"))
  }
}
