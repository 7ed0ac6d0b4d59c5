import Adapters
import Checkpoints
import Engine
import Files
import NN
import TensorCore
import Testing
import TransformerModels

/// The public models' sizes.
private let configs: [String: JSONObject] = [
  "roberta": [
    "model_type": "roberta", "vocab_size": 50_265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1,
  ],
  "bert": [
    "model_type": "bert", "vocab_size": 30_522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
  ],
  // Beside what their configuration classes have.
  "gpt2-medium": ["model_type": "gpt2", "vocab_size": 50_257, "n_embd": 1024, "n_layer": 24, "n_head": 16], "bart-large": ["model_type": "bart"],
  "t5-small": ["model_type": "t5"],
  "t5-base": ["model_type": "t5", "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12],
]

/// A model that writes, with its head.
private func writer(_ name: String) throws -> TransformerModel {
  try PretrainedModel.shapes(HuggingFaceConfig(configs[name] ?? [:], path: name), .language)
}

/// The rows of the papers' tables of models that write, which LoRA-Mini's authors print for r, a and b of all these sizes.
private let publishedCounts: [(model: String, adapter: String, settings: String, count: Int)] = {
  // No output projections of attention.
  let layers = " target_modules=q,k,v,wi,wo,lm_head"
  let sizes = [(8, 16, 16), (8, 16, 32), (8, 16, 64), (8, 32, 16), (8, 32, 32), (8, 32, 64), (8, 64, 16), (8, 64, 32), (8, 64, 64)]
  let mini = (sizes + [(16, 32, 32), (16, 32, 64), (16, 64, 32), (16, 64, 64), (32, 64, 64)]).map { "r=\($0) a=\($1) b=\($2)" + layers }
  let small = [20_224, 30_336, 50_560, 30_336, 40_448, 60_672, 50_560, 60_672, 80_896, 80_896, 121_344, 121_344, 161_792, 323_584]
  let base = [40_192, 60_288, 100_480, 60_288, 80_384, 120_576, 100_480, 120_576, 160_768, 160_768, 241_152, 241_152, 321_536, 643_072]
  let lora = [1, 2, 4, 8, 16].flatMap { r in
    [("t5-small", 149_376), ("t5-base", 383_104)].map { ($0, "lora", "r=\(r)" + layers, r * $1) }
  }
  return zip(mini, small).map { ("t5-small", "lora_mini", $0, $1) } + zip(mini, base).map { ("t5-base", "lora_mini", $0, $1) } + lora + [
    ("gpt2-medium", "lora_fused", "r=4", 393_216), ("gpt2-medium", "lora", "r=4 target_modules=c_attn", 393_216),
    ("bart-large", "lora", "r=4 target_modules=q_proj,v_proj", 589_824), ("bart-large", "delta_lora", "r=4", 589_824),
    ("bart-large", "ia3", "", 172_032), ("t5-small", "ia3", "", 43_008),
  ]
}()

private func base(_ name: String, labels: Int) throws -> TransformerModel {
  let head = HeadKind.sequence(labels: (0..<labels).map { "LABEL_\($0)" })
  return try PretrainedModel.shapes(HuggingFaceConfig(configs[name] ?? [:], path: name), head)
}

/// The linear layers of a model that is not built here, by name and shape: enough to count.
private final class Inventory: AdapterHost {
  private let linears: [(name: String, linear: Linear)]

  /// `counts`: how many layers of [out, in] have a name.
  init(_ counts: [(name: String, out: Int, in: Int, count: Int)]) throws {
    linears = try counts.flatMap { row in
      try (0..<row.count).map {
        ("\(row.name)_layers.\($0).\(row.name)", Linear(weight: try Tensor(uninitialized: [row.out, row.in], on: .meta), bias: nil))
      }
    }
  }

  override var parts: [(name: String, module: Module)] { linears.map { ($0.name, $0.linear) } }

  static func queryValue(_ size: Int, blocks: Int) throws -> Inventory {
    try Inventory([("q", size, size, blocks), ("v", size, size, blocks)])
  }
}

private func trainable(_ root: Module, _ method: any AdapterMethod, _ targets: [String]?, head: [String] = []) throws -> Int {
  var choice = AdapterTargets()
  choice.targetModules = targets.map { .suffixes($0) }
  _ = try AttachedAdapter.attach(
    method, to: root, targets: choice, defaultTargets: ["query", "value"], head: head, seed: 1)
  return root.parameterCounts().trainable
}

private func trainable(_ model: TransformerModel, _ method: any AdapterMethod, _ targets: [String]? = nil) throws -> Int {
  try trainable(model, method, targets, head: model.headModules)
}

private func lora(_ r: Int, _ change: (inout LoRA) -> Void = { _ in }) -> LoRA {
  var method = LoRA()
  method.r = r
  change(&method)
  return method
}

private func mini(_ r: Int, _ a: Int, _ b: Int, _ targets: LoRAMini.Targets = .dense) -> LoRAMini {
  var method = LoRAMini()
  (method.r, method.a, method.b, method.targets) = (r, a, b, targets)
  return method
}

private let million = 1 << 20
/// The head of RoBERTa for two labels: a dense layer, and the scores.
private let head = 768 * 768 + 768 + 2 * 768 + 2

/// LoRA-Mini's tables for two labels: r, a, b, "D", "D+A".
private let miniCounts: [(r: Int, a: Int, b: Int, dense: Int, all: Int)] = [
  (8, 16, 16, 11_010, 20_226), (8, 16, 32, 15_746, 29_570), (8, 16, 64, 25_218, 48_258), (8, 32, 32, 20_482, 38_914),
  (8, 32, 64, 29_954, 57_602), (8, 64, 64, 39_426, 76_290), (16, 32, 32, 39_426, 76_290), (16, 32, 64, 58_370, 113_666),
  (16, 64, 64, 77_314, 151_042), (32, 64, 64, 153_090, 300_546),
]

/// Counts of adapters on RoBERTa-base's query and value, without the head.
private let queryValueCounts: [(description: String, method: any AdapterMethod, count: Int)] = [
  ("LoRA, the paper's 0.3M and Delta-LoRA's 0.28M", lora(8), 294_912),
  ("DoRA", lora(8) { $0.useDora = true }, 313_344),
  ("PiSSA", lora(8) { $0.initLoraWeights = .pissa }, 294_912),
  ("LoRA-FA", LoRAFA(), 147_456),
  (
    "VeRA, r = 1024",
    {
      var vera = VeRA()
      vera.r = 1024
      return vera
    }(), 43_008
  ),
]

/// Counts of adapters on GPT-2 medium, whose hidden size is 1024 in 24 layers, and on SmolLM2-135M with 9 query heads to 3 of keys.
private let decoderCounts: [(description: String, config: JSONObject, method: any AdapterMethod, count: Int)] = {
  let medium = configs["gpt2-medium"] ?? [:]
  let smol: JSONObject = [
    "model_type": "llama", "vocab_size": 49_152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
    "intermediate_size": 1536, "tie_word_embeddings": true,
  ]
  return [
    ("LoRA's paper, 0.35 M: 0.39 M with r = 4", medium, LoRAFused(), 393_216),
    ("PEFT's LoRA of c_attn", medium, lora(8), 24 * 8 * (1024 + 3 * 1024)),
    ("prefixes", medium, PrefixTuning(), 24 * 2 * 20 * 1024),
    ("PEFT's IA3: c_attn, and the input of mlp.c_proj", medium, IA3(), 24 * (3 * 1024 + 4 * 1024)),
    // Attention's layers, the feed-forward block's, two norms; and the last norm.
    ("biases", medium, BitFit(), 24 * (3 * 1024 + 1024 + 4 * 1024 + 1024 + 2 * 1024) + 1024),
    ("everything, tied head once", medium, FullFineTuning(), 354_823_168),
    ("PEFT's LoRA of q_proj and v_proj", smol, lora(8), 30 * 8 * (576 + 576 + 576 + 192)),
    ("IA3 of grouped heads", smol, IA3(), 30 * (192 + 192 + 1536)),
    ("prefixes of grouped heads", smol, PrefixTuning(), 30 * 2 * 20 * 192),
    ("everything, tied head once", smol, FullFineTuning(), 134_515_008),
  ]
}()

extension EngineTests {
  /// Counts of trainable parameters that papers print, from the models' shapes. Where a paper is wrong, the right number.
  @Suite struct ParameterCountTests {
    @Test(arguments: ["roberta", "bert"], miniCounts.indices) func loraMini(_ name: String, _ index: Int) throws {
      let row = miniCounts[index]
      for labels in 1...3 {
        let scores = 769 * (labels - 2)
        #expect(try trainable(base(name, labels: labels), mini(row.r, row.a, row.b)) == row.dense + scores)
        // The paper prints 113,666 for BERT on STS-B with (16; 64, 32), whose one label makes it 112,897.
        #expect(
          try trainable(base(name, labels: labels), mini(row.r, row.b, row.a, .denseAndAttention)) == row.all + scores)
      }
    }

    @Test(arguments: decoderCounts.indices) func decoders(_ index: Int) throws {
      let row = decoderCounts[index]
      let model = try PretrainedModel.shapes(HuggingFaceConfig(row.config, path: row.description), .language)
      let attached = try model.attach(row.method)
      #expect(model.trainableParameters().reduce(0) { $0 + $1.tensor.count } == row.count, "\(row.description)")
      if !row.method.trainsBase { #expect(attached.parameterCount == row.count, "\(row.description)") }
    }

    @Test func loraMiniOnOneLabel() throws {
      #expect(try trainable(base("bert", labels: 1), mini(16, 64, 32, .denseAndAttention)) == 112_897)
      #expect(try base("roberta", labels: 2).parameterCounts().total == 124_647_170)
      #expect(try base("bert", labels: 2).parameterCounts().total == 109_483_778)
    }

    /// What `perigee params` prints, from a configuration alone.
    @Test(arguments: publishedCounts.indices) func published(_ index: Int) throws {
      let row = publishedCounts[index]
      let config = HuggingFaceConfig(configs[row.model] ?? [:], path: row.model)
      let lines = try ParameterCounts.table(
        config, AdapterSettings(adapter: row.adapter, settings: row.settings.split(separator: " ").map(String.init))
      )
      .split(separator: "\n")
      for name in ["adapter parameters", "trainable parameters"] {
        let line = try #require(lines.first { $0.hasPrefix(name) })
        #expect(Int(line.filter(\.isNumber)) == row.count, "\(row)")
      }
    }

    /// The task that is named, or that the configuration or the settings speak of.
    @Test(
      arguments: [
        ("gpt2-medium", nil, nil, nil, "gpt2, causal_lm"), ("bart-large", nil, nil, nil, "bart, seq2seq_lm"),
        ("roberta", nil, nil, nil, "roberta, 2 labels"), ("roberta", "masked_lm", nil, nil, "roberta, masked_lm"),
        ("gpt2-medium", "regression", nil, nil, "gpt2, 1 label"), ("gpt2-medium", nil, 3, nil, "gpt2, 3 labels"),
        ("gpt2-medium", nil, nil, "GPT2ForSequenceClassification", "gpt2, 2 labels"),
        ("gpt2-medium", "causal_lm", nil, "GPT2ForSequenceClassification", "gpt2, causal_lm"),
        (
          "gpt2-medium", "seq2seq_lm", nil, nil,
          "--task seq2seq_lm: no task of a gpt2 model; expected one of causal_lm, regression, single_label_classification"
        ),
        ("t5-small", "seq2seqlm", nil, nil, "--task seq2seqlm: no task of a t5 model; did you mean 'seq2seq_lm'?"),
        ("t5-small", "seq2seq_lm", 2, nil, "--set num_labels with --task seq2seq_lm: its scores are those of the vocabulary"),
        ("roberta", "regression", 3, nil, "--set num_labels=3 with --task regression: its head gives 3 scores to one text"),
      ] as [(String, String?, Int?, String?, String)])
    func tasks(_ name: String, _ task: String?, _ labels: Int?, _ architecture: String?, _ expected: String) throws {
      var values = configs[name] ?? [:]
      if let architecture { values["architectures"] = [.string(architecture)] }
      let config = HuggingFaceConfig(values, path: name)
      var lines = ""
      let error = message {
        lines = try ParameterCounts.table(config, AdapterSettings(adapter: "lora", settings: labels.map { ["num_labels=\($0)"] } ?? []), task: task)
      }
      #expect(error ?? lines.split(separator: "\n").first?.dropFirst(22).description == expected)
    }

    @Test(arguments: [("t5-small", 60_506_624), ("t5-base", 222_903_552), ("bart-large", 406_291_456)])
    func wholeModels(_ name: String, _ count: Int) throws {
      #expect(try writer(name).parameterCounts().total == count)
    }

    /// LoRA-Mini's LoRA rows adapt the dense layers alone; the paper prints 3.50M for the last.
    @Test(arguments: [(8, 898_562), (16, 1_795_586), (32, 3_589_634)]) func loraOnDenseLayers(_ r: Int, _ count: Int) throws {
      #expect(try trainable(base("bert", labels: 2), lora(r), ["dense"]) == count)
    }

    @Test(arguments: queryValueCounts.indices) func queryAndValueOfRoBERTa(_ index: Int) throws {
      let row = queryValueCounts[index]
      #expect(try trainable(base("roberta", labels: 2), row.method) == row.count + head, "\(row.description)")
      #expect(head == 592_130)
    }

    /// The paper prints 1.5k for r = 16 as well.
    @Test(arguments: [(8, 1_536), (16, 6_144), (32, 24_576), (64, 98_304)]) func delora(_ r: Int, _ count: Int) throws {
      var (full, diagonal) = (DeLoRA(), DeLoRA())
      (full.r, diagonal.r, diagonal.sigma) = (r, r, .diagonal)
      #expect(try trainable(base("roberta", labels: 2), full) == count + head)
      #expect(try trainable(base("roberta", labels: 2), diagonal) == 24 * r + head)
    }

    /// Delta-LoRA trains a LoRA and moves the weights below it: in 2^20, 0.375 and 48 on GPT-2 medium, 0.5625 and 72 on BART-large
    /// (the paper prints 0.45 for LoRA), 0.28125 and 13.5 on RoBERTa-base.
    @Test(arguments: [(1024, 24, 4, 0.375, 48.0), (1024, 36, 4, 0.5625, 72.0), (768, 12, 8, 0.28125, 13.5)])
    func deltaLoRA(_ size: Int, _ blocks: Int, _ r: Int, _ adapter: Double, _ weights: Double) throws {
      let model = try Inventory.queryValue(size, blocks: blocks)
      #expect(Double(model.parameterCounts().total) == weights * Double(million))
      #expect(Double(try trainable(model, lora(r), ["q", "v"])) == adapter * Double(million))
    }

    @Test func veraOnGPT2Medium() throws {
      var vera = VeRA()
      vera.r = 1024
      #expect(try trainable(Inventory.queryValue(1024, blocks: 24), vera, ["q", "v"]) == 98_304)
    }

    /// What methods on the base's own parameters train.
    @Test func baseParameters() throws {
      func count(_ name: String, _ isChosen: (String) -> Bool) throws -> Int {
        let model = try base(name, labels: 2)
        let heads = model.headModules.map { $0 + "." }
        return model.namedParameters().filter { entry in !heads.contains { entry.name.hasPrefix($0) } && isChosen(entry.name) }
          .reduce(0) { $0 + $1.tensor.count }
      }
      // BitFit, without the head; BERT's pooler has a bias too.
      #expect(try count("roberta") { $0.hasSuffix("bias") } == 102_144)
      #expect(try count("bert") { $0.hasSuffix("bias") } == 102_912)
      // All but the word embeddings, 82.06 2^20 with the head; Delta-LoRA's 82.05 is cut.
      #expect(try count("roberta") { !$0.contains("word_embeddings") } + head == 86_043_650)
      #expect(try count("roberta") { $0.hasSuffix("query.weight") || $0.hasSuffix("value.weight") } == 14_155_776)
    }
  }
}
