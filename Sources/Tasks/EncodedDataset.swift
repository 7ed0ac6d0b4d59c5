import Datasets
import Diagnostics
import Synchronization
import TensorCore
import Tokenizers
import TransformerModels

/// Examples as token ids, end to end in a few arrays.
public struct EncodedDataset: Sendable {
  let tokens: TokenColumns
  /// What each example should give.
  public let targets: [Target]
  /// Line of each example in its file, 1-based.
  public let lines: [Int]
  /// Where the examples come from, for messages.
  public let source: String

  public var count: Int { targets.count }
  /// How many examples have lost tokens at their end, because they were longer than the limit.
  public var truncatedCount: Int { tokens.truncated }
  /// Tokens of each example, its target's included.
  public var lengths: [Int] {
    let own = (0..<count).map { tokens.starts[$0 + 1] - tokens.starts[$0] }
    return tokens.hasTargets ? zip(own, tokens.targetStarts.indices).map { $0 + tokens.targetStarts[$1 + 1] - tokens.targetStarts[$1] } : own
  }

  /// Encodes examples on all threads; the result is the same for any number of them. Throws the first error, naming file
  /// and line.
  ///
  /// - Parameters:
  ///   - maxTargetLength: tokens of what a decoder should write; nil: `maxLength`.
  ///   - folder: where tokens are kept from run to run; nil: nowhere.
  public init(
    _ examples: [Example], source: String, for type: any TaskType, tokenizer: Tokenizer, maxLength: Int, maxTargetLength: Int? = nil,
    folder: String? = nil
  ) throws {
    self.source = source
    targets = examples.map(\.target)
    lines = examples.map(\.line)
    let file = try folder.map {
      try TokenFile(folder: $0, examples: examples, type: type, tokenizer: tokenizer, maxLength: maxLength, maxTargetLength: maxTargetLength)
    }
    if let known = file?.read(count: examples.count) {
      tokens = known
    } else {
      tokens = try Self.encode(examples, source, type, tokenizer, maxLength, maxTargetLength ?? maxLength)
      file?.write(tokens)
    }
  }

  private static func encode(
    _ examples: [Example], _ source: String, _ type: any TaskType, _ tokenizer: Tokenizer, _ maxLength: Int, _ maxTargetLength: Int
  ) throws -> TokenColumns {
    let slots = Mutex<(columns: [Int: TokenColumns], failure: (chunk: Int, error: EngineError)?)>(([:], nil))
    let chunk = 256
    Threads.parallelFor(examples.count, chunk: chunk) { range in
      var columns = TokenColumns()
      for example in examples[range] {
        do {
          try Interrupt.check()
          columns.append(
            try type.encode(example, tokenizer, maxLength: maxLength), target: try type.encodeTarget(example, tokenizer, maxLength: maxTargetLength))
        } catch {
          var known = (error as? EngineError) ?? EngineError(.data, "\(error)")
          if known.kind != .interrupted { known = known.at("\(source):\(example.line)") }
          slots.withLock { if range.lowerBound < $0.failure?.chunk ?? .max { $0.failure = (range.lowerBound, known) } }
          return
        }
      }
      let done = columns
      slots.withLock { $0.columns[range.lowerBound] = done }
    }
    let results = slots.withLock { $0 }
    if let failure = results.failure { throw failure.error }
    var tokens = TokenColumns()
    let total = results.columns.values.reduce(0) { $0 + $1.ids.count }
    tokens.reserve(tokens: total, examples: examples.count)
    for start in stride(from: 0, to: examples.count, by: chunk) { tokens.append(results.columns[start] ?? TokenColumns()) }
    return tokens
  }

  /// Sequences that are token ids already, of segment 0 and without special tokens.
  init(sequences: [[Int32]], targets: [Target], source: String) {
    precondition(sequences.count == targets.count)
    self.source = source
    self.targets = targets
    let ids = sequences.flatMap { $0 }
    tokens = TokenColumns(
      ids: ids, tokenTypes: [Int32](repeating: 0, count: ids.count), special: [UInt8](repeating: 0, count: ids.count),
      starts: sequences.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) })
    lines = sequences.indices.map { $0 + 1 }
  }

  /// The packed tokens of some examples; without labels.
  public func batch(_ indices: [Int]) throws -> Batch {
    var (batchIDs, batchTypes): ([Int32], [Int32]) = ([], [])
    let ranges = indices.map { tokens.starts[$0]..<tokens.starts[$0 + 1] }
    for range in ranges {
      batchIDs += tokens.ids[range]
      batchTypes += tokens.tokenTypes[range]
    }
    var batch = try Batch(ids: batchIDs, tokenTypes: batchTypes, offsets: Offsets(lengths: ranges.map(\.count)), examples: indices)
    if tokens.hasTargets {
      let ranges = indices.map { tokens.targetStarts[$0]..<tokens.targetStarts[$0 + 1] }
      batch.targets = (ranges.flatMap { tokens.targets[$0] }, Offsets(lengths: ranges.map(\.count)))
    }
    return batch
  }

  /// The same with what a task asks for.
  public func batch(_ indices: [Int], for type: any TaskType, _ preparation: Preparation) throws -> Batch {
    var batch = try batch(indices)
    try type.prepare(&batch, of: self, preparation)
    return batch
  }

  /// Whether each token of some examples is one that no loss asks for: those that the tokenizer added, and those of a prompt.
  public func specialTokens(_ indices: [Int]) -> [Bool] {
    indices.flatMap { tokens.special[tokens.starts[$0]..<tokens.starts[$0 + 1]].map { $0 != 0 } }
  }

  /// The class of an example. Throws where it has none.
  func label(_ index: Int) throws -> Int {
    guard case .label(let label) = targets[index] else { throw missing("class", index) }
    return label
  }

  /// The score of an example. Throws where it has none.
  func score(_ index: Int) throws -> Double {
    guard case .score(let score) = targets[index] else { throw missing("score", index) }
    return score
  }

  private func missing(_ what: String, _ index: Int) -> EngineError {
    EngineError(.data, "\(source):\(lines[index]): the example has no \(what)")
  }

  /// "train.tsv lines 3, 8, 12": where some examples are.
  public func places(_ indices: [Int]) -> String {
    "\(source) lines " + indices.prefix(8).map { String(lines[$0]) }.joined(separator: ", ")
      + (indices.count > 8 ? ", ... (\(indices.count) rows)" : "")
  }
}
