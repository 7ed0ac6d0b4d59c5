import Tokenizers

/// The tokens of some examples, end to end in a few arrays.
struct TokenColumns: Sendable, Equatable {
  var ids: [Int32] = []
  var tokenTypes: [Int32] = []
  /// 1 for the tokens that no loss asks for: those that the tokenizer added, and those of a prompt.
  var special: [UInt8] = []
  /// Where each example begins, and where the last one ends.
  var starts: [Int] = [0]
  /// What the decoder of a model with an encoder should write, and where each example's begins; without those, both are empty.
  var targets: [Int32] = []
  var targetStarts: [Int] = []
  var hasTargets: Bool { !targetStarts.isEmpty }
  /// How many of the examples have lost tokens at their end.
  var truncated = 0

  mutating func reserve(tokens: Int, examples: Int) {
    ids.reserveCapacity(tokens)
    tokenTypes.reserveCapacity(tokens)
    special.reserveCapacity(tokens)
    starts.reserveCapacity(examples + 1)
  }

  mutating func append(_ encoding: Encoding, target: Encoding? = nil) {
    ids += encoding.ids
    tokenTypes += encoding.tokenTypeIds
    special += encoding.specialTokensMask
    starts.append(ids.count)
    if let target {
      if !hasTargets { targetStarts = [0] }
      targets += target.ids
      targetStarts.append(targets.count)
    }
    truncated += encoding.isTruncated || target?.isTruncated == true ? 1 : 0
  }

  mutating func append(_ other: TokenColumns) {
    starts += other.starts.dropFirst().map { $0 + ids.count }
    targetStarts += hasTargets ? other.targetStarts.dropFirst().map { $0 + targets.count } : other.targetStarts
    targets += other.targets
    ids += other.ids
    tokenTypes += other.tokenTypes
    special += other.special
    truncated += other.truncated
  }
}
