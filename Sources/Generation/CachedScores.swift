import NN
import TensorCore
import TransformerModels

/// Scores of a model that keeps the keys and values of what it read: a step reads one token of every text, all in one product.
///
/// Nothing that is written moves, and nothing is written twice. A beam search's hypotheses share the keys of their prompt, and those of what an
/// encoder made of their input, which each layer of a decoder computes once, when the input enters. What a step adds lies beside what
/// the other hypotheses add, and each knows the rows of its own tokens: those that go on from one have the same beginning. All rows of a
/// prompt's texts make room together, when the last of them has ended.
public final class CachedScores: NextTokenScores {
  /// A prompt, and room for what its texts write.
  private final class Prompt {
    let segment: KeyValueCache.Segment
    let count: Int
    /// The keys of what an encoder read.
    let input: (segment: KeyValueCache.Segment, count: Int)?
    /// What its texts have written lies in these, of which the last is not full.
    private var written: [KeyValueCache.Segment] = []
    private(set) var free: Range<Int32> = 0..<0

    init(_ segment: KeyValueCache.Segment, count: Int, input: (segment: KeyValueCache.Segment, count: Int)?) {
      (self.segment, self.count, self.input) = (segment, count, input)
    }

    func append(_ segment: KeyValueCache.Segment, count: Int) {
      written.append(segment)
      free = Int32(segment.start)..<Int32(segment.start + count)
    }

    func takeRow() -> Int32 {
      defer { free = free.dropFirst() }
      return free.lowerBound
    }
  }

  private struct Text {
    let prompt: Prompt
    /// The rows of what was written behind the prompt, in its order.
    var own: [Int32] = []

    var count: Int { prompt.count + own.count }
  }

  private let network: TransformerModel
  private let cache: KeyValueCache
  /// Keys and values of cross-attention.
  private let inputs: KeyValueCache
  private var texts: [Text] = []

  public init(_ network: TransformerModel) {
    self.network = network
    cache = KeyValueCache(layers: network.layout.layers.count)
    inputs = KeyValueCache(layers: network.layout.layers.count)
  }

  /// Rows of keys and values that it has room for.
  public var capacity: Int { cache.capacity + inputs.capacity }

  public func scores(_ rows: [GrowingRow]) throws -> Tensor {
    // What has ended makes room first.
    let before = rows.map { $0.parent.map { texts[$0] } }
    texts = []
    let read = try network.read(rows)
    texts = try enter(rows, before, read)
    let begin = rows.indices.filter { rows[$0].parent == nil }
    guard network.virtualTokens.prompt > 0, !begin.isEmpty, begin.count < rows.count else { return try pass(rows, Array(rows.indices), read) }
    // Prompts stand in front of the texts that begin, and of no others.
    let others = rows.indices.filter { rows[$0].parent != nil }
    let parts = [try pass(rows, begin, read), try pass(rows, others, nil)]
    var places = [Int32](repeating: 0, count: rows.count)
    for (place, row) in (begin + others).enumerated() { places[row] = Int32(place) }
    return try Autograd.noGrad { try Tensor.cat(parts).gatherRows(places) }
  }

  /// The texts of a step's rows, with places for what these add. `before`: those that go on; nil: a text begins.
  private func enter(_ rows: [GrowingRow], _ before: [Text?], _ read: EncoderStates?) throws -> [Text] {
    let virtual = network.virtualTokens
    let prompts = zip(rows, before).filter { $1 == nil }.map { virtual.prefix + virtual.prompt + $0.0.tokens.count }
    let more = missingRows(rows, before)
    try cache.reserve(prompts + more.map(\.count))
    for (prompt, count) in more { prompt.append(try cache.segment(count), count: count) }
    var (counts, inputCounts) = (prompts[...], (read?.ranges.counts ?? [])[...])
    return try zip(rows, before).map { row, text in
      if var text {
        for _ in row.tokens { text.own.append(text.prompt.takeRow()) }
        return text
      }
      let count = counts.removeFirst()
      let input = try inputCounts.popFirst().map { (try inputs.segment(Int($0)), Int($0)) }
      return Text(prompt: Prompt(try cache.segment(count), count: count, input: input))
    }
  }

  /// The prompts whose texts have no room for what a step adds, with as many rows as they need until their end if as many go on.
  private func missingRows(_ rows: [GrowingRow], _ before: [Text?]) -> [(prompt: Prompt, count: Int)] {
    var (needs, places): ([(prompt: Prompt, now: Int, all: Int)], [ObjectIdentifier: Int]) = ([], [:])
    for (row, text) in zip(rows, before) {
      guard let prompt = text?.prompt else { continue }
      let place = places[ObjectIdentifier(prompt)] ?? needs.count
      if place == needs.count {
        places[ObjectIdentifier(prompt)] = place
        needs.append((prompt, 0, 0))
      }
      needs[place].now += row.tokens.count
      needs[place].all += row.tokens.count + row.room
    }
    return needs.filter { $0.now > $0.prompt.free.count }.map { ($0.prompt, $0.all) }
  }

  /// The scores of some of the rows, whose texts say already what they have after this pass. `read`: what the encoder made of the
  /// inputs of those that begin.
  private func pass(_ rows: [GrowingRow], _ chosen: [Int], _ read: EncoderStates?) throws -> Tensor {
    let virtual = network.virtualTokens
    var (places, prefixes, past): ([Int32], [Int], [Int]) = ([], [], [])
    for i in chosen {
      let (row, text) = (rows[i], texts[i])
      guard row.parent == nil else {
        places += text.own.suffix(row.tokens.count)
        past.append(text.count - row.tokens.count)
        continue
      }
      let start = text.prompt.segment.start
      if virtual.prefix > 0 { prefixes.append(start) }
      places += (start + virtual.prefix..<start + text.prompt.count).map { Int32($0) }
      past.append(virtual.prefix)
    }
    let offsets = Offsets(lengths: chosen.map { rows[$0].tokens.count })
    var batch = try Batch(ids: chosen.flatMap { rows[$0].tokens }, offsets: offsets)
    let ranges = [
      try KeyRanges(
        starts: chosen.map { Int32(texts[$0].prompt.segment.start) }, counts: chosen.map { Int32(texts[$0].prompt.count) }),
      try KeyRanges(lists: chosen.map { texts[$0].own }),
    ]
    batch.cache = CachePass(cache, places: places, prefixes: prefixes, ranges: ranges, past: past, begins: rows[chosen[0]].parent == nil)
    return try network.evaluating {
      try network.logits(batch, rows: .some(offsets.values.dropFirst().map { $0 - 1 }), over: encoded(chosen, rows, read))
    }
  }

  /// What cross-attention reads for some of the rows; nil: there is no encoder.
  private func encoded(_ chosen: [Int], _ rows: [GrowingRow], _ read: EncoderStates?) throws -> EncoderStates? {
    let seen = chosen.compactMap { i in texts[i].prompt.input.map { (row: i, start: $0.segment.start, count: $0.count) } }
    guard !seen.isEmpty else { return nil }
    let new = seen.filter { rows[$0.row].parent == nil }.map { (start: $0.start, count: $0.count) }
    return EncoderStates(
      adding: read?.states, to: inputs, places: new, try KeyRanges(starts: seen.map { Int32($0.start) }, counts: seen.map { Int32($0.count) }))
  }
}
