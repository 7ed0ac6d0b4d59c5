import TensorCore
import TestSupport
import Testing

@testable import Bindings

/// What a stored result is found by, one thing at a time.
@Suite(.engine) struct StageKeyTests {
  /// A fit, and what it runs with.
  private struct Variant {
    var model = "make()"
    /// Further training arguments.
    var options = ""
    var seed = 42
    var precision = Precision.fp32
  }

  /// The keys of fits on the same data, each with a store of its own.
  private func keys(_ variants: [Variant]) throws -> [String] {
    let before = Precision.current
    defer { Precision.current = before }
    return try withTemporaryFolder { data in
      try TinyTask.write(to: data)
      return try variants.map { variant in
        Precision.current = variant.precision
        return try ScriptHost.with(seed: variant.seed) { host, _ in
          let script = TinyTask.script(data, "max_steps = 1, \(variant.options)") + "print(trainer.fit(options(\(variant.model))).key)"
          return try #require(host.printed(script).first)
        }
      }
    }
  }

  private func lora(_ options: String) -> String { "base:classifier { task = task }:add_adapter(adapters.lora { \(options) })" }

  @Test func precisionIsPartOfTheKey() throws {
    let keys = try keys([Variant(), Variant(precision: .bf16), Variant()])
    #expect(keys[0] == keys[2] && keys[0] != keys[1])
  }

  /// Options that leave every starting value as it is.
  @Test func optionsWithoutParametersArePartOfTheKey() throws {
    let models = [
      "r = 4", "r = 4, lora_dropout = 0", "r = 4, lora_dropout = 0.1", "r = 4, lora_dropout = 0.2", "r = 4, lora_alpha = 4",
      "r = 4, use_rslora = true",
    ].map(lora)
    let keys = try keys(models.map { Variant(model: $0) })
    #expect(keys[0] == keys[1] && Set(keys).count == models.count - 1)
  }

  /// The same parameters with the same values, of which others train.
  @Test func whatTrainsIsPartOfTheKey() throws {
    func frozen(_ calls: String) -> String { "(function() local m = make() \(calls) return m end)()" }
    let models = [
      "", "m:freeze('lora_A')", "m:freeze('lora_B')", "m:freeze('layer.0')", "m:freeze('lora_A') m:unfreeze('lora_A')",
      "m:unfreeze('embeddings')",
    ].map(frozen)
    let keys = try keys(models.map { Variant(model: $0) })
    #expect(keys[0] == keys[4] && Set(keys).count == models.count - 1)
  }

  @Test func seedsAndTrainingArgumentsArePartOfTheKey() throws {
    let options = ["", "seed = 7", "save_seconds = 1", "weight_decay = 0.5", "max_length = 16", "warmup_ratio = 0.5"]
    let keys = try keys(options.map { Variant(options: $0) } + [Variant(seed: 43)])
    #expect(keys[0] == keys[2] && Set(keys).count == options.count)
  }
}
