import Diagnostics
import Files
import LuaHost
import Testing

/// What tells functions of scripts apart, whatever state and whatever order of tables they come from.
@Suite struct FunctionIdentityTests {
  private func identity(_ script: String) throws -> (place: String, identity: String) {
    let state = try LuaState()
    defer { state.close() }
    guard case .function(let function)? = try state.run(text: script, name: "f.lua").first else {
      throw EngineError(.argument, "no function")
    }
    let found = try LuaFunction.identities(of: [("f", function)])
    return (function.place, found.map { $0.identity.code.hex + $0.identity.captured.hex }.joined())
  }

  @Test(arguments: [
    ("local function f(x) return x end return f", "local function f(x) --[[ a comment ]] return x end return f", true),
    ("return function(x) return x end", "return function(y) return y end", true),
    ("return function(x) return x end", "return function(x) return x + 1 end", false),
    ("return function(x) return x end", "\n\nreturn function(x)\n  -- says nothing\n  return x\nend", true),
    ("return function(x) local y = x return y end", "return function(value)\n local copy = value; return (copy) end", true),
    ("return function(x) return function() return x end end", "\nreturn function(x)\n return function()\n return x end end", true),
    ("return function(x) return function() return x end end", "return function(x) return function() return x, 1 end end", false),
    ("return function() return 'a' end", "return function() return 'b' end", false),
    ("return function() return 1 end", "return function() return 1.0 end", false),
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
    // Text that is not UTF-8, as value and as key.
    ("local a = { ['\\xFF'] = 1 } return function() return a end", "local a = { ['\\xFE'] = 1 } return function() return a end", false),
    ("local a = '\\xFF' return function() return a end", "local a = '\\xFE' return function() return a end", false),
    // Functions of the library and of the host.
    ("local f = math.floor return function() return f end", "local f = math.ceil return function() return f end", false),
    ("local f = print return function() return f end", "local g = print return function() return g end", true),
    // Metatables.
    (
      "local a = setmetatable({}, { __index = function() return 1 end }) return function() return a.x end",
      "local a = setmetatable({}, { __index = function() return 2 end }) return function() return a.x end", false
    ),
    ("local a = setmetatable({}, { __index = { x = 1 } }) return function() return a.x end", "local a = {} return function() return a.x end", false),
    // Keys without an order.
    (
      "local a = { [{}] = 1, [{ 1 }] = 2 } return function() return a end", "local a = { [{ 1 }] = 2, [{}] = 1 } return function() return a end", true
    ),
    (
      "local a = { [{}] = 1, [{ 1 }] = 2 } return function() return a end", "local a = { [{}] = 2, [{ 1 }] = 1 } return function() return a end",
      false
    ),
    (
      "local k = print local a = { [k] = 1 } return function() return a end", "local k = type local a = { [k] = 1 } return function() return a end",
      false
    ),
    // What one function changes, the other sees, or not.
    (
      "local n = 0 local function up() n = n + 1 end return function() up() return n end",
      "local up do local n = 0 up = function() n = n + 1 end end local n = 0 return function() up() return n end", false
    ),
    ("local t = {} local u = t return function() return t, u end", "local t, u = {}, {} return function() return t, u end", false),
    // Globals that the script changed count where they are read, and only there.
    ("rawset(_G, 'x', 1) return function() return x end", "rawset(_G, 'x', 2) return function() return x end", false),
    ("rawset(_G, 'x', 1) return function() return 3 end", "rawset(_G, 'x', 2) return function() return 3 end", true),
    ("rawset(_G, 'x', { 1 }) return function() return 1, x end", "rawset(_G, 'x', { 2 }) return function() return 1, x end", false),
    (
      "rawset(_G, 'x', 1) return function() return function() return x end end",
      "rawset(_G, 'x', 2) return function() return function() return x end end", false
    ),
    ("rawset(_G, 'x', 1) return function(n) return _G[n] end", "rawset(_G, 'x', 2) return function(n) return _G[n] end", false),
    ("rawset(_G, 'x', 1) return function(n) return _ENV[n] end", "rawset(_G, 'x', 2) return function(n) return _ENV[n] end", false),
    (
      "rawset(_G, 'x', 1) local e = _ENV return function(n) return e[n] end", "rawset(_G, 'x', 2) local e = _ENV return function(n) return e[n] end",
      false
    ),
    (
      "rawset(_G, 'x', 1) return function() return load('return x')() end", "rawset(_G, 'x', 2) return function() return load('return x')() end",
      false
    ),
    (
      "rawset(_G, 'x', 1) local g = { _G } return function() return g[1].x end",
      "rawset(_G, 'x', 2) local g = { _G } return function() return g[1].x end", false
    ),
    ("tostring = function() return 'a' end return function() return tostring(1) end", "return function() return tostring(1) end", false),
    ("tostring = function() return 'a' end return function() return 1 end", "return function() return 1 end", true),
    ("math.abs = function() return 1 end return function() return math.abs(2) end", "return function() return math.abs(2) end", false),
    ("math.mine = 1 return function() return math.mine end", "math.mine = 2 return function() return math.mine end", false),
    ("math.pi = 3 return function() return math.pi end", "return function() return math.pi end", false),
    ("math.pi = nil return function() return math.pi end", "return function() return math.pi end", false),
    ("local m = math m.pi = 3 return function() return m.pi end", "local m = math return function() return m.pi end", false),
    ("string.upper = function() return 'a' end return function() return ('x'):upper() end", "return function() return ('x'):upper() end", false),
    ("getmetatable('').__add = function() return 1 end return function() return 'x' + 'y' end", "return function() return 'x' + 'y' end", false),
    ("local _ENV = { x = 1 } return function() return x end", "local _ENV = { x = 2 } return function() return x end", false),
    ("local a = 1 return function() return print(a) end", "local a = 1\nlocal b = 2 return function() return print(a) end", true),
  ])
  func codeAndCapturedValuesCount(a: String, b: String, areEqual: Bool) throws {
    #expect(try (identity(a).identity == identity(b).identity) == areEqual, "\(a) and \(b)")
  }

  /// What cannot be told from another is an error with the way to it, not taken for equal.
  @Test(arguments: [
    ("local c = coroutine.create(print) return function() return c end", "has captured a coroutine ('c')"),
    (
      "local c = coroutine.wrap(print) return function() return c end",
      "has captured a function of the library that remembers something, such as an iterator ('c')"
    ),
    ("local s = { deep = { next = ('a b'):gmatch('%a') } } return function() return s end", "such as an iterator ('s' > deep > next)"),
    ("local f = { io.tmpfile() } return function() return f end", "has captured an open file or another object of a library ('f' > 1)"),
  ])
  func whatCannotBeToldIsRefused(script: String, message: String) throws {
    var options = LuaState.Options()
    options.allowIO = true
    let state = try LuaState(options)
    defer { state.close() }
    guard case .function(let function)? = try state.run(text: "\n" + script, name: "f.lua").first else { throw EngineError(.argument, "no function") }
    let error = #expect(throws: EngineError.self) { try LuaFunction.identities(of: [("on_step", function)]) }
    #expect(error?.description.hasPrefix("f.lua:2: the function 'on_step' ") == true)
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasSuffix("make it inside the function") == true)
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
