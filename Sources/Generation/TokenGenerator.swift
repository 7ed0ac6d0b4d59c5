import Diagnostics
import TensorCore
import TransformerModels

/// Continues lists of tokens with a language model, or writes what its decoder says about them where it has an encoder.
public struct TokenGenerator {
  /// A number from 0 to below 1 for a text, by its number, and a step of it.
  public typealias Draw = @Sendable (_ sequence: Int, _ step: Int) -> Double
  /// The text of new tokens behind a prompt's.
  public typealias Decoder = ([Int32], [Int32]) throws -> String
  /// Changes the scores [V] of a row's next token: logits, or a beam search's log probabilities after Transformers' convention.
  /// A token with `-infinity` is not written; none may be NaN.
  public typealias Processor = (Written, UnsafeMutableBufferPointer<Float>) throws -> Void

  /// Tokens that are written where nothing says how many, as in Transformers.
  private static let standardMaxNewTokens = 20

  private let network: TransformerModel
  private let options: GenerationOptions
  private let special: SpecialTokens
  private let draw: Draw
  private let text: Decoder?
  private let processor: Processor?

  /// - Parameters:
  ///   - standardEnds: the tokens that end a text, where the options have none.
  ///   - seed: of the draws, where the options have none.
  ///   - draw: takes their place.
  ///   - text: decodes; without it there are no stop strings.
  ///   - processor: called for each row and step after the options' rules, and before those that limit what is drawn.
  public init(
    _ network: TransformerModel, _ options: GenerationOptions, standardEnds: [Int32] = [], seed: UInt64 = 42, draw: Draw? = nil, text: Decoder? = nil,
    processor: Processor? = nil
  ) throws {
    guard !network.head.isSequence, network.layout.layer.isCausal else {
      throw EngineError(
        .argument,
        "generate: the model writes no text: "
          + (network.head.isSequence ? "its head gives scores of whole texts" : "its tokens see what stands behind them"),
        hint: "generate works on what base:causal_lm() and base:seq2seq_lm() give")
    }
    try options.validate()
    guard network.encoderLayout == nil || options.numBeams == 1 || options.beamSearch == .transformers else {
      throw EngineError(
        .argument, "generate: beam_search = \"lora\" is the LoRA authors' search for GPT-2, which says nothing about models with an encoder",
        hint: "leave beam_search out")
    }
    (self.network, self.options, self.text, self.processor) = (network, options, text, processor)
    special = try SpecialTokens(network, options, standardEnds: standardEnds)
    let seed = options.seed.map { UInt64($0) } ?? seed
    self.draw =
      draw ?? { sequence, step in
        // 24 bits, so that the number is below 1 in single precision too.
        Double(RandomSource(seed: seed, stream: UInt32(truncatingIfNeeded: sequence), step: UInt64(step)).bits(1)[0] >> 8) / Double(1 << 24)
      }
  }

  /// Results for each prompt, the best ones first; the order is that of the prompts. In a model with an encoder they are what that reads.
  ///
  /// - Parameters:
  ///   - numbers: the prompts' numbers, which tell their draws apart, where they are a part of a longer list; nil: 0, 1, ...
  ///   - finished: called whenever all results of a prompt are there, with its place in `prompts`.
  public func generate(
    _ prompts: [[Int32]], numbers: [Int]? = nil, finished: (Int, [Hypothesis]) throws -> Void = { _, _ in }
  ) throws -> [[Hypothesis]] {
    let limits = try limits(prompts)
    let each = options.numBeams == 1 ? options.numReturnSequences : 1
    var results = [[Hypothesis]](repeating: [], count: prompts.count * each)
    var missing = [Int](repeating: each, count: prompts.count)
    func all(_ prompt: Int) -> [Hypothesis] { Array(results[prompt * each..<(prompt + 1) * each].joined()) }
    let model: any NextTokenScores = options.useCache ? CachedScores(network) : UncachedScores(network)
    try Decoding(model: model, batchSize: options.batchSize).run(count: results.count) { number in
      let (given, limit, own) = (prompts[number / each], limits[number / each], numbers?[number / each] ?? number / each)
      let (input, prompt) = special.start.map { (given, [$0]) } ?? ([], given)
      return Decoding.Start(input: input, prompt: prompt, maxNewTokens: limit, search: search(prompt, limit, number: own * each + number % each))
    } finished: { number, hypotheses in
      results[number] = hypotheses
      missing[number / each] -= 1
      if missing[number / each] == 0 { try finished(number / each, all(number / each)) }
    }
    return prompts.indices.map(all)
  }

  /// Checks prompts and says how many tokens may be written for each.
  func limits(_ prompts: [[Int32]]) throws -> [Int] { try prompts.enumerated().map { try maxNewTokens($1, number: $0 + 1) } }

  /// Checks a prompt and says how many tokens may be written.
  private func maxNewTokens(_ given: [Int32], number: Int) throws -> Int {
    guard !given.isEmpty else {
      throw EngineError(
        .argument, "generate: prompt \(number) has no tokens, and the tokenizer has none that begins a text",
        hint: "give it a text of at least one token")
    }
    let vocabulary = network.layout.embeddings.vocabulary
    if let wrong = given.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
      throw EngineError(
        .data, "generate: prompt \(number) has the token \(wrong), but the model's tokens end at \(vocabulary - 1)",
        hint: "the tokenizer belongs to another model")
    }
    let (readable, longest) = (network.maxInputLength, network.maxBodyLength)
    guard given.count <= readable else {
      throw EngineError(
        .data, "generate: prompt \(number) has \(given.count) tokens, but the model has positions for \(max(0, readable))", hint: "shorten the prompt"
      )
    }
    let (count, name) = special.start == nil ? (given.count, "prompt \(number)") : (1, "the decoder's start")
    let wanted = options.maxNewTokens ?? options.maxLength.map { $0 - count } ?? min(Self.standardMaxNewTokens, longest - count)
    guard wanted > 0 else {
      let limit = options.maxLength.map { "max_length is \($0)" } ?? "the model has positions for \(max(0, longest))"
      throw EngineError(
        .argument, "generate: \(name) has \(count == 1 ? "1 token" : "\(count) tokens"), and \(limit): nothing can be written",
        hint: options.maxLength == nil ? "shorten the prompt" : "set max_new_tokens, which does not count them")
    }
    // The last token is written and never read.
    let possible = longest + 1 - count
    guard wanted <= possible else {
      throw EngineError(
        .argument,
        "generate: \(name) has \(count == 1 ? "1 token" : "\(count) tokens"), and \(wanted) more do not fit into the model's \(longest) positions",
        hint: "set max_new_tokens to \(possible) or less" + (special.start == nil ? ", or shorten the prompt" : ""))
    }
    return wanted
  }

  private func search(_ prompt: [Int32], _ limit: Int, number: Int) -> any Search {
    let rules = options.rules(
      special, prompt: prompt.count, longest: prompt.count + limit, countsPrompt: options.beamSearch != .lora,
      own: processor.map(LogitsProcessor.init))
    let stops = options.stopStrings
    var ending = Ending(tokens: special.ends, maxNewTokens: limit, containsStop: nil)
    if let text, !stops.isEmpty {
      ending.containsStop = { new in
        let text = try text(new, prompt)
        return stops.contains { text.contains($0) }
      }
    }
    guard options.numBeams > 1 else {
      let draw = draw
      return SequenceSearch(prompt, rules: rules, ending: ending, draw: options.doSample ? { draw(number, $0) } : nil)
    }
    if options.beamSearch == .lora {
      return LoRABeamSearch(prompt, beams: options.numBeams, lengthPenalty: options.lengthPenalty, rules: rules, ending: ending)
    }
    let choice = BeamSearch.Options(
      beams: options.numBeams, lengthPenalty: options.lengthPenalty, earlyStopping: options.earlyStopping, returned: options.numReturnSequences)
    return BeamSearch(prompt, choice, rules: rules, ending: ending)
  }
}
