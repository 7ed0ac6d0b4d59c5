import Tokenizers
import TransformerModels

/// What a model wrote behind a prompt, or about what its encoder read.
public struct WrittenText: Sendable, Equatable {
  /// Without the prompt and without special tokens.
  public var text: String
  /// The tokens that were written, with the one that ended the text if one did.
  public var tokens: [Int32]
  /// See `Hypothesis.score`.
  public var score: Double

  public init(text: String, tokens: [Int32], score: Double) { (self.text, self.tokens, self.score) = (text, tokens, score) }
}

/// Continues texts with a language model, or writes what its decoder says about them where it has an encoder.
public struct TextGenerator {
  private let generator: TokenGenerator
  private let tokenizer: Tokenizer
  private let hasEncoder: Bool
  /// A line for whoever expects that the model's files choose the search, as in Transformers; nil: they say nothing else.
  public let remark: String?

  /// - Parameters:
  ///   - seed: of the draws, where the options have none.
  ///   - processor: see `TokenGenerator`.
  public init(
    _ network: TransformerModel, _ tokenizer: Tokenizer, _ options: GenerationOptions, seed: UInt64, processor: TokenGenerator.Processor? = nil
  ) throws {
    (self.tokenizer, hasEncoder, remark) = (tokenizer, network.encoderLayout != nil, network.remark(on: options))
    generator = try TokenGenerator(
      network, options, standardEnds: network.endTokens(tokenizer), seed: seed, text: { try Self.text($0, behind: $1, tokenizer) },
      processor: processor)
  }

  /// Results for each prompt, the best ones first; the order is that of the prompts.
  ///
  /// - Parameters:
  ///   - maxLength: tokens of a prompt at most: of a longer one those at its beginning are left out, of what an encoder reads those at its end, as in
  ///     training; nil: all are taken.
  ///   - numbers: see `TokenGenerator.generate`.
  ///   - finished: called whenever all results of a prompt are there, with its place in `prompts`.
  @discardableResult
  public func generate(
    _ prompts: [String], maxLength: Int? = nil, numbers: [Int]? = nil, finished: (Int, [WrittenText]) throws -> Void = { _, _ in }
  ) throws -> [[WrittenText]] {
    try generate(tokens: tokens(prompts, maxLength), numbers: numbers, finished: finished)
  }

  /// The same for prompts that are tokens already, such as `encoded` gives.
  @discardableResult
  public func generate(
    tokens: [[Int32]], numbers: [Int]? = nil, finished: (Int, [WrittenText]) throws -> Void = { _, _ in }
  ) throws -> [[WrittenText]] {
    func written(_ hypotheses: [Hypothesis], _ prompt: Int) throws -> [WrittenText] {
      try hypotheses.map {
        WrittenText(text: try Self.text($0.tokens, behind: hasEncoder ? [] : tokens[prompt], tokenizer), tokens: $0.tokens, score: $0.score)
      }
    }
    var results = [[WrittenText]](repeating: [], count: tokens.count)
    _ = try generator.generate(tokens, numbers: numbers) { prompt, hypotheses in
      results[prompt] = try written(hypotheses, prompt)
      try finished(prompt, results[prompt])
    }
    return results
  }

  /// The prompts as the model reads them. Throws what `generate` would throw about them.
  public func encoded(_ prompts: [String], maxLength: Int? = nil) throws -> [[Int32]] {
    let tokens = try tokens(prompts, maxLength)
    try check(tokens: tokens)
    return tokens
  }

  /// Throws what `generate` would throw about these prompts, and says how many tokens it may write behind each.
  @discardableResult
  public func check(tokens: [[Int32]]) throws -> [Int] { try generator.limits(tokens) }

  /// The tokens of prompts as the model reads them. `maxLength`: see `generate`.
  public func tokens(_ prompts: [String], _ maxLength: Int? = nil) throws -> [[Int32]] {
    try prompts.map { text in
      if hasEncoder { return try tokenizer.encode(text, maxLength: maxLength).ids }
      let (start, ids) = try tokenizer.encodePrompt(text)
      if ids.isEmpty { return tokenizer.bosTokenId.map { [$0] } ?? [] }
      return start + (maxLength.map { ids.suffix(max(1, $0 - start.count)) } ?? ids[...])
    }
  }

  /// The text behind a prompt so far.
  public static func text(of written: Written, _ tokenizer: Tokenizer) throws -> String {
    try text(Array(written.new), behind: Array(written.tokens.prefix(written.promptCount)), tokenizer)
  }

  /// New tokens are decoded with the prompt's: some decoders leave off the space in front of a text.
  private static func text(_ new: [Int32], behind prompt: [Int32], _ tokenizer: Tokenizer) throws -> String {
    let (before, all) = (try tokenizer.decode(prompt).utf8, try tokenizer.decode(prompt + new).utf8)
    return all.starts(with: before) ? String(decoding: all.dropFirst(before.count), as: UTF8.self) : try tokenizer.decode(new)
  }
}

extension TransformerModel {
  /// The tokens that end a text: those that the model's files name, and the tokenizer's.
  public func endTokens(_ tokenizer: Tokenizer) throws -> [Int32] {
    (try namedTokens("eos_token_id") + (tokenizer.eosTokenId.map { [$0] } ?? [])).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}
