import Diagnostics
import Engine
import LuaHost
import LuaTensors
import TensorCore
import Training

extension EmbeddingOptions: LuaRecord {}

/// Options of `Model:hidden_states`.
struct HiddenStateOptions: LuaRecord {
  var layer = -1
  var maxLength: Int?

  static let recordName = "hidden_states options"
  static let fields: [Field<Self>] = [EmbeddingOptions.layerField(\.layer), EmbeddingOptions.maxLengthField(\.maxLength)]
  static var foreignNames: [String: ForeignName] { EmbeddingOptions.foreignNames }
}

/// What a model makes of the tokens of texts: of one text a tensor, of a list a list.
struct HiddenStates: LuaResult {
  let states: [Tensor]
  let isSingle: Bool

  static var luaType: LuaType { LuaType("Tensor|Tensor[]") }

  func push(onto stack: LuaStack) throws -> Int32 {
    if isSingle, let only = states.first { return try only.push(onto: stack) }
    return try states.push(onto: stack)
  }
}

/// `Model:embed` and `Model:hidden_states`.
func embedMethods() -> [Member<TrainableModel>] {
  [
    .method(
      "embed", "Turns texts into vectors: without gradients, and without the head. Of a model with an encoder, its states are taken.",
      Param<Prompts>("texts", "one text, or a list of texts"), Param<EmbeddingOptions>("options", "see the fields"),
      returns: "for one text a tensor [size], for a list [texts, size]"
    ) { model, texts, options in
      let vectors = try Embedder(model, options).embeddings(of: texts.texts).vectors
      return texts.isSingle ? try vectors.reshape([vectors.columns]) : vectors
    },
    .method(
      "hidden_states", "The states of the texts' tokens in a layer, those of tokens that the tokenizer adds included; without gradients.",
      Param<Prompts>("texts", "one text, or a list of texts"), Param<HiddenStateOptions>("options", "see the fields"),
      returns: "for one text a tensor [tokens, size], for a list one for each"
    ) { model, texts, options in
      var embedding = EmbeddingOptions()
      (embedding.pooling, embedding.layer, embedding.maxLength) = (.mean, options.layer, options.maxLength)
      return HiddenStates(states: try Embedder(model, embedding).hiddenStates(of: texts.texts), isSingle: texts.isSingle)
    },
  ]
}
