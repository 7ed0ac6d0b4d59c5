import Tokenizers
import TransformerModels

/// What a model wrote behind a prompt.
public struct WrittenText: Sendable, Equatable {
  /// Without the prompt and without special tokens.
  public var text: String
  /// The tokens that were written, with the one that ended the text if one did.
  public var tokens: [Int32]
  /// See `Hypothesis.score`.
  public var score: Double
}

/// Continues texts with a language model.
public struct TextGenerator {
  private let generator: TokenGenerator
  private let tokenizer: Tokenizer

  /// `seed`: of the draws, where the options have none.
  public init(_ network: TransformerModel, _ tokenizer: Tokenizer, _ options: GenerationOptions, seed: UInt64) throws {
    self.tokenizer = tokenizer
    generator = try TokenGenerator(
      network, options, standardEnds: network.endTokens(tokenizer), seed: seed, text: { try Self.text($0, behind: $1, tokenizer) })
  }

  /// Results for each prompt, the best ones first; the order is that of the prompts.
  ///
  /// `finished`: called whenever a text is done, with the number of tokens that were written for it.
  public func generate(_ prompts: [String], finished: (Int) -> Void = { _ in }) throws -> [[WrittenText]] {
    let tokens = try prompts.map { text in
      let (start, ids) = try tokenizer.encodePrompt(text)
      return ids.isEmpty ? tokenizer.bosTokenId.map { [$0] } ?? [] : start + ids
    }
    let results = try generator.generate(tokens, finished: finished)
    return try zip(tokens, results).map { prompt, hypotheses in
      try hypotheses.map { WrittenText(text: try Self.text($0.tokens, behind: prompt, tokenizer), tokens: $0.tokens, score: $0.score) }
    }
  }

  /// New tokens are decoded with the prompt's: some decoders leave off the space in front of a text.
  private static func text(_ new: [Int32], behind prompt: [Int32], _ tokenizer: Tokenizer) throws -> String {
    let (before, all) = (try tokenizer.decode(prompt).utf8, try tokenizer.decode(prompt + new).utf8)
    return all.starts(with: before) ? String(decoding: all.dropFirst(before.count), as: UTF8.self) : try tokenizer.decode(new)
  }
}

extension TransformerModel {
  /// The tokens that end a text: those of `config.json` and the tokenizer's.
  public func endTokens(_ tokenizer: Tokenizer) throws -> [Int32] {
    let own = config["eos_token_id"].map { value in (value.arrayValue ?? [value]).compactMap { $0.intValue.flatMap { Int32(exactly: $0) } } } ?? []
    return (own + (tokenizer.eosTokenId.map { [$0] } ?? [])).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}
