import Diagnostics
import LuaHost
import LuaTensors
import TensorCore

/// The tests that a file declares, in order.
package final class DeclaredTests {
  package private(set) var all: [(name: String, body: LuaFunction)] = []
  /// Whether the file has been read, and a test runs.
  package var isClosed = false

  package init() {}

  func add(_ name: String, _ body: LuaFunction) throws {
    if isClosed { throw EngineError(.argument, "test '\(name)': tests do not nest") }
    guard !name.isEmpty else { throw EngineError(.argument, "test: the name is empty") }
    if all.contains(where: { $0.name == name }) { throw EngineError(.argument, "test '\(name)': another test has this name") }
    all.append((name, body))
  }
}

/// `tests`: takes what the script declares; nil where it is run for something else.
func testModule(_ tests: DeclaredTests?) -> Module {
  Module(
    "test", "Tests of functions and methods, for 'perigee test'. Each runs on its own: the file is run anew for it.",
    call: Function(
      "test", "Declares a test, which passes if it raises no error.", Param<String>("name", "what should hold"),
      Param<LuaFunction>("body", "does it, and says with assert, assert_equal, assert_close and assert_error what is expected")
    ) { name, body in
      guard let tests else {
        throw EngineError(.argument, "test '\(name)': tests are run by 'perigee test FILE', not by this command")
      }
      try tests.add(name, body)
    })
}

/// Beside Lua's own `assert`: global functions, in every script.
func assertions() -> [Function] {
  [
    Function(
      "assert_equal",
      "Raises an error unless both are equal: tables if all in them is equal, tensors if type, shape and all elements are, other objects if they are the same.",
      Param<LuaValue>("actual", "what was computed"), Param<LuaValue>("expected", "what it should be"),
      Param<String?>("message", "what the error begins with")
    ) { actual, expected, message in
      try compare("assert_equal", message, ValueDifferences(), actual, expected)
    },
    Function(
      "assert_close",
      "Raises an error unless both are equal but for the rounding of numbers: numbers, tensors, or tables with them. As torch.testing.assert_close.",
      Param<LuaValue>("actual", "what was computed"), Param<LuaValue>("expected", "what it should be"),
      Param<Tolerance>("options", "how far numbers may be apart")
    ) { actual, expected, tolerance in
      try compare("assert_close", nil, ValueDifferences(tolerance: tolerance), actual, expected)
    },
    Function(
      "assert_error", "Calls a function, and raises an error unless that raises one.", Param<LuaFunction>("body", "what should fail"),
      Param<String?>("text", "what its message should contain, letter by letter"), returns: "the message"
    ) { body, text in
      let message: String
      do {
        try body.call()
        throw EngineError(.argument, "assert_error: expected an error\(text.map { " with '\($0)'" } ?? ""), given none")
      } catch let error as LuaError {
        message = error.message
      }
      // The name of a file is no part of what went wrong.
      if let text, !message.replacing(#/^[^\n]*?:\d+: /#, with: "", maxReplacements: 1).contains(text) {
        throw EngineError(.argument, "assert_error: expected an error with '\(text)', given '\(message)'")
      }
      return message
    },
  ]
}

private func compare(_ name: String, _ message: String?, _ differences: ValueDifferences, _ actual: LuaValue, _ expected: LuaValue) throws {
  let place = message.map { "\(name): \($0)" } ?? name
  do {
    if let difference = try differences.first(actual, expected) { throw EngineError(.argument, difference) }
  } catch let error as EngineError {
    throw error.at(place)
  }
}
