import Diagnostics
import LuaHost
import Synchronization
import Testing

/// Scripts that want to hang, to crash or to fill the memory: each ends with one clear error, and goes on working.
@Suite(.timeLimit(.minutes(3))) struct HostileTests {
  private static let patterns = [
    ("('a'):rep(30):find(('a*'):rep(30) .. 'b')", "pattern 'a*a*a*a*"),
    ("('x'):rep(20000):match('.-.-.-y')", "takes too many steps"),
    ("('a'):rep(300):find(('a-'):rep(300) .. 'b')", "pattern too complex"),
    ("(''):find('[')", "malformed pattern (missing ']')"), ("(''):find('[%')", "malformed pattern (missing ']')"),
    ("(''):find('a%')", "malformed pattern (ends with '%')"), ("(''):find('(')", "unfinished capture"),
    ("(''):match(')')", "invalid pattern capture"), ("(''):find('%b(')", "missing arguments to '%b'"),
    ("(''):find('%fa')", "missing '[' after '%f' in pattern"), ("(''):find('%1')", "invalid capture index %1 in pattern"),
    ("(''):find('(%1)')", "invalid capture index %1 in pattern"), ("(''):find(('()'):rep(33))", "too many captures"),
    ("('x'):gsub('x', '%2')", "invalid capture index %2 in replacement string"),
    ("('x'):gsub('x', '%')", "invalid use of '%' in replacement string"),
    ("('x'):gsub('x', '%a')", "invalid use of '%' in replacement string"),
    ("('x'):gsub('x', function() return {} end)", "invalid replacement value (a table)"),
    ("('x'):gsub('x', true)", "bad argument #2 to 'gsub' (string/function/table expected, got boolean)"),
    ("local function f(s) return (s:gsub('.', f)) end f('x')", "C stack overflow"),
    ("('x'):find(('x'):rep(1e5) .. ('('):rep(1e5))", "too many captures"),
  ]

  private static let strings = [
    ("('x'):rep(1e9)", "not enough memory"), ("('x'):rep(1 << 40, 'y')", "not enough memory"),
    ("('xy'):rep(1 << 62)", "resulting string too large"), ("('x'):rep(1 << 62, 'yy')", "resulting string too large"),
    ("(''):rep(1e3, ('x'):rep(1e6))", "not enough memory"), ("string.format('%99999d', 1)", "invalid conversion"),
    ("string.format('%d', 1.5)", "number has no integer representation"), ("string.format('%s')", "no value"),
    ("('x'):rep(1e7):byte(1, -1)", "string slice too long"), ("utf8.codepoint(('x'):rep(1e7), 1, -1)", "string slice too long"),
    ("string.char(256)", "value out of range"), ("utf8.char(1 << 40)", "value out of range"),
    ("for _ in utf8.codes('\\xff') do end", "invalid UTF-8 code"), ("string.unpack('i17', 'x')", "out of limits"),
    ("string.unpack('z', 'x')", "unfinished string for format 'z'"), ("string.pack('c1000000000', 'x')", "not enough memory"),
    ("local s = 'x' while true do s = s .. s end", "not enough memory"), ("os.date('%c', 1 << 60)", "cannot be represented"),
    ("('x'):rep(4e7):gsub('x', 'xx')", "not enough memory"),
    ("local a = ('x'):rep(2.4e7) local b = vec.text(a) local c = vec.text(b)", "a script's values may take 64 MiB"),
    ("local x = ('x'):rep(2.4e7) vec.echo{x, x}", "a script's values may take 64 MiB"),
  ]

  private static let lists = [
    ("table.concat({}, 'x', 1, 1 << 53)", "invalid value (at index 1) in table for 'concat'"),
    ("table.concat({1, {}})", "invalid value (at index 2) in table for 'concat'"),
    ("table.concat(setmetatable({}, {__index = type}), 'x', 1, 1 << 53)", "not enough memory"),
    ("table.unpack({}, 1, 1e7)", "too many results to unpack"), ("table.move({}, 1, math.maxinteger, 2)", "destination wrap around"),
    ("table.move({}, -1, math.maxinteger, 1)", "too many elements to move"),
    ("table.insert({}, 5, 1)", "bad argument #2 to 'insert' (position out of bounds)"),
    ("table.insert({}, 1, 2, 3)", "wrong number of arguments to 'insert'"),
    ("table.remove({1, 2}, 9)", "bad argument #2 to 'remove' (position out of bounds)"),
    ("table.sort({3, 'x', 1})", "attempt to compare"), ("table.sort({1, 2}, function() error('cmp', 0) end)", "cmp"),
    ("table.sort(setmetatable({}, {__len = function() return 1 << 40 end}))", "array too big"), ("table.sort(1)", "table expected, got number"),
    ("table.sort({1, 2}, 3)", "function expected, got number"), ("table.concat(nil)", "table expected, got nil"),
    ("local t = {} for i = 1, 1e9 do t[i] = coroutine.create(print) end", "not enough memory"),
    ("local t = {} for i = 1, 1e9 do t[i] = {i} end", "not enough memory"),
    ("vec.echo(setmetatable({1, nil, 3}, {__len = function() return 1e9 end}))", "holes"),
  ]

  private static let calls = [
    ("setmetatable({}, {__gc = function() while true do end end})", "'__gc' is not available"),
    ("setmetatable({}, {__gc = false})", "release what a script holds with a '<close>' variable and '__close'"),
    ("setmetatable(1, {})", "bad argument #1 to 'setmetatable' (table expected, got number)"),
    ("setmetatable({}, 1)", "bad argument #2 to 'setmetatable' (nil or table expected, got number)"),
    ("setmetatable(vec, nil)", "cannot change a protected metatable"),
    ("setmetatable(_G, nil)", "cannot change a protected metatable"), ("setmetatable(('x'), {})", "table expected, got string"),
    ("local function f() return coroutine.wrap(f)() end f()", "C stack overflow"),
    ("local t = setmetatable({}, {}) getmetatable(t).__call = function(s) return 1 + s() end t()", "stack overflow"),
    (
      "local t = setmetatable({}, {}) getmetatable(t).__eq = function(a, b) return a == setmetatable({}, getmetatable(t)) end return t == setmetatable({}, getmetatable(t))",
      "C stack overflow"
    ),
    ("local t = setmetatable({}, {}) getmetatable(t).__concat = function(a) return a .. a end return t .. t", "C stack overflow"),
    ("local t = setmetatable({}, {}) getmetatable(t).__tostring = function(a) return tostring(a) end print(t)", "C stack overflow"),
    ("local t = {} for i = 1, 3000 do t = setmetatable({}, {__index = t}) end return t.x", "'__index' chain too long"),
    ("error(select(2, load(('('):rep(1e5))))", "C stack overflow"), ("error(select(2, load(('x = '):rep(1e5))))", "unexpected symbol"),
    ("error(select(2, load(function() return {} end)))", "reader function must return a string"),
    ("error(select(2, load(function() error('read', 0) end)))", "read"),
    ("load(1 < 2)", "bad argument #1 to 'load' (function expected, got boolean)"),
    ("error(select(2, load(('a();'):rep(4e6))))", "not enough memory"),
    ("error(setmetatable({}, {__tostring = function() error('no') end}))", "the script raised a table: table"),
    ("error(setmetatable({}, {__tostring = function() return {} end}))", "the script raised a table: table"), ("error()", "the script raised a nil"),
    ("error(print)", "the script raised a function"), ("error(coroutine.create(print))", "the script raised a"),
    ("error(('x'):rep(1e6), 0)", "xxx... (1000000 bytes)"),
    ("local x <close> = setmetatable({}, {__close = function() error('closing', 0) end})", "closing"),
    ("local x <close> = {}", "got a non-closable value"),
    ("local x <close> = setmetatable({}, {__close = function() error('second', 0) end}) error('first')", "second"),
    ("return _G[('k'):rep(1e7)]", "unknown global 'kkk"), ("rawset(_G, ('k'):rep(1e6), 1) return _G[('k'):rep(1e6) .. 'x']", "unknown global 'kkk"),
    ("return vec[('k'):rep(1e7)]", "module 'vec' has no 'kkk"), ("require(('k'):rep(1e6))", "bad module name 'kkk"),
    ("require('a\\0b')", "bad module name"),
    ("math.random(0, -1)", "interval is empty"), ("for i = 1, 10, 0 do end", "'for' step is zero"), ("return 1 // 0", "attempt to divide by zero"),
    ("return 1 << 1.5", "number has no integer representation"),
    ("coroutine.resume(coroutine.running()) coroutine.yield()", "attempt to yield from outside a coroutine"),
  ]

  @Test("ends with one clear error", arguments: patterns + strings + lists + calls)
  func endsWithAnError(_ script: String, _ part: String) throws {
    let host = try Host { $0.memoryLimit = 64 << 20 }
    let error = try #require(try host.failure(script))
    #expect(error.message.contains(part))
    #expect(error.message.utf8.count < 600)
    #expect(!error.isInterruption)
    host.state.collect()
    #expect(host.state.heapBytes < 16 << 20)
    #expect(try host.printed("print('alive', ('abc'):find('b'))") == ["alive\t2\t2"])
  }

  /// Nothing to complain about, and done at once.
  static let harmless = [
    ("(''):rep(1 << 62)", ""), ("(''):rep(math.maxinteger, '')", ""), ("select('#', ('x'):rep(100, ','):gsub(',', ''))", "2"),
    ("('a'):rep(1e6):find(('a'):rep(5e5) .. 'b', 1, true)", "nil"),
    ("(function() local function f() return pcall(f) end return f() ~= nil end)()", "true"),
    ("xpcall(error, function() error('again') end)", "false"), ("pcall(error, setmetatable({}, {__tostring = error}))", "false"),
    ("#table.pack(pcall(string.rep, 'x', 1 << 40))", "2"), ("(select(2, pcall(string.rep, 'x', 1 << 40)))", "not enough memory"),
  ]

  @Test("gives", arguments: harmless)
  func gives(_ expression: String, _ result: String) throws {
    let printed = try Host { $0.memoryLimit = 64 << 20 }.printed("print((\(expression)))")
    #expect(printed == [result])
  }

  private static let busy = "function() while true do end end"

  static let endless = [
    "('a'):rep(30):find(('a*'):rep(30) .. 'b')", "('a'):rep(1e5):gsub('.-b', '')", "('('):rep(1e5):find('%b()')",
    "for _ in ('x'):rep(1e5):gmatch('.-.-y') do end", "('x'):rep(1e5):gsub('.', \(busy))", "('x'):rep(1e6):gsub('x', {x = 'y'}) while true do end",
    "while true do ('x'):match('^(x)$') end", "table.move({}, 1, 1 << 53, 2)", "table.move({}, 1, 1 << 53, 1, {})",
    "table.move({1}, -(1 << 53), 1, -(1 << 53) + 1)",
    "table.insert(setmetatable({}, {__len = function() return 1 << 53 end}), 1, 'x')",
    "table.remove(setmetatable({}, {__len = function() return 1 << 53 end}), 1)",
    "table.sort(setmetatable({}, {__len = function() return 1 << 30 end}), rawequal)", "table.sort({1, 2}, \(busy))",
    "table.concat(setmetatable({}, {__index = \(busy)}), '', 1, 9)",
    "local t = {} for i = 1, 3e5 do t[i] = -i end table.sort(t) while true do end", "load(\(busy))", "load(function() return ' ' end)",
    "load(('a()\\n'):rep(1e6)) while true do end",
    "while true do load('return 1')() end", "error(setmetatable({}, {__tostring = \(busy)}))", "print(setmetatable({}, {__tostring = \(busy)}))",
    "local x <close> = setmetatable({}, {__close = \(busy)})", "local x <close> = setmetatable({}, {__close = \(busy)}) error('x')",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = \(busy)}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
    "xpcall(error, \(busy))", "xpcall(\(busy), \(busy))",
    "xpcall(function() local x <close> = setmetatable({}, {__close = \(busy)}) error('x') end, \(busy))",
    "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = \(busy)}) while true do end end)()",
    "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = \(busy)}) error('x') end)()",
    "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = \(busy)}) while true do end end) local y <close> = setmetatable({}, {__close = function() coroutine.close(co) end}) coroutine.resume(co)",
    "return setmetatable({}, {__index = \(busy)}).x", "setmetatable({}, {__newindex = \(busy)}).x = 1", "return #setmetatable({}, {__len = \(busy)})",
    "return setmetatable({}, {__lt = \(busy)}) < 1", "return setmetatable({}, {__concat = \(busy)}) .. 1", "setmetatable({}, {__call = \(busy)})()",
    "while true do coroutine.wrap(function() end)() end", "::a:: goto a", "repeat until false", "for _ in function() return 1 end do end",
    "while true do collectgarbage() end",
    "while true do os.clock() end", "local function f() pcall(f) while true do end end f()",
    "while true do pcall(error, setmetatable({}, {__tostring = error})) end",
    "for _ in utf8.codes('x') do while true do end end", "coroutine.wrap(function() while true do pcall(coroutine.wrap(\(busy))) end end)()",
    "vec.new{1, 2}:map(\(busy))",
    "vec.apply(function() ('a'):rep(30):find(('a*'):rep(30) .. 'b') end)",
    "while true do pcall(string.find, ('a'):rep(30), ('a*'):rep(30) .. 'b') end",
    "while true do local ok, e = pcall(table.move, {}, 1, 1 << 53, 2) end", "string.format('%s', setmetatable({}, {__tostring = \(busy)}))",
  ]

  @Test("is ended by one interruption", arguments: endless)
  func isInterrupted(_ script: String) throws {
    let asked = Mutex(0)
    let host = try Host {
      $0.memoryLimit = 64 << 20
      $0.isInterrupted = {
        asked.withLock { count in
          count += 1
          return count > 20
        }
      }
    }
    let error = try #require(try host.failure(script))
    #expect(error.isInterruption)
    asked.withLock { $0 = .min }
    #expect(try host.printed("for i = 1, 1e5 do end print(('abc'):gsub('%w', '%0%0'))") == ["aabbcc\t3"])
  }
}
