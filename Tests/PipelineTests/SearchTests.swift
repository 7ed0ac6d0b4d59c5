import Files
import TestSupport
import Testing

@testable import Engine
@testable import Pipelines
@testable import Runs

/// Random search and successive halving of `lua/sweep.lua`.
@Suite(.engine) struct SearchTests {
  private func printed(_ script: String) throws -> [String] {
    try ScriptHost.with { host, _ in try host.printed("local sweep = require 'sweep'\n" + script) }
  }

  @Test func drawsDependOnSeedAndPlaceAlone() throws {
    let script = """
      local ranges = { rate = sweep.log_uniform(1e-4, 1), drop = sweep.uniform(0.1, 0.3), r = sweep.int(-2, 3), kind = sweep.choice { 'a', 'b', 'c' } }
      local few, many, other = sweep.draw(ranges, 50, 7), sweep.draw(ranges, 2000, 7), sweep.draw(ranges, 50, 8)
      local below, seen, same = 0, {}, 0
      for i, p in ipairs(few) do
        for name, value in pairs(p) do assert(many[i][name] == value, name) end
        if other[i].rate == p.rate then same = same + 1 end
      end
      for _, p in ipairs(many) do
        assert(p.rate >= 1e-4 and p.rate <= 1 and p.drop >= 0.1 and p.drop <= 0.3 and tonumber(tostring(p.rate)) == p.rate)
        if p.rate < 1e-2 then below = below + 1 end
        seen[p.r], seen[p.kind] = true, true
      end
      local keys = {}
      for key in pairs(seen) do keys[#keys + 1] = tostring(key) end
      table.sort(keys)
      print(#few, #many, same, math.abs(below / 2000 - 0.5) < 0.05, table.concat(keys, ' '), math.type(many[1].r))
      local first = sweep.draw(ranges, 1, 42)[1]
      print(first.rate, first.drop, first.r, first.kind)
      local all = sweep.draw({ r = sweep.int(1, 3), b = sweep.choice { true, false } }, 100)
      print(#all)
      """
    let lines = try printed(script)
    #expect(lines[0] == "50\t2000\t0\ttrue\t-1 -2 0 1 2 3 a b c\tinteger")
    // FNV-1a and SplitMix64, computed elsewhere. The points of a seed are part of what a search is: they stay.
    #expect(lines[1] == "0.0796371\t0.284719\t-2\ta")
    #expect(lines[2] == "6")
  }

  /// A run that is a formula: what is reached depends on the evaluations, and the best point in the end was not the first at once.
  private static let formula = """
    rawset(_G, 'stage', function(_, body) return body() end)
    local calls = {}
    local function search(values, more)
      local options = {
        name = 's', grid = { x = values }, metric = 'score', greater_is_better = true, halving = 3,
        run = function(point, seed, pause_after)
          local at = math.min(pause_after or 9, 9)
          calls[#calls + 1] = point.x .. '@' .. at
          local score = point.x == 4 and at == 1 and 0.5 or point.x == 7 and 0 / 0 or -math.abs(point.x - 4) * at / 9
          return { stage = 's', metrics = { eval_score = score }, steps = 10 * at, trainable = 1, seconds = 1, key = 'k', paused = at < 9 }
        end,
      }
      for key, value in pairs(more or {}) do options[key] = value end
      return sweep.run(options)
    end

    """

  @Test func halvingKeepsTheBestAndMarksTheOthers() throws {
    let lines = try printed(
      Self.formula + """
        local rows = search { 1, 2, 3, 4, 5, 6, 7, 8, 9 }
        for _, row in ipairs(rows) do print(row.x, row.stopped, row.n) end
        print(table.concat(calls, ' '))
        print(sweep.best(rows).x)
        sweep.report(rows)
        calls = {}
        local backwards = search { 9, 8, 7, 6, 5, 4, 3, 2, 1 }
        for i, row in ipairs(backwards) do assert(row.x == rows[10 - i].x and row.stopped == rows[10 - i].stopped, i) end
        calls = {}
        search({ 1, 4, 8 }, { halving = 2, first_rung = 2 })
        print(table.concat(calls, ' '))
        search({ 1, 4 }, { metric = nil, metrics = { 'score' }, seeds = { 1, 2 } })
        """)
    #expect(lines[2] == "3\tat step 30\t1" && lines[3] == "4\tnil\t1" && lines[4] == "5\tat step 30\t1")
    #expect(lines.prefix(9).count { $0.hasSuffix("at step 10\t1") } == 6)
    #expect(lines[9] == "1@1 2@1 3@1 4@1 5@1 6@1 7@1 8@1 9@1 3@3 4@3 5@3 4@9")
    #expect(lines[10] == "4")
    #expect(lines[11].split(separator: " ").last == "stopped" && lines[15].contains("at step 30") && !lines[16].contains("at step"))
    #expect(lines.last == "1@2 4@2 8@2 4@9", "\(lines)")
  }

  static let mistakes: [(script: String, message: String)] = [
    ("sweep.run { name = 'x', run = print, random = {}, trials = 1 }", "t.lua:2: sweep: random has no ranges"),
    (
      "sweep.run { name = 'x', run = print, random = { a = { 1, 2 } }, trials = 1 }",
      "t.lua:2: sweep: 'a' must be sweep.uniform, log_uniform, int or choice"
    ),
    ("sweep.run { name = 'x', run = print, random = { a = sweep.int(1, 2) } }", "t.lua:2: sweep.run: 'random' needs 'trials', the number of points"),
    ("sweep.run { name = 'x', run = print, grid = {}, random = {} }", "t.lua:2: sweep.run: give either 'grid' or 'random'"),
    ("sweep.run { name = 'x', run = print, trials = 3 }", "t.lua:2: sweep.run: 'trials' has no meaning without 'random'"),
    ("sweep.run { name = 'x' }", "t.lua:2: sweep.run: missing field 'run'"), ("sweep.run()", "t.lua:2: sweep.run: missing field 'name'"),
    ("sweep.run { name = 'x', run = 3 }", "t.lua:2: sweep.run: 'run' must be a function, got number"),
    ("sweep.run { name = 'x', run = print, seeds = { 1, 'b' } }", "t.lua:2: sweep.run: 'seeds[2]' must be an integer, got string"),
    ("sweep.run { name = 'x', run = print, halving = 1 }", "t.lua:2: sweep.run: 'halving' must be an integer from 2 to 1000, got 1"),
    ("sweep.run { name = 'x', run = print, halving = 2, asha = {} }", "t.lua:2: sweep.run: give either 'halving' or 'asha'"),
    (
      "sweep.run { name = 'x', run = print, asha = { factor = 1 } }", "t.lua:2: sweep.run: asha.factor must be an integer of at least 2, got 1"
    ),
    ("sweep.run { name = 'x', run = print, asha = { eta = 3 } }", "t.lua:2: sweep.run: asha has no 'eta': factor and first_rung"),
    ("sweep.run('x')", "t.lua:2: bad argument 'options' to 'sweep.run' (expected table { name = value, ... }, got string)"),
    ("sweep.log_uniform(0, 1)", "t.lua:2: sweep.log_uniform: expected finite bounds above 0, the lower one first, got 0 and 1"),
    ("sweep.int(1, 2.5)", "t.lua:2: bad argument #2 'high' to 'sweep.int' (expected an integer, got 2.5)"),
    ("sweep.choice { { 1 } }", "t.lua:2: sweep.choice: expected numbers, strings, true or false, got a table: choose a name for it, and look it up"),
    ("sweep.uniform(1)", "t.lua:2: bad argument #2 'high' to 'sweep.uniform' (expected a number, got nil)"),
    ("sweep.mean({ 1 }, 2)", "t.lua:2: too many arguments to 'sweep.mean' (expected 1 argument, got 2)"),
    ("sweep.rum {}", "t.lua:2: module 'sweep' has no 'rum'; did you mean 'run'?"),
    (
      "sweep.run { name = 'x', grid = { a = { 1, 2 } }, halving = 2, metric = 'kappa', run = print }",
      "t.lua:2: sweep.run: whether more of 'kappa' is better is not known; give sweep.run greater_is_better = true or false"
    ),
    ("sweep.run { name = 'x', run = function() error('mine') end }", "t.lua:2: mine"),
  ]

  @Test(arguments: mistakes.indices)
  func mistakesHaveThePlaceOfTheCaller(_ index: Int) throws {
    try ScriptHost.with { host, _ in
      let text = try host.failure("local sweep = require 'sweep'\n" + Self.mistakes[index].script)
      #expect(text == Self.mistakes[index].message)
    }
  }

  @Test func helpKnowsTheLibrary() throws {
    let lines = try printed("help(sweep.choice)\nhelp('sweep.run.trials')\nhelp(sweep)")
    #expect(lines[0] == "choice(values)" && lines.contains { $0.hasPrefix("trials (integer), an option of sweep.run") })
    #expect(lines.contains { $0.hasPrefix("sweep: Grids, random search") })
  }

  /// A callback that calls a library counts with what that computes.
  @Test func theCodeOfALibraryIsPartOfTheKey() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      func keys(_ code: String) throws -> [String] {
        try ScriptHost.with(in: folder) { host, _ in
          try host.printed(
            TinyTask.script(folder, "max_steps = 1, eval_strategy = 'no'") + """
              local mine = library { name = 'mine', doc = 'Of this test.', { 'f', 'Gives a number.', function() return \(code) end } }
              local f = mine.f
              for i, call in ipairs { function() mine.f() end, function() f() end } do
                local settings = options(make())
                settings.num_train_epochs, settings.on_step = nil, call
                print(stage(tostring(i), function() return trainer.fit(settings) end).key)
              end
              """)
        }
      }
      let (one, again, other) = try (keys("1"), keys("1"), keys("2"))
      #expect(one == again && one.count == 2 && zip(one, other).allSatisfy { $0 != $1 })
    }
  }

  // MARK: - Trainings

  private static func search(_ folder: String, forgets: Bool = false) -> String {
    TinyTask.script(folder, "eval_strategy = 'steps', eval_steps = 2, logging_steps = 1, lr_scheduler_type = 'constant'") + """
      local sweep = require 'sweep'
      local function train(point, seed, pause_after)
        local settings = options(make())
        settings.learning_rate, settings.seed, settings.pause_after = point.rate, seed, \(forgets ? "nil" : "pause_after")
        return trainer.fit(settings)
      end
      local rows = sweep.run {
        name = 's', random = { rate = sweep.log_uniform(1e-4, 1e-1) }, trials = 4, search_seed = 3, metric = 'loss', halving = 2, run = train,
      }
      for _, row in ipairs(rows) do
        local result = row.results[1]
        print(row.rate, row.stopped, ('%.17g'):format(row.loss), result.steps, result.paused, result.key)
      end

      """
  }

  /// What the search stopped is paused, what it trained to its end has the bits of a training without a search, and a search that is run
  /// again finds all of it.
  @Test func aSearchTrainsNoMoreThanItHasTo() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script = Self.search(folder)
      let (first, stages) = try ScriptHost.with(in: folder) { host, _ in
        let lines = try host.printed(script)
        try host.session.writeResults()
        #expect(host.notes.contains { $0.contains("s: after evaluation 1, 2 of 4 points go on") })
        return (lines, try RunFolder(host.runFolder).stages)
      }
      let fields = first.map { $0.split(separator: "\t") }
      #expect(fields.map { $0[1] }.count { $0 == "at step 2" } == 2 && fields.map { $0[1] }.count { $0 == "at step 4" } == 1, "\(first)")
      let best = try #require(fields.first { $0[1] == "nil" })
      #expect(best[3] == "12" && best[4] == "false")
      #expect(stages.count == 4 && stages.count(where: \.isPaused) == 3)
      // The same in another folder with the same store, where states and results have gone further than the first rung.
      let again = try ScriptHost.with(in: folder) { host, _ in try host.printed(script) }
      #expect(again == first)
      // Without a search.
      try ScriptHost.with { host, _ in
        let alone =
          TinyTask.script(folder, "eval_strategy = 'steps', eval_steps = 2, logging_steps = 1, lr_scheduler_type = 'constant'")
            + """
            local settings = options(make())
            settings.learning_rate, settings.seed = \(best[0]), 42
            local result = stage('s rate=\(best[0]) seed=42', function() return trainer.fit(settings) end)
            print(('%.17g'):format(result.metrics.eval_loss), result.key)
            """
        let lines = try host.printed(alone)
        #expect(lines == ["\(best[2])\t\(best[5])"])
      }
    }
  }

  /// Without waiting for a rung: the first point of two that is better goes on at once. What is there is not trained again.
  @Test func anAsynchronousSearchTakesWhatIsThere() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script =
        Self.search(folder).replacing("halving = 2", with: "asha = { factor = 2 }").replacing("trials = 4", with: "trials = 5")
        + "sweep.report(rows)"
      func run() throws -> (lines: [String], trained: [String]) {
        try ScriptHost.with(in: folder) { host, _ in
          (try host.printed(script), host.notes.filter { $0.contains(" steps") })
        }
      }
      let (first, trained) = try run()
      let fields = first.prefix(5).map { $0.split(separator: "\t") }
      let best = try #require(fields.first { $0[1] == "nil" })
      #expect(best[3] == "12" && fields.count { $0[1] == "at step 2" } >= 2 && fields.count { $0[1] == "at step 4" } >= 1, "\(first)")
      #expect(first[5] == "by asha: which points went on depends on the order in which results came in", "\(first)")
      let forgets = try ScriptHost.with { host, _ in
        try host.failure(Self.search(folder, forgets: true).replacing("halving = 2", with: "asha = { factor = 2 }"))
      }
      #expect(forgets?.contains("sweep.run: halving: no training paused after 1 evaluations") == true, "\(forgets ?? "")")
      // The third training is of the better one of the first two: nobody waited for the others.
      #expect(trained.count > 5 && trained[2].contains(" resumed at 2"), "\(trained)")
      let again = try run()
      #expect(again.lines.prefix(5) == first.prefix(5) && again.trained.isEmpty, "\(again)")
      // All of it is what halving would find at the same evaluations.
      let halved = try ScriptHost.with { host, _ in
        try host.printed(Self.search(folder).replacing("trials = 4", with: "trials = 5"))
      }.map { $0.split(separator: "\t") }
      for (a, b) in zip(fields, halved) where a[1] == b[1] { #expect(a == b) }
      #expect(zip(fields, halved).contains { $0[1] == $1[1] })
    }
  }

  @Test func aPausedModelIsNoResult() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      try ScriptHost.with(in: folder) { host, _ in
        let script =
          TinyTask.script(folder, "eval_strategy = 'steps', eval_steps = 2, pause_after = 1") + """
            local model = make()
            local result = stage('a', function() return trainer.fit(options(model)) end)
            print(result.paused, result.steps, result.endings[1])
            for _, wrong in ipairs { function() return result.model end, function() model:merge() end, function() trainer.evaluate { model = model, task = task } end } do
              print(select(2, pcall(wrong)))
            end
            local function finish() local o = options(make()) o.pause_after = nil return trainer.fit(o) end
            local whole = stage('a', finish)
            print(whole.paused, whole.steps, whole.key == result.key, whole.model ~= nil)
            print(select(2, pcall(function() trainer.fit(options(make())) end)))
            """
        let lines = try host.printed(script)
        #expect(lines[0] == "true\t2\tpaused at step 2 of 12")
        for line in lines[1...3] { #expect(line.contains("the model's training is paused, and its weights are not the result's")) }
        #expect(lines[4] == "false\t12\ttrue\ttrue")
        #expect(lines[5].contains("pause_after: only in a stage"))
        let failure = try host.failure(Self.search(folder, forgets: true))
        #expect(failure?.contains("sweep.run: halving: no training paused after 1 evaluations") == true, "\(failure ?? "")")
      }
    }
  }

  /// Lists of runs show what was measured at the end, not what a search left behind.
  @Test func listsTellStoppedTrainings() throws {
    let facts: JSONObject = [
      "status": "finished",
      "stages": [
        ["stage": "s r=2", "metrics": ["eval_accuracy": 0.5]], ["stage": "s r=4", "metrics": ["eval_accuracy": 0.75], "paused": true],
      ],
    ]
    let summary = RunSummary(path: "/r", facts: facts)
    #expect(summary.result == "accuracy 0.5000" && summary.value("accuracy") == 0.5 && summary.value("s r=4.accuracy") == 0.75)
    #expect(summary.stages.map(\.title) == ["s r=2", "s r=4 (stopped early)"])
  }
}
