import Foundation

/// Ids of words seen before: a table of fixed size in which a new word takes the place of an old
/// one.
///
/// Long words, and words of many tokens, are not kept. A thread that finds its part of the table in
/// use by another goes without.
final class WordCache: Sendable {
  private let shards: [Shard]

  private static let shardCount = 16

  init() {
    shards = (0..<WordCache.shardCount).map { _ in Shard() }
  }

  /// Appends the ids of `word` if they are known; else those that `compute` appends, and keeps
  /// them.
  @inline(__always)
  func append(
    _ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32],
    compute: (UnsafeBufferPointer<UInt8>, inout [Int32]) -> Void
  ) {
    guard let key = Key(word) else { return compute(word, &ids) }
    let hash = key.hash
    let shard = shards[hash & (WordCache.shardCount - 1)]
    let slot = hash / WordCache.shardCount & (Shard.size - 1)
    if shard.append(key, slot, to: &ids) { return }
    let first = ids.count
    compute(word, &ids)
    if ids.count - first <= Entry.longest { shard.insert(key, slot, ids[first...]) }
  }

  /// A word of up to 24 bytes.
  private struct Key: Equatable {
    var low: UInt64 = 0
    var middle: UInt64 = 0
    var high: UInt64 = 0
    var length: Int

    init?(_ word: UnsafeBufferPointer<UInt8>) {
      guard word.count <= 24 else { return nil }
      length = word.count
      low = Key.part(word, 0)
      middle = Key.part(word, 8)
      high = Key.part(word, 16)
    }

    @inline(__always)
    private static func part(_ word: UnsafeBufferPointer<UInt8>, _ start: Int) -> UInt64 {
      var value: UInt64 = 0
      var index = start
      while index < min(word.count, start + 8) {
        value = value << 8 | UInt64(word[index])
        index += 1
      }
      return value
    }

    var hash: Int {
      var value = (low ^ UInt64(length)) &* 0x9E37_79B9_7F4A_7C15
      value = (value ^ value >> 29 ^ middle) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ value >> 32 ^ high) &* 0x94D0_49BB_1331_11EB
      return Int(truncatingIfNeeded: value >> 20)
    }
  }

  private struct Entry {
    static let longest = 8

    var key: Key?
    var count = 0
    var ids = SIMD8<Int32>()
  }

  /// `entries` is only touched with the lock held, which makes sharing it safe.
  private final class Shard: @unchecked Sendable {
    static let size = 1024

    private let lock = NSLock()
    private var entries = [Entry](repeating: Entry(), count: size)

    func append(_ key: Key, _ slot: Int, to ids: inout [Int32]) -> Bool {
      guard lock.try() else { return false }
      let entry = entries[slot]
      lock.unlock()
      guard entry.key == key else { return false }
      for index in 0..<entry.count { ids.append(entry.ids[index]) }
      return true
    }

    func insert(_ key: Key, _ slot: Int, _ ids: ArraySlice<Int32>) {
      var entry = Entry(key: key, count: ids.count)
      for (index, id) in ids.enumerated() { entry.ids[index] = id }
      guard lock.try() else { return }
      entries[slot] = entry
      lock.unlock()
    }
  }
}
