/// The merges of byte-pair encoding: pair of ids to rank and merged id, by open addressing.
struct MergeTable: Sendable {
  struct Merge: Sendable {
    var rank: UInt32
    var merged: Int32

    static let none = Merge(rank: .max, merged: -1)
  }

  /// Left id in the upper half, right id in the lower; `free` where nothing is.
  private var keys: [UInt64]
  private var values: [Merge]
  private var inserted: UInt32 = 0

  private static let free = UInt64.max

  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    keys = [UInt64](repeating: MergeTable.free, count: size)
    values = [Merge](repeating: .none, count: size)
  }

  @inline(__always)
  private func slot(of key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & (keys.count - 1)
    while keys[slot] != key, keys[slot] != MergeTable.free { slot = (slot + 1) & (keys.count - 1) }
    return slot
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Adds the pair with the next rank; a pair that comes again takes the later rank, as in the
  /// reference.
  mutating func insert(_ left: Int32, _ right: Int32, merged: Int32) {
    let key = MergeTable.key(left, right)
    let slot = slot(of: key)
    keys[slot] = key
    values[slot] = Merge(rank: inserted, merged: merged)
    inserted += 1
  }

  /// The merge of a pair of ids, `none` if there is none.
  @inline(__always)
  subscript(left: Int32, right: Int32) -> Merge {
    values[slot(of: MergeTable.key(left, right))]
  }

  /// All pairs, in the order of their ranks.
  var byRank: [(left: Int32, right: Int32)] {
    keys.indices.filter { keys[$0] != MergeTable.free }
      .sorted { values[$0].rank < values[$1].rank }
      .map { (Int32(keys[$0] >> 32), Int32(keys[$0] & 0xFFFF_FFFF)) }
  }
}

/// A binary heap that gives the smallest number first.
struct MinHeap {
  private var items: [UInt64] = []

  mutating func push(_ item: UInt64) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[child] < items[(child - 1) / 2] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> UInt64? {
    guard let top = items.first, let last = items.popLast() else { return nil }
    guard !items.isEmpty else { return top }
    items[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < items.count else { return top }
      if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
      guard items[child] < items[parent] else { return top }
      items.swapAt(child, parent)
      parent = child
    }
  }
}
