import Diagnostics
import Files
import NN
import TensorCore

/// What the bottom of a stack computes, as long as nothing trains there and nothing is dropped: hidden states of the examples
/// of one data set, computed once and used again in later epochs or evaluations.
///
/// Examples are computed in fixed groups, each when the first of its members is asked for. So what is stored is a function of
/// the data and the model alone, also where products of other shapes round differently: a resumed run sees the same bits.
/// Whatever the states depend on is compared before every use (`FrozenPrefix`), and states of another prefix are forgotten.
public final class HiddenStateCache {
  /// Memory that several caches share, and the place for what is beyond it.
  public final class Budget {
    fileprivate var bytesLeft: Int
    fileprivate let folder: String?

    /// - Parameter folder: where scratch files go; nil: what has no room in memory is not kept.
    public init(bytes: Int, folder: String?) {
      bytesLeft = bytes
      self.folder = folder
    }
  }

  /// Where the states of a group are.
  private enum Place {
    case memory(Tensor)
    /// Position of the first byte in `file`.
    case file(Int)
  }

  /// Whether the frozen layers drop in training, as in the reference; then nothing is kept there.
  public let keepsDropout: Bool
  /// Whether states that are not there yet are kept: pointless if nobody comes back for them.
  public var isKeeping: Bool
  private let groups: [[Int]]
  /// The group of each example.
  private let groupOf: [Int]
  private let budget: Budget
  private let batch: ([Int]) throws -> Batch

  private var prefix: FrozenPrefix?
  private var places: [Place?]
  /// Each example's first row among those of its group.
  private var firstRow: [Int]
  private var file: ScratchFile?
  private var bytesInMemory = 0
  /// Nothing has room any more.
  private var isFull = false
  /// Size and type of a row.
  private var row: (columns: Int, dtype: DType)?

  /// Bytes that a scratch file leaves free on its disk: for saved states and results.
  private static let diskReserve = 1 << 30

  /// - Parameters:
  ///   - groups: every example of the data set once, in batches.
  ///   - batch: the tokens of some examples.
  public init(
    groups: [[Int]], budget: Budget, keepsDropout: Bool = true, isKeeping: Bool = true, batch: @escaping ([Int]) throws -> Batch
  ) {
    self.groups = groups
    self.budget = budget
    self.keepsDropout = keepsDropout
    self.isKeeping = isKeeping
    self.batch = batch
    let count = groups.reduce(0) { $0 + $1.count }
    var groupOf = [Int](repeating: 0, count: count)
    for (i, group) in groups.enumerated() { for example in group { groupOf[example] = i } }
    self.groupOf = groupOf
    places = [Place?](repeating: nil, count: groups.count)
    firstRow = [Int](repeating: 0, count: count)
  }

  /// Forgets all states.
  func removeAll() {
    guard prefix != nil else { return }
    prefix = nil
    places = [Place?](repeating: nil, count: groups.count)
    budget.bytesLeft += bytesInMemory
    (bytesInMemory, file, isFull, row) = (0, nil, false, nil)
  }

  /// The prefix's output for a batch of the data set's examples, from the store or from `compute`, which gets batches of
  /// the missing ones.
  func states(
    _ batch: Batch, of prefix: FrozenPrefix, _ compute: (Batch) throws -> Tensor
  ) throws -> Tensor {
    if prefix != self.prefix {
      removeAll()
      self.prefix = prefix
    }
    for example in batch.examples where isKeeping && !isFull && places[groupOf[example]] == nil {
      try Interrupt.check()
      let group = try self.batch(groups[groupOf[example]])
      keep(try compute(group), of: group, as: groupOf[example])
    }
    let missing = batch.examples.filter { places[groupOf[$0]] == nil }
    if missing.count == batch.examples.count { return try compute(batch) }
    let rest = missing.isEmpty ? nil : try compute(self.batch(missing))
    return try assemble(batch, rest)
  }

  private func rowCounts(_ batch: Batch) -> [Int] {
    let prompt = prefix?.promptLength ?? 0
    return prefix?.oneRowEach == true
      ? [Int](repeating: 1, count: batch.examples.count) : batch.offsets.lengths.map { $0 + prompt }
  }

  private func keep(_ states: Tensor, of batch: Batch, as group: Int) {
    row = (states.columns, states.dtype)
    var next = 0
    for (example, count) in zip(batch.examples, rowCounts(batch)) {
      firstRow[example] = next
      next += count
    }
    let bytes = states.count * states.dtype.size
    if bytes <= budget.bytesLeft {
      budget.bytesLeft -= bytes
      bytesInMemory += bytes
      places[group] = .memory(states)
      return
    }
    if file == nil { file = budget.folder.flatMap { ScratchFile(folder: $0) } }
    let content = UnsafeRawBufferPointer(start: states.pointer, count: bytes)
    if let position = file?.append(content, reserve: Self.diskReserve) {
      places[group] = .file(position)
    } else {
      isFull = true
    }
  }

  /// A batch's rows: stored ones, and those of the missing examples, which `rest` has in the batch's order.
  private func assemble(_ batch: Batch, _ rest: Tensor?) throws -> Tensor {
    guard let row else { preconditionFailure("nothing is stored") }
    let counts = rowCounts(batch)
    let result = try Tensor(uninitialized: [counts.reduce(0, +), row.columns], row.dtype)
    let rowBytes = row.columns * row.dtype.size
    var (next, nextOfRest) = (0, 0)
    for (example, count) in zip(batch.examples, counts) {
      let target = UnsafeMutableRawBufferPointer(start: result.pointer + next * rowBytes, count: count * rowBytes)
      func copy(_ source: Tensor, from first: Int) {
        target.copyMemory(from: UnsafeRawBufferPointer(start: source.pointer + first * rowBytes, count: target.count))
      }
      switch places[groupOf[example]] {
      case .memory(let states): copy(states, from: firstRow[example])
      case .file(let position): try file?.read(target, at: position + firstRow[example] * rowBytes)
      case nil:
        if let rest { copy(rest, from: nextOfRest) }
        nextOfRest += count
      }
      next += count
    }
    return result
  }
}

/// The parts at the bottom of a stack in which nothing trains and nothing is dropped, and the state that they are in.
///
/// Two prefixes are equal if they compute the same: every write to a parameter counts, and so does freezing, unfreezing,
/// attaching, merging or switching off.
struct FrozenPrefix: Equatable {
  /// Number of parts.
  private(set) var count = 0
  /// Whether the result is one row of each sequence alone, the one that the head reads.
  var oneRowEach = false
  /// Rows in front of each sequence's tokens.
  var promptLength = 0
  private var values: [Value] = []
  private var switches: [Switch] = []

  /// The elements of a parameter. Holding on to the storage keeps its address from being used for another.
  private struct Value: Equatable {
    let storage: Storage
    let offset: Int
    let version: Int

    static func == (a: Value, b: Value) -> Bool {
      a.storage === b.storage && a.offset == b.offset && a.version == b.version
    }
  }

  /// What decides which adapters of a module take part.
  private struct Switch: Equatable {
    let active: [String]
    let merged: [String]
  }

  /// Adds the next part. False, and nothing is added, where something trains in it or, with `isDropping`, an adapter drops.
  mutating func append(_ part: Module, isDropping: Bool) -> Bool {
    var (values, switches): ([Value], [Switch]) = ([], [])
    var pending = [part]
    while let module = pending.popLast() {
      let borrowed = (module as? Adapter)?.borrowedParameters ?? []
      for tensor in module.ownParameters.map(\.tensor) + borrowed {
        if tensor.requiresGrad { return false }
        values.append(Value(storage: tensor.storage, offset: tensor.byteOffset, version: tensor.version))
      }
      if let host = module as? AdapterHost {
        switches.append(Switch(active: host.activeAdapters.map(\.name), merged: (host as? Linear)?.merged ?? []))
      } else if isDropping, let adapter = module as? Adapter, adapter.dropout > 0 {
        return false
      }
      for (_, child) in module.children { pending.append(child) }
    }
    count += 1
    self.values += values
    self.switches += switches
    return true
  }
}
