import Diagnostics
import Files
import Generation
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// Inputs and options that make no text: an error that says why, or a defined result.
struct HostileCase: CustomTestStringConvertible, Sendable {
  let testDescription: String
  var options: JSONObject = ["max_new_tokens": 4]
  var prompts: [[Int32]] = [[5, 6]]
  /// A part of the error; nil: there is none.
  let message: String?
  /// Value of one weight.
  var weight: Double?
  var model = "tiny-gpt2"

  static let all: [HostileCase] =
    [
      HostileCase(testDescription: "no prompts", prompts: [], message: nil),
      HostileCase(testDescription: "a prompt without tokens", prompts: [[5], []], message: "prompt 2 has no tokens"),
      HostileCase(testDescription: "a token beyond the vocabulary", prompts: [[5, 120]], message: "token 120, but the model's tokens end at 119"),
      HostileCase(testDescription: "a negative token", prompts: [[-1]], message: "token -1"),
      HostileCase(
        testDescription: "a prompt longer than the positions", prompts: [[Int32](repeating: 7, count: 65)],
        message: "65 tokens, but the model has positions for 64"),
      HostileCase(
        testDescription: "more tokens than positions", prompts: [[Int32](repeating: 7, count: 62)],
        message: "4 more do not fit into the model's 64 positions"),
      HostileCase(testDescription: "all positions", prompts: [[Int32](repeating: 7, count: 61)], message: nil),
      HostileCase(
        testDescription: "a prompt beyond max_length", options: ["max_length": 20], prompts: [[Int32](repeating: 7, count: 20)],
        message: "20 tokens, and max_length is 20: nothing can be written"),
      HostileCase(testDescription: "special tokens alone", prompts: [[2, 2, 1, 0]], message: nil),
      HostileCase(testDescription: "weights that are not numbers", message: "scores are not finite", weight: .nan),
      HostileCase(testDescription: "infinite weights", message: "scores are not finite", weight: .infinity),
      HostileCase(
        testDescription: "an end beyond the vocabulary", options: ["max_new_tokens": 4, "eos_token_id": 500], message: "the model's tokens end at 119"
      ),
      HostileCase(
        testDescription: "nothing left", options: ["max_new_tokens": 4, "min_new_tokens": 3, "eos_token_id": .array((0..<120).map { .int($0) })],
        message: "no token may follow after 0 new ones"),
      HostileCase(
        testDescription: "nothing left in a beam search",
        options: ["max_new_tokens": 4, "num_beams": 3, "min_new_tokens": 3, "eos_token_id": .array((0..<120).map { .int($0) })],
        message: "no token may follow after 0 new ones"),
      HostileCase(
        testDescription: "nothing left in the LoRA authors' search",
        options: [
          "max_new_tokens": 4, "num_beams": 3, "beam_search": "lora", "min_new_tokens": 3, "eos_token_id": .array((0..<120).map { .int($0) }),
        ],
        message: "no token may follow after 0 new ones"),
      HostileCase(testDescription: "more beams than tokens", options: ["max_new_tokens": 2, "num_beams": 200], message: nil),
      HostileCase(
        testDescription: "two limits", options: ["max_new_tokens": 4, "max_length": 9], message: "max_new_tokens and max_length are both given"),
      HostileCase(
        testDescription: "a least length above the limit", options: ["max_new_tokens": 4, "min_new_tokens": 5],
        message: "min_new_tokens is 5, and max_new_tokens 4"),
      HostileCase(testDescription: "a temperature without draws", options: ["temperature": 0.5], message: "set do_sample = true"),
      HostileCase(testDescription: "a penalty without beams", options: ["length_penalty": 0.5], message: "set num_beams to 2 or more"),
      HostileCase(testDescription: "draws in a beam search", options: ["num_beams": 2, "do_sample": true], message: "a beam search draws nothing"),
      HostileCase(testDescription: "more results than beams", options: ["num_beams": 2, "num_return_sequences": 3], message: "ask for 2 at most"),
      HostileCase(testDescription: "equal results", options: ["num_return_sequences": 3], message: "all would be the same"),
      HostileCase(testDescription: "an empty stop string", options: ["stop_strings": [""]], message: "stop_strings has an empty text"),
      HostileCase(testDescription: "a temperature of 0", options: ["do_sample": true, "temperature": 0], message: "'temperature' must be"),
      HostileCase(testDescription: "a name from elsewhere", options: ["max_tokens": 3], message: "unknown field 'max_tokens'"),
      HostileCase(
        testDescription: "a start for a model without an encoder", options: ["decoder_start_token_id": 3], message: "but the model has no encoder"),
      HostileCase(
        testDescription: "a forced token beyond the vocabulary", options: ["forced_bos_token_id": 120],
        message: "forced_bos_token_id 120: the model's tokens end at 119"),
    ] + encoderDecoders.flatMap(writing)

  /// What is special where an encoder reads the prompts.
  private static func writing(_ model: String) -> [HostileCase] {
    let isBounded = model == "tiny-bart"
    let long = [Int32](repeating: 7, count: 65)
    return [
      HostileCase(testDescription: "\(model): no prompts", prompts: [], message: nil, model: model),
      HostileCase(testDescription: "\(model): a prompt without tokens", prompts: [[5], []], message: "prompt 2 has no tokens", model: model),
      HostileCase(
        testDescription: "\(model): a token beyond the vocabulary", prompts: [[5, 120]], message: "token 120, but the model's tokens end at 119",
        model: model),
      HostileCase(
        testDescription: "\(model): more than the encoder's positions", prompts: [long],
        message: isBounded ? "65 tokens, but the model has positions for 64" : nil, model: model),
      HostileCase(testDescription: "\(model): all of the encoder's positions", prompts: [Array(long.dropLast())], message: nil, model: model),
      HostileCase(
        testDescription: "\(model): more than the decoder's positions", options: ["max_new_tokens": 65],
        message: isBounded ? "the decoder's start has 1 token, and 65 more do not fit into the model's 64 positions" : nil, model: model),
      HostileCase(testDescription: "\(model): all of the decoder's positions", options: ["max_length": 65], message: nil, model: model),
      HostileCase(testDescription: "\(model): max_length 1", options: ["max_length": 1], message: "nothing can be written", model: model),
      HostileCase(testDescription: "\(model): special tokens alone", prompts: [[2, 2, 1, 0]], message: nil, model: model),
      HostileCase(testDescription: "\(model): weights that are not numbers", message: "scores are not finite", weight: .nan, model: model),
      HostileCase(
        testDescription: "\(model): a start beyond the vocabulary", options: ["decoder_start_token_id": 120],
        message: "decoder_start_token_id 120: the model's tokens end at 119", model: model),
      HostileCase(
        testDescription: "\(model): the LoRA authors' search", options: ["max_new_tokens": 4, "num_beams": 2, "beam_search": "lora"],
        message: "says nothing about models with an encoder leave beam_search out", model: model),
    ]
  }
}

extension GenerationTests {
  @Suite struct HostileInputTests {
    @Test(arguments: HostileCase.all, [true, false])
    func hostileInputsEndInAnErrorOrAResult(_ row: HostileCase, _ usesCache: Bool) throws {
      var values = row.options
      values["use_cache"] = .bool(usesCache)
      var results: [[Hypothesis]] = []
      var message: String?
      do {
        let model = try tinyModel(row.model)
        if let weight = row.weight {
          let names = ["wpe.weight", "encoder.layernorm_embedding.weight", "encoder.final_layer_norm.weight"]
          let tensor = try #require(model.namedParameters().first { entry in names.contains(where: entry.name.hasSuffix) }).tensor
          try tensor.makeExclusive()
          tensor.floats[3] = Float(weight)
        }
        results = try TokenGenerator(model, options(values)).generate(row.prompts)
      } catch let error as EngineError {
        message = error.message + " " + (error.hint ?? "")
      }
      if let expected = row.message {
        #expect(message?.contains(expected) == true, "\(message ?? "no error")")
      } else {
        #expect(message == nil)
        #expect(results.count == row.prompts.count && results.allSatisfy { $0.count == 1 && !$0[0].tokens.isEmpty })
      }
    }

    /// Neither an encoder nor a classifier writes text.
    @Test func modelsThatWriteNothingAreRefused() throws {
      for (name, head) in [("tiny-roberta", HeadKind.language), ("tiny-gpt2", .sequence(labels: ["a", "b"]))] {
        let model = try PretrainedModel(name: fixtures + "/models/" + name).make(head, headSeed: 1)
        #expect(throws: EngineError.self) { try TokenGenerator(model, GenerationOptions()) }
      }
    }

    /// A request to stop is met between two steps.
    @Test func anInterruptionEndsTheWriting() throws {
      let generator = try TokenGenerator(tinyModel("tiny-gpt2"), options(["max_new_tokens": 4]))
      defer { Interrupt.reset() }
      Interrupt.request()
      let error = #expect(throws: EngineError.self) { try generator.generate([[5]]) }
      #expect(error?.kind == .interrupted)
    }

    /// A stop string ends a text where it stands; one that is never met changes nothing.
    @Test(arguments: ["tiny-gpt2", "tiny-t5v11"]) func stopStrings(_ name: String) throws {
      let model = try tinyModel(name, factors: ["wo": 3])
      func tokens(_ stops: [String]) throws -> [Int32] {
        var chosen = GenerationOptions()
        (chosen.maxNewTokens, chosen.stopStrings) = (12, stops)
        return try TokenGenerator(model, chosen, text: { new, _ in new.map { "<\($0)>" }.joined() }).generate([[5, 6]])[0][0].tokens
      }
      let all = try tokens([])
      #expect(all.count == 12)
      #expect(try tokens(["never"]) == all)
      let place = try #require(all.indices.dropFirst(3).first { all.firstIndex(of: all[$0]) == $0 })
      #expect(try tokens(["never", "<\(all[place])>"]) == Array(all[...place]))
    }
  }
}
