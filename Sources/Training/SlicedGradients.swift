import TensorCore

/// The gradients of an update that several processes compute, of which each process adds up a slice.
///
/// A round has one piece of each process. Every process sends each slice of its gradients to the process that owns the slice, which adds
/// what it is sent in the order of the pieces; after the last round the owners send their sums to all. A process sends and receives g bytes
/// for each round and g bytes at the end, where g bytes are one set of gradients, however many processes there are; and it holds 2 g
/// bytes besides its own gradients. Sums are those of one process, bit for bit.
struct SlicedGradients {
  /// The bytes of parameters begin at multiples of this in a set of gradients, and so do slices: no element is cut.
  private static let alignment = 64

  private let parameters: [Tensor]
  private let group: any ProcessGroup
  /// Where each parameter's bytes are in a set of gradients.
  private let places: [Range<Int>]
  private let size: Int
  /// This process's gradients, and at the end the sums of all.
  private let own: Storage
  /// This process's slice of the gradients of a round, by rank.
  private let received: Storage
  /// This process's slice of the sums so far.
  private let sum: Storage
  /// Whether some piece has had a gradient, for each parameter.
  private var isPresent: [Bool]

  /// - Parameter pieces: how many an update has.
  ///
  /// Throws where memory is exhausted.
  init(_ parameters: [Tensor], pieces: Int, _ group: any ProcessGroup) throws {
    (self.parameters, self.group) = (parameters, group)
    var end = 0
    places = parameters.map { parameter in
      let begin = end
      end = begin + parameter.count * parameter.gradientDType.size
      defer { end = (end + Self.alignment - 1) / Self.alignment * Self.alignment }
      return begin..<end
    }
    size = end
    isPresent = parameters.map { _ in false }
    let slice = Self.slice(of: size, group.rank, group.count).count
    own = try Storage(byteCount: max(1, size))
    received = try Storage(byteCount: max(1, slice * min(pieces, group.count)))
    sum = try Storage(byteCount: max(1, slice))
  }

  private static func slice(of size: Int, _ rank: Int, _ count: Int) -> Range<Int> {
    let blocks = size / alignment
    return blocks * rank / count * alignment..<blocks * (rank + 1) / count * alignment
  }

  private func slice(_ rank: Int) -> Range<Int> { Self.slice(of: size, rank, group.count) }

  /// A number that differs where parameters have other sizes or types.
  static func layout(of parameters: [Tensor]) -> UInt64 {
    parameters.reduce(0xcbf2_9ce4_8422_2325) { hash, parameter in
      [UInt64(parameter.count), UInt64(parameter.gradientDType.size)].reduce(hash) { ($0 ^ $1) &* 0x100_0000_01b3 }
    }
  }

  /// Takes the gradients that this process has computed, to be sent.
  func take() {
    for (parameter, place) in zip(parameters, places) {
      guard let gradient = parameter.grad else { continue }
      (own.pointer + place.lowerBound).copyMemory(from: gradient.pointer, byteCount: place.count)
    }
  }

  /// Adds the gradients of a round's pieces, which the first processes have taken; all processes have to call it.
  ///
  /// - Parameter present: whether there is a gradient, by piece and parameter.
  mutating func add(_ present: [[Bool]]) throws {
    let mine = slice(group.rank)
    let isSending = group.rank < present.count
    try group.allToAll(
      UnsafeRawBufferPointer(start: own.pointer, count: size), (0..<group.count).map { isSending ? slice($0) : 0..<0 },
      into: UnsafeMutableRawBufferPointer(start: received.pointer, count: received.byteCount),
      (0..<group.count).map { $0 < present.count ? $0 * mine.count..<($0 + 1) * mine.count : 0..<0 })
    for (piece, isPresent) in present.enumerated() {
      for (i, place) in places.enumerated() where isPresent[i] {
        let part = place.clamped(to: mine)
        if !part.isEmpty { try add(part, at: part.lowerBound - mine.lowerBound, of: i, piece: piece, size: mine.count) }
        self.isPresent[i] = true
      }
    }
  }

  private func add(_ part: Range<Int>, at offset: Int, of parameter: Int, piece: Int, size: Int) throws {
    let begin = piece * size + offset
    guard isPresent[parameter] else {
      return (sum.pointer + offset).copyMemory(from: received.pointer + begin, byteCount: part.count)
    }
    let type = parameters[parameter].gradientDType
    let count = part.count / type.size
    func view(_ storage: Storage, _ begin: Int) -> Tensor {
      Tensor(shape: [count], dtype: type, storage: storage, byteOffset: begin, count: count)
    }
    try view(sum, offset).addInPlace(view(received, begin))
  }

  /// Makes the parameters' gradients the sums; all processes have to call it.
  func finish() throws {
    if isPresent.contains(true) {
      let mine = slice(group.rank)
      try group.allToAll(
        UnsafeRawBufferPointer(start: sum.pointer, count: mine.count), (0..<group.count).map { _ in 0..<mine.count },
        into: UnsafeMutableRawBufferPointer(start: own.pointer, count: size), (0..<group.count).map(slice))
    }
    for (i, parameter) in parameters.enumerated() {
      let type = parameter.gradientDType
      parameter.grad =
        isPresent[i]
        ? Tensor(shape: parameter.shape, dtype: type, storage: own, byteOffset: places[i].lowerBound, count: parameter.count) : nil
    }
  }
}
