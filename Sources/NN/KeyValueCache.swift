import Diagnostics
import TensorCore

/// The keys and values of what a model has read, of all layers, for texts that grow.
///
/// Rows belong to segments, which are parts of one tensor for each layer: a text sees the rows of one segment or of several, so that
/// several texts can have a beginning in common, and a text that ends gives its rows back.
public final class KeyValueCache {
  private var layers: [(keys: Tensor, values: Tensor)?]
  /// Rows of each layer.
  public private(set) var capacity = 0
  /// What belongs to no segment, in ascending order.
  private var free: [Range<Int>] = []

  public init(layers: Int) { self.layers = [(keys: Tensor, values: Tensor)?](repeating: nil, count: layers) }

  /// Rows that belong to a text, or to several; they are given back with the last reference.
  public final class Segment {
    public let start: Int
    private let count: Int
    private let cache: KeyValueCache

    fileprivate init(_ range: Range<Int>, _ cache: KeyValueCache) { (start, count, self.cache) = (range.lowerBound, range.count, cache) }

    deinit { cache.giveBack(start..<start + count) }
  }

  /// Makes room for segments of so many rows each that are asked for next, so that what is there moves once.
  public func reserve(_ counts: [Int]) throws {
    var (left, missing) = (free.map(\.count), 0)
    for count in counts {
      if let place = left.firstIndex(where: { $0 >= count }) { left[place] -= count } else { missing += count }
    }
    if missing > 0 { try grow(by: missing) }
  }

  /// A segment of so many rows.
  public func segment(_ count: Int) throws -> Segment {
    if let place = free.firstIndex(where: { $0.count >= count }) { return take(count, from: place) }
    let last = free.last.flatMap { $0.upperBound == capacity ? $0.count : nil } ?? 0
    try grow(by: max(count - last, capacity))
    return take(count, from: free.count - 1)
  }

  private func take(_ count: Int, from place: Int) -> Segment {
    let range = free[place]
    let taken = range.lowerBound..<range.lowerBound + count
    if taken.count == range.count { free.remove(at: place) } else { free[place] = taken.upperBound..<range.upperBound }
    return Segment(taken, self)
  }

  private func giveBack(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    let place = free.firstIndex { $0.lowerBound > range.lowerBound } ?? free.count
    free.insert(range, at: place)
    if place + 1 < free.count, free[place + 1].lowerBound == free[place].upperBound {
      free[place] = free[place].lowerBound..<free.remove(at: place + 1).upperBound
    }
    if place > 0, free[place - 1].upperBound == free[place].lowerBound {
      free[place - 1] = free[place - 1].lowerBound..<free.remove(at: place).upperBound
    }
  }

  private func grow(by more: Int) throws {
    for (i, layer) in layers.enumerated() {
      guard let layer else { continue }
      layers[i] = (try larger(layer.keys, by: more), try larger(layer.values, by: more))
    }
    giveBack(capacity..<capacity + more)
    capacity += more
  }

  private func larger(_ old: Tensor, by more: Int) throws -> Tensor {
    let new = try Tensor(uninitialized: [old.rows + more, old.columns], old.dtype)
    new.copyRows(of: old, from: 0, to: 0, count: old.rows)
    return new
  }

  /// All that a layer has, once new keys and values are written, if there are some.
  fileprivate func rows(_ layer: Int, adding new: (keys: Columns, values: Columns)?, to places: [Int32]) throws -> (keys: Tensor, values: Tensor) {
    if let new { return try write(layer, new.keys, new.values, to: places) }
    guard let all = layers[layer] else { throw EngineError(.argument, "key-value cache: nothing was written yet") }
    return all
  }

  /// Writes a layer's keys and values, [rows, keys' size] each, to the places of the rows. Returns all that the layer has.
  @discardableResult
  fileprivate func write(_ layer: Int, _ keys: Columns, _ values: Columns, to places: [Int32]) throws -> (keys: Tensor, values: Tensor) {
    let (shape, dtype) = ([capacity, keys.range.count], keys.matrix.dtype)
    let all = try layers[layer] ?? (Tensor(uninitialized: shape, dtype), Tensor(uninitialized: shape, dtype))
    layers[layer] = all
    all.keys.writeRows(keys, to: places)
    all.values.writeRows(values, to: places)
    return all
  }
}

extension EncoderStates {
  /// What a layer's cross-attention sees. `new`: the keys and values that it made of the states.
  func block(_ layer: Int, _ new: (keys: Columns, values: Columns)?) throws -> KeyBlock {
    guard let cache else {
      guard let new else { throw EngineError(.argument, "cross-attention: there are neither states of an encoder nor a cache of them") }
      return KeyBlock(new.keys, new.values, ranges)
    }
    let all = try cache.keys.rows(layer, adding: new, to: cache.places)
    return KeyBlock(try Columns(all.keys), try Columns(all.values), ranges, isCached: true)
  }
}

/// What a pass adds to a cache, and what its sequences see of it.
public struct CachePass {
  public let cache: KeyValueCache
  /// The cache's row of each of the pass's rows, those of prompts included.
  let places: [Int32]
  /// Where the keys of prefixes go: the first row, for each sequence that begins.
  let prefixes: [Int]
  /// What each sequence sees once the pass's keys are there, side by side.
  let ranges: [KeyRanges]
  /// Keys that each sequence has before the pass's: of its prefix, and what was read.
  public let past: [Int]
  /// Whether the sequences begin: then they have prompts in front.
  public let begins: Bool

  /// - Parameters:
  ///   - places: the cache's row for each of this pass's rows, those of prompts included.
  ///   - prefixes: for each sequence that begins, where the keys of its prefix go.
  ///   - begins: whether sequences begin here; those that begin and those that go on may be in one pass where no adapter has a prompt.
  public init(
    _ cache: KeyValueCache, places: [Int32], prefixes: [Int], ranges: [KeyRanges], past: [Int], begins: Bool
  ) {
    (self.cache, self.places, self.prefixes, self.ranges, self.past, self.begins) = (cache, places, prefixes, ranges, past, begins)
  }

  /// Adds a layer's keys and values, and gives what the sequences see. `prefixes`: those of adapters, in order.
  func blocks(
    _ layer: Int, adding keys: Columns, _ values: Columns, behind prefixes: [(keys: Tensor, values: Tensor)]
  ) throws -> [KeyBlock] {
    let all = try cache.write(layer, keys, values, to: places)
    for start in self.prefixes {
      var first = Int32(start)
      for prefix in prefixes {
        let end = first + Int32(prefix.keys.rows)
        try cache.write(layer, Columns(prefix.keys.to(keys.matrix.dtype)), Columns(prefix.values.to(keys.matrix.dtype)), to: Array(first..<end))
        first = end
      }
    }
    let (keys, values) = (try Columns(all.keys), try Columns(all.values))
    return ranges.map { KeyBlock(keys, values, $0, isCached: true) }
  }
}
