import Diagnostics
import Files
import Testing

@testable import Pipelines

@Suite struct ParameterTests {
  static func set() throws -> ParameterSet {
    try ParameterSet([
      Parameter("model", default: "builtin:tiny", doc: "model folder"),
      Parameter("r", default: 8, minimum: 1, maximum: 64),
      Parameter("learning_rate", default: 5e-4, minimum: 0),
      Parameter("group_by_length", default: true),
      Parameter("target_modules", default: ["query", "value"]),
      Parameter("seeds", default: [1, 2], minimum: 0),
      Parameter("precision", default: "auto", choices: ["auto", "bf16", "fp32"]),
      Parameter("epochs", default: 3),
    ])
  }

  static let valid: [(String, String, JSONValue)] = [
    ("model=a=b c", "model", "a=b c"), ("model=", "model", ""), ("r=16", "r", 16),
    ("r=1e1", "r", 10), ("learning_rate=1", "learning_rate", .double(1)),
    ("learning_rate=1e-3", "learning_rate", 1e-3),
    ("learning_rate=inf", "learning_rate", .double(.infinity)),
    ("group_by_length=false", "group_by_length", false),
    ("target_modules=key,dense", "target_modules", ["key", "dense"]),
    ("target_modules=", "target_modules", []),
    ("target_modules=[\"a,b\"]", "target_modules", ["a,b"]), ("seeds=1, 5", "seeds", [1, 5]),
    ("seeds=[3]", "seeds", [3]), ("precision=fp32", "precision", "fp32"),
  ]

  @Test(arguments: valid) func readsSettings(setting: String, name: String, value: JSONValue) throws {
    let values = try Self.set().resolve(settings: [setting])
    #expect(values[name] == value)
    #expect(values.count == 8)
    #expect(values.keys.first == "model")
  }

  @Test(arguments: [
    ("r=x", "--set r=x: 'r' must be an integer from 1 to 64, got 'x'"),
    ("r=0", "--set r=0: 'r' must be an integer from 1 to 64, got 0"),
    ("r=65", "--set r=65: 'r' must be an integer from 1 to 64, got 65"),
    ("r=2.5", "--set r=2.5: 'r' must be an integer from 1 to 64, got 2.5"),
    ("r=99999999999999999999", "--set r=99999999999999999999: 'r' must be an integer from 1 to 64, got 1e+20"),
    ("r", "--set r: expected name=value"), ("=3", "--set =3: expected name=value"),
    ("r=\u{0}", "--set: expected a text without the character NUL"),
    ("learning_rate=nan", "--set learning_rate=nan: 'learning_rate' must be a number at least 0, got nan"),
    ("learning_rate=-1", "--set learning_rate=-1: 'learning_rate' must be a number at least 0, got -1"),
    ("learnin_rate=1", "--set learnin_rate=1: no option 'learnin_rate'; did you mean 'learning_rate'?"),
    ("group_by_length=1", "--set group_by_length=1: 'group_by_length' must be true or false, got '1'"),
    ("seeds=1,x", "--set seeds=1,x: 'seeds[2]' must be an integer, got 'x'"),
    ("seeds=1,,2", "--set seeds=1,,2: 'seeds[2]' must be an integer, got ''"),
    ("seeds=1,-1", "--set seeds=1,-1: 'seeds' must be a list of integers at least 0, got -1"),
    ("target_modules=[1]", "--set target_modules=[1]: 'target_modules[1]' must be a string, got 1"),
    (
      "precision=bf1",
      "--set precision=bf1: 'precision' must be a string, one of 'auto', 'bf16', 'fp32', got 'bf1'; "
        + "did you mean 'bf16'?"
    ),
  ])
  func namesMistakes(setting: String, message: String) throws {
    let set = try Self.set()
    #expect { try set.resolve(settings: [setting]) } throws: { "\($0)" == message }
  }

  @Test func listsAllMistakesAtOnceAndTakesTheLastOfAName() throws {
    let set = try Self.set()
    #expect { try set.resolve(settings: ["r=x", "epoch=2", "r=4"]) } throws: {
      "\($0)"
        == "2 mistakes: --set r=x: 'r' must be an integer from 1 to 64, got 'x' | --set epoch=2: no "
        + "option 'epoch'; did you mean 'epochs'?"
    }
    #expect(try set.resolve(settings: ["r=2", "r=4"])["r"] == 4)
    #expect {
      try ParameterSet([]).resolve(settings: ["x=1"])
    } throws: { "\($0)" == "--set x=1: no option 'x'; the script declares no parameters" }
  }

  @Test func checksDeclarations() throws {
    let bad: [() throws -> Void] = [
      { _ = try Parameter("", default: 1) }, { _ = try Parameter("a=b", default: 1) },
      { _ = try Parameter("1a", default: 1) }, { _ = try Parameter("a", default: .null) },
      { _ = try Parameter("a", default: [:]) }, { _ = try Parameter("a", default: [1, "b"]) },
      { _ = try Parameter("a", default: [[1]]) },
      { _ = try Parameter("a", default: 0, minimum: 1) },
      { _ = try Parameter("a", default: "x", choices: ["y"]) },
      { _ = try Parameter("a", default: .double(.nan)) },
      { _ = try ParameterSet([Parameter("a", default: 1), Parameter("a", default: 2)]) },
    ]
    for declare in bad { #expect(throws: EngineError.self) { try declare() } }
    #expect(try Parameter("a", default: [1, 2.5]).value(text: "3,0.5") == [.double(3), 0.5])
    #expect(try Parameter("a", default: 0.5, choices: [0.5, 1]).value(text: "1") == .double(1))
    #expect(try Parameter("a", default: []).value(JSONValue.array(["x", 1]).configValue) == ["x", 1])
    #expect(try Self.set().table().text().contains("an integer from 1 to 64"))
  }

  /// What a script says about a parameter is read as strictly as the parameter.
  @Test func refusesDeclarations() throws {
    let mistakes: [(words: [String: ConfigValue], message: String)] = [
      (["doc": .integer(1)], "parameter 'r': 'doc' must be a string, got 1"),
      (["min": .text("1")], "parameter 'r': 'min' must be a number, got '1'"),
      (["choices": .text("8")], "parameter 'r': 'choices' must be a list of values, got '8'"),
      (["mni": .integer(1)], "parameter 'r': unknown field 'mni'; did you mean 'min'?"),
      (["max": .integer(7)], "parameter 'r': its default: 'r' must be an integer at most 7, got 8"),
    ]
    for (words, message) in mistakes {
      let declarations = ConfigTable(fields: ["r": .table(ConfigTable(list: [.integer(8)], fields: words))])
      #expect { try ParameterSet(declarations, place: "params") } throws: { "\($0)" == message }
    }
  }

  @Test func declaresListsAndDefaults() throws {
    let list = ConfigValue.table(ConfigTable(list: [.integer(8)]))
    let described = ConfigValue.table(ConfigTable(list: [.number(0.5)], fields: ["doc": .text("a half"), "max": .number(.infinity)]))
    let set = try ParameterSet(ConfigTable(fields: ["ranks": list, "half": described]), place: "params")
    #expect(try set.resolve() == ["half": 0.5, "ranks": [8]])
    #expect(set.parameters[0].doc == "a half")
  }
}
