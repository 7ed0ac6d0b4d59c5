import Files
import TensorCore
import TestSupport
import Testing

@testable import Bindings

/// A stored result stands for the training that it came from, whatever callbacks did there.
@Suite(.engine) struct StoredResultTests {
  private static let report = """

    local function sums(model)
      for _, p in ipairs(model:parameters()) do
        print(p.name, p.trainable, string.format('%a', model:parameter(p.name):double():square():sum():item()))
      end
    end

    """

  /// What the first training's callback freezes or unfreezes after its first epoch, and the adapter.
  struct Row: Sendable, CustomTestStringConvertible {
    var adapter: String
    var change: String
    var testDescription: String { adapter + ", " + change }
  }

  static let rows = [
    Row(adapter: "adapters.classifier {}", change: "t:unfreeze('layer.1')"),
    Row(adapter: "adapters.lora { r = 4 }", change: "t:freeze('lora_A')"),
    Row(adapter: "adapters.full {}", change: "t:freeze('layer.0')"),
    Row(adapter: "adapters.adalora { init_r = 4, target_r = 2, tinit = 2, tfinal = 2, deltaT = 2, definition = 'paper' }", change: "t:freeze('classifier')"),
  ]

  /// Trains on after a stage that was trained, or taken from the store: each run's lines.
  @Test(arguments: rows, [Precision.fp32, .bf16])
  func trainingGoesOnTheSameAfterAStoredResult(_ row: Row, _ precision: Precision) throws {
    let before = Precision.current
    Precision.current = precision
    defer { Precision.current = before }
    try withTemporaryFolder { data in
      try TinyTask.write(to: data)
      func run(_ rate: String) throws -> [String] {
        let script =
          TinyTask.script(data, "warmup_steps = 0") + Self.report + """
            local model = base:classifier { task = task }:add_adapter(\(row.adapter))
            local o = options(model)
            o.on_epoch = function(t, epoch) if epoch == 1 then \(row.change) end end
            local one = trainer.fit(o)
            print(one.trainable, string.format('%a', one.metrics.eval_loss), string.format('%a', trainer.evaluate(options(model)).eval_loss))
            sums(model)
            o = options(model)
            o.learning_rate = \(rate)
            local two = trainer.fit(o)
            print(string.format('%a', two.metrics.eval_loss), two.key)
            sums(model)
            print(one.reused, two.reused)
            """
        return try ScriptHost.with(in: data) { host, _ in try host.printed(script) }
      }
      _ = try run("1e-3")
      let warm = try run("2e-3")
      #expect(warm.last == "true\tfalse")
      let again = try run("2e-3")
      #expect(again.last == "true\ttrue")
      try AtomicFolder.move(data + "/store", to: data + "/earlier")
      let fresh = try run("2e-3")
      #expect(fresh.last == "false\tfalse")
      #expect(warm.dropLast() == fresh.dropLast() && again.dropLast() == fresh.dropLast())
    }
  }
}
