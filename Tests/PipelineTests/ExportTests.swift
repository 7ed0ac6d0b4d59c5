import Files
import Foundation
import TestSupport
import Testing

/// The programs that read exports, where they are installed.
private let hasReaders = hasPython("torch", "peft", "gguf")

/// `perigee export`, of a GPT-2 and a Llama that a run has trained.
@Suite(.serialized, .enabled(if: perigeeExecutable != nil, "perigee is not built")) struct ExportTests {
  private static let script = """
    local task = tasks.causal_lm { train_file = "corpus.txt" }
    local tokenizer = tokenizers.train(task, { vocab_size = 290, special_tokens = { "<s>", "</s>" } })
    local rope = { rope_type = "llama3", rope_theta = 500, factor = 4, high_freq_factor = 4, low_freq_factor = 1,
      original_max_position_embeddings = 16 }
    local kinds = {
      gpt2 = { model_type = "gpt2", n_embd = 32, n_layer = 2, n_head = 4, n_positions = 64, initializer_range = 0.3 },
      llama = { model_type = "llama", hidden_size = 32, intermediate_size = 48, num_hidden_layers = 2, num_attention_heads = 4,
        num_key_value_heads = 2, max_position_embeddings = 64, rope_parameters = rope, initializer_range = 0.3 },
    }
    local methods = {
      gpt2 = adapters.lora { r = 4, lora_alpha = 12, target_modules = { "c_attn", "c_fc", "c_proj" } },
      llama = adapters.lora { r = 4, lora_alpha = 12, use_rslora = true, rank_pattern = { q_proj = 2 },
        target_modules = { "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj" } },
      ia3 = adapters.ia3(),
    }
    local function train(name, model)
      return stage(name, function()
        return trainer.fit { model = model, task = task, max_steps = 6, learning_rate = 3e-2, max_length = 32, eval_strategy = "no" }
      end)
    end
    for _, name in ipairs { "gpt2", "llama" } do
      models.from_config { config = kinds[name], tokenizer = tokenizer }:causal_lm():save(name)
      train(name, models.load(name):causal_lm():add_adapter(methods[name]))
    end
    train("ia3", models.load("llama"):causal_lm():add_adapter(methods.ia3))
    """

  @Test func otherProgramsReadTheSameModel() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(String(repeating: "the quick brown fox jumps over a lazy dog\nships sail past\n", count: 6), to: folder + "/corpus.txt")
      try AtomicFile.write(Self.script, to: folder + "/run.lua")
      let run = try perigee(["run", "run.lua", "--out", "out", "--quiet", "--precision", "fp32", "--threads", "1"], in: folder)
      #expect(run.code == 0, "\(run.error)")
      func export(_ arguments: [String]) throws -> Outcome { try perigee(["export"] + arguments, in: folder) }
      for name in ["gpt2", "llama"] {
        for (place, form) in [
          ("peft", ["peft"]), ("merged", ["merged"]), ("lora", ["lora"]), ("adapter", ["gguf"]), ("model", ["gguf", "--merge"]),
        ] {
          let outcome = try export(["out", "--stage", name, "--out", "\(name)-exports/\(place)", "--to"] + form)
          #expect(outcome.code == 0 && outcome.error.isEmpty, "\(name) \(place): \(outcome.error)")
        }
        // The merged folder writes what the adapter does.
        let texts = try [["out/stages/\(name)"], ["\(name)-exports/merged"]].map {
          try perigee(["generate"] + $0 + ["--prompt", "the quick", "--precision", "fp32", "--set", "max_new_tokens=8"], in: folder).output
        }
        #expect(texts[0] == texts[1] && !texts[0].isEmpty)
        if hasReaders {
          let check = python(["check_export.py", "\(folder)/out/\(name)", "\(folder)/\(name)-exports"])
          #expect(check.code == 0, "\(name): \(check.output)")
        }
      }
      try whatAFormCannotHoldIsRefused(folder)
    }
  }

  private func whatAFormCannotHoldIsRefused(_ folder: String) throws {
    let classifier = packageRoot + "/Tests/Fixtures/labels/mnli"
    for (arguments, message) in [
      (["out", "--stage", "lama", "--to", "peft", "--out", "x"], "no stage 'lama'"), (["out", "--to", "peft", "--out", "x"], "3 trained stages"),
      (["out", "--stage", "gpt2", "--to", "onnx", "--out", "x"], "--to onnx: no such form; expected one of gguf, lora, merged, peft"),
      (["out", "--stage", "gpt2", "--to", "peft", "--out", "gpt2-exports/peft"], "--overwrite"),
      (["out", "--stage", "ia3", "--to", "lora", "--out", "x"], "no product of two small factors"),
      (["out", "--stage", "ia3", "--to", "gguf", "--out", "x"], "--to gguf --merge"),
      ([classifier, "--to", "peft", "--out", "x"], "--to merged"), ([classifier, "--to", "gguf", "--out", "x"], "bert has no form in GGUF"),
    ] {
      let outcome = try perigee(["export"] + arguments, in: folder)
      #expect(outcome.code == 1 && outcome.error.contains(message) && outcome.output.isEmpty, "\(arguments): \(outcome.error)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/x"))
    }
    let merged = try perigee(["export", "out", "--stage", "ia3", "--to", "gguf", "--merge", "--out", "ia3"], in: folder)
    #expect(merged.code == 0, "\(merged.error)")
  }
}
