import NN
import TensorCore
import TransformerModels

/// Scores of a model that keeps the keys and values of what it read: a step reads one token of every text, all in one product.
///
/// A beam search's hypotheses share the keys of their prompt, and those of what an encoder made of their input: each layer of a decoder
/// computes these once, when the input enters, and they make room when its last text has ended. Of those that go on from one hypothesis, the first takes its keys
/// over, and only the others get copies of what was written since the prompt.
public final class CachedScores: NextTokenScores {
  private struct Text {
    /// The prompt's keys, where texts share them.
    var shared: (segment: KeyValueCache.Segment, count: Int)?
    var own: KeyValueCache.Segment
    /// Rows of `own` that are written, and all of them.
    var ownCount: Int
    let capacity: Int
    /// The keys of what an encoder read.
    var input: (segment: KeyValueCache.Segment, count: Int)?

    var past: Int { (shared?.count ?? 0) + ownCount }
  }

  private let network: TransformerModel
  private let cache: KeyValueCache
  /// Keys and values of cross-attention.
  private let inputs: KeyValueCache
  private let sharesPrompts: Bool
  private var texts: [Text] = []

  /// `sharesPrompts`: whether several texts go on from one.
  public init(_ network: TransformerModel, sharesPrompts: Bool) {
    (self.network, self.sharesPrompts) = (network, sharesPrompts)
    cache = KeyValueCache(layers: network.layout.layers.count)
    inputs = KeyValueCache(layers: network.layout.layers.count)
  }

  /// Rows of keys and values that it has room for.
  public var capacity: Int { cache.capacity + inputs.capacity }

  public func scores(_ rows: [GrowingRow]) throws -> Tensor {
    // What has ended makes room first.
    let before = Dictionary(uniqueKeysWithValues: Set(rows.compactMap(\.parent)).map { ($0, texts[$0]) })
    texts = []
    let read = try network.read(rows)
    try cache.reserve(newSegments(rows, before.mapValues(\.capacity)))
    var newCounts = (read?.ranges.counts ?? [])[...]
    var isTaken = Set<Int>()
    var next: [Text] = []
    for row in rows {
      guard let parent = row.parent, var text = before[parent] else {
        let counts = segments(ofNew: row)
        var text =
          try sharesPrompts
          ? Text(shared: (cache.segment(counts[0]), counts[0]), own: cache.segment(row.room), ownCount: 0, capacity: row.room)
          : Text(own: cache.segment(counts[0]), ownCount: counts[0] - row.room, capacity: counts[0])
        text.input = try newCounts.popFirst().map { (try inputs.segment(Int($0)), Int($0)) }
        next.append(text)
        continue
      }
      if !isTaken.insert(parent).inserted {
        let start = text.own.start
        text.own = try cache.segment(text.capacity)
        cache.copy(text.ownCount, from: start, to: text.own.start)
      }
      text.ownCount += row.tokens.count
      next.append(text)
    }
    texts = next
    let begin = rows.indices.filter { rows[$0].parent == nil }
    guard network.virtualTokens.prompt > 0, !begin.isEmpty, begin.count < rows.count else { return try pass(rows, Array(rows.indices), read) }
    // Prompts stand in front of the texts that begin, and of no others.
    let others = rows.indices.filter { rows[$0].parent != nil }
    let parts = [try pass(rows, begin, read), try pass(rows, others, nil)]
    var places = [Int32](repeating: 0, count: rows.count)
    for (place, row) in (begin + others).enumerated() { places[row] = Int32(place) }
    return try Autograd.noGrad { try Tensor.cat(parts).gatherRows(places) }
  }

  /// Rows of the segments of a text that begins: of its prompt, where others share it, and its own.
  private func segments(ofNew row: GrowingRow) -> [Int] {
    let count = network.virtualTokens.prefix + network.virtualTokens.prompt + row.tokens.count
    return sharesPrompts ? [count, row.room] : [count + row.room]
  }

  /// Those of all texts that a step adds. `capacities`: of the texts that go on.
  private func newSegments(_ rows: [GrowingRow], _ capacities: [Int: Int]) -> [Int] {
    var isTaken = Set<Int>()
    return rows.flatMap { row in
      guard let parent = row.parent, let capacity = capacities[parent] else { return segments(ofNew: row) }
      return isTaken.insert(parent).inserted ? [] : [capacity]
    }
  }

  /// The scores of some of the rows, whose texts say already what they have after this pass. `read`: what the encoder made of the
  /// inputs of those that begin.
  private func pass(_ rows: [GrowingRow], _ chosen: [Int], _ read: EncoderStates?) throws -> Tensor {
    let virtual = network.virtualTokens
    var (places, prefixes, past): ([(start: Int, count: Int)], [Int], [Int]) = ([], [], [])
    var seen: [[(start: Int, count: Int)]] = sharesPrompts ? [[], []] : [[]]
    for i in chosen {
      let (row, text) = (rows[i], texts[i])
      let begins = row.parent == nil
      let start = begins ? text.shared?.segment.start ?? text.own.start : text.own.start + text.ownCount - row.tokens.count
      if begins, virtual.prefix > 0 { prefixes.append(start) }
      let skipped = begins ? virtual.prefix : 0
      places.append((start + skipped, row.tokens.count + (begins ? virtual.prompt : 0)))
      past.append(begins ? virtual.prefix : text.past - row.tokens.count)
      if let shared = text.shared { seen[0].append((shared.segment.start, shared.count)) }
      seen[sharesPrompts ? 1 : 0].append((text.own.start, text.ownCount))
    }
    let offsets = Offsets(lengths: chosen.map { rows[$0].tokens.count })
    var batch = try Batch(ids: chosen.flatMap { rows[$0].tokens }, offsets: offsets)
    let ranges = try seen.map { try KeyRanges(starts: $0.map { Int32($0.start) }, counts: $0.map { Int32($0.count) }) }
    batch.cache = CachePass(cache, places: places, prefixes: prefixes, ranges: ranges, past: past, begins: rows[chosen[0]].parent == nil)
    return try network.evaluating {
      try network.logits(batch, rows: .some(offsets.values.dropFirst().map { $0 - 1 }), over: encoded(chosen, rows, read))
    }
  }

  /// What cross-attention reads for some of the rows; nil: there is no encoder.
  private func encoded(_ chosen: [Int], _ rows: [GrowingRow], _ read: EncoderStates?) throws -> EncoderStates? {
    let seen = chosen.compactMap { i in texts[i].input.map { (row: i, start: $0.segment.start, count: $0.count) } }
    guard !seen.isEmpty else { return nil }
    let new = seen.filter { rows[$0.row].parent == nil }.map { (start: $0.start, count: $0.count) }
    return EncoderStates(
      adding: read?.states, to: inputs, places: new, try KeyRanges(starts: seen.map { Int32($0.start) }, counts: seen.map { Int32($0.count) }))
  }
}
