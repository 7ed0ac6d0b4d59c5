import Files
import Foundation
import TestSupport
import Testing

@testable import Bindings

/// `model:generate` and `perigee generate`.
@Suite(.serialized, .engine) struct GenerateTests {
  /// A tiny GPT-2 with random weights for the built-in model's tokens, with its folder's path in `folder`.
  private static func model(_ folder: String) throws -> String {
    let config = """
      {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 419, "initializer_range": 0.3,
       "bos_token_id": 0, "eos_token_id": 2}
      """
    try FileManager.default.createDirectory(atPath: folder + "/config", withIntermediateDirectories: true)
    try config.write(toFile: folder + "/config/config.json", atomically: true, encoding: .utf8)
    return """
      local base = models.from_config { config = '\(folder)/config', tokenizer = models.load('builtin:tiny').tokenizer }
      local model = base:causal_lm()
      """
  }

  @Test func aScriptGeneratesTexts() throws {
    try ScriptHost.with { host, folder in
      _ = try host.printed(
        Self.model(folder) + """
          local function same(a, b) assert(a == b, tostring(a) .. ' ~= ' .. tostring(b)) end
          local options = { max_new_tokens = 6, return_dict_in_generate = true }
          local one = model:generate('the dog', options)
          assert(#one.tokens >= 1 and #one.tokens <= 6 and one.score < 0)
          same(model:generate('the dog', { max_new_tokens = 6 }), one.text)
          local list = model:generate({ 'a cat sleeps', 'the dog' }, { max_new_tokens = 6, batch_size = 1 })
          same(#list, 2)
          same(list[2], one.text)
          local beams = model:generate({ 'the dog' }, { max_new_tokens = 6, num_beams = 3, num_return_sequences = 3, return_dict_in_generate = true })
          same(#beams[1], 3)
          assert(beams[1][1].score >= beams[1][3].score)
          -- Draws depend on the seed, and on nothing else.
          local function draw(seed, batch)
            return table.concat(model:generate({ 'the dog', 'a cat', 'a bird' }, { max_new_tokens = 6, do_sample = true, seed = seed, batch_size = batch }), '|')
          end
          same(draw(1, 3), draw(1, 1))
          assert(draw(1, 3) ~= draw(2, 3))
          """)
      #expect(try host.failure(Self.model(folder) + "model:generate({ 'a', 5 })")?.contains("a text") == true)
      let unknown = try host.failure(Self.model(folder) + "model:generate('a', { beams = 3 })")
      #expect(unknown?.contains("unknown field 'beams'") == true && unknown?.contains("use 'num_beams'") == true, "\(unknown ?? "")")
      let classifier = try host.failure("models.load('builtin:tiny'):classifier { num_labels = 2 }:generate('a')")
      #expect(classifier?.contains("the model writes no text") == true, "\(classifier ?? "")")
    }
  }

  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
  func theCommandContinuesAPrompt() throws {
    try withTemporaryFolder { folder in
      try (Self.model(folder) + "\nmodel:save('gpt')\n").write(toFile: folder + "/make.lua", atomically: true, encoding: .utf8)
      let made = try perigee(["run", "make.lua", "--out", "run", "--quiet", "--precision", "fp32"], in: folder)
      #expect(made.code == 0, "\(made.error)")
      let options = ["--set", "max_new_tokens=5", "--precision", "fp32", "--threads", "1"]
      let one = try perigee(["generate", "run/gpt", "--prompt", "the dog"] + options, in: folder)
      #expect(one.code == 0 && one.output.hasSuffix("\n"), "\(one.error)")
      #expect(one.error.contains("tokens in") && one.error.contains("tokens/s"), "\(one.error)")
      let piped = try perigee(["generate", "run/gpt", "--prompt", "-"] + options, in: folder, shell: "echo 'the dog' | \"$@\"")
      #expect(piped.output == one.output)
      let wrong = try perigee(["generate", "run/gpt", "--prompt", "x", "--set", "num_beam=2"], in: folder)
      #expect(wrong.code == 1 && wrong.error.contains("num_beams"), "\(wrong.error)")
      let none = try perigee(["generate", "nowhere", "--prompt", "x"], in: folder)
      #expect(none.code == 1 && none.error.contains("nowhere"), "\(none.error)")
    }
  }
}
