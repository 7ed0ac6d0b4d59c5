import Diagnostics
import LuaHost
import Testing

/// A script and the whole message that it ends with.
struct Mistake: CustomTestStringConvertible, Sendable {
  let script: String
  let message: String
  var testDescription: String { script }

  init(_ script: String, _ message: String) {
    self.script = script
    self.message = message
  }
}

@Suite struct MessageTests {
  static let arguments = [
    Mistake("vec.axpy(1)", "t.lua:1: bad argument #2 'y' to 'axpy' (expected number, got nothing)"),
    Mistake("vec.axpy(1, nil)", "t.lua:1: bad argument #2 'y' to 'axpy' (expected number, got nil)"),
    Mistake(
      "vec.axpy('1', 2)", "t.lua:1: bad argument #1 'a' to 'axpy' (expected number, got string)"),
    Mistake("\n\nvec.axpy(1, 2, 3, 4)", "t.lua:3: too many arguments to 'axpy' (expected 3 arguments, got 4)"),
    Mistake("vec.none(1)", "t.lua:1: too many arguments to 'none' (expected no arguments, got 1)"),
    Mistake("vec.rank(1.5)", "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 1.5)"),
    Mistake("vec.rank(0)", "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)"),
    Mistake("vec.rank(0/0)", "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got nan)"),
    Mistake("vec.rank(1e300)", "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 1e+300)"),
    Mistake("vec.rank('8')", "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got string)"),
    Mistake("vec.maybe(10)", "t.lua:1: bad argument #1 'n' to 'maybe' (expected integer from 0 to 9, got 10)"),
    Mistake("vec.text(12)", "t.lua:1: bad argument #1 'text' to 'text' (expected string, got number)"),
    Mistake("vec.text('\\xff')", "t.lua:1: bad argument #1 'text' to 'text' (expected string, got a string that is not UTF-8)"),
    Mistake("vec.flag(1)", "t.lua:1: bad argument #1 'on' to 'flag' (expected boolean, got number)"),
    Mistake(
      "vec.choose('upp')",
      "t.lua:1: bad argument #1 'rounding' to 'choose' (expected one of 'up', 'down', 'nearest', got 'upp'; did you mean 'up'?)"),
    Mistake("vec.new{1, 'x'}", "t.lua:1: bad argument #1 'values' to 'new' (expected list of numbers, got string at [2])"),
    Mistake("vec.new{1, nil, 3}", "t.lua:1: bad argument #1 'values' to 'new' (expected list of numbers, got nil at [2])"),
    Mistake("vec.new{a = 1}", "t.lua:1: bad argument #1 'values' to 'new' (expected list of numbers, got a table with other keys)"),
    Mistake("vec.same(12)", "t.lua:1: bad argument #1 'x' to 'same' (expected Vector, got number)"),
    Mistake("vec.apply(12)", "t.lua:1: bad argument #1 'f' to 'apply' (expected function, got number)"),
    Mistake("vec.new({1}):get('x')", "t.lua:1: bad argument #1 'index' to 'get' (expected integer, got string)"),
    Mistake("vec.new({1}).get(1)", "t.lua:1: 'get' needs Vector before it, got number; call it as object:get(...)"),
    Mistake("local v = vec.new{1} v.get()", "t.lua:1: 'get' needs Vector before it, got nothing; call it as object:get(...)"),
    Mistake("local v = vec.new{1}\nlocal w = v + {}", "t.lua:2: bad argument #2 'right' to '__add' (expected Vector or number, got table)"),
    Mistake("local w = vec.new{1} + vec.new{1, 2}", "t.lua:1: add: sizes differ, [1] and [2]; slice the longer one?"),
    Mistake("pcall(vec.rank) vec.new{}:get(3)", "t.lua:1: get: index 3 is outside a Vector of 0"),
    Mistake(
      "do local v <close> = vec.new{1} vec.log('x') w = v end",
      "t.lua:1: assignment to global 'w'; declare it with 'local' first"),
    Mistake("local k do local v <close> = vec.new{1} k = v end k:sum()", "t.lua:1: 'sum' needs Vector before it, got a released Vector"),
    Mistake("vec.echo{[1.5] = 1}", "t.lua:1: bad argument #1 'value' to 'echo' (expected names or 1, 2, 3, ... as keys, got a number)"),
    Mistake(
      "vec.echo{1, x = {[true] = 1}}", "t.lua:1: bad argument #1 'value' to 'echo' (expected names or 1, 2, 3, ... as keys, got a boolean at .x)"),
    Mistake(
      "local t = {} t.me = t vec.echo(t)",
      "t.lua:1: bad argument #1 'value' to 'echo' (expected a table without cycles, got a table inside itself at .me)"),
    Mistake(
      "local t = {1, 2, 3} t[100] = 1 vec.echo(t)", "t.lua:1: bad argument #1 'value' to 'echo' (expected a list without holes, got nothing at [4])"),
    Mistake("vec.echo(coroutine.create(print))", "t.lua:1: bad argument #1 'value' to 'echo' (expected a plain value, got coroutine)"),
  ]

  static let names = [
    Mistake("vec.nwe{}", "t.lua:1: module 'vec' has no 'nwe'; did you mean 'new'?"),
    Mistake("vec.x = 1", "t.lua:1: module 'vec' is read-only: cannot set 'x'"),
    Mistake("local x = vex", "t.lua:1: unknown global 'vex'; did you mean 'vec'?"),
    Mistake("prin('x')", "t.lua:1: unknown global 'prin'; did you mean 'print'?"),
    Mistake("x = 1", "t.lua:1: assignment to global 'x'; declare it with 'local' first"),
    Mistake("function f() end", "t.lua:1: assignment to global 'f'; declare it with 'local' first"),
    Mistake("vec.new{}:summ()", "t.lua:1: Vector has no field or method 'summ'; did you mean 'sum'?"),
    Mistake("vec.new{}.size = 1", "t.lua:1: field 'size' of Vector cannot be assigned"),
    Mistake("vec.new{}.nane = 'x'", "t.lua:1: Vector has no field 'nane' that can be assigned; did you mean 'name'?"),
    Mistake("vec.new{}.name = 3", "t.lua:1: field 'name' of Vector must be string, got number"),
    Mistake("error('plain', 0)", "plain"),
    Mistake("error('placed')", "t.lua:1: placed"),
    Mistake("error({1})", "the script raised a table: "),
    Mistake("error(nil)", "the script raised a nil: nil"),
    Mistake("error(setmetatable({}, {__tostring = function() return 'mine' end}))", "the script raised a table: mine"),
    Mistake("error(setmetatable({}, {__tostring = function() error('no') end}))", "the script raised a table: table"),
    Mistake("local x = = 1", "t.lua:1: unexpected symbol near '='"),
    Mistake("local x = nil\nx.y = 1", "t.lua:2: attempt to index a nil value (local 'x')"),
    Mistake("local ok, e = pcall(function() error('no') end) error(e)", "t.lua:1: no"),
    Mistake("local ok, e = pcall(vec.rank, 0) error(tostring(e))", "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)"),
    Mistake(
      "local ok, e = pcall(function() vec.rank(0) end) error(tostring(e))",
      "t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)"),
    Mistake(
      "local ok, e = pcall(function() vec.rank(0) end)\nerror(tostring(e))",
      "t.lua:2: t.lua:1: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)"),
    Mistake(
      "io.open('x')",
      "t.lua:1: unknown global 'io'; scripts open no files: tables go to the run directory with report.table, rows with log.metrics; --allow-io lifts this for scripts that you trust"
    ),
    Mistake("string.fromat('%d', 1)", "t.lua:1: attempt to call a nil value (field 'fromat'); did you mean 'string.format'?"),
    Mistake("local t = {} t.fromat()", "t.lua:1: attempt to call a nil value (field 'fromat')"),
    Mistake(
      "print(os.getenv == nil)\n\nos.getenv('HOME')",
      "t.lua:3: attempt to call a nil value (field 'getenv'); scripts see no environment: declare params { name = default } and give --set name=value; --allow-io lifts this for scripts that you trust"
    ),
    Mistake(
      "os.execute('ls')",
      "t.lua:1: attempt to call a nil value (field 'execute'); scripts start no programs and change no files; --allow-io lifts this for scripts that you trust"
    ),
    Mistake("math.round(2.5)", "t.lua:1: attempt to call a nil value (field 'round'); write math.floor(x + 0.5)"),
    Mistake("vec:rank(3)", "t.lua:1: 'rank' is a function of the module 'vec', no method; write vec.rank(...), with '.' instead of ':'"),
    Mistake("if 1 != 2 then end", "t.lua:1: 'then' expected near '!'; 'not equal' is ~= in Lua, and 'not' is not"),
    Mistake("local x = 1 x++", "t.lua:1: syntax error near '+'; write x = x + 1"),
    Mistake("local f = loadstring('return 1')", "t.lua:1: unknown global 'loadstring'; it is load"),
    Mistake("help('vec.rnak')", "t.lua:1: help: nothing is called 'vec.rnak'; did you mean 'vec.rank'?"),
    Mistake("help('rank')", "t.lua:1: help: nothing is called 'rank'; did you mean 'vec.rank'?"),
    Mistake("help('zzzzzzzzzz')", "t.lua:1: help: nothing is called 'zzzzzzzzzz'; help() lists all modules"),
    Mistake("require('no.such')", "t.lua:1: module 'no.such' not found (no )"),
    Mistake("math.randomseed()", "t.lua:1: bad argument #1 to 'randomseed' (number expected, got no value)"),
  ]

  static let options = [
    Mistake("vec.fill(3)", "t.lua:1: bad argument #1 'options' to 'fill' (expected table { name = value, ... }, got number)"),
    Mistake("vec.fill{rr = 1}", "t.lua:1: fill options: unknown field 'rr'; did you mean 'r'?"),
    Mistake(
      "vec.fill{rank = 1, tilte = 'x', zzzzz = 1}",
      "t.lua:1: fill options: unknown fields 'rank', 'tilte' (did you mean 'title'?), 'zzzzz'"),
    Mistake("vec.fill{r = 0}", "t.lua:1: fill options: 'r' must be an integer from 1 to 4096, got 0"),
    Mistake("vec.fill{r = '8'}", "t.lua:1: fill options: 'r' must be an integer from 1 to 4096, got '8'"),
    Mistake("vec.fill{r = 8.5}", "t.lua:1: fill options: 'r' must be an integer from 1 to 4096, got 8.5"),
    Mistake("vec.fill{lora_dropout = 1}", "t.lua:1: fill options: 'lora_dropout' must be a number at least 0 and below 1, got 1.0"),
    Mistake("vec.fill{limit = 0}", "t.lua:1: fill options: 'limit' must be an integer at least 1, got 0"),
    Mistake("vec.fill{limit = 4}", "t.lua:1: fill options: 'limit' (4) is smaller than 'r' (8)"),
    Mistake("vec.fill{flag = 'yes'}", "t.lua:1: fill options: 'flag' must be true or false, got 'yes'"),
    Mistake("vec.fill{title = {}}", "t.lua:1: fill options: 'title' must be a string, got a table"),
    Mistake("vec.fill{title = '\\xff'}", "t.lua:1: fill options: 'title' must be a string, got a string that is not UTF-8"),
    Mistake(
      "vec.fill{rounding = 'dwn'}",
      "t.lua:1: fill options: 'rounding' must be one of 'up', 'down', 'nearest', got 'dwn'; did you mean 'down'?"),
    Mistake("vec.fill{target_modules = 'query'}", "t.lua:1: fill options: 'target_modules' must be a list of strings, got 'query'"),
    Mistake("vec.fill{target_modules = {'a', 3}}", "t.lua:1: fill options: 'target_modules[2]' must be a string, got 3"),
    Mistake("vec.fill{sizes = {3, -1}}", "t.lua:1: fill options: 'sizes[2]' must be a number at least 0, got -1"),
    Mistake("vec.fill{3, sizes = {1}}", "t.lua:1: fill options: value without a name: 3; write name = value"),
    Mistake("vec.fill{noise = {scale = 0}}", "t.lua:1: fill options: 'noise': noise options: 'scale' must be a number above 0, got 0.0"),
    Mistake("vec.fill{noise = {scal = 1}}", "t.lua:1: fill options: 'noise': noise options: unknown field 'scal'; did you mean 'scale'?"),
    Mistake("vec.fill{noise = {1}}", "t.lua:1: fill options: 'noise': noise options: value without a name: 1; write name = value"),
    Mistake("vec.fill{base = 1}", "t.lua:1: fill options: 'base' must be a Vector, got 1"),
    Mistake("vec.fill{on_step = vec.new{}}", "t.lua:1: fill options: 'on_step' must be a function, got Vector"),
  ]

  @Test("the whole message", arguments: arguments + names + options)
  func message(_ mistake: Mistake) throws {
    let error = try Host().failure(mistake.script)
    if mistake.message.hasSuffix("table: ") {
      #expect(error?.message.hasPrefix(mistake.message + "table: 0x") == true)
    } else {
      #expect(error?.message == mistake.message)
    }
  }

  @Test func underlyingErrorKeepsItsKind() throws {
    let error = try #require(try Host().failure("local w = vec.new{1} + vec.new{1, 2}"))
    #expect(error.underlying?.kind == .shape)
    #expect(error.underlying?.hint == "slice the longer one?")
    #expect(error.traceback.contains("t.lua:1: in main chunk"))
    #expect(!error.isInterruption)
  }

  @Test func scriptsCanLookAtErrors() throws {
    let host = try Host()
    #expect(
      try host.printed(
        """
        local ok, e = pcall(vec.rank, 0)
        print(ok, e.kind, tostring(e):find('from 1 to 4096', 1, true) ~= nil)
        print(pcall(error, {code = 7}))
        print(select(2, pcall(function() vec.rank(0) end)) .. '!')
        """
      ).map { $0.replacing(#/0x\w+/#, with: "") } == [
        "false\targument\ttrue", "false\ttable: ",
        "t.lua:4: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)!",
      ])
  }

  /// An error of Swift that passes through Swift again keeps its first place and its kind.
  @Test func errorsPassThroughNestedCalls() throws {
    let host = try Host()
    let script = """
      local function inner(x)
        return vec.rank(0)
      end
      vec.apply(function() vec.new({1, 2}):map(inner) end)
      """
    let error = try #require(try host.failure(script))
    #expect(
      error.message
        == "t.lua:2: bad argument #1 'r' to 'rank' (expected integer from 1 to 4096, got 0)")
    #expect(error.underlying?.kind == .argument)
    #expect(
      try host.printed("print(select(2, pcall(vec.apply, function() error({code = 7}) end)).code)")
        == ["7"])
  }
}
