import Files
import Foundation
import Generation
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
      // A conversation is what its template makes of it; without one, an error.
      let chat = ["generate", "run/gpt", "--chat", "--prompt", "the", "--system", "dog"] + options
      #expect(try perigee(chat, in: folder).error.contains("no chat template"))
      try AtomicFile.write("<s>{{ messages[1].content }} {{ messages[0].content }}", to: folder + "/run/gpt/chat_template.jinja")
      #expect(try perigee(chat, in: folder).output == one.output)
      #expect(try perigee(["generate", "run/gpt", "--prompt", "the", "--system", "dog"], in: folder).error.contains("--chat"))
      // Another library, and none of the instructions beyond AVX2.
      for settings in ["PERIGEE_CPU=avx2", "PERIGEE_PRODUCTS=openblas OPENBLAS_CORETYPE=Haswell"] {
        let other = try perigee(["generate", "run/gpt", "--prompt", "the dog"] + options, in: folder, shell: "\(settings) \"$@\"")
        #expect(other.output == one.output, "\(settings): \(other)")
      }
      let wrong = try perigee(["generate", "run/gpt", "--prompt", "x", "--set", "num_beam=2"], in: folder)
      #expect(wrong.code == 1 && wrong.error.contains("num_beams"), "\(wrong.error)")
      let several = try perigee(
        ["generate", "run/gpt", "--prompt", "a", "--set", "num_beams=3", "--set", "num_return_sequences=3"] + options, in: folder)
      #expect(several.code == 0 && several.output.filter { $0 == "\n" }.count >= 3, "\(several)")
      let none = try perigee(["generate", "nowhere", "--prompt", "x"], in: folder)
      #expect(none.code == 1 && none.error.contains("nowhere"), "\(none.error)")
    }
  }

  /// A run with a trained stage, a stage's folder, and a model with an adapter beside it write the same; what does not fit together is told.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
  func theCommandTakesRunsStagesAndAdapters() throws {
    try withTemporaryFolder { folder in
      try WritingTask.write(to: folder)
      let script =
        WritingTask.script(folder) + """
          base:causal_lm():save('base')
          local other = models.from_config { seed = 3, tokenizer = base.tokenizer,
            config = { model_type = 'gpt2', n_layer = 1, n_embd = 16, n_head = 2, n_positions = 32 } }
          other:causal_lm():save('other')
          local model = models.load('base'):causal_lm()
          model:add_adapter(adapters.lora { r = 4 })
          stage('lora', function() return trainer.fit(options(model, { generation = { max_new_tokens = 6 } })) end)
          stage('texts', function() return trainer.predict { model = model, task = task, max_length = 32, generation = { max_new_tokens = 6 } } end)
          print(model:generate('red, dog', { max_new_tokens = 6 }))
          """
      try script.write(toFile: folder + "/t.lua", atomically: true, encoding: .utf8)
      let run = try perigee(["run", "t.lua", "--out", "r", "--quiet", "--precision", "fp32"], in: folder)
      #expect(run.code == 0, "\(run.error)")
      func generate(_ arguments: String...) throws -> Outcome {
        try perigee(["generate"] + arguments + ["--prompt", "red, dog", "--set", "max_new_tokens=6", "--precision", "fp32"], in: folder)
      }
      let plain = try generate("r/base")
      #expect(plain.code == 0 && plain.output != run.output)
      for arguments in [["r"], ["r/stages/lora"], ["r/base", "--adapter", "r/stages/lora/adapter"]] {
        let outcome = try perigee(
          ["generate"] + arguments + ["--prompt", "red, dog", "--set", "max_new_tokens=6", "--precision", "fp32"], in: folder)
        #expect(outcome.output == run.output, "\(arguments): \(outcome)")
      }
      let wrong = try generate("r/other", "--adapter", "r/stages/lora/adapter")
      #expect(wrong.code == 1 && wrong.error.contains("adapter"), "\(wrong)")
      let untrained = try generate("r/stages/texts")
      #expect(untrained.code == 1 && untrained.error.contains("r/stages/texts"), "\(untrained)")
    }
  }

  /// A text appears as it is written; Ctrl-C leaves what stands there, on a line that is ended.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built")) func ctrlCEndsATextWhereItStands() throws {
    try withTemporaryFolder { folder in
      let make = try Self.model(folder).replacing("\"n_positions\": 64", with: "\"n_positions\": 5000") + "\nmodel:save('gpt')\n"
      let config = try String(contentsOfFile: folder + "/config/config.json", encoding: .utf8)
      try config.replacing("\"n_positions\": 64", with: "\"n_positions\": 5000").write(
        toFile: folder + "/config/config.json", atomically: true, encoding: .utf8)
      try make.write(toFile: folder + "/make.lua", atomically: true, encoding: .utf8)
      let outcome = try bash(
        [
          "-c",
          """
          P=$1; O='--precision fp32 --threads 1 --set do_sample=true --set temperature=3'
          $P run make.lua --out run --quiet --precision fp32
          $P generate run/gpt --prompt 'the dog' $O --set max_new_tokens=4900 --set min_new_tokens=4900 >text 2>log & pid=$!
          for i in $(seq 2000); do [ $(wc -c <text) -gt 40 ] && break; kill -0 $pid || break; sleep 0.01; done
          kill -INT $pid; wait $pid; echo "code $?"; cat log
          $P generate run/gpt --prompt 'the dog' $O --set max_new_tokens=60 --set min_new_tokens=60 2>/dev/null >whole
          """, "bash", #require(perigeeExecutable),
        ], in: folder)
      #expect(outcome.output == "code 130\nperigee: interrupted\n", "\(outcome)")
      let (text, whole) = (try readText(folder + "/text"), try readText(folder + "/whole"))
      #expect(text.hasSuffix("\n") && text.utf8.count > 40)
      let common = zip(text.dropLast(), whole).prefix { $0 == $1 }.count
      #expect(common >= min(text.count, whole.count) - 12, "'\(text)' '\(whole)'")
    }
  }

  /// What is shown so far is never taken back: words are shown when they are whole, letters of several bytes with them.
  @Test func aStreamShowsWholeWords() {
    func shown(_ steps: [String], end: String) -> [String] {
      var stream = TextStream()
      return steps.compactMap { stream.piece(of: $0) } + [stream.rest(of: end) ?? "took back"]
    }
    #expect(shown([" a", " a b\u{FFFD}", " a bé", " a bé c"], end: " a bé cd") == [" a", " bé", " cd"])
    #expect(shown(["I do", "I do n", "I don't"], end: "I don't.") == ["I", " do", "n't."])
    #expect(shown(["a b c", "x y"], end: "x y z") == ["a b", "took back"])
    #expect(shown([], end: "") == [""])
  }
}
