import NN
import TensorCore
import TransformerModels

/// A row of a step: a text that grows.
public struct GrowingRow: Sendable {
  /// Which row of the step before it goes on with; nil: it begins.
  public let parent: Int?
  /// What an encoder reads for a row that begins; nothing where there is no encoder.
  public let input: [Int32]
  /// What it has more than that one: the prompt of a row that begins, and one token of any other.
  public let tokens: [Int32]
  /// How many tokens may follow these.
  public let room: Int

  public init(parent: Int?, input: [Int32] = [], tokens: [Int32], room: Int) {
    (self.parent, self.input, self.tokens, self.room) = (parent, input, tokens, room)
  }
}

/// What decoding asks of a model. Nobody goes on later with a row that the step after it left out.
public protocol NextTokenScores: AnyObject {
  /// The logits of each row's next token, [rows, V], float32, without gradients. A row of these is the same whatever the others are.
  func scores(_ rows: [GrowingRow]) throws -> Tensor
}

/// Scores of a model that reads all of every text in each step: what a cache saves.
public final class UncachedScores: NextTokenScores {
  private let network: TransformerModel
  /// `input`: the encoder's states of the text's input, which texts that go on from one share.
  private var texts: [(tokens: [Int32], input: Tensor?)] = []

  public init(_ network: TransformerModel) { self.network = network }

  public func scores(_ rows: [GrowingRow]) throws -> Tensor {
    var new = try newInputs(rows)[...]
    texts = rows.map { row in
      guard let before = row.parent.map({ texts[$0] }) else { return (row.tokens, new.popFirst()) }
      return (before.tokens + row.tokens, before.input)
    }
    let offsets = Offsets(lengths: texts.map(\.tokens.count))
    let batch = try Batch(ids: texts.flatMap(\.tokens), offsets: offsets)
    return try network.evaluating { try network.logits(batch, rows: .some(offsets.values.dropFirst().map { $0 - 1 }), over: encoded()) }
  }

  /// The encoder's states of the inputs of the rows that begin.
  private func newInputs(_ rows: [GrowingRow]) throws -> [Tensor] {
    guard let read = try network.read(rows), let states = read.states else { return [] }
    return try zip(read.ranges.starts, read.ranges.counts).map { try states.slice(0, Int($0), Int($0 + $1)) }
  }

  /// Those of all texts' inputs, each of them once.
  private func encoded() throws -> EncoderStates? {
    guard network.encoderLayout != nil else { return nil }
    var (inputs, places): ([Tensor], [ObjectIdentifier: Int32]) = ([], [:])
    var count: Int32 = 0
    for input in texts.compactMap(\.input) where places[ObjectIdentifier(input)] == nil {
      places[ObjectIdentifier(input)] = count
      inputs.append(input)
      count += Int32(input.rows)
    }
    let ranges = try KeyRanges(
      starts: texts.compactMap { $0.input.flatMap { places[ObjectIdentifier($0)] } }, counts: texts.compactMap { $0.input.map { Int32($0.rows) } })
    return EncoderStates(try Tensor.cat(inputs), ranges)
  }
}

extension TransformerModel {
  /// What the encoder makes of the inputs of the rows that begin, in one pass; nil: none begins, or there is no encoder.
  func read(_ rows: [GrowingRow]) throws -> EncoderStates? {
    let inputs = rows.filter { $0.parent == nil }.map(\.input)
    guard encoderLayout != nil, !inputs.isEmpty else { return nil }
    return try evaluating { try encode(Batch(ids: inputs.flatMap { $0 }, offsets: Offsets(lengths: inputs.map(\.count)))) }
  }
}
