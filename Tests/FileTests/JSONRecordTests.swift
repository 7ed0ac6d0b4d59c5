import Diagnostics
import Files
import TestSupport
import Testing

@Suite struct JSONRecordTests {
  private enum Color: String, FieldChoice { case red, blue }

  private struct Point: Record {
    var x = 1
    static let recordName = "point"
    static let fields: [Field<Self>] = [.int("x", \.x, "where", in: 0...9, required: true)]
  }

  private struct Sample: Record {
    var count = 1
    var share = 0.5
    var name = "none"
    var note: String?
    var isDone = false
    var color = Color.red
    var words: [String] = []
    var sizes: [String: Int] = [:]
    var point = Point()
    var points: [Point] = []
    static let recordName = "sample"
    static let fields: [Field<Self>] = [
      .int("count", \.count, "how many", in: 0...9, required: true), .float("share", \.share, "a part"),
      .value("name", \.name, "what", required: true), .value("note", \.note, "anything"), .value("done", \.isDone, "whether"),
      .value("color", \.color, "which"), .value("words", \.words, "some"), .value("sizes", \.sizes, "by name"),
      .value("point", \.point, "a place"), .value("points", \.points, "places"),
    ]
  }

  private static let whole =
    #"{"count": 2, "share": 1.5, "name": "é", "done": true, "color": "blue", "words": [], "sizes": {}, "point": {"x": 3}, "points": [{"x": 4}]}"#

  @Test func readsBackWhatItWrites() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/sample.json"
      try AtomicFile.write(Self.whole, to: path)
      let sample = try Sample(jsonFile: path)
      #expect(sample.count == 2 && sample.share == 1.5 && sample.note == nil && sample.points.map(\.x) == [4])
      try AtomicFile.write(.object(sample.json), to: path)
      #expect(try Sample(jsonFile: path).json == sample.json)
      #expect(sample.json == (try JSONValue(parsing: Self.whole, source: "").objectValue))
      #expect(throws: EngineError.self) { try Sample(jsonFile: folder + "/none.json") }
    }
  }

  static let mistakes: [(String, String)] = [
    ("[]", "expected an object, found an array"), ("null", "expected an object, found null"),
    ("{}", "missing field 'count'"), (#"{"count": 1}"#, "missing field 'name'"),
    (#"{"count": 1, "name": "a", "cuont": 1}"#, "unknown field 'cuont'; did you mean 'count'?"),
    (#"{"count": 1, "name": "a", "x": 1, "colour": 1}"#, "unknown fields 'colour' (did you mean 'color'?), 'x'"),
    (#"{"count": 1, "name": null}"#, "'name' must be a string, got nothing"),
    (#"{"count": 1, "name": "a", "point": {"x": null}}"#, "'point': point: 'x' must be an integer from 0 to 9, got nothing"),
    (#"{"count": 1, "name": "a", "point": {}}"#, "'point': point: missing field 'x'"),
    (#"{"count": 1, "name": "a", "points": [{"x": 1}, {"x": 10}]}"#, "'points[2]': point: 'x' must be an integer from 0 to 9, got 10"),
    (#"{"count": 1, "name": "a", "color": "bleu"}"#, "'color' must be one of 'red', 'blue', got 'bleu'; did you mean 'blue'?"),
  ]

  @Test(arguments: mistakes) func namesTheKey(_ text: String, _ message: String) throws {
    let json = try JSONValue(parsing: text, source: "s.json")
    #expect { try Sample(json: json, source: "a/s.json") } throws: { "\($0)" == "a/s.json: " + message }
  }

  /// Each key in turn is left out, or has a value of each other kind.
  @Test func refusesEveryOtherType() throws {
    let whole = try #require(JSONValue(parsing: Self.whole, source: "").objectValue)
    let others: [JSONValue] = [.null, true, 7, 1.5, "text", [], ["a"], [1], [:], ["a": "b"], ["x": 1]]
    let fitting: [String: [JSONValue]] = [
      "count": [7], "share": [7, 1.5], "name": ["text"], "done": [true], "words": [[], ["a"]], "sizes": [[:], ["x": 1]],
      "point": [["x": 1]], "points": [[]],
    ]
    for key in whole.keys {
      for value in others {
        var changed = whole
        changed[key] = value
        let isFitting = fitting[key, default: []].contains(value)
        let isTaken = (try? Sample(json: .object(changed), source: "s")) != nil
        #expect(isTaken == isFitting, "\(key): \(value.encoded(.ordered))")
      }
    }
  }
}
