import Adapters
import Files
import Foundation
import LuaHost
import TensorCore
import TestSupport
import Testing

@testable import Bindings

/// Methods that a script defines.
@Suite(.engine) struct LuaMethodTests {
  /// Defines what the tests share: a training, and a sum of everything that belongs to an adapter, both to the bit.
  private static let helpers = """
    local function train(spec, freeze)
      local model = base:classifier { task = task }:add_adapter(spec)
      if freeze then model:freeze(freeze) end
      local o, text = options(model), {}
      o.on_step = function(t) text[#text + 1] = string.format('%a', t.loss) end
      trainer.fit(o)
      for _, p in ipairs(model:parameters()) do
        if p.trainable then text[#text + 1] = string.format('%a', model:parameter(p.name):double():square():sum():item()) end
      end
      print(table.concat(text, ' '))
      return model
    end

    """

  private func printed(_ script: String, _ settings: String = "logging_steps = 1") throws -> [String] {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      return try host.printed(TinyTask.script(folder, settings) + Self.helpers + script)
    }
  }

  /// A method in Lua and the native one that it must equal to the bit. `native`: the native method's name.
  struct Pair: Sendable, CustomTestStringConvertible {
    var file: String
    var options: String
    var native: String
    var nativeOptions: String
    var freeze = "nil"
    var testDescription: String { "\(file), \(native) \(nativeOptions)" }

    static let all = [
      Pair(file: "delora", options: "{ r = 4 }", native: "delora", nativeOptions: "{ r = 4 }"),
      Pair(
        file: "delora", options: "{ r = 3, lora_alpha = 5, target_modules = { 'query', 'intermediate.dense' } }", native: "delora",
        nativeOptions: "{ r = 3, lora_alpha = 5, target_modules = { 'query', 'intermediate.dense' } }"),
      // LoRA-FA is LoRA whose A does not train.
      Pair(
        file: "lora_fa", options: "{ r = 4, lora_alpha = 6, lora_dropout = 0.1 }", native: "lora",
        nativeOptions: "{ r = 4, lora_alpha = 6, lora_dropout = 0.1 }", freeze: "'lora_A'"),
    ]

    static let loraFA = Pair(
      file: "lora_fa", options: "{ r = 4, lora_alpha = 6, lora_dropout = 0.1 }", native: "lora_fa",
      nativeOptions: "{ r = 4, lora_alpha = 6, lora_dropout = 0.1 }")

    var isNativeThere: Bool { AdapterCatalogue.methods.contains { $0.name == native } }
  }

  @Test(arguments: Pair.all, [Precision.fp32, .bf16])
  func equalsTheNativeMethodToTheBit(_ pair: Pair, _ precision: Precision) throws {
    let before = Precision.current
    Precision.current = precision
    defer { Precision.current = before }
    let lines = try printed(
      """
      train(require 'adapters.\(pair.file)' \(pair.options))
      train(adapters.\(pair.native) \(pair.nativeOptions), \(pair.freeze))
      """)
    #expect(lines.count == 2 && lines[0] == lines[1])
    #expect(lines[0].split(separator: " ").count > 12)
  }

  @Test(.enabled(if: Pair.loraFA.isNativeThere, "the native LoRA-FA is not there"), arguments: [Precision.fp32, .bf16])
  func equalsTheNativeLoRAFA(_ precision: Precision) throws { try equalsTheNativeMethodToTheBit(Pair.loraFA, precision) }

  /// Trains with a method, and the native one of the name with the same draws; prints the largest difference of their losses.
  private static let differences = """
    local function losses(spec, prepare)
      local model = base:classifier { task = task }:add_adapter(spec)
      if prepare then prepare(model) end
      local o, list = options(model), {}
      o.on_step = function(t) list[#list + 1] = t.loss end
      trainer.fit(o)
      return list
    end
    local function compare(a, b)
      local largest = 0
      for i = 1, #a do largest = math.max(largest, math.abs(a[i] - b[i])) end
      print(#a > 5 and #a == #b and largest)
    end

    """

  /// VeRA's shared factors are torch's draws; with those, it is the native method to the bit.
  @Test(arguments: ["", ", target_modules = { 'query', 'intermediate.dense' }"], [Precision.fp32, .bf16])
  func equalsTheNativeVeRA(_ targets: String, _ precision: Precision) throws {
    let before = Precision.current
    Precision.current = precision
    defer { Precision.current = before }
    let lines = try printed(
      Self.differences + """
        local native = base:classifier { task = task }:add_adapter(adapters.vera { r = 16, vera_dropout = 0.1 \(targets) })
        local function copy(model)
          for _, name in ipairs { 'vera_A', 'vera_B' } do model:parameter(name):copy_(native:parameter(name)) end
        end
        compare(
          losses(require 'adapters.vera' { r = 16, vera_dropout = 0.1 \(targets) }, copy),
          losses(adapters.vera { r = 16, vera_dropout = 0.1 \(targets) }))
        """)
    #expect(lines.last == "0" || lines.last == "0.0")
  }

  @Test(
    .enabled(if: AdapterCatalogue.methods.contains { $0.name == "delta_lora" }, "the native Delta-LoRA is not there"))
  func equalsTheNativeDeltaLoRA() throws {
    let options = "{ r = 4, lora_alpha = 8, start_step = 2, update_ratio = 2 }"
    let lines = try printed(
      Self.differences + "compare(losses(require 'adapters.delta_lora' \(options)), losses(adapters.delta_lora \(options)))")
    let difference = try #require(Double(lines.last ?? ""))
    #expect(difference < 1e-4)
  }

  /// Delta-LoRA as the paper writes it: after every update past the start, the weight itself follows. Nothing is dropped: LoRA
  /// takes a place among the dropouts that Delta-LoRA does not.
  @Test func deltaLoRAFollowsThePaper() throws {
    let lines = try printed(
      Self.differences + """
        local K, ratio, s = 2, 2.0, 8 / 4
        local method = require 'adapters.delta_lora'
        local function begin(spec)
          local model = base:classifier { task = task }:add_adapter(spec)
          return model, trainer.loop(options(model))
        end
        local function steps(model, t, after)
          local list = {}
          while t.step < t.total_steps do
            local loss = model:loss(t:batches()[1])
            loss:backward()
            list[#list + 1] = loss:item()
            local before = after and after.before()
            local step = t.step
            t:update()
            if after then after.update(before, step) end
          end
          return list
        end
        local model, t = begin(method { r = 4, lora_alpha = 8, start_step = K, update_ratio = ratio })
        local given = steps(model, t)

        local plain, u = begin(adapters.lora { r = 4, lora_alpha = 8 })
        local sites = {}
        for _, p in ipairs(plain:parameters()) do
          local path = p.name:match('^(.*)%.lora_A%.weight$')
          if path then sites[#sites + 1] = path end
        end
        local function product(path)
          return tensor.no_grad(function()
            return plain:parameter(path .. '.lora_B.weight'):matmul(plain:parameter(path .. '.lora_A.weight'))
          end)
        end
        local wanted = steps(plain, u, {
          before = function()
            local result = {}
            for i, path in ipairs(sites) do result[i] = product(path) end
            return result
          end,
          update = function(before, step)
            if step <= K then return end
            for i, path in ipairs(sites) do
              plain:parameter(path .. '.weight'):requires_grad_(true):freeze()
              plain:parameter(path .. '.weight'):add_((product(path) - before[i]) * (ratio * s))
            end
          end,
        })
        compare(given, wanted)
        print(#sites)
        """)
    let difference = try #require(Double(lines.first ?? ""))
    #expect(difference > 0 && difference < 1e-5)
    #expect(lines.last == "4")
  }

  /// The formula of VeRA, element by element.
  @Test func veraFollowsThePaper() throws {
    let lines = try printed(
      Self.differences + """
        adapters.define('formula', {
          config = { r = 16, p = 0.0 }, dropout = 'p',
          build = function(layer, c)
            return {
              A = layer:shared('vera_A', { c.r, layer.in_features }, { gain = math.sqrt(6) }),
              B = layer:shared('vera_B', { layer.out_features, c.r }, { gain = math.sqrt(6) }),
              d = tensor.full({ c.r }, 0.1), b = tensor.zeros { layer.out_features },
            }
          end,
          delta = function(x, w, c) return x:matmul((w.b:unsqueeze(1) * w.B:matmul(w.d:unsqueeze(1) * w.A)):t()) end,
        })
        compare(losses(require 'adapters.vera' { r = 16 }), losses(adapters.formula {}))
        """)
    let difference = try #require(Double(lines.first ?? ""))
    #expect(difference < 1e-5)
  }

  /// Every way to say the same update gives the same training, whatever it needs from the engine.
  @Test(arguments: [
    "delta = function(x, w, c) return x:matmul(w.A:t()):linear(w.S):linear(w.B) * c.s end",
    "delta = function(x, w, c) return (c.s * x:linear(w.A)):linear(w.S):linear(w.B) end",
    "delta = function(x, w, c) return -(-x:linear(w.A)):linear(w.S):linear(w.B):mul(2 * c.s) / 2 end",
    "delta = function(x, w, c) local h = x:linear(w.A):linear(w.S) return h:linear(w.B) * 3 - h:linear(w.B) * (3 - c.s) end",
    "delta = function(x, w, c) return x:linear(w.B:matmul(w.S):matmul(w.A)) * tensor.full({}, c.s) end",
    "weight = function(W, w, c) return W + w.B:matmul(w.S):matmul(w.A) * c.s end",
    "delta = function(x, w, c) return x:linear(w.A):linear(w.S):linear(w.B) * c.s end, merge = function(W, w, c) return W + w.B:matmul(w.S):matmul(w.A) * c.s end",
  ])
  func formsOfOneUpdate(_ form: String) throws {
    let lines = try printed(
      Self.differences + """
        adapters.define('form', {
          config = { r = 4, s = { 2.0, min = 0 } },
          build = function(layer, c)
            return {
              A = layer:kaiming_uniform('delora_A', { c.r, layer.in_features }):freeze(),
              B = layer:kaiming_uniform('delora_B', { layer.out_features, c.r }):freeze(), S = tensor.zeros { c.r, c.r },
            }
          end,
          \(form),
        })
        compare(losses(adapters.form {}), losses(adapters.delora { r = 4 }))
        local model = base:classifier { task = task }:add_adapter(adapters.form {})
        for _, p in ipairs(model:parameters()) do
          if p.trainable and p.name:find('S$') then model:parameter(p.name):freeze():copy_(tensor.randn(p.shape, { seed = 1 })) end
        end
        local before = model:predict({ 'good film', 'bad plot' })[1].probabilities[model.labels[1]]
        model:merge()
        print(math.abs(model:predict({ 'good film', 'bad plot' })[1].probabilities[model.labels[1]] - before))
        """)
    #expect(lines.count == 2)
    for line in lines {
      let difference = try #require(Double(line))
      #expect(difference < 1e-5)
    }
  }

  /// What the layers share is part of the result: where only `after_step` changes it, and where it alone trains.
  @Test func sharedTensorsAreStored() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      func run() throws -> [String] {
        try ScriptHost.with(in: folder) { host, _ in
          try host.printed(
            TinyTask.script(folder, "load_best_model_at_end = true") + """
              adapters.define('mine', {
                config = { r = 4, frozen = false },
                build = function(layer, c)
                  local B = c.frozen and layer:normal('B', { layer.out_features, c.r }):freeze() or tensor.zeros { layer.out_features, c.r }
                  return { S = layer:shared('S', { c.r, layer.in_features }, { trains = c.frozen }), B = B }
                end,
                delta = function(x, w, c) return x:linear(w.S):linear(w.B) end,
                after_step = function(w, c, step, layer) if not c.frozen and layer.index == 0 then w.S:mul_(1.25) end end,
              })
              for i, spec in ipairs { adapters.mine {}, adapters.mine { adapter_name = 'other' }, adapters.mine { frozen = true } } do
                local model = base:classifier { task = task }:add_adapter(spec)
                local name = i == 2 and 'other.S' or 'S'
                local before = model:parameter(name):clone()
                local loss = trainer.fit(options(model)).metrics.eval_loss
                print(loss == trainer.evaluate(options(model)).eval_loss, (model:parameter(name) - before):norm():item() > 0)
              end
              """)
        }
      }
      for _ in 0..<2 { #expect(try run() == ["true\ttrue", "true\ttrue", "true\ttrue"]) }
    }
  }

  /// A gradient reaches what the layers share where nothing of their own trains, however the layers are computed.
  @Test func sharedTensorsTrainBesideFrozenOnes() throws {
    let lines = try printed(
      """
      adapters.define('mine', {
        config = { r = 4 },
        build = function(layer, c)
          return {
            S = layer:shared('S', { c.r, layer.in_features }, { trains = true, init_weights = 'zeros' }),
            B = layer:normal('B', { layer.out_features, c.r }):freeze(),
          }
        end,
        delta = function(x, w, c) return x:linear(w.S):linear(w.B) end,
      })
      for _, checkpointing in ipairs { false, true } do
        for _, dropout in ipairs { true, false } do
          local model = base:classifier { task = task }:add_adapter(adapters.mine {})
          local o = options(model)
          o.gradient_checkpointing, o.frozen_layer_dropout = checkpointing, dropout
          trainer.fit(o)
          print(model:parameter('S'):norm():item())
        end
      end
      """)
    let norms = try lines.map { try #require(Double($0)) }
    #expect(norms.count == 4 && norms.allSatisfy { $0 > 0.01 && abs($0 - norms[0]) < 1e-4 * norms[0] }, "\(norms)")
  }

  /// The input and the weight are the model's: a function that wrote to them would change other models, and the layer's output.
  @Test(arguments: [
    ("delta = function(x, w, c) return x:mul_(2):linear(w.B) end", "mul_"),
    ("delta = function(x, w, c) return x:detach():add_(2):relu():linear(w.B) end", "add_"),
    ("delta = function(x, w, c) return x:reshape({ #x, layer_width }):fill_(0):linear(w.B) end", "fill_"),
    ("weight = function(W, w, c) return W:mul_(2) + w.B end", "mul_"),
    ("weight = function(W, w, c) W:detach():set(1, 0, 0) return W + w.B end", "set"),
    ("weight = function(W, w, c) return W + w.B end, merge = function(W, w, c) return W:zero_() end", "fill_"),
  ])
  func whatTheModelLendsCannotBeWritten(_ function: String, _ operation: String) throws {
    let lines = try printed(
      """
      local layer_width = 0
      adapters.define('mine', {
        config = {},
        build = function(layer, c)
          layer_width = layer.in_features
          return { B = tensor.zeros { layer.out_features, layer.in_features } }
        end,
        \(function),
      })
      local function say(model) return model:predict({ 'good film' })[1].probabilities[model.labels[1]] end
      local other, model = base:classifier { task = task }, base:classifier { task = task }
      local before = say(other)
      model:add_adapter(adapters.mine {})
      local ok, message = pcall(function() say(model) model:merge() end)
      print(ok, message)
      print(say(other) == before)
      """)
    let hint = ["mul_", "add_"].contains(operation) ? "use \(operation.dropLast()), or clone() it first" : "clone() it first"
    let message = try #require(lines.first)
    #expect(
      message.contains("false") && message.contains(operation + ": [") && message.hasSuffix("is not the script's own and cannot be written; " + hint),
      "\(message)")
    #expect(lines.last == "true")
  }

  /// What is computed from them is the script's.
  @Test func resultsCanBeWritten() throws {
    let lines = try printed(
      Self.differences + """
        local function define(name, delta)
          return adapters.define(name, {
            config = {},
            build = function(layer, c) return { B = tensor.zeros { layer.out_features, layer.in_features } } end, delta = delta,
          })
        end
        define('plain', function(x, w, c) return (x:detach() * 2):linear(w.B) end)
        define('written', function(x, w, c) return x:detach():clone():mul_(2):linear(w.B) end)
        compare(losses(adapters.plain {}), losses(adapters.written {}))
        """)
    #expect(lines.last == "0" || lines.last == "0.0")
  }

  /// Weights in 4 bits: the method sees their values.
  @Test func quantizedWeights() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        """
        adapters.define('whole', {
          config = { r = 8 },
          build = function(layer, c)
            return {
              A = layer:kaiming_uniform('delora_A', { c.r, layer.in_features }):freeze(),
              B = layer:kaiming_uniform('delora_B', { layer.out_features, c.r }):freeze(), S = tensor.zeros { c.r, c.r },
            }
          end,
          weight = function(W, w, c) return W + w.B:matmul(w.S):matmul(w.A) * 2 end,
        })
        require 'adapters.delora'
        local base = models.load('builtin:tiny', { quantization_config = { load_in_4bit = true } })
        local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 32, max_eval_samples = 8 })
        for _, spec in ipairs { adapters.delora {}, adapters.delora_lua {}, adapters.whole {} } do
          local model = base:classifier { task = task }:add_adapter(spec)
          local loss
          trainer.fit { model = model, task = task, learning_rate = 1e-2, max_steps = 3, on_step = function(t) loss = t.loss end }
          print(loss)
          model:merge()
        end
        """)
      let losses = try lines.map { try #require(Double($0)) }
      #expect(losses.count == 3 && losses[0] == losses[1] && abs(losses[0] - losses[2]) < 1e-5)
    }
  }

  @Test func adaptersInTheLibraryAreShort() throws {
    let folder = packageRoot + "/lua/adapters"
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    #expect(files == ["delora.lua", "delta_lora.lua", "lora_fa.lua", "vera.lua"])
    for file in files {
      let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
      #expect(text.split(separator: "\n").count <= 25, "\(file)")
    }
  }
}
