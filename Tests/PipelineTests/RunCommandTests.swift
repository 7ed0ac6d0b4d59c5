import Diagnostics
import Files
import TestSupport
import Testing

@testable import Pipelines

/// `command.json` and `params.json` are read strictly: a damaged file is an error, and not a run with defaults.
@Suite struct RunCommandTests {
  private static func whole() -> RunCommand {
    var invocation = Invocation()
    invocation.argv = ["perigee", "run"]
    invocation.settings = ["n=5"]
    invocation.start = "2026-01-31T12:00:00Z"
    invocation.host = HostFacts.current()
    invocation.finish(.finished, exitCode: 0, error: nil, after: 61.25)
    var command = RunCommand()
    (command.script, command.scriptPath, command.invocations) = ("t.lua", "a/t.lua", [invocation])
    return command
  }

  private static func problem(_ json: JSONValue) -> String? {
    do {
      _ = try RunCommand(json: json, source: "r/command.json")
      return nil
    } catch { return "\(error)" }
  }

  @Test func readsWhatItWrites() throws {
    let command = Self.whole()
    #expect(command.invocations[0].end == "2026-01-31T12:01:01Z")
    #expect(try RunCommand(json: .object(command.json), source: "").json == command.json)
  }

  /// Each key is left out, misspelt, or has each value of another kind, in the file, in an invocation and in its machine.
  @Test func refusesEveryDamagedKey() throws {
    let whole = Self.whole().json
    let invocation = try #require(whole["invocations"]?[0]?.objectValue)
    let host = try #require(invocation["host"]?.objectValue)
    func inInvocation(_ value: JSONObject) -> JSONValue {
      var changed = whole
      changed["invocations"] = [.object(value)]
      return .object(changed)
    }
    func inHost(_ value: JSONObject) -> JSONValue {
      var changed = invocation
      changed["host"] = .object(value)
      return inInvocation(changed)
    }
    let optional = ["end", "duration", "error", "kernel", "machine", "cpu", "cpu_flags"]
    let values: [JSONValue] = [.null, true, 0.5, -1, "no", "", [1], ["a": 1], [], [:]]
    var count = 0
    for (object, wrap) in [(whole, { .object($0) }), (invocation, inInvocation), (host, inHost)] as [(JSONObject, (JSONObject) -> JSONValue)] {
      #expect(Self.problem(wrap(object)) == nil)
      for (key, value) in object.members {
        var changed = object
        changed[key] = nil
        let isOptional = optional.contains(key)
        #expect((Self.problem(wrap(changed)) == nil) == isOptional, "without \(key)")
        changed[key + "s"] = value
        #expect(Self.problem(wrap(changed))?.contains("unknown field '\(key)s'") == true)
        for other in values where other.kindName != value.kindName {
          if isOptional && other == .null || value.doubleValue != nil && other == 0.5 && key == "duration" { continue }
          changed = object
          changed[key] = other
          count += 1
          #expect(Self.problem(wrap(changed))?.contains("'\(key)") == true, "\(key): \(other.encoded(.ordered))")
        }
      }
    }
    #expect(count > 150)
  }

  @Test(arguments: [
    ("invocations", [] as JSONValue, "'invocations' must hold one at least"),
    ("script", "../t.lua", "'script' must be the name of a file, got '../t.lua'"),
    ("script", "", "'script' must be the name of a file, got ''"),
  ]) func refusesWhatNamesNothing(key: String, value: JSONValue, message: String) {
    var changed = Self.whole().json
    changed[key] = value
    #expect(Self.problem(.object(changed)) == "r/command.json: " + message)
  }

  @Test(arguments: [
    ("start", "yesterday" as JSONValue), ("status", "done"), ("precision", "fp23"), ("seed", -1), ("duration", -0.5), ("exit_code", 300),
  ])
  func refusesValuesOutOfRange(key: String, value: JSONValue) throws {
    var invocation = try #require(Self.whole().json["invocations"]?[0]?.objectValue)
    invocation[key] = value
    var changed = Self.whole().json
    changed["invocations"] = [.object(invocation)]
    #expect(Self.problem(.object(changed))?.hasPrefix("r/command.json: 'invocations[1]': invocation: '\(key)' must be") == true)
  }

  @Test(arguments: [
    ("[]", "expected an object, found an array"), (#"{"r": null}"#, "'r' must be a boolean, a number, a string or a list of these, got null"),
    (#"{"r": {"a": 1}}"#, #"'r' must be a boolean, a number, a string or a list of these, got {"a":1}"#),
  ])
  func refusesWhatNoParameterIs(text: String, message: String) throws {
    let json = try JSONValue(parsing: text, source: "")
    #expect { try ParameterSet.values(json, source: "r/params.json") } throws: { "\($0)" == "r/params.json: " + message }
  }
}
