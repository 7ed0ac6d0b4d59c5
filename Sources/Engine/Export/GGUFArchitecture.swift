import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore
import TransformerModels

/// What llama.cpp calls a family's numbers and tensors.
struct GGUFArchitecture {
  /// "llama", "qwen2", ...
  let name: String
  /// Names of modules here and there, those in layers without the layer's path.
  private let names: [String: String]
  /// Whether each head's rows of queries and keys are stored as llama.cpp's own order of rotary pairs asks.
  private let turnsHeads: Bool
  private let config: HuggingFaceConfig
  private let layout: StackLayout

  private static let llama = [
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "embed_tokens": "token_embd",
    "norm": "output_norm", "lm_head": "output",
  ]
  private static let gpt2 = [
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "ln_1": "attn_norm",
    "ln_2": "ffn_norm", "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output",
  ]
  /// By model type: llama.cpp's name, the names of modules, and whether heads are turned.
  private static let known: [String: (name: String, names: [String: String], turnsHeads: Bool)] = [
    GPT2.modelType: ("gpt2", gpt2, false), Llama.modelType: ("llama", llama, true), Mistral.modelType: ("llama", llama, true),
    Qwen2.modelType: ("qwen2", llama, false), Qwen3.modelType: ("qwen3", llama, false),
  ]

  /// Throws for a family, an activation or a head that llama.cpp would compute another way.
  init(_ model: TransformerModel) throws {
    let type = model.architecture.modelType
    guard let known = Self.known[type] else {
      throw EngineError(
        .argument, "gguf: \(type) has no form in GGUF here; \(Self.known.keys.sorted().joined(separator: ", ")) have one",
        hint: "take --to merged or --to peft")
    }
    guard !model.head.isSequence else {
      throw EngineError(.argument, "gguf: the model is a classifier, and llama.cpp's models write text", hint: "take --to merged or --to peft")
    }
    (name, names, turnsHeads, config, layout) = (known.name, known.names, known.turnsHeads, model.config, model.layout)
    let (key, standard, wanted) = name == "gpt2" ? ("activation_function", "gelu_new", UnaryOperation.geluTanh) : ("hidden_act", "silu", .silu)
    guard try config.activation(key, default: standard) == wanted else {
      throw EngineError(.argument, "gguf: \(config.path): \(key) is not \(standard), which is what llama.cpp computes", hint: "take --to merged")
    }
  }

  /// llama.cpp's name of a parameter, "blk.0.attn_q.weight". Throws where it has none.
  func tensorName(of parameter: String) throws -> String {
    var path = parameter.split(separator: ".").map(String.init)
    let suffix = path.removeLast()
    let prefix = layout.prefix.split(separator: ".").map(String.init)
    if path.starts(with: prefix) { path.removeFirst(prefix.count) }
    let layers = layout.layers.path.split(separator: ".").map(String.init)
    var block = ""
    if path.starts(with: layers), path.count > layers.count, let number = Int(path[layers.count]) {
      path.removeFirst(layers.count + 1)
      block = "blk.\(number)."
    }
    guard let found = names[path.joined(separator: ".")] else {
      throw EngineError(.argument, "gguf: '\(parameter)' has no name in llama.cpp's \(name)", hint: "take --to merged or --to peft")
    }
    return block + found + "." + suffix
  }

  /// The rows of a tensor in llama.cpp's order. In a head of Llama's layout, element i is turned with element i + half; there, pairs are
  /// neighbours.
  func turned(_ tensor: Tensor, parameter: String) throws -> Tensor {
    guard turnsHeads, let attention = layout.layer.attention else { return tensor }
    let isQuery = parameter.contains(".q_proj.")
    guard isQuery || parameter.contains(".k_proj.") else { return tensor }
    let heads = isQuery ? attention.heads : attention.keyValueHeads
    let rest = Array(tensor.shape.dropFirst())
    return try Autograd.noGrad {
      let halves = try tensor.reshape([heads, 2, attention.headSize / 2] + rest)
      return try halves.transpose(1, 2).reshape(tensor.shape).copy()
    }
  }

  /// The model's numbers, and the factors by which its rotary positions are slowed down, where they are not the same for all.
  func facts() throws -> (facts: [(key: String, value: GGUFValue)], ropeFactors: [Float]?) {
    let layer = layout.layer
    guard let attention = layer.attention else { throw EngineError(.argument, "gguf: the model has no attention") }
    var facts: [(key: String, value: GGUFValue)] = [
      ("block_count", .uint32(layout.layers.count)), ("context_length", .uint32(layout.embeddings.longestInput)),
      ("embedding_length", .uint32(layer.size)), ("feed_forward_length", .uint32(layer.inner)),
      ("attention.head_count", .uint32(attention.heads)), ("vocab_size", .uint32(layout.embeddings.vocabulary)),
    ]
    switch layer.norm {
    case .layer(let eps): facts.append(("attention.layer_norm_epsilon", .float32(Float(eps))))
    case .rms(let eps): facts.append(("attention.layer_norm_rms_epsilon", .float32(Float(eps))))
    }
    var factors: [Float]?
    if let rotary = attention.rotary {
      facts += [
        ("attention.head_count_kv", .uint32(attention.keyValueHeads)), ("attention.key_length", .uint32(attention.headSize)),
        ("attention.value_length", .uint32(attention.headSize)), ("rope.dimension_count", .uint32(attention.headSize)),
      ]
      let rope = (config["rope_parameters"] ?? config["rope_scaling"])?.objectValue ?? [:]
      let base = rope["rope_theta"]?.doubleValue ?? config["rope_theta"]?.doubleValue ?? 10_000
      facts.append(("rope.freq_base", .float32(Float(base))))
      let slowed = rotary.frequencies.enumerated().map { pow(base, -2 * Double($0) / Double(attention.headSize)) / $1 }
      let isUniform = slowed.allSatisfy { abs($0 / slowed[0] - 1) < 1e-9 }
      if !isUniform {
        guard name == "llama" else {
          throw EngineError(.argument, "gguf: llama.cpp's \(name) has no rotary positions like those of \(config.path)", hint: "take --to merged")
        }
        factors = slowed.map { Float($0) }
      } else if abs(slowed[0] - 1) > 1e-9 {
        facts += [("rope.scaling.type", .string("linear")), ("rope.scaling.factor", .float32(Float(slowed[0])))]
      }
    }
    return (facts.map { ("\(name).\($0.key)", $0.value) }, factors)
  }
}
