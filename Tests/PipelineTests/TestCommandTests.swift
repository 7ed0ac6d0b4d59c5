import Diagnostics
import Files
import TestSupport
import Testing

@testable import Bindings
@testable import Commands

/// `perigee test`: what passes, what fails and why, and that no test sees another.
@Suite(.engine) struct TestCommandTests {
  /// The lines of a run, and whether all passed.
  private func run(_ files: [String: String], filter: String? = nil) throws -> (lines: [String], passed: Bool) {
    try withTemporaryFolder { folder in
      var tests = TestRun()
      for (name, text) in files {
        try AtomicFile.write(text, to: folder + "/" + name)
        if name.hasSuffix("_test.lua") { tests.files.append(folder + "/" + name) }
      }
      tests.files.sort()
      tests.filter = filter
      var lines: [String] = []
      let passed = try tests.run { line in
        lines += line.replacing(#/\S*/perigee-[^/]*//#, with: "").replacing(#/ \d+\.\d\d s/#, with: " T").split(separator: "\n").map(String.init)
      }
      return (lines, passed)
    }
  }

  @Test func failuresSayWhereAndWhat() throws {
    let file = """
      local double = require "double"
      test("doubles", function() assert_equal(double(2), 4) end)
      test("wrong", function()
        print("about to fail")
        assert_equal({ rows = { 1, double(2) } }, { rows = { 1, 5 } }, "rows of two")
      end)
      test("errors", function() assert_error(function() double({}) end, "arithmetic") end)
      test("raises", function() error("just so") end)
      """
    let (lines, passed) = try run(["a_test.lua": file, "double.lua": "return function(x) return 2 * x end"])
    #expect(!passed)
    #expect(
      lines == [
        "a_test.lua", "  ok      T  doubles", "  FAILED  T  wrong",
        "          a_test.lua:5: assert_equal: rows of two: at .rows[2]: expected 5, given 4", "          it printed:", "          about to fail",
        "  ok      T  errors", "  FAILED  T  raises", "          a_test.lua:8: just so", "2 passed, 2 failed in T",
      ])
    #expect(try run(["a_test.lua": file, "double.lua": "return function(x) return 2 * x end"], filter: "double").passed)
  }

  /// Variables, random numbers, stages and stored results are a test's own.
  @Test func eachTestIsOnItsOwn() throws {
    let file = """
      local count = 0
      local function one()
        count = count + 1
        local steps = 0
        stage("s", function()
          local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 4, max_eval_samples = 4 })
          local model = models.load("builtin:tiny"):classifier { task = task }
          model:add_adapter(adapters.lora { r = 1, target_modules = { "query" } })
          trainer.fit { model = model, task = task, max_steps = 1, max_length = 8, on_step = function() steps = steps + 1 end }
        end)
        assert_equal({ count, steps }, { 1, 1 })
        error("drew " .. tensor.rand { 1 }:item() .. " and " .. math.random())
      end
      test("first", one)
      test("second", one)
      """
    let lines = try run(["a_test.lua": file]).lines
    #expect(lines.count == 6 && lines[2].contains("drew 0.") && lines[2] == lines[4], "\(lines)")
  }

  @Test(arguments: [
    ("print(1)", "a_test.lua: declares no test; test(\"name\", function() ... end) does"),
    ("test('a', function() end) test('a', function() end)", "a_test.lua:1: test 'a': another test has this name"),
    ("test('a', function() test('b', print) end)", "a_test.lua:1: test 'b': tests do not nest"),
    ("test('', print)", "a_test.lua:1: test: the name is empty"), ("local x = = 1", "a_test.lua:1: unexpected symbol near '='"),
  ])
  func filesThatAreWrong(file: String, message: String) throws {
    let (lines, passed) = try run(["a_test.lua": file, "b_test.lua": "test('fine', function() end)"])
    #expect(!passed && lines.contains("          " + message) && lines.contains("  ok      T  fine"), "\(lines)")
  }

  @Test func aFilterWithoutTestsIsAMistake() throws {
    #expect { _ = try run(["a_test.lua": "test('shares', function() end)"], filter: "sharse") } throws: {
      "\($0)" == "--filter sharse: no test's name contains it; did you mean 'shares'?"
    }
  }

  @Test(arguments: [
    ("assert_equal(1, 1.0) assert_equal('a', 'a') assert_equal(nil, nil) assert_equal({}, {}) assert_equal({ a = { 1 } }, { a = { 1.0 } })", nil),
    ("assert_equal(tensor.zeros { 2 }, tensor.zeros { 2 }) local t = tensor.zeros { 1 } assert_equal({ t }, { t })", nil),
    ("assert_close(1 + 1e-8, 1) assert_close({ 1, x = 2 }, { 1, x = 2 + 1e-8 }) assert_close(1/0, 1/0)", nil),
    ("assert_close(tensor.full({ 2 }, 1 + 5e-6), tensor.full({ 2 }, 1.0)) assert_close(0/0, 0/0, { equal_nan = true })", nil),
    ("assert(assert_error(function() error('why') end):find('why'))", nil),
    ("assert_equal(1, '1')", "assert_equal: expected '1', given 1"),
    ("assert_equal(9007199254740993, 9007199254740992.0)", "assert_equal: expected 9007199254740992.0, given 9007199254740993"),
    ("assert_equal(0/0, 0/0)", "assert_equal: expected nan, given nan"),
    ("assert_equal({ 1 }, { 1, 2 })", "assert_equal: at [2]: expected 2, given nil"),
    ("assert_equal({ a = 1 }, {})", "assert_equal: at .a: expected nil, given 1"),
    ("assert_equal(print, print)", "assert_equal: functions cannot be compared; compare what they return"),
    ("assert_equal(tensor.zeros { 2 }, tensor.zeros { 2, 1 })", "assert_equal: expected a tensor of [2, 1] float32, given one of [2] float32"),
    ("assert_close(1.5, 1)", "assert_close: expected 1, given 1.5, which differ by 0.5 (allowed: 1e-07 + 1e-07 x 1.0)"),
    (
      "assert_close(tensor.tensor { { 1, 2 }, { 3, 5 } }, tensor.tensor { { 1, 2 }, { 3, 4 } })",
      "assert_close: 1 of 4 elements are not close: at [1, 1] expected 4.0, given 5.0, which differ by 1.0 (allowed: 1e-05 + 1.3e-06 x 4.0)"
    ),
    ("assert_close(0/0, 1)", "assert_close: expected 1, given nan"),
    ("assert_close(1/0, 1, { rtol = 1, atol = 1 })", "assert_close: expected 1, given inf"),
    ("assert_close(1, 1, { rtol = 1 })", "closeness options: 'rtol' and 'atol' are given together, or both are left out"),
    ("assert_error(function() end)", "assert_error: expected an error, given none"),
    ("assert_error(function() error('b') end, 'a')", "assert_error: expected an error with 'a', given 't.lua:1: b'"),
    ("test('a', print)", "test 'a': tests are run by 'perigee test FILE', not by this command"),
  ])
  func assertions(script: String, message: String?) throws {
    let failure = try ScriptHost.with { host, _ in try host.failure(script) }
    #expect(failure == message.map { "t.lua:1: " + $0 })
  }
}
