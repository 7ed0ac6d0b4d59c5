import Diagnostics
import LuaHost
import Testing

@Suite struct LifetimeTests {
  @Test func failingCallsLeaveNoObject() throws {
    let host = try Host()
    try host.state.run(
      text: """
        for i = 1, 100000 do
          local v = vec.new{i}
          local kind = i % 4
          if kind == 0 then pcall(v.get, v, 'x')
          elseif kind == 1 then pcall(v.map, v, function() error{i} end)
          elseif kind == 2 then pcall(function() return v + vec.new{1, 2} end)
          else pcall(v.map, v, function(x) return vec.new{x}:get(9) end) end
        end
        """, name: "t.lua")
    host.state.collect()
    #expect(host.census.alive == 0)
  }

  @Test func closedObjectsAreReleasedAtOnce() throws {
    let host = try Host()
    let census = host.census
    try host.state.register(
      Function("alive", "Live vectors.", returns: "a count") { census.alive })
    #expect(
      try host.printed(
        """
        do local v <close> = vec.new{1} print(alive()) end
        print(alive())
        pcall(function() local v <close> = vec.new{1} vec.rank(0) end)
        print(alive())
        """) == ["1", "0", "0"])
  }

  @Test func closingTheStateReleasesEverything() throws {
    let host = try Host()
    let census = host.census
    try host.state.run(
      text: """
        local keep = {vec.new{1}, vec.new{2}}
        vec.apply(function() return keep end)
        """, name: "t.lua")
    #expect(census.alive == 2)
    host.state.close()
    host.state.close()
    #expect(census.alive == 0)
    #expect(throws: EngineError(.argument, "the Lua state is closed")) {
      try host.state.run(text: "", name: "x")
    }
  }

  @Test func functionsAreReleasedAndOutliveNothing() throws {
    final class Box { var function: LuaFunction? }
    let box = Box()
    let host = try Host()
    let census = host.census
    try host.state.register(
      Function("keep", "Keeps.", Param<LuaFunction>("f", "any")) { box.function = $0 })
    try host.state.run(
      text: "local v = vec.new{4} keep(function(x) return v:sum() + x, 'b' end)", name: "t.lua")
    host.state.collect()
    #expect(census.alive == 1)
    let results = try #require(box.function).call([.integer(2)])
    #expect(results.map(\.double) == [6, nil])
    #expect(results.last?.text == "b")
    box.function = nil
    host.state.collect()
    host.state.collect()
    #expect(census.alive == 0)
    try host.state.run(text: "keep(print)", name: "t.lua")
    host.state.close()
    #expect(
      throws: EngineError(.argument, "a Lua function was called after its state was closed")
    ) { try box.function?.call() }
  }

  @Test func objectsHaveIdentity() throws {
    #expect(
      try Host().printed(
        """
        local v, w = vec.new{1}, vec.new{1}
        print(v == v, vec.same(v) == v, v == w, v ~= w, v == 1)
        """) == ["true\ttrue\tfalse\ttrue\tfalse"])
  }

  @Test func operatorsPropertiesAndCalls() throws {
    let printed = try Host().printed(
      """
      local v = vec.new{1, 2, 3}
      print(v, #v, v.size, v[1], v[4], v(0), v:get(-1), v.name)
      v.name = 'x'
      v:scale_(2)
      print(v.name, (v + 1):sum(), (1 + v):sum(), (v * v):sum(), (-v):sum(), v:map(function(x) return x + 1 end):sum())
      print(vec.both())
      print(vec.count(), vec.count(nil, 1), vec.maybe(), vec.maybe(3), vec.axpy(2, 3), vec.rank(), vec.rank(4.0))
      print(vec.fill(), vec.fill{sizes = {3, 4}, r = 2, rounding = 'up', noise = {scale = 2}, on_step = print, base = v})
      print(vec.apply(function(...) return select('#', ...), ... end, 1, 'a', true))
      """)
    #expect(
      printed == [
        "Vector[3]\t3\t3\t1.0\tnil\t1.0\t3.0\tunnamed", "x\t15.0\t15.0\t56.0\t-12.0\t15.0", "1\ttwo",
        "0\t2\tnil\t3\t5.0\t8\t4",
        "8 0.0 nearest [\"query\", \"value\"] [] 0.1\t2 0.0 up [\"query\", \"value\"] [3, 4] 2.0",
        "3\t1\ta\ttrue",
      ])
  }

  /// Objects of subclasses fit where their superclass is wanted, and come back as themselves.
  @Test func subclassesAndCallableModules() throws {
    class Shape: LuaObject { class var luaName: String { "Shape" } }
    final class Square: Shape {
      override class var luaName: String { "Square" }
      let side: Double
      init(_ side: Double) { self.side = side }
    }
    final class Unlisted: Shape {}
    let shape = Class<Shape>(
      "A shape.", .method("kind", "its class", returns: "a name") { "\(type(of: $0))" })
    let square = Class<Square>(
      "A square.", .method("kind", "its class", returns: "a name") { "\(type(of: $0))" },
      .property("side", "length") { $0.side })
    let host = try Host()
    try host.state.register(
      Module(
        "shapes", "Shapes.", classes: [shape.declaration, square.declaration],
        call: Function("shapes", "A square.", Param<Double>("side", "length"), returns: "a square") {
          Square($0)
        },
        functions: [
          Function("other", "Another one.", returns: "a shape") { Unlisted() as Shape },
          Function("same", "The same.", Param<Shape>("x", "a shape"), returns: "it") { $0 },
        ]))
    #expect(
      try host.printed(
        """
        local s = shapes(3)
        print(s:kind(), s.side, shapes.same(s).side, shapes.other():kind())
        """) == ["Square\t3.0\t3.0\tUnlisted"])
    #expect(
      try host.failure("shapes('x')")?.message
        == "t.lua:1: bad argument #1 'side' to 'shapes' (expected number, got string)")
    #expect(
      try host.failure("shapes.same(shapes.other()).side = 1")?.message
        == "t.lua:1: Shape has no field 'side' that can be assigned")
  }

  @Test func valuesSurviveTheRoundTrip() throws {
    #expect(
      try Host().printed(
        """
        local t = vec.echo{1, 2.5, 'x', true, {y = {}}, a = 'b', f = print, v = vec.new{7}}
        print(t[1], math.type(t[1]), t[2], t[3], t[4], t[5].y, t.a, t.f == print, t.v:sum())
        print(vec.echo('\\xff\\0') == '\\xff\\0', vec.echo(), vec.echo(math.mininteger), vec.echo(1/0), #vec.echo(''))
        """
      ).map { $0.replacing(#/table: 0x\w+/#, with: "T") } == [
        "1\tinteger\t2.5\tx\ttrue\tT\tb\ttrue\t7.0", "true\tnil\t-9223372036854775808\tinf\t0",
      ])
  }

  @Test func sharedTablesDoNotMultiplyWithoutEnd() throws {
    let error = try #require(
      try Host().failure("local t = {} for i = 1, 40 do t = {t, t} end vec.echo(t)"))
    #expect(error.message.contains("expected at most 2000000 values, got more"))
    let deep = try #require(
      try Host().failure("local t = {} for i = 1, 200 do t = {t} end vec.echo(t)"))
    #expect(deep.message.contains("expected at most 100 tables inside each other, got more"))
  }
}
