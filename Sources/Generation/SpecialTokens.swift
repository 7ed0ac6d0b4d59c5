import Diagnostics
import TransformerModels

/// The tokens that begin and end what a model writes: those of the options, else those that the files of the model name.
struct SpecialTokens {
  let ends: [Int32]
  /// What the decoder of a model with an encoder begins with; nil: there is no encoder.
  let start: Int32?
  /// The tokens of which one has to follow the first one, and those of which one has to stand at the last place; none: any may.
  let forcedBeginning, forcedEnd: [Int32]
  /// Tokens that are never written, and those that no text begins with.
  let suppressed, suppressedBeginning: [Int32]

  /// `standardEnds`: where the options have no ends.
  init(_ network: TransformerModel, _ options: GenerationOptions, standardEnds: [Int32]) throws {
    let vocabulary = try network.outputCount()
    func checked(_ key: String, _ tokens: [Int32]) throws -> [Int32] {
      if let wrong = tokens.first(where: { Int($0) >= vocabulary }) {
        throw EngineError(.argument, "generate: \(key) \(wrong): the model's tokens end at \(vocabulary - 1)")
      }
      return tokens
    }
    ends = try checked("eos_token_id", options.eosTokenID?.ids ?? standardEnds)
    forcedBeginning = try checked("forced_bos_token_id", options.forcedBosTokenID?.ids ?? network.namedTokens("forced_bos_token_id"))
    forcedEnd = try checked("forced_eos_token_id", options.forcedEosTokenID?.ids ?? network.namedTokens("forced_eos_token_id"))
    suppressed = try checked("suppress_tokens", options.suppressTokens?.ids ?? network.namedTokens("suppress_tokens"))
    suppressedBeginning = try checked("begin_suppress_tokens", options.beginSuppressTokens?.ids ?? network.namedTokens("begin_suppress_tokens"))
    if let encoder = network.encoderLayout {
      let key = "decoder_start_token_id"
      start = try checked(key, [options.decoderStartTokenID.map(Int32.init) ?? network.namedTokens(key).first ?? encoder.startToken])[0]
    } else {
      start = nil
      guard options.decoderStartTokenID == nil else {
        throw EngineError(
          .argument, "generate: decoder_start_token_id is given, but the model has no encoder: it goes on with the prompt", hint: "leave it out")
      }
    }
  }
}
