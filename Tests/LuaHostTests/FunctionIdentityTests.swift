import Diagnostics
import Files
import LuaHost
import Testing

/// What tells functions of scripts apart, whatever state and whatever order of tables they come from.
@Suite struct FunctionIdentityTests {
  private func identity(_ script: String) throws -> (place: String, identity: JSONValue) {
    let state = try LuaState()
    defer { state.close() }
    guard case .function(let function)? = try state.run(text: script, name: "f.lua").first else {
      throw EngineError(.argument, "no function")
    }
    return (function.place, try function.identity())
  }

  @Test(arguments: [
    ("local function f(x) return x end return f", "local function f(x) --[[ a comment ]] return x end return f", true),
    ("return function(x) return x end", "return function(y) return y end", true),
    ("return function(x) return x end", "return function(x) return x + 1 end", false),
    ("return function(x) return x end", "\nreturn function(x) return x end", false),
    ("local a = 1 return function() return a end", "local a = 2 return function() return a end", false),
    ("local a = 1 return function() return a end", "local a = 1.5 return function() return a end", false),
    ("local a = 'x' return function() return a end", "local a = true return function() return a end", false),
    ("local a = { x = 1, y = { 2 } } return function() return a end", "local a = { y = { 2 }, x = 1 } return function() return a end", true),
    ("local a = { x = 1, y = { 2 } } return function() return a end", "local a = { x = 1, y = { 3 } } return function() return a end", false),
    ("local a = { 1 } return function() return a end", "local a = { ['1'] = 1 } return function() return a end", false),
    ("local a = {} a.a = a return function() return a end", "local a = { a = {} } return function() return a end", false),
    ("local a = {} a.a = a return function() return a end", "local a = {} a.a = a return function() return a end", true),
    ("local function g() return 1 end return function() return g() end", "local function g() return 2 end return function() return g() end", false),
    ("local a = 0 / 0 return function() return a end", "local a = 1 / 0 return function() return a end", false),
  ])
  func codeAndCapturedValuesCount(a: String, b: String, areEqual: Bool) throws {
    #expect(try (identity(a).identity == identity(b).identity) == areEqual, "\(a) and \(b)")
  }

  @Test func placesAreThoseOfTheScript() throws {
    #expect(try identity("\n\nreturn function() end").place == "f.lua:3")
    #expect(try identity("return print").place == "?")
  }

  @Test func depthIsLimited() throws {
    let error = #expect(throws: EngineError.self) {
      try identity("local a = {} for i = 1, 10000 do a = { a } end return function() return a end")
    }
    #expect(error?.description == "a function that takes part in a training has captured too many tables, or too deep ones")
  }
}
