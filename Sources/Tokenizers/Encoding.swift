/// A text, or a pair of texts, as a model reads it. All arrays have one element per token.
public struct Encoding: Sendable, Equatable {
  /// Token ids.
  public var ids: [Int32]
  /// Which text a token belongs to, 0 or 1, as BERT counts them; RoBERTa has 0 throughout.
  public var tokenTypeIds: [Int32]
  /// 1 for the tokens that encoding added around the text, 0 for those of the text.
  public var specialTokensMask: [UInt8]
  /// Whether tokens at the end of a text were left out, because there were too many.
  public internal(set) var isTruncated = false

  /// An encoding of three arrays of equal length.
  public init(ids: [Int32], tokenTypeIds: [Int32], specialTokensMask: [UInt8], isTruncated: Bool = false) {
    self.isTruncated = isTruncated
    self.ids = ids
    self.tokenTypeIds = tokenTypeIds
    self.specialTokensMask = specialTokensMask
  }

  /// The tokens of a text.
  init(text ids: [Int32], type: Int32) {
    self.ids = ids
    tokenTypeIds = [Int32](repeating: type, count: ids.count)
    specialTokensMask = [UInt8](repeating: 0, count: ids.count)
  }

  /// Special tokens.
  init(special ids: [Int32], type: Int32) {
    self.ids = ids
    tokenTypeIds = [Int32](repeating: type, count: ids.count)
    specialTokensMask = [UInt8](repeating: 1, count: ids.count)
  }

  /// Whether a model reads the same.
  public static func == (a: Encoding, b: Encoding) -> Bool {
    a.ids == b.ids && a.tokenTypeIds == b.tokenTypeIds && a.specialTokensMask == b.specialTokensMask
  }

  /// The number of tokens.
  public var count: Int { ids.count }

  static func + (left: Encoding, right: Encoding) -> Encoding {
    var sum = Encoding(
      ids: left.ids + right.ids, tokenTypeIds: left.tokenTypeIds + right.tokenTypeIds,
      specialTokensMask: left.specialTokensMask + right.specialTokensMask)
    sum.isTruncated = left.isTruncated || right.isTruncated
    return sum
  }

  mutating func setType(_ type: Int32) {
    tokenTypeIds = [Int32](repeating: type, count: ids.count)
  }

  /// Keeps the first `count` tokens.
  mutating func truncate(to count: Int) {
    guard count < ids.count else { return }
    ids.removeSubrange(count...)
    tokenTypeIds.removeSubrange(count...)
    specialTokensMask.removeSubrange(count...)
    isTruncated = true
  }

  /// How many tokens of each text to keep so that both have `limit` together: `longest_first`
  /// shortens the longer one, and once they are even both, the second keeping the odd token if it
  /// was not the shorter.
  static func longestFirst(_ first: Int, _ second: Int, limit: Int) -> (Int, Int) {
    guard first + second > limit else { return (first, second) }
    var shorter = min(first, second)
    var longer = shorter > limit ? shorter : max(shorter, limit - shorter)
    if shorter + longer > limit {
      shorter = limit / 2
      longer = shorter + limit % 2
    }
    return first > second ? (longer, shorter) : (shorter, longer)
  }
}

extension Tokenizer {
  /// A text that another one follows: the special tokens that the tokenizer puts in front of texts, and the text's own. What it puts
  /// behind a text would stand between the two.
  public func encodePrompt(_ text: String) throws -> (start: [Int32], ids: [Int32]) {
    let whole = try encode(text)
    let tokens = zip(whole.ids, whole.specialTokensMask)
    return (tokens.prefix { $1 != 0 }.map(\.0), tokens.filter { $1 == 0 }.map(\.0))
  }
}
