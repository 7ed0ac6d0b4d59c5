/// What a rule may look at: a hypothesis so far.
public struct Written {
  /// The prompt's tokens and those that were written.
  public var tokens: [Int32]
  /// Tokens of the prompt.
  public let promptCount: Int

  public init(prompt: [Int32]) { (tokens, promptCount) = (prompt, prompt.count) }

  /// The tokens that were written.
  public var new: ArraySlice<Int32> { tokens[promptCount...] }
}

/// Something that changes the scores of the next token: forbids tokens, or makes them less probable. One file each.
protocol LogitsRule {
  /// `scores`: [V], logits or log probabilities; a token with `-infinity` is not written.
  func apply(to scores: UnsafeMutableBufferPointer<Float>, after written: Written) throws
  /// Whether it reads no score and writes none but `-infinity`: then logits serve it as well as log probabilities. Default: false.
  var onlyForbids: Bool { get }
}

extension LogitsRule {
  var onlyForbids: Bool { false }
}

extension GenerationOptions {
  /// The rules, in Transformers' order.
  ///
  /// - Parameters:
  ///   - prompt: tokens of the prompt, or of the decoder's start.
  ///   - longest: tokens of the longest text, with the prompt's.
  ///   - countsPrompt: whether what stands in the prompt counts as written.
  ///   - own: a rule of the caller's, which sees what the options' rules made of the scores, and whose result is drawn from.
  func rules(_ special: SpecialTokens, prompt: Int, longest: Int, countsPrompt: Bool, own: LogitsProcessor? = nil) -> [any LogitsRule] {
    let ends = special.ends
    var rules: [any LogitsRule] = []
    if repetitionPenalty != 1 { rules.append(RepetitionPenalty(penalty: Float(repetitionPenalty), countsPrompt: countsPrompt)) }
    if noRepeatNgramSize > 0 { rules.append(NoRepeatNGram(size: noRepeatNgramSize, countsPrompt: countsPrompt)) }
    if !ends.isEmpty, minLength > 0 || minNewTokens ?? 0 > 0 {
      rules.append(MinimumLength(ends: ends, length: minLength, new: minNewTokens ?? 0))
    }
    if !special.forcedBeginning.isEmpty { rules.append(ForcedToken(tokens: special.forcedBeginning, place: 1)) }
    if !special.forcedEnd.isEmpty { rules.append(ForcedToken(tokens: special.forcedEnd, place: longest - 1)) }
    if !special.suppressed.isEmpty { rules.append(SuppressedTokens(tokens: special.suppressed, place: nil)) }
    if !special.suppressedBeginning.isEmpty {
      // A token that is forced to follow the first one is no choice.
      let first = prompt == 1 && !special.forcedBeginning.isEmpty ? 2 : prompt
      rules.append(SuppressedTokens(tokens: special.suppressedBeginning, place: first))
    }
    if let own { rules.append(own) }
    guard doSample else { return rules }
    if temperature != 1 { rules.append(Temperature(temperature: Float(temperature))) }
    if topK > 0 { rules.append(TopK(count: topK)) }
    if topP < 1 { rules.append(TopP(probability: topP)) }
    if minP > 0 { rules.append(MinP(share: minP)) }
    return rules
  }
}
