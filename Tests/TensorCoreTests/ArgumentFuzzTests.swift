import Diagnostics
import TensorCore
import TestSupport
import Testing

/// Random arguments either work or throw an `EngineError`; nothing traps, and gradients have the
/// operands' shapes.
@Suite(.engine) struct ArgumentFuzzTests {
  /// Draws of sizes, axes and numbers, mostly sensible, sometimes at the ends of their range.
  struct Draws {
    private var numbers: ArraySlice<UInt32>

    init(_ seed: UInt64) { numbers = RandomSource(seed: seed, stream: 12).bits(4096)[...] }

    mutating func below(_ bound: Int) -> Int { Int(numbers.popFirst() ?? 0) % bound }
    mutating func chance(_ oneIn: Int) -> Bool { below(oneIn) == 0 }

    mutating func integer() -> Int {
      // Nothing between what a test may allocate and what no machine has.
      let extremes = [Int.min, .max, .min + 1, .max - 1, -(1 << 31), 1 << 62, 0, -1, 1 << 50]
      return chance(8) ? extremes[below(extremes.count)] : below(9) - 4
    }
    mutating func number() -> Double {
      let extremes = [
        Double.nan, .infinity, -.infinity, 1e300, -1e300, 0, -0.0, .leastNonzeroMagnitude, 1e12,
      ]
      return chance(6) ? extremes[below(extremes.count)] : Double(below(41) - 20) / 4
    }
    mutating func integers(_ count: Int) -> [Int] { (0..<count).map { _ in integer() } }
    mutating func list() -> [Int] {
      let count = below(5)
      return integers(count)
    }
    mutating func shape() -> [Int] {
      if chance(25) { return [0, 1 << 40, 3] }
      if chance(25) { return [.max, 0] }
      if chance(3) { return [[3], [3, 3], [2, 3]][below(3)] }  // shapes that fit each other
      let count = below(5)
      return (0..<count).map { _ in chance(10) ? 0 : below(4) + 1 }
    }
    mutating func dtype() -> DType { chance(2) ? .float64 : DType.allCases[below(4)] }

    mutating func tensor() throws -> Tensor {
      let (shape, type) = (self.shape(), dtype())
      if type == .int32 {
        let count = try elementCount(shape)
        return try Tensor((0..<count).map { _ in Int32(truncatingIfNeeded: integer()) }, shape)
      }
      let values = try Tensor.randn(
        shape, RandomSource(seed: UInt64(below(1000))), type == .float64 ? .float64 : .float32)
      if values.count > 0, chance(10) { values.set(number(), at: 0) }
      if type == .bfloat16 { return try values.to(.bfloat16) }
      return try values.requiresGrad(chance(2))
    }
  }

  static let operations: [@Sendable (inout Draws) throws -> [Tensor]] = [
    { draws in
      let operation = BinaryOperation.allCases[draws.below(BinaryOperation.allCases.count)]
      return [try draws.tensor().binary(operation, draws.tensor())]
    },
    { draws in
      let operation = BinaryOperation.allCases[draws.below(BinaryOperation.allCases.count)]
      return [try draws.tensor().binary(operation, draws.number(), reversed: draws.chance(2))]
    },
    { draws in
      [
        try draws.tensor().unary(
          UnaryOperation.allCases[draws.below(UnaryOperation.allCases.count)])
      ]
    },
    { [try $0.tensor().to($0.dtype())] },
    { [try Tensor.where($0.tensor(), $0.tensor(), $0.tensor())] },
    { [try $0.tensor().maskedFill($0.tensor(), $0.number())] },
    { [try $0.tensor().clamp($0.number(), $0.chance(2) ? nil : $0.number())] },
    { [try $0.tensor().reshape($0.list())] },
    { [try $0.tensor().flatten($0.integer(), $0.integer())] },
    { [try $0.tensor().unsqueeze($0.integer())] },
    { [try $0.tensor().squeeze($0.chance(3) ? nil : $0.integer())] },
    { [try $0.tensor().transpose($0.integer(), $0.integer())] },
    { [try $0.tensor().permute($0.list())] },
    { [try $0.tensor().broadcast(to: $0.list())] },
    { [try $0.tensor().matmul($0.tensor())] },
    { [try $0.tensor().sum($0.list(), keepdim: $0.chance(2))] },
    { [try $0.tensor().mean($0.list(), keepdim: $0.chance(2))] },
    { [try $0.tensor().reduceMax($0.list(), keepdim: $0.chance(2)).values] },
    { [try $0.tensor().reduceMin($0.list(), keepdim: $0.chance(2)).values] },
    { [try $0.tensor().argmax($0.chance(3) ? nil : $0.integer())] },
    { [try $0.tensor().std($0.list(), unbiased: $0.chance(2))] },
    { [try $0.tensor().variance($0.list(), unbiased: $0.chance(2))] },
    { [try $0.tensor().norm($0.number(), $0.list())] },
    { [try $0.tensor().logSumExp($0.list())] },
    { [try $0.tensor().cumsum($0.integer())] },
    { [try $0.tensor().softmax($0.integer())] },
    { [try $0.tensor().logSoftmax($0.integer())] },
    { [try $0.tensor().slice($0.integer(), $0.integer(), $0.integer(), step: $0.integer())] },
    { [try $0.tensor().select($0.integer(), $0.integer())] },
    { draws in
      let ids = try Tensor(draws.integers(3).map { Int32(truncatingIfNeeded: $0) }, [3])
      return [try draws.tensor().indexSelect(draws.integer(), ids)]
    },
    { draws in
      let x = try draws.tensor()
      let shape = draws.chance(4) ? draws.shape() : x.shape
      let index = try Tensor(
        (0..<(try elementCount(shape))).map { _ in Int32(draws.below(draws.chance(9) ? 9 : 1)) },
        shape)
      return [try x.gather(draws.integer(), index)]
    },
    { draws in
      let count = draws.below(4)
      return [try Tensor.cat((0..<count).map { _ in try draws.tensor() }, draws.integer())]
    },
    { [try Tensor.stack([$0.tensor(), $0.tensor()], $0.integer())] },
    { [try Tensor.cat([$0.tensor()], $0.integer())] },
    { try $0.tensor().split(sizes: $0.list(), $0.integer()) },
    { try $0.tensor().split(size: $0.integer(), $0.integer()) },
    { try $0.tensor().chunk($0.integer(), $0.integer()) },
    { [try $0.tensor().tril($0.integer())] },
    { [try $0.tensor().triu($0.integer())] },
    { [try $0.tensor().oneHot($0.integer(), $0.dtype())] },
    { [try Tensor.arange($0.number(), $0.number(), $0.number(), $0.dtype())] },
    { [try Tensor.linspace($0.number(), $0.number(), $0.integer(), $0.dtype())] },
    { [try Tensor.full($0.list(), $0.number(), $0.dtype())] },
    { [try Tensor.eye($0.integer())] },
    { [try $0.tensor().svd().u] },
    { [try $0.tensor().svd().s] },
    { [try $0.tensor().svd().vh] },
    { [try $0.tensor().qr().q] },
    { [try $0.tensor().qr().r] },
    { [try $0.tensor().solve($0.tensor())] },
    { [try $0.tensor().inverse()] },
    { [try $0.tensor().cholesky()] },
    { draws in
      let x = try draws.tensor().detach()
      try x.addInPlace(draws.tensor(), alpha: draws.number())
      return [x]
    },
    { draws in
      let x = try draws.tensor().detach()
      try x.mulInPlace(draws.tensor())
      try x.mulInPlace(draws.number())
      return [x]
    },
    { draws in
      let x = try draws.tensor().detach()
      try x.copyInPlace(draws.tensor())
      try x.fillInPlace(draws.number())
      return [x]
    },
    { [try $0.tensor().linear($0.tensor(), $0.chance(2) ? nil : $0.tensor())] },
    { draws in
      let x = try draws.tensor()
      let weight = draws.chance(3) ? try draws.tensor() : try Tensor.ones([3], x.dtype)
      return [try x.layerNorm(residual: draws.chance(3) ? draws.tensor() : nil, weight, weight)]
    },
    { [try $0.tensor().mseLoss($0.tensor())] },
    { draws in
      let labels = draws.integers(draws.below(4)).map { Int32(truncatingIfNeeded: $0) }
      return [try draws.tensor().crossEntropy(labels, labelSmoothing: draws.number())]
    },
    { draws in
      let ids = draws.integers(draws.below(4)).map { Int32(truncatingIfNeeded: $0) }
      return [
        try draws.tensor().gatherRows(ids, adding: draws.chance(2) ? [] : [(draws.tensor(), ids)])
      ]
    },
    { [try $0.tensor().dropout(Dropout(p: $0.number(), source: RandomSource(seed: 1)))] },
  ]

  @Test(arguments: 0..<operations.count) func argumentsNeverTrap(_ index: Int) throws {
    var succeeded = 0
    for round in 0..<300 {
      var draws = Draws(UInt64(index * 1000 + round))
      do {
        for result in try Self.operations[index](&draws) {
          #expect(try elementCount(result.shape) == result.count)
          succeeded += 1
          if result.requiresGrad {
            let type: DType = result.dtype == .float64 ? .float64 : .float32
            try result.backward(gradient: try Tensor.ones(result.shape, type))
          }
        }
      } catch let error as EngineError {
        #expect(!error.message.isEmpty && !error.description.contains("\n"))
      }
    }
    #expect(succeeded > 0)
  }
}
