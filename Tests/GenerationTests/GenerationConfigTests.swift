import Checkpoints
import Diagnostics
import Files
import Generation
import TensorCore
import TestSupport
import Testing
import Tokenizers
import TransformerModels

extension GenerationTests {
  /// What the files beside a model's weights say about writing.
  @Suite struct GenerationConfigTests {
    /// `tiny-t5` with another `generation_config.json`; nil: none.
    private func model(_ values: JSONObject?, config: JSONObject = [:], in folder: String) throws -> TransformerModel {
      let base = try PretrainedModel(name: fixtures + "/models/tiny-t5", changes: config).make(.language, headSeed: 1)
      base.generationConfig = values.map { HuggingFaceConfig($0, path: folder + "/generation_config.json") }
      try base.save(to: folder)
      return try PretrainedModel(name: folder).make(.language, headSeed: 1)
    }

    private func texts(_ model: TransformerModel, _ values: JSONObject = [:]) throws -> [[Hypothesis]] {
      var all: JSONObject = ["max_new_tokens": 6]
      for (key, value) in values.members { all[key] = value }
      return try TokenGenerator(model, options(all)).generate([[5, 17, 1], [40, 41, 42, 43, 1]])
    }

    static let tokens: JSONObject = ["decoder_start_token_id": 40, "forced_bos_token_id": 30, "forced_eos_token_id": [31]]

    /// Files say what options would; options come first, and an empty list takes back what a file forces.
    @Test func tokensOfFilesCount() throws {
      try withTemporaryFolder { folder in
        let plain = try model(nil, in: folder + "/plain")
        let (asOptions, without) = (try texts(plain, Self.tokens), try texts(plain))
        #expect(asOptions != without && asOptions.allSatisfy { $0[0].tokens[0] == 30 && $0[0].tokens.last == 31 && $0[0].tokens.count == 6 })
        let own = try model(Self.tokens, in: folder + "/own")
        #expect(try texts(own) == asOptions)
        #expect(try texts(own, ["decoder_start_token_id": 0, "forced_bos_token_id": [], "forced_eos_token_id": []]) == without)
        // Without that file, config.json says what is forced; beside it, that one is not asked.
        let old = try model(nil, config: ["forced_bos_token_id": 30, "forced_eos_token_id": 31], in: folder + "/old")
        #expect(try texts(old) == texts(plain, ["forced_bos_token_id": 30, "forced_eos_token_id": 31]))
        #expect(try texts(model(["eos_token_id": 1], config: ["forced_bos_token_id": 30], in: folder + "/both")) == without)
        #expect(own.generationTokens == Self.tokens && plain.generationTokens.isEmpty)
      }
    }

    /// What files suppress is suppressed, until options say otherwise.
    @Test func suppressedTokensOfFilesCount() throws {
      try withTemporaryFolder { folder in
        let plain = try model(nil, in: folder + "/plain")
        let without = try texts(plain)
        let first = try #require(without[0].first?.tokens.first)
        let tokens: JSONObject = ["suppress_tokens": [.int(Int(first))], "begin_suppress_tokens": [7, 8]]
        let asOptions = try texts(plain, tokens)
        #expect(asOptions != without && asOptions.allSatisfy { !$0[0].tokens.contains(first) && ![7, 8].contains($0[0].tokens[0]) })
        let own = try model(tokens, in: folder + "/own")
        #expect(try texts(own) == asOptions && own.generationTokens == tokens)
        #expect(try texts(own, ["suppress_tokens": [], "begin_suppress_tokens": []]) == without)
      }
    }

    @Test(
      arguments: [
        (["forced_bos_token_id": "x"], "generation_config.json: 'forced_bos_token_id' must be a token's number, or a list of them, got \"x\""),
        (["decoder_start_token_id": -1], "'decoder_start_token_id' must be a token's number"),
        (["suppress_tokens": [-1]], "'suppress_tokens' must be a token's number, or a list of them"),
        (["begin_suppress_tokens": [120]], "begin_suppress_tokens 120: the model's tokens end at 119"),
        (["forced_eos_token_id": [5, 200]], "forced_eos_token_id 200: the model's tokens end at 119"),
      ] as [(JSONObject, String)])
    func wrongTokensAreTold(_ values: JSONObject, _ expected: String) throws {
      try withTemporaryFolder { folder in
        let error = #expect(throws: EngineError.self) { _ = try texts(model(values, in: folder + "/m")) }
        #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
      }
    }

    /// A tokenizer of few tokens, and a model for them.
    private func writer(_ generationConfig: JSONObject? = nil) throws -> (network: TransformerModel, tokenizer: Tokenizer) {
      let tokenizer = try BPETrainer.train(
        corpus: ["the red dog", "a blue cat"], vocabularySize: 270, specialTokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
      let config: JSONObject = [
        "model_type": "t5", "vocab_size": 270, "d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "eos_token_id": 2,
        "pad_token_id": 1, "decoder_start_token_id": 1,
      ]
      let network = try PretrainedModel(config: HuggingFaceConfig(config, path: "config"), name: "t5", seed: 3).make(.language, headSeed: 3)
      network.generationConfig = generationConfig.map { HuggingFaceConfig($0, path: "generation_config.json") }
      return (network, tokenizer)
    }

    /// The encoder reads a text with the tokenizer's special tokens, an empty one too; a text that is too long loses its end, but not
    /// what the tokenizer puts behind it. What comes out is what the decoder wrote.
    @Test func textsAreReadAndWritten() throws {
      let (network, tokenizer) = try writer()
      var chosen = GenerationOptions()
      (chosen.maxNewTokens, chosen.stopStrings) = (5, ["never met"])
      let prompts = ["the red dog", "", "a blue cat and a red cat"]
      let results = try TextGenerator(network, tokenizer, chosen, seed: 1).generate(prompts, maxLength: 8)
      let ids = try prompts.map { try tokenizer.encode($0, maxLength: 8).ids }
      #expect(ids[1] == [0, 2] && ids[2].count == 8 && ids[2].last == 2)
      chosen.stopStrings = []
      let tokens = try TokenGenerator(network, chosen, standardEnds: [2]).generate(ids)
      #expect(results.map { $0.map(\.tokens) } == tokens.map { $0.map(\.tokens) })
      #expect(try results.map { try tokenizer.decode($0[0].tokens) } == results.map { $0[0].text })
    }

    /// What Transformers would take from a file, and is no token, is told and changes nothing.
    @Test func otherValuesOfFilesAreTold() throws {
      let file: JSONObject = [
        "num_beams": 4, "no_repeat_ngram_size": 3, "early_stopping": true, "typical_p": 0.5, "do_sample": false, "eos_token_id": 2, "top_k": 50,
        "transformers_version": "4.27.0", "_from_model_config": true, "max_length": .null,
      ]
      var chosen = GenerationOptions()
      (chosen.maxNewTokens, chosen.numBeams) = (5, 4)
      let (plain, own) = (try writer(), try writer(file))
      let (a, b) = (
        try TextGenerator(plain.network, plain.tokenizer, chosen, seed: 1), try TextGenerator(own.network, own.tokenizer, chosen, seed: 1)
      )
      #expect(a.remark == nil)
      #expect(
        b.remark?.contains("also says no_repeat_ngram_size = 3, early_stopping = true, typical_p = 0.5: of such a file") == true, "\(b.remark ?? "")")
      #expect(try a.generate(["a dog"]) == b.generate(["a dog"]))
    }
  }
}
