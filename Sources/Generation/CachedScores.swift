import NN
import TensorCore
import TransformerModels

/// Scores of a model that keeps the keys and values of what it read: a step reads one token of every text, all in one product.
///
/// A beam search's hypotheses share the keys of their prompt. Of those that go on from one hypothesis, the first takes its keys
/// over, and only the others get copies of what was written since the prompt.
public final class CachedScores: NextTokenScores {
  private struct Text {
    /// The prompt's keys, where texts share them.
    var shared: (segment: KeyValueCache.Segment, count: Int)?
    var own: KeyValueCache.Segment
    /// Rows of `own` that are written, and all of them.
    var ownCount: Int
    let capacity: Int

    var past: Int { (shared?.count ?? 0) + ownCount }
  }

  private let network: TransformerModel
  private let cache: KeyValueCache
  private let sharesPrompts: Bool
  private var texts: [Text] = []

  /// `sharesPrompts`: whether several texts go on from one.
  public init(_ network: TransformerModel, sharesPrompts: Bool) {
    (self.network, self.sharesPrompts) = (network, sharesPrompts)
    cache = KeyValueCache(layers: network.layout.layers.count)
  }

  /// Rows of keys and values that it has room for.
  public var capacity: Int { cache.capacity }

  public func scores(_ rows: [GrowingRow]) throws -> Tensor {
    let virtual = network.virtualTokens
    var isTaken = Set<Int>()
    var next: [Text] = []
    for row in rows {
      guard let parent = row.parent else {
        let beginning = virtual.prefix + virtual.prompt + row.tokens.count
        if sharesPrompts {
          next.append(
            Text(shared: (try cache.segment(beginning), beginning), own: try cache.segment(row.room), ownCount: 0, capacity: row.room))
        } else {
          next.append(Text(shared: nil, own: try cache.segment(beginning + row.room), ownCount: beginning, capacity: beginning + row.room))
        }
        continue
      }
      var text = texts[parent]
      if !isTaken.insert(parent).inserted {
        text.own = try cache.segment(text.capacity)
        cache.copy(text.ownCount, from: texts[parent].own.start, to: text.own.start)
      }
      text.ownCount += row.tokens.count
      next.append(text)
    }
    texts = next
    let begin = rows.indices.filter { rows[$0].parent == nil }
    guard virtual.prompt > 0, !begin.isEmpty, begin.count < rows.count else { return try pass(rows, Array(rows.indices)) }
    // Prompts stand in front of the texts that begin, and of no others.
    let others = rows.indices.filter { rows[$0].parent != nil }
    let parts = [try pass(rows, begin), try pass(rows, others)]
    var places = [Int32](repeating: 0, count: rows.count)
    for (place, row) in (begin + others).enumerated() { places[row] = Int32(place) }
    return try Autograd.noGrad { try Tensor.cat(parts).gatherRows(places) }
  }

  /// The scores of some of the rows, whose texts say already what they have after this pass.
  private func pass(_ rows: [GrowingRow], _ chosen: [Int]) throws -> Tensor {
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
    return try network.predict(batch, rows: .some(offsets.values.dropFirst().map { $0 - 1 }))
  }
}
