import Diagnostics
import LuaHost
import Testing

@Suite struct StubTests {
  @Test func stubsFollowTheDeclarations() throws {
    let globals = [
      Function(
        "stage", "Runs once.", Param<String>("name", "of the stage"),
        Param<LuaFunction?>("body", "what to do"), returns: "its result"
      ) { _, _ in 1 }
    ]
    let files = Stubs.files(modules: [vectorModule()], globals: globals)
    #expect(files.map(\.name) == ["vec.lua", "globals.lua"])
    let text = files[0].text
    for part in [
      "---@meta\n", "---@alias Rounding\n---| \"up\"\n---| \"down\"\n---| \"nearest\"\n",
      """
      ---A list of numbers.
      ---@class Vector
      ---@field size integer number of elements
      ---@field name string a name
      ---@operator add(Vector|number): Vector
      ---@operator mul(Vector|number): Vector
      ---@operator unm: Vector
      ---@operator len: integer
      ---@overload fun(index: integer): number?
      local Vector = {}
      """,
      """
      ---one element
      ---@param index? integer 0-based; negative counts from the end (default 0)
      ---@return number # the element
      function Vector:get(index) end
      """,
      "---@class FillOptions\n---@field r? integer rank of the update (from 1 to 4096; default 8)\n",
      "---@field lora_dropout? number dropout on the input (at least 0 and below 1; default 0)\n",
      "---@field target_modules? string[] which modules (default {\"query\", \"value\"})\n",
      "---@field noise? NoiseOptions noise to add (default {scale = 0.1})\n",
      "---@field on_step? fun(step: integer) called after each step\n",
      "---@class veclib\n---@field version integer of the module\nvec = {}\n",
      "---@param r? integer the rank (from 1 to 4096; default 8)\n---@return integer # the rank\n",
      "---@param ... any anything\n---@return integer # how many\nfunction vec.count(...) end",
      "---@return integer? # the count or nil\n", "function vec.none() end\n", "return vec\n",
    ] {
      #expect(text.contains(part))
    }
    #expect(
      files[1].text.contains(
        """
        ---Runs once.
        ---@param name string of the stage
        ---@param body? function what to do
        ---@return integer # its result
        function stage(name, body) end
        """))
  }

  @Test func helpPrintsTheSameText() throws {
    let host = try Host()
    #expect(
      try host.printed("help(vec.rank)") == [
        "rank([r])\n  Checks a rank.\n  r (integer): the rank (from 1 to 4096; default 8)\n  returns integer: the rank"
      ])
    #expect(try host.printed("help(print)") == ["no help for a function of Lua"])
    #expect(try host.printed("help()")[0].contains("  vec   Lists of numbers."))
    #expect(try host.printed("help(vec)")[0].contains("new(values)"))
    #expect(try host.printed("help(vec.new{})")[0].hasPrefix("Vector: A list of numbers.\n  size: integer"))
    #expect(try host.printed("help(vec.fill)")[0].contains("r (integer): rank of the update"))
  }

  @Test func undocumentedDeclarationsAreFound() {
    #expect(missingDocumentation(modules: [vectorModule()]) == [])
    let poor = Module(
      "poor", "",
      functions: [Function("f", "Does it.", Param<Int>("n", ""), returns: "") { $0 }])
    #expect(
      missingDocumentation(modules: [poor]) == ["poor", "poor.f: parameter 'n'", "poor.f: result"])
  }

  @Test func recordsReadTextAndWriteValues() throws {
    var options = FillOptions()
    try options.set("r", text: "16")
    try options.set("lora_dropout", text: "1e-1")
    try options.set("target_modules", text: "a, b")
    try options.set("sizes", text: "1,2")
    try options.set("flag", text: "true")
    try options.set("rounding", text: "up")
    try options.set("limit", text: "none")
    #expect(options.r == 16 && options.dropout == 0.1 && options.targetModules == ["a", "b"])
    #expect(options.sizes == [1, 2] && options.flag && options.rounding == .up)
    for (name, text, message) in [
      ("r", "x", "fill options: 'r' must be an integer from 1 to 4096, got 'x'"),
      ("r", "0", "fill options: 'r' must be an integer from 1 to 4096, got 0"),
      ("r", "99999999999999999999", "fill options: 'r' must be an integer from 1 to 4096, got 1e+20"),
      ("rr", "0", "fill options: unknown field 'rr'; did you mean 'r'?"),
      ("flag", "yes", "fill options: 'flag' must be true or false, got 'yes'"),
      ("limit", "2", "fill options: 'limit' (2) is smaller than 'r' (16)"),
      ("on_step", "x", "fill options: 'on_step' must be a function, got text 'x'"),
    ] {
      var copy = options
      do {
        try copy.set(name, text: text)
        Issue.record("\(name)=\(text) was accepted")
      } catch {
        #expect("\(error)" == message)
      }
    }
    guard case .table(let table) = options.configValue else { return }
    #expect(table.fields["base"] == nil)
    let again = try FillOptions(table: table)
    #expect(again.r == 16 && again.sizes == [1, 2] && again.rounding == .up && again.noise.scale == 0.1)
  }
}
