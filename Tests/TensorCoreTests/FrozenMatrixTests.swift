import TestSupport
import Testing

@testable import TensorCore

/// Frozen matrices that take no memory of their own, and the loss of a head whose scores never exist all at once.
@Suite(.engine) struct FrozenMatrixTests {
  private func bits(_ tensor: Tensor) -> [UInt32] { tensor.floats.map(\.bitPattern) }

  /// A file's matrix, [70, 90] or its transpose, and the same elements in memory.
  private func stored(_ type: DType, isTransposed: Bool) throws -> (stored: Tensor, plain: Tensor) {
    let file = try normal([70, 90], stream: 1, .float32).to(type).detach()
    let stored = Tensor(stored: file, isTransposed: isTransposed)
    let plain = try file.to(.float32)
    return (stored, try isTransposed ? plain.transpose(0, 1).copy() : plain.copy())
  }

  @Test(arguments: [DType.float32, .bfloat16], [false, true])
  func storedMatrixReadsAsPlain(_ type: DType, _ isTransposed: Bool) throws {
    let (stored, plain) = try stored(type, isTransposed: isTransposed)
    #expect(stored.shape == plain.shape && stored.dtype == .float32 && !stored.storage.isWritable)
    #expect(Memory.bytes(of: [stored]) == 0)
    #expect(try bits(stored.copy()) == bits(plain))
    #expect(bits(stored) == bits(plain))
    let lent = try stored.lent()
    stored.storage.giveBack()
    #expect(bits(lent) == bits(plain) && bits(stored) == bits(plain))
    try stored.makeExclusive()
    try stored.mulInPlace(2)
    #expect(try bits(stored) == bits(plain.mul(2)))
  }

  @Test(arguments: [DType.float32, .bfloat16], [false, true])
  func rowsOfAStoredMatrix(_ type: DType, _ isTransposed: Bool) throws {
    let (stored, plain) = try stored(type, isTransposed: isTransposed)
    let other = try normal([4, plain.columns], stream: 5, .float32)
    let ids: [Int32] = [3, 0, 69, 3]
    let before = Memory.liveBytes
    #expect(try bits(stored.gatherRows(ids, adding: [(other, [0, 1, 2, 3])])) == bits(plain.gatherRows(ids, adding: [(other, [0, 1, 2, 3])])))
    // Rows that lie together in the file are read without making all elements.
    #expect((Memory.liveBytes == before) == !isTransposed)
    let half = [stored.rows * 2, stored.columns / 2]
    #expect(try bits(stored.view(half).gatherRows(ids)) == bits(plain.view(half).gatherRows(ids)))
  }

  /// The first of several, also where another thread finds a later one.
  @Test(arguments: [DType.float32, .float64, .bfloat16]) func firstThatIsNotFinite(_ type: DType) throws {
    let x = try Tensor.full([3, 100_000], 3e38, type)
    func first() -> Int? { type == .bfloat16 ? Tensor(stored: x, isTransposed: true).firstStoredNonFinite : x.firstNonFinite }
    #expect(first() == nil)
    for (index, value) in [(299_999, Double.nan), (262_143, -.infinity), (140_000, .infinity), (131_072, .nan), (0, .infinity)] {
      x.set(value, at: index)
      #expect(first() == index)
    }
  }

  @Test(arguments: Precision.allCases, [false, true])
  func storedMatrixMultipliesAsPlain(_ precision: Precision, _ isTransposed: Bool) throws {
    let before = Precision.current
    Precision.current = precision
    defer { Precision.current = before }
    for type in [DType.float32, .bfloat16] {
      let (stored, plain) = try stored(type, isTransposed: isTransposed)
      let results = try [stored.sharedParameter(), plain.sharedParameter()].map { weight in
        let x = try normal([5, weight.columns], stream: 2, .float32).requiresGrad(true)
        let y = try x.linear(weight)
        try y.backward(gradient: normal(y.shape, stream: 3, .float32))
        return bits(y) + bits(try #require(x.grad))
      }
      #expect(results[0] == results[1])
    }
  }

  /// 400 rows are two pieces, whose rows are treated in blocks of columns; an odd number of classes needs a zero behind each row in bfloat16.
  ///
  /// OpenBLAS sums in an order that depends on the number of rows; with it, the results are near one another.
  @Test(arguments: Precision.allCases, [1, 2, 4]) func lossInPiecesHasTheSameBits(_ precision: Precision, _ threads: Int) throws {
    let before = (Precision.current, Threads.count)
    (Precision.current, Threads.count) = (precision, threads)
    defer { (Precision.current, Threads.count) = before }
    let (weight, bias) = (try normal([1301, 32], stream: 1, .float32).sharedParameter(), try normal([1301], stream: 2, .float32))
    let labels = (0..<400).map { $0 % 7 == 3 ? ignoredLabel : Int32($0 * 37 % 1301) }
    for (bias, smoothing) in [(nil, 0), (bias, 0.1)] as [(Tensor?, Double)] {
      let results = try [false, true].map { isWhole in
        let x = try normal([400, 32], stream: 3, .float32).requiresGrad(true)
        let loss =
          try isWhole
          ? x.linear(weight, bias).crossEntropy(labels, labelSmoothing: smoothing)
          : x.linearCrossEntropy(weight, bias, labels, labelSmoothing: smoothing)
        let unrecorded = try Autograd.noGrad { try x.linearCrossEntropy(weight, bias, labels, labelSmoothing: smoothing) }
        #expect(bits(unrecorded) == bits(loss))
        try loss.backward()
        return [loss, try #require(x.grad)]
      }
      for (piecewise, whole) in zip(results[0], results[1]) {
        let isSame = bits(piecewise) == bits(whole)
        let difference = zip(piecewise.values, whole.values).map { abs($0 - $1) }.max() ?? 0
        #expect(isSame || precision.provider == "OpenBLAS" && difference < 1e-6, "\(difference)")
      }
    }
  }
}
