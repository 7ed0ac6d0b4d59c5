import Diagnostics
import Files
import LuaHost
import TensorCore
import TestSupport
import Testing

@testable import Bindings
@testable import Engine

/// Ctrl-C in a function of the script: the state is saved, and the run that goes on ends with the bits of an unbroken one.
@Suite(.engine) struct InterruptionTests {
  /// A training in which every function that a script can give takes part, and may be cut off.
  private static func script(_ data: String) -> String {
    """
    local function cut(place)
      if should_cut(place) then for i = 1, 200000 do end end
    end
    adapters.define('mine', {
      config = { r = 3 },
      build = function(layer, c)
        return { A = layer:normal('A', { c.r, layer.in_features }), S = layer:shared('S', { c.r, c.r }), B = tensor.zeros { layer.out_features, c.r } }
      end,
      delta = function(x, w, c) cut('delta') return x:linear(w.A):relu():linear(w.S):linear(w.B) end,
      regularizer = function(w, c) cut('regularizer') return w.A:square():sum() * 1e-3 end,
      after_step = function(w, c, step, layer)
        w.S:mul_(1.02)
        cut('after_step')
        w.B:mul_(0.99)
      end,
    })

    """
      + TinyTask.script(data, "save_seconds = 1e9, logging_steps = 1, load_best_model_at_end = true") + """
        local model = base:classifier { task = task }:add_adapter(adapters.mine {})
        local o, first = options(model)
        local function change(t, place)
          t.learning_rate = t.learning_rate * 0.9
          cut(place)
          t.learning_rate = t.learning_rate * 0.9
        end
        o.lr_scheduler_type = function(step, total) cut('schedule') return 1 - step / total end
        o.loss = function(logits, labels) cut('loss') return logits:cross_entropy(labels) end
        o.compute_metrics = function(predictions, labels) cut('metrics') return { first = predictions[1] } end
        o.on_step = function(t) first = first or t.step change(t, 'on_step') end
        o.on_evaluate = function(t) change(t, 'on_evaluate') end
        o.on_epoch = function(t, epoch)
          if epoch == 1 then t:unfreeze('layer.1') t:freeze('classifier') end
          change(t, 'on_epoch')
        end
        local result = trainer.fit(o)
        print(first, result.reused)
        print(result.metrics.eval_loss, result.metrics.eval_first, result.steps, result.tokens)
        for _, p in ipairs(model:parameters()) do
          print(p.name, p.trainable, string.format('%a', model:parameter(p.name):double():square():sum():item()))
        end
        """
  }

  /// Calls until the one that is cut off.
  private final class Count {
    var left: Int
    init(_ left: Int) { self.left = left }
  }

  /// What the run printed and logged; nil: it was interrupted.
  private func run(_ data: String, cutting place: String = "", call: Int = 0) throws -> (lines: [String], rows: [String])? {
    try ScriptHost.with(in: data) { host, _ in
      let count = Count(call)
      try host.state.register(
        Function("should_cut", "Ctrl-C, at one call from one place.", Param<String>("place", "the caller"), returns: "whether it was now") {
          guard $0 == place else { return false }
          count.left -= 1
          if count.left == 0 { Interrupt.request() }
          return count.left == 0
        })
      defer { Interrupt.reset() }
      do {
        let lines = try host.printed(Self.script(data))
        return (lines, try host.session.runDirectory?.metrics().rows().map { "\($0)" } ?? [])
      } catch let error as LuaError where error.isInterruption {
        return nil
      }
    }
  }

  /// The calls of each function that are cut off: in the first update, in later ones, in evaluations, at the end.
  static let places: [(name: String, calls: [Int])] = [
    ("delta", [1, 6, 30, 50]), ("regularizer", [2, 9]), ("after_step", [1, 6, 23, 24, 48]), ("schedule", [1, 5, 12]), ("loss", [1, 4, 7, 14]),
    ("metrics", [1, 2]), ("on_step", [1, 6, 12]), ("on_evaluate", [1, 2]), ("on_epoch", [1, 2]),
  ]

  @Test(arguments: places) func theRunGoesOnWithTheSameBits(_ name: String, _ calls: [Int]) throws {
    try withTemporaryFolder { folder in
      func data(_ part: String) throws -> String {
        let path = folder + "/" + part
        try createFolder(path)
        try TinyTask.write(to: path)
        return path
      }
      let whole = try #require(try run(data("whole")))
      #expect(whole.lines.first == "1\tfalse" && whole.rows.count == 14)
      for call in calls {
        let path = try data("\(call)")
        #expect(try run(path, cutting: name, call: call) == nil, "call \(call) is not cut off")
        let rest = try #require(try run(path))
        #expect(rest.lines.first?.hasSuffix("\tfalse") == true)
        if call > 12 || name.hasPrefix("on_") && call > 1 { #expect(rest.lines.first != "1\tfalse", "call \(call): from the start") }
        #expect(rest.lines.dropFirst() == whole.lines.dropFirst(), "call \(call)")
        #expect(rest.rows == whole.rows, "call \(call)")
      }
    }
  }
}
