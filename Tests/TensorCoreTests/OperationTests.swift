import Diagnostics
import Foundation
import TensorCore
import TestSupport
import Testing

/// The general operations: values against NumPy, gradients against differences, types, errors.
@Suite(.engine) struct OperationTests {
  @Test func everyOperationHasAFixture() {
    #expect(!OperationTable.names.isEmpty)
    #expect(OperationTable.names == Set(OperationTable.all.keys))
  }

  @Test(arguments: OperationTable.rows) func matchesNumPy(_ row: OperationTable.Row) throws {
    let inputs = try row.leaves()
    let before = inputs.map(\.values)
    let expected = try row.expected.tensor()
    let actual = try row.body(inputs)
    #expect(actual.dtype == expected.dtype)
    #expect(actual.requiresGrad == row.hasGradient)
    expectClose(row.name, actual, expected, relative: 1e-10, absolute: 1e-12)
    expectClose(
      row.name + " unrecorded", try Autograd.noGrad { try row.body(inputs) }, expected,
      relative: 1e-10, absolute: 1e-12)
    #expect(inputs.map(\.values) == before)
  }

  @Test(arguments: OperationTable.rows.filter(\.hasGradient))
  func gradientMatchesDifferences(_ row: OperationTable.Row) throws {
    // Differences of numbers around 800 lose three digits more.
    let tolerance = row.name == "logsumexp large" ? 1e-4 : 1e-6
    try expectGradient(row.name, try row.leaves(), tolerance: tolerance, row.body)
  }

  @Test(arguments: OperationTable.rows) func singleAgreesWithDouble(_ row: OperationTable.Row)
    throws
  {
    // Inverses and factors of badly conditioned matrices lose digits in float32.
    let tolerance = OperationTable.decompositions[row.name] == nil ? 1e-5 : 1e-3
    let doubles = try row.leaves()
    let singles = try doubles.map {
      $0.dtype == .float64 ? try $0.detach().to(.float32).requiresGrad(true) : $0
    }
    let expected = try row.body(doubles)
    let actual = try row.body(singles)
    let scale = 1 + expected.values.reduce(0) { max($0, abs($1)) }
    expectClose(row.name, actual, expected, relative: tolerance, absolute: tolerance * scale)
    guard row.hasGradient else { return }
    try expected.backward(gradient: try Tensor.ones(expected.shape, .float64))
    try actual.backward(gradient: try Tensor.ones(actual.shape, actual.dtype))
    for (single, double) in zip(singles, doubles) where double.requiresGrad {
      let (a, b) = (try #require(single.grad), try #require(double.grad))
      let scale = 1 + b.values.reduce(0) { max($0, abs($1)) }
      expectClose(
        row.name + " gradient", a, b, relative: 10 * tolerance, absolute: 10 * tolerance * scale)
    }
  }

  /// bfloat16 operands work everywhere, and their gradients are float32.
  @Test(arguments: OperationTable.rows) func acceptsBFloat16(_ row: OperationTable.Row) throws {
    let inputs = try row.inputs.map {
      try $0.type == "int32" ? $0.tensor() : $0.tensor().to(.bfloat16)
    }
    let result = try row.body(inputs)
    #expect(result.shape == row.expected.shape)
    // Moving elements keeps the type; computing with them gives float32.
    #expect(
      result.dtype != .bfloat16 || OperationTable.shapes[row.name] != nil
        || row.name.contains("where") || row.name == "masked_fill")
    guard row.hasGradient else { return }
    let leaf = try row.inputs.map { try $0.tensor() }
    let leaves = try leaf.map { $0.dtype == .int32 ? $0 : try $0.to(.float32).requiresGrad(true) }
    let narrow = try leaves.map { $0.dtype == .int32 ? $0 : try $0.to(.bfloat16) }
    let output = try row.body(narrow)
    try output.backward(
      gradient: try Tensor.ones(output.shape, output.dtype == .float64 ? .float64 : .float32))
    for leaf in leaves where leaf.requiresGrad { #expect(leaf.grad?.dtype == .float32) }
  }

  @Test func integersStayExact() throws {
    let big = try Tensor([2_000_000_000 as Int32, -7, 16_777_217], [3])
    let two = try Tensor([2 as Int32], [1])
    #expect(try big.sub(two).values == [1_999_999_998, -9, 16_777_215])
    #expect(try big.sub(two).dtype == .int32)
    #expect(try big.binary(.maximum, two).values == [2_000_000_000, 2, 16_777_217])
    #expect(try big.div(two).dtype == .float32)
    #expect(try big.add(0.5).dtype == .float32)
    #expect(try big.add(1).dtype == .int32)
    #expect(try big.binary(.gt, two).values == [1, 0, 1])
    #expect(try big.unary(.abs).values == [2_000_000_000, 7, 16_777_217])
    #expect(try big.unary(.exp).dtype == .float32)
    #expect(try two.matmul(two).values == [4])
    #expect(try big.reduceMin().values.values == [-7])
    #expect(try big.slice(0, 1).sum().values == [16_777_210])
    #expect(try big.cumsum(0).dtype == .int32)
    #expect(try big.clamp(-5.5, 100).values == [100, -5, 100])
    #expect(try Tensor.cat([big, two]).dtype == .int32)
    expectError("cannot convert", kind: .data) { try big.mul(two) }
    expectError("cannot convert", kind: .data) { try big.cumsum(0).add(big).add(big) }
    #expect(try big.add(Tensor([0.5], [1])).dtype == .float64)
    #expect(try Tensor.arange(0, 5, 1, .int32).values == [0, 1, 2, 3, 4])
  }

  @Test func sequences() throws {
    #expect(try Tensor.arange(1, 2, 0.25, .float64).values == [1, 1.25, 1.5, 1.75])
    #expect(try Tensor.arange(5, 0, -2).values == [5, 3, 1])
    #expect(try Tensor.arange(0, -1).shape == [0])
    #expect(try Tensor.linspace(0, 1, 5).values == [0, 0.25, 0.5, 0.75, 1])
    #expect(try Tensor.linspace(-1, 0.3, 7, .float64).values.last == 0.3)
    #expect(try Tensor.linspace(3, 9, 1).values == [3])
    #expect(try Tensor.linspace(3, 9, 0).values == [])
    #expect(try Tensor.eye(2).values == [1, 0, 0, 1])
  }

  @Test func kinksAndTies() throws {
    func gradient(_ values: [Double], _ body: (Tensor) throws -> Tensor) throws -> [Double] {
      let x = try Tensor(values, [values.count]).requiresGrad(true)
      let y = try body(x)
      try y.backward(gradient: try Tensor.ones(y.shape, .float64))
      return try #require(x.grad).values
    }
    #expect(try gradient([1, 1, 0]) { try $0.reduceMax().values } == [1, 0, 0])
    #expect(
      try gradient([2, 0]) { try $0.binary(.maximum, try Tensor([2.0, 1], [2])) } == [0.5, 0])
    #expect(try gradient([-1, 0, 1, 2, 3]) { try $0.clamp(0, 2) } == [0, 1, 1, 1, 0])
    #expect(try gradient([0, 0]) { try $0.norm() } == [0, 0])
    #expect(try gradient([0, 0]) { try $0.norm(3) } == [0, 0])
    #expect(try gradient([4, 4]) { try $0.std() } == [0, 0])
    #expect(try gradient([0, 2]) { try $0.binary(.pow, 0) } == [0, 0])
    #expect(try gradient([0, 2]) { try $0.binary(.pow, 2) } == [0, 4])
    #expect(try gradient([0, 1]) { try $0.binary(.pow, 0, reversed: true) } == [0, 0])
    #expect(
      try gradient([1, 2]) { try Tensor.where(Tensor([0.0, 1], [2]), $0.unary(.log), $0) } == [
        1, 0.5,
      ])
    // A branch that is not taken contributes nothing, not even through a gradient that is not a
    // number.
    #expect(
      try gradient([0, 1]) { try $0.maskedFill($0.detach().binary(.eq, 0), 1).unary(.log) } == [
        0, 1,
      ])
  }

  @Test func notANumberPropagates() throws {
    let x = try Tensor([1.0, .nan, 3], [3])
    #expect(try x.reduceMax().values.element(0).isNaN)
    #expect(try x.argmax().values == [1])
    #expect(try x.clamp(0, 2).element(1).isNaN)
    #expect(try x.binary(.maximum, 2).element(1).isNaN)
    #expect(try x.logSumExp().element(0).isNaN)
    #expect(try x.sum().element(0).isNaN)
    #expect(try x.binary(.eq, x).values == [1, 0, 1])
    #expect(try Tensor([-Double.infinity, -.infinity], [2]).logSumExp().values == [-.infinity])
    #expect(
      try Tensor([1e-300, 0], [2]).maskedFill(Tensor([1e-300, 0], [2]), 7).values == [7, 0])
    expectError("element [0, 1] of [1, 3] is nan", kind: .notFinite) {
      try x.reshape([1, 3]).svd().s
    }
  }

  @Test func emptyTensors() throws {
    let empty = try Tensor.zeros([0, 3], .float64).requiresGrad(true)
    #expect(try empty.sum().values == [0])
    #expect(try empty.sum([0]).values == [0, 0, 0])
    #expect(try empty.mean().values[0].isNaN)
    #expect(try empty.variance([0]).values.allSatisfy(\.isNaN))
    #expect(try empty.logSumExp([0]).values == [-.infinity, -.infinity, -.infinity])
    #expect(try empty.reduceMax([1]).values.shape == [0])
    expectError("0 elements", kind: .shape) { try empty.reduceMax([0]).values }
    #expect(try empty.softmax(0).shape == [0, 3])
    #expect(try empty.matmul(Tensor.ones([3, 2], .float64)).shape == [0, 2])
    let product = try Tensor.ones([2, 0], .float64).requiresGrad(true).matmul(
      empty.transpose(0, 1).transpose(0, 1))
    #expect(product.values == [0, 0, 0, 0, 0, 0])
    try product.sum().backward()
    #expect(empty.grad?.shape == [0, 3])
    #expect(try Tensor.cat([empty, Tensor.ones([1, 3], .float64)]).values == [1, 1, 1])
    #expect(
      try Tensor.zeros([3, 0]).requiresGrad(true).matmul(Tensor.zeros([0, 2])).values == [
        0, 0, 0, 0, 0, 0,
      ])
    #expect(try Tensor.zeros([0, 4]).svd().s.shape == [0])
    #expect(try Tensor.zeros([4, 0]).qr().q.shape == [4, 0])
  }

  @Test func reshapedTensorsShareMemory() throws {
    let x = try Tensor.zeros([2, 3])
    try x.reshape([6]).slice(0, 2, 3).copyInPlace(Tensor.ones([1]))  // a slice is a copy
    #expect(x.values.allSatisfy { $0 == 0 })
    try x.reshape([3, 2]).fillInPlace(5)
    #expect(x.values.allSatisfy { $0 == 5 })
  }

  @Test func writesInPlace() throws {
    let x = try Tensor([1.0, 2, 3, 4], [2, 2])
    try x.addInPlace(Tensor([10.0, 20], [2]), alpha: 0.5)
    #expect(x.values == [6, 12, 8, 14])
    try x.addInPlace(x)
    try x.mulInPlace(0.5)
    try x.mulInPlace(Tensor([Float(1), 0], [2, 1]))
    #expect(x.values == [6, 12, 0, 0])
    try x.copyInPlace(Tensor([7 as Int32], []))
    #expect(x.values == [7, 7, 7, 7])
    try x.zeroInPlace()
    #expect(x.values == [0, 0, 0, 0])
    let ids = try Tensor([1 as Int32, 2], [2])
    try ids.addInPlace(Tensor([3 as Int32], [1]), alpha: 2)
    #expect(ids.values == [7, 8])
    expectError("not an int32") { try ids.fillInPlace(0.5) }
    let narrow = try Tensor([1.0, 2], [2]).to(.bfloat16)
    try narrow.addInPlace(Tensor.ones([2]))
    try narrow.mulInPlace(2)
    #expect(narrow.values == [4, 6])
    expectError("operand [3, 2] is larger than [2]", kind: .shape) {
      try narrow.addInPlace(Tensor.ones([3, 2]))
    }
  }

  @Test func writesThatWouldBreakTheGraphThrow() throws {
    let leaf = try Tensor([1.0, 2], [2]).requiresGrad(true)
    let result = try leaf.unary(.exp)
    let plain = try Tensor([1.0, 2], [2])
    let writes: [(Tensor) throws -> Void] = [
      { try $0.addInPlace(plain) }, { try $0.mulInPlace(plain) }, { try $0.mulInPlace(2) },
      { try $0.copyInPlace(plain) },
      { try $0.fillInPlace(1) }, { try $0.zeroInPlace() },
    ]
    for write in writes {
      expectError("leaf that requires grad", kind: .argument) { try write(leaf) }
      expectError("result that requires grad", kind: .argument) { try write(result) }
      expectError("result that requires grad", kind: .argument) {
        try Autograd.noGrad { try write(result) }
      }
      try Autograd.noGrad { try write(leaf) }
      let bytes = [Double](repeating: 1, count: 2)
      final class Owner {}
      try bytes.withUnsafeBytes { buffer in
        let borrowed = try Tensor(borrowing: buffer, owner: Owner(), shape: [2], .float64)
        expectError("belongs to a file", kind: .argument) { try write(borrowed) }
      }
    }
    expectError("operand requires grad", kind: .argument) { try plain.addInPlace(leaf) }
    try Autograd.noGrad { try plain.addInPlace(leaf) }
  }

  @Test func decompositionsSayWhatIsMissing() throws {
    let eye = try Tensor.eye(3, .float64).requiresGrad(true)
    let (u, s, _) = try eye.svd()
    try s.sum().backward()
    expectClose("gradient of the nuclear norm", try #require(eye.grad), try Tensor.eye(3, .float64))
    expectError("singular values 0 and 1 are equal", kind: .data) { try u.sum().backward() }
    let flat = try Tensor([1.0, 0, 0, 0, 0, 0], [3, 2]).requiresGrad(true)
    expectError("no full rank", kind: .data) { try flat.svd().u.sum().backward() }
    expectError("more columns than rows", kind: .shape) {
      try normal([2, 3]).requiresGrad(true).qr().q.sum().backward()
    }
    expectError("singular", kind: .data) { try Tensor.ones([2, 2]).inverse() }
    expectError("not positive definite", kind: .data) { try Tensor.eye(2).unary(.neg).cholesky() }
    let (q, r) = try normal([3, 5]).qr()
    expectClose("wide qr", try q.matmul(r), try normal([3, 5]), absolute: 1e-12)
  }

  @Test func nothingLeaks() throws {
    let start = Memory.liveBytes
    for row in OperationTable.rows {
      do {
        _ = try row.body(row.leaves())
        let output = try row.body(row.leaves())
        if row.hasGradient {
          try output.backward(gradient: try Tensor.ones(output.shape, .float64))
        }
      }
      #expect(Memory.liveBytes == start, "\(row.name)")
    }
  }

  struct Mistake: CustomTestStringConvertible, Sendable {
    let text: String
    let body: @Sendable () throws -> Tensor
    var testDescription: String { text }
  }
  static let mistakes: [Mistake] = [
    Mistake(text: "add: shapes [2, 3] and [2] do not fit each other: 3 against 2") {
      try x().add(Tensor.ones([2]))
    },
    Mistake(text: "matmul: [2, 3] and [2, 3]: 3 columns on the left, 2 rows on the right") {
      try x().matmul(x())
    },
    Mistake(text: "matmul: [] and [2, 3]") { try Tensor.ones([]).matmul(x()) },
    Mistake(text: "matmul: shapes [2] and [3]") {
      try Tensor.ones([2, 2, 2]).matmul(Tensor.ones([3, 2, 2]))
    },
    Mistake(text: "sum: axis 2 of a tensor with 2 axes, expected -2 to 1") { try x().sum([2]) },
    Mistake(text: "softmax: axis -1 of a tensor with 0 axes, a scalar has none") {
      try Tensor.ones([]).softmax()
    },
    Mistake(text: "sum: axes [0, -2] name one axis twice") { try x().sum([0, -2]) },
    Mistake(text: "[2, 3] has 6 elements, which do not fit [4, -1]") { try x().reshape([4, -1]) },
    Mistake(text: "[2, 3] has 6 elements, [5] would have 5") { try x().reshape([5]) },
    Mistake(text: "more than one -1") { try x().reshape([-1, -1]) },
    Mistake(text: "negative size in shape [-2, -3]") { try x().reshape([-2, -3]) },
    Mistake(text: "do not fit [0, -1]") { try Tensor.ones([0]).reshape([0, -1]) },
    Mistake(text: "permute: [0, 0] does not name each axis") { try x().permute([0, 0]) },
    Mistake(text: "expand: [2, 3] does not repeat to [4, 3]") { try x().broadcast(to: [4, 3]) },
    Mistake(text: "-1 in [-1, 2, 3]") { try x().broadcast(to: [-1, 2, 3]) },
    Mistake(text: "too many elements") { try Tensor.ones([1, 1]).broadcast(to: [.max, .max]) },
    Mistake(text: "too many elements") { try Tensor.zeros([0, .max, .max]) },
    Mistake(text: "out of memory") { try Tensor.ones([1]).broadcast(to: [1 << 50]) },
    Mistake(text: "step 0, expected 1 or more") { try x().slice(0, step: 0) },
    Mistake(text: "index 2 is outside axis 0 of [2, 3]") { try x().select(0, 2) },
    Mistake(text: "ids of float32, expected int32") { try x().indexSelect(0, Tensor.ones([1])) },
    Mistake(text: "id -1 is outside 0..<2") { try x().indexSelect(0, Tensor([Int32(-1)], [1])) },
    Mistake(text: "id 3 is outside 0..<3") { try x().gather(1, Tensor([Int32(3)], [1, 1])) },
    Mistake(text: "gather: index [3, 1] for [2, 3]") {
      try x().gather(1, Tensor.zeros([3, 1], .int32))
    },
    Mistake(text: "cat: no tensors") { try Tensor.cat([]) },
    Mistake(text: "cat: [2, 2] beside [2, 3] along axis 0") {
      try Tensor.cat([x(), Tensor.ones([2, 2])])
    },
    Mistake(text: "stack: [2, 2] beside [2, 3]") { try Tensor.stack([x(), Tensor.ones([2, 2])]) },
    Mistake(text: "sizes [3, 1] do not add up to axis 1 of [2, 3]") {
      try x().split(sizes: [3, 1], 1)[0]
    },
    Mistake(text: "sizes [4, -1] do not add up") { try x().split(sizes: [4, -1], 1)[0] },
    Mistake(text: "chunk: 0 parts") { try x().chunk(0)[0] },
    Mistake(text: "tril: [3], expected at least two axes") { try Tensor.ones([3]).tril() },
    Mistake(text: "norm: p = -1.0") { try x().norm(-1) },
    Mistake(text: "norm: p = nan") { try x().norm(.nan) },
    Mistake(text: "mask [2, 2, 3] is larger") { try x().maskedFill(Tensor.ones([2, 2, 3]), 0) },
    Mistake(text: "arange: from 0.0 to 1.0 in steps of 0.0") { try Tensor.arange(0, 1, 0) },
    Mistake(text: "arange: from 0.0 to inf") { try Tensor.arange(0, .infinity) },
    Mistake(text: "linspace: -1 numbers") { try Tensor.linspace(0, 1, -1) },
    Mistake(text: "inverse: [2, 3], expected a square matrix") { try x().inverse() },
    Mistake(text: "svd: [3], expected a matrix") { try Tensor.ones([3]).svd().s },
    Mistake(text: "solve: [2, 2] and [3, 1]") { try Tensor.eye(2).solve(Tensor.ones([3, 1])) },
    Mistake(text: "33 axes, expected at most 32") {
      try Tensor.ones([Int](repeating: 1, count: 33))
    },
    Mistake(text: "full: 1e+20 is not an int32") { try Tensor.full([1], 1e20, .int32) },
    Mistake(text: "one_hot: id 4 is outside 0..<4") { try Tensor([Int32(4)], [1]).oneHot(4) },
  ]
  private static func x() throws -> Tensor { try Tensor.ones([2, 3]) }

  @Test(arguments: mistakes) func mistakesAreExplained(_ mistake: Mistake) {
    expectError(mistake.text) { try mistake.body() }
  }
}
