import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@Suite struct JSONTests {
  static let valid: [(String, JSONValue)] = [
    ("null", JSONValue.null), (" true ", true), ("[]", []), ("{}", [:]), ("-12", -12),
    ("1.0", .double(1)), ("1", .int(1)), ("1e3", .double(1000)), ("-0.5E-1", .double(-0.05)),
    ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
    ("9223372036854775808", .double(9_223_372_036_854_775_808)),
    ("1000000000000000019884624838656", .double(1e30)), ("-Infinity", .double(-.infinity)),
    (#""a\n\u00e9\ud83d\ude00\/""#, "a\né😀/"), ("[1,[2,{\"a\":null}]]", [1, [2, ["a": .null]]]),
    ("\u{FEFF}[1]", [1]),
  ]

  /// A file of hundreds of megabytes is no configuration, and its values would take gigabytes.
  @Test func isNotReadFromALargeFile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/large.json"
      try AtomicFile.write("[]", to: path)
      #expect(try JSONValue(file: path) == [])
      #expect(truncate(path, 700 << 20) == 0)
      #expect(throws: EngineError(.data, "\(path): the file has 700 MB, expected at most 512 MB")) { try JSONValue(file: path) }
    }
  }

  @Test(arguments: valid) func parses(text: String, expected: JSONValue) throws {
    #expect(try JSONValue(parsing: text, source: "t") == expected)
  }

  @Test(arguments: [
    ("", "t:1: invalid JSON: expected a value, the text ends (byte 0)"),
    ("[1,\n2,\n x]", "t:3: invalid JSON: expected a value, found 'x' (byte 8)"),
    ("[1 2]", "t:1: invalid JSON: expected ',' or ']', found '2' (byte 3)"),
    ("{\"a\":1,\n\"a\":2}", "t:2: invalid JSON: duplicate key \"a\" (byte 8)"),
    ("{a:1}", "t:1: invalid JSON: expected a key in double quotes, found 'a' (byte 1)"),
    ("{\"a\" 1}", "t:1: invalid JSON: expected ':', found '1' (byte 5)"),
    ("01", "t:1: invalid JSON: a number starts with 0 (byte 0)"),
    ("-", "t:1: invalid JSON: expected a digit, the text ends (byte 1)"),
    ("1.", "t:1: invalid JSON: expected a digit, the text ends (byte 2)"),
    ("1e+", "t:1: invalid JSON: expected a digit, the text ends (byte 3)"),
    ("tru", "t:1: invalid JSON: expected a value, found 't' (byte 0)"),
    ("\"a", "t:1: invalid JSON: the text ends inside a string (byte 2)"),
    ("\"a\\", "t:1: invalid JSON: the text ends inside a string (byte 3)"),
    ("\"\\ud800\"", "t:1: invalid JSON: half of a surrogate pair (byte 7)"),
    ("\"\\u12g4\"", "t:1: invalid JSON: expected four hexadecimal digits, found 'g' (byte 5)"),
    ("\"\n\"", "t:1: invalid JSON: control character in a string; it must be escaped (byte 1)"),
    ("[1] 2", "t:1: invalid JSON: expected the end of the text, found '2' (byte 4)"),
  ])
  func namesThePlaceOfMistakes(text: String, message: String) {
    #expect { try JSONValue(parsing: text, source: "t") } throws: { "\($0)" == message }
  }

  @Test func limitsDepthAndRejectsInvalidUTF8() throws {
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: EngineError.self) { try JSONValue(parsing: deep, source: "t") }
    let nested = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
    _ = try JSONValue(parsing: nested, source: "t")
    #expect(throws: EngineError.self) {
      try JSONValue(parsing: [0x22, 0xFF, 0x22] as [UInt8], source: "t")
    }
  }

  @Test func encodesSortedAndReadsBackTheSame() throws {
    let value: JSONValue = [
      "b": [1, 2.0, 1e-5, "x\"\\\u{1}\t"], "a": ["deep": [["k": .null], []]], "A": .double(.nan),
    ]
    #expect(
      value.encoded(.canonical)
        == #"{"A":NaN,"a":{"deep":[{"k":null},[]]},"b":[1,2.0,1e-05,"x\"\\\u0001\t"]}"#)
    #expect(value.encoded(.line).hasPrefix(#"{"b":[1,2.0"#))
    #expect(value.encoded(.line).hasSuffix(#""A":null}"#))
    #expect(
      (["z": [1, 2], "a": ["k": "v"], "e": []] as JSONValue).encoded(.file) == """
        {
          "a": {
            "k": "v"
          },
          "e": [],
          "z": [1, 2]
        }
        """)
    for layout in [JSONValue.Layout.file, .canonical, .ordered] {
      let text = value.encoded(layout)
      #expect(try JSONValue(parsing: text, source: "t").encoded(layout) == text)
    }
  }

  @Test func keepsKeysApartThatUnicodeCallsEqual() throws {
    var members = (0..<12).map { "\"k\($0)\":\($0)" }
    members += ["\"\u{E9}\":1", "\"e\u{301}\":2"]
    let text = "{" + members.joined(separator: ",") + "}"
    let object = try #require(try JSONValue(parsing: text, source: "t").objectValue)
    #expect(object.count == 14)
    #expect(object["\u{E9}"] == 1)
    #expect(object["e\u{301}"] == 2)
  }

  @Test func objectsReplaceAndRemoveMembers() {
    var object = JSONObject((0..<20).map { ("k\($0)", .int($0)) })
    object["k3"] = nil
    object["k4"] = "new"
    object["k20"] = 20
    #expect(object.count == 20)
    #expect(object["k3"] == nil)
    #expect(object["k4"] == "new")
    #expect(object["k20"] == 20)
    #expect(object["k19"] == 19)
    #expect(object == JSONObject(Array(object.members).reversed()))
  }

  /// The last of two equal names wins where the caller asks for Python's behaviour.
  @Test func keepsTheLastDuplicateOnRequest() throws {
    let text = Array("{\"a\":1,\"a\":2}".utf8)
    let value = try JSONValue(parsing: text, source: "t", duplicateKeys: .keepLast)
    #expect(value == ["a": 2])
  }
}
