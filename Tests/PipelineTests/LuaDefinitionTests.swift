import Files
import Foundation
import LuaHost
import TensorCore
import TestSupport
import Testing

@testable import Bindings

/// What `adapters.define` takes, refuses and remembers.
@Suite(.engine) struct LuaDefinitionTests {
  private static let build = "build = function(layer, c) return { S = tensor.zeros { layer.out_features, layer.in_features } } end"
  private static let delta = "delta = function(x, w, c) return x:linear(w.S) end"

  private static let attach = "base:classifier { num_labels = 2 }:add_adapter(adapters.mine {}):predict({ 'good' })"

  static let mistakes: [(script: String, message: String)] = [
    ("adapters.define('lora', { \(build), \(delta) })", "t.lua:1: define: adapters.lora exists already; take another name"),
    ("adapters.define('a b', { \(build), \(delta) })", "t.lua:1: define: 'a b' is no name: expected letters, digits and '_', a letter first"),
    ("adapters.define('', { \(build), \(delta) })", "t.lua:1: define: '' is no name: expected letters, digits and '_', a letter first"),
    ("adapters.define('mine', { \(delta) })", "t.lua:1: adapter definition: missing field 'build'"),
    ("adapters.define('mine', { \(build) })", "t.lua:1: adapter definition: give either 'delta' or 'weight'"),
    ("adapters.define('mine', { \(build), \(delta), deltas = 1 })", "t.lua:1: adapter definition: unknown field 'deltas'; did you mean 'delta'?"),
    (
      "adapters.define('mine', { config = { bias = 1 }, \(build), \(delta) })",
      "t.lua:1: config of 'mine': 'bias' is an option of all methods; take another name"
    ),
    (
      "adapters.define('mine', { config = { r = { 0, min = 1 } }, \(build), \(delta) })",
      "t.lua:1: parameter 'r': its default: 'r' must be an integer at least 1, got 0"
    ),
    (
      "adapters.define('mine', { config = { p = 0.1 }, dropout = 'q', \(build), \(delta) })",
      "t.lua:1: dropout of 'mine': config has no number 'q'; did you mean 'p'?"
    ),
    (
      "for _ = 1, 2 do adapters.define('mine', { \(build), \(delta) }) end",
      "t.lua:1: define: 'mine' is defined twice; put it into a file of its own and require that"
    ),
    (
      "adapters.define('mine', { config = { r = { 8, min = 1 } }, \(build), \(delta) })\nadapters.mine { r = 0 }",
      "t.lua:2: mine options: 'r' must be an integer at least 1, got 0"
    ),
    (
      "adapters.define('mine', { config = { rank = 8 }, \(build), \(delta) })\nadapters.mine { rnak = 4 }",
      "t.lua:2: mine options: unknown field 'rnak'; did you mean 'rank'?"
    ),
    (
      "adapters.define('mine', { config = { rank = 8 }, \(build), \(delta) })\nadapters.mine { rank = 'x' }",
      "t.lua:2: mine options: 'rank' must be an integer, got 'x'"
    ),
    (
      "adapters.define('mine', { config = { rank = 8 }, \(build), \(delta) })\nadapters.mine { adapter_name = 1 }",
      "t.lua:2: adapter options: 'adapter_name' must be a string, got 1"
    ),
    ("adapters.define('mine', { \(build), \(delta) })\nadapters.mien {}", "t.lua:2: module 'adapters' has no 'mien'; did you mean 'mine'?"),
    (
      "adapters.define('mine', { build = function() end, \(delta) })\n\(attach)",
      "t.lua:2: t.lua:1: build of 'mine' must return a table of tensors by their names"
    ),
    (
      "adapters.define('mine', { build = function() return { weight = tensor.zeros { 1 } } end, \(delta) })\n\(attach)",
      "t.lua:2: t.lua:1: build of 'mine' gives a parameter the name 'weight': expected letters, digits, '_', '.', and not the layer's 'weight' or 'bias'"
    ),
    (
      "adapters.define('mine', { build = function() return { S = 1 } end, \(delta) })\n\(attach)",
      "t.lua:2: t.lua:1: build of 'mine' gives 'S' = 1: expected a Tensor of floating-point numbers"
    ),
    (
      "adapters.define('mine', { build = function() return { S = tensor.full({ 2 }, 0 / 0) } end, \(delta) })\n\(attach)",
      "t.lua:2: t.lua:1: build of 'mine' gives 'S' a value that is not finite at index 0"
    ),
    (
      "adapters.define('mine', { build = function() error('boom') end, \(delta) })\n\(attach)",
      "t.lua:1: boom"
    ),
    (
      "adapters.define('mine', { \(build), delta = function(x, w, c)\n  return x:linear(w.T)\nend })\n\(attach)",
      "t.lua:2: bad argument #1 'weight' to 'linear' (expected Tensor, got nil)"
    ),
    (
      "adapters.define('mine', { \(build), delta = function(x, w, c) return 1 end })\n\(attach)",
      "t.lua:2: t.lua:1: delta of 'mine' returned 1: expected a Tensor of [3, 32]"
    ),
    (
      "adapters.define('mine', { \(build), delta = function(x, w, c) return x:slice(0, 0, 1) end })\n\(attach)",
      "t.lua:2: t.lua:1: delta of 'mine' returned a Tensor of [1, 32] float32: expected a Tensor of [3, 32]"
    ),
    (
      "adapters.define('mine', { \(build), weight = function(W, w, c) return w.S:sum() end })\n\(attach)",
      "t.lua:2: t.lua:1: weight of 'mine' returned a Tensor of [] float32: expected a Tensor of [32, 32]"
    ),
  ]

  @Test(arguments: mistakes.indices)
  func mistakesHaveAPlace(_ index: Int) throws {
    let (script, message) = Self.mistakes[index]
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      // One line, so that line numbers are those of the script.
      let base = "local base = models.from_config { config = '\(folder)' } "
      #expect(try host.failure(base + script) == message)
    }
  }

  @Test func mergeOfWhatIsNotLinearIsRefused() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let text = try host.failure(
        """
        local base = models.from_config { config = '\(folder)' }
        adapters.define('mine', { \(Self.build), delta = function(x, w, c) return x:linear(w.S + 1):tanh() end })
        local model = base:classifier { num_labels = 2 }:add_adapter(adapters.mine {})
        model:merge()
        """)
      #expect(text?.hasSuffix("t.lua:2: delta of 'mine' is not linear in x: no weight can hold it, and it cannot be merged or exported") == true)
    }
  }

  /// A new head keeps what the adapter has learnt; another adapter goes beside it, and both take part.
  @Test func adaptersGoToANewHead() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        """
        local base = models.from_config { config = '\(folder)' }
        adapters.define('mine', { config = { r = 4 },
          build = function(layer, c) return { A = tensor.randn({ c.r, layer.in_features }):freeze(), B = tensor.randn { layer.out_features, c.r } } end,
          delta = function(x, w, c) return x:linear(w.A):linear(w.B) end })
        local function sums(model)
          local text = ''
          for _, p in ipairs(model:parameters()) do
            if p.name:find('[AB]$') then text = text .. string.format('%.5f %s ', model:parameter(p.name):sum():item(), p.trainable) end
          end
          return text
        end
        local model = base:classifier { num_labels = 2 }:add_adapter(adapters.mine { seed = 3 })
        local first = sums(model)
        local other = model:new_head { num_labels = 3 }
        print(sums(other) == first:gsub('true', 'false'))
        print(select(2, first:gsub('true', '')), select(2, first:gsub('false', '')))
        other:add_adapter(adapters.mine { seed = 4, r = 2, adapter_name = 'second' })
        print(#other.adapters, other.adapters[1].method, other.adapters[2].parameters)
        print(adapters.mine { r = 5 })
        """)
      #expect(lines == ["true", "4\t4", "2\tmine\t256", "mine { r = 5 }"])
    }
  }

  /// Saved by one script, loaded by others: with the definition, with another of the name, without.
  @Test func foldersNeedTheDefinition() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let base = "local base = models.from_config { config = '\(folder)' }\n"
      let define = "adapters.define('mine', { config = { s = 2.0 }, \(Self.build), delta = function(x, w, c) return x:linear(w.S) * c.s end })\n"
      let show = "print(string.format('%.6f', model:predict({ 'good film' })[1].probabilities[model.labels[1]]))\n"
      let first = try host.printed(
        base + define + """
          local model = base:classifier { num_labels = 2 }:add_adapter(adapters.mine { s = 3 })
          for _, p in ipairs(model:parameters()) do
            if p.name:find('S$') then model:parameter(p.name):freeze():copy_(tensor.randn(p.shape, { seed = 1 })) end
          end
          model:save_adapter('a')
          model:export_lora('l')

          """ + show)
      let load = "local model = base:classifier { num_labels = 2 }:load_adapter('\(host.runFolder)/a')\n"
      #expect(try host.printed(base + load + show) == first)
      let exported = "local model = base:classifier { num_labels = 2 }:load_adapter('\(host.runFolder)/l')\n"
      #expect(try host.printed(base + exported + show) == first)
      try ScriptHost.with { other, _ in
        let text = try other.failure(base + load)
        #expect(
          text?.hasSuffix(
            "the adapter's method 'mine' is defined in Lua, and this script does not define it; define it with adapters.define before load_adapter")
            == true)
        let changed = define.replacingOccurrences(of: "* c.s", with: "* c.s * 0")
        #expect(try other.printed(base + changed + load + show) != first)
      }
    }
  }

  /// Whether a stage runs again after an edit of the definition.
  static let edits: [(edit: @Sendable (String) -> String, retrains: Bool)] = [
    ({ $0 }, false),
    // What stands elsewhere does not matter.
    ({ $0.replacingOccurrences(of: "-- a comment", with: "-- another") }, false),
    ({ $0.replacingOccurrences(of: "w.S) * factor", with: "w.S) * factor * 2") }, true),
    // What a function has caught from around it is part of it.
    ({ $0.replacingOccurrences(of: "local factor = 2", with: "local factor = 3") }, true),
    ({ $0.replacingOccurrences(of: "return 4", with: "return 5") }, true),
    ({ $0.replacingOccurrences(of: "k = 6", with: "k = 7") }, true),
    ({ $0.replacingOccurrences(of: "s = 2.0", with: "s = 3.0") }, true),
    ({ $0.replacingOccurrences(of: "c.s\n", with: "c.s -- words\n") }, false),
  ]

  @Test(arguments: edits.indices)
  func changedDefinitionsTrainAgain(_ index: Int) throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script = """
        -- a comment
        local factor = 2
        local function helper() return 4 end
        local settings = { k = 6, deep = { helper } }
        settings.self = settings
        adapters.define('mine', { config = { s = 2.0 },
          build = function(layer, c) return { S = tensor.zeros { layer.out_features, layer.in_features } } end,
          delta = function(x, w, c)
            return x:linear(w.S) * factor * (settings.k + settings.deep[1]()) * c.s
          end })
        """
      let rest = """

        local base = models.from_config { config = '\(folder)' }
        local task = tasks.table { train_file = '\(folder)/train.tsv', validation_files = { '\(folder)/dev.tsv' },
          text_column = 'text', label_column = 'label' }
        local r = trainer.fit { model = base:classifier { task = task }:add_adapter(adapters.mine {}), task = task, max_steps = 1, max_length = 16 }
        print(r.reused, r.key)
        """
      let (edit, retrains) = Self.edits[index]
      let first = try key(script + rest)
      let second = try key(edit(script) + rest)
      #expect((first == second) == !retrains)
    }
  }

  private func key(_ script: String) throws -> String {
    try ScriptHost.with { host, _ in try host.printed(script).last ?? "" }
  }

  /// An adapter's draws depend on its seed and the layer, not on what the script drew before, and leave no trace in later draws.
  @Test func drawsAreFunctionsOfSeedAndLayer() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        """
        local base = models.from_config { config = '\(folder)' }
        adapters.define('mine', {
          build = function(layer, c) return { S = tensor.randn { layer.out_features, layer.in_features } } end, \(Self.delta) })
        local function sums(seed)
          local model, text = base:classifier { num_labels = 2 }:add_adapter(adapters.mine { seed = seed }), ''
          for _, p in ipairs(model:parameters()) do
            if p.name:find('S$') then text = text .. string.format('%.6f ', model:parameter(p.name):sum():item()) end
          end
          return text
        end
        tensor.manual_seed(1)
        local a = tensor.rand({}):item()
        tensor.manual_seed(1)
        print(sums(3))
        print(tensor.rand({}):item() == a)
        print(sums(3))
        print(sums(4))
        """)
      #expect(lines[0] == lines[2] && lines[0] != lines[3] && lines[1] == "true")
      let values = lines[0].split(separator: " ")
      #expect(values.count == 4 && Set(values).count == 4)
    }
  }
}
