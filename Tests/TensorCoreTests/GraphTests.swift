import Diagnostics
import TensorCore
import TestSupport
import Testing

/// What `backward()` does with the graph.
@Suite(.engine) struct GraphTests {
  private func leaf(_ values: [Double]) throws -> Tensor {
    try Tensor(values, [values.count]).requiresGrad(true)
  }
  private let zero = { @Sendable (count: Int) in try Tensor.zeros([count], .float64) }

  @Test func gradientsAccumulate() throws {
    let x = try leaf([1, 2])
    for pass in 1...3 {
      try x.unary(.square).backward(gradient: try Tensor([1.0, 10], [2]))
      expectClose(
        "pass \(pass)", try #require(x.grad).values, [2.0 * Double(pass), 40.0 * Double(pass)])
    }
    x.grad = nil
    try x.unary(.square).backward(gradient: try Tensor([1.0, 10], [2]))
    expectClose("cleared", try #require(x.grad).values, [2, 40])
  }

  @Test func sharedSubexpressionsAddUp() throws {
    // y = x^2 is used three times: d/dx (y W0^T W1^T ...) is checked against differences.
    let x = try normal([2, 3]).requiresGrad(true)
    let w = try normal([3, 3], stream: 1).requiresGrad(true)
    try expectGradient("diamond", [x, w]) { inputs in
      let y = try inputs[0].unary(.square)
      let a = try y.linear(inputs[1])
      let b = try a.linear(inputs[1]).addingLinear(y, inputs[1], scale: 1)
      return try b.layerNorm(
        residual: a, try Tensor.ones([3], .float64), try Tensor.zeros([3], .float64))
    }
  }

  @Test func sameTensorTwiceInOneOperation() throws {
    let w = try normal([3, 3]).requiresGrad(true)
    try expectGradient("w w^T", [w]) { try $0[0].linear($0[0]) }
  }

  @Test func retainGraphAllowsTwoPasses() throws {
    let x = try leaf([3])
    let y = try x.unary(.square)
    try y.backward(retainGraph: true)
    try y.backward()
    #expect(x.grad?.values == [12])
    expectError("graph was freed") { try y.backward() }
    #expect(x.grad?.values == [12])
  }

  @Test func partOfAFreedGraphIsAnError() throws {
    let x = try leaf([3])
    let shared = try x.unary(.square)
    try shared.unary(.exp).backward(gradient: try Tensor([1.0], [1]))
    expectError("graph was freed") { try shared.unary(.sin).backward() }
  }

  @Test func onlyScalarsGoWithoutAGradient() throws {
    let y = try leaf([1, 2]).unary(.square)
    expectError("backward() of [2] float64") { try y.backward() }
    expectError("gradient [3] float64 for [2] float64") { try y.backward(gradient: try zero(3)) }
    expectError("gradient [2] float32 for [2] float64") {
      try y.backward(gradient: try Tensor.zeros([2]))
    }
    expectError("does not require grad") { try zero(1).backward() }
  }

  @Test func noGradRecordsNothing() throws {
    let x = try leaf([1])
    let y = try Autograd.noGrad { try x.unary(.square) }
    #expect(!y.requiresGrad && y.isLeaf)
    struct Stop: Error {}
    #expect(throws: Stop.self) { try Autograd.noGrad { throw Stop() } }
    #expect(Autograd.isEnabled)
    let before = Autograd.setEnabled(false)
    #expect(before)
    #expect(try !x.unary(.square).requiresGrad)
    _ = Autograd.setEnabled(true)
    #expect(try x.unary(.square).requiresGrad)
  }

  @Test func detachStopsGradientsAndSharesMemory() throws {
    let x = try leaf([3])
    let cut = try x.unary(.square).detach()
    #expect(!cut.requiresGrad)
    let w = try Tensor([2.0], [1, 1]).requiresGrad(true)
    try cut.view([1, 1]).linear(w).backward()
    #expect(x.grad == nil)
    #expect(w.grad?.values == [9])
    x.detach().set(7, at: 0)
    #expect(x.values == [7])
  }

  @Test func leavesAloneAreMarked() throws {
    let x = try leaf([3])
    let y = try x.unary(.square)
    expectError("requires_grad of a result") { try y.requiresGrad(false) }
    expectError("expected float32 or float64") { try Tensor([1 as Int32], [1]).requiresGrad(true) }
    try y.backward()
    try x.requiresGrad(false)
    #expect(x.grad == nil)
    #expect(try !x.unary(.square).requiresGrad)
  }

  @Test func gradientOfALeafIsItsOwn() throws {
    let x = try leaf([3, 4])
    let seed = try Tensor([1.0, 1], [2])
    try x.backward(gradient: seed)
    try x.backward(gradient: seed)
    #expect(seed.values == [1, 1])
    #expect(x.grad?.values == [2, 2])
  }

  @Test func noTwoLeavesShareAGradient() throws {
    let (a, b) = (try leaf([3, 4]), try leaf([5, 6]))
    let seed = try Tensor([1.0, 1], [2])
    try a.add(b).backward(gradient: seed)
    try #require(a.grad).fill(7)
    #expect(b.grad?.values == [1, 1] && seed.values == [1, 1])
  }

  /// The backward pass of a checkpoint runs within another one, and both meet the same parameter.
  @Test func aPassWithinAPass() throws {
    let x = try normal([2, 3]).requiresGrad(true)
    let w = try normal([3, 3], stream: 1).requiresGrad(true)
    func gradients(_ isCheckpointed: Bool) throws -> [[Double]] {
      (x.grad, w.grad) = (nil, nil)
      let inner = { (inputs: [Tensor]) in try inputs[0].linear(w).unary(.sin).linear(w) }
      let y = try x.linear(w)
      let z = isCheckpointed ? try Autograd.checkpoint([y], parameters: [w], inner) : try inner([y])
      try z.linear(w).add(y).backward(gradient: try normal([2, 3], stream: 2))
      return [try #require(x.grad).values, try #require(w.grad).values]
    }
    let (plain, again) = (try gradients(false), try gradients(true))
    for (plain, again) in zip(plain, again) { expectClose("gradient", again, plain) }
  }

  @Test func longChainsDoNotOverflowTheStack() throws {
    let start = Memory.liveBytes
    do {
      let x = try leaf([0.5])
      var y = x
      for _ in 0..<200_000 { y = try y.unary(.neg) }
      try y.backward()
      #expect(x.grad?.values == [1])
      // A chain that no backward pass has freed.
      y = x
      for _ in 0..<200_000 { y = try y.unary(.neg) }
    }
    #expect(Memory.liveBytes == start)
  }

  @Test func nothingLeaks() throws {
    Memory.trim()
    let start = Memory.liveBytes
    for row in LayerGradientTests.linears + LayerGradientTests.norms + LayerGradientTests.attentions
      + LayerGradientTests.others + LayerGradientTests.unaries
    {
      do {
        let inputs = try row.inputs()
        _ = try row.body(inputs)  // dropped without a backward pass
        let retained = try row.body(inputs)
        try retained.backward(gradient: try normal(retained.shape), retainGraph: true)
        let output = try row.body(inputs)
        try output.backward(gradient: try normal(output.shape))
      }
      #expect(Memory.liveBytes == start, "\(row.name)")
    }
  }

  @Test func backwardFreesActivationsAsItGoes() throws {
    let x = try normal([1000]).requiresGrad(true)
    var y = x
    for _ in 0..<100 { y = try y.unary(.sin) }
    let before = Memory.liveBytes
    Memory.resetPeak()
    try y.backward(gradient: try Tensor.ones([1000], .float64))
    #expect(Memory.peakBytes - before < 10 * 8192)
  }
}

/// Fails the test unless `body` throws an `EngineError` whose text contains `text`.
func expectError(
  _ text: String, kind: EngineError.Kind? = nil, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> some Any
) {
  do {
    _ = try body()
    Issue.record("no error, expected one with '\(text)'", sourceLocation: sourceLocation)
  } catch let error as EngineError {
    #expect(error.description.contains(text), sourceLocation: sourceLocation)
    #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
    if let kind { #expect(error.kind == kind, sourceLocation: sourceLocation) }
  } catch {
    Issue.record(error, sourceLocation: sourceLocation)
  }
}
