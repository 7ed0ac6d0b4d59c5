import Diagnostics
import TensorCore
import TestSupport
import Testing

/// What an operation saved for its gradient and somebody overwrote before the backward pass.
@Suite(.engine) struct SavedTensorTests {
  private static let operations = OperationTable.rows.filter(\.hasGradient).map { row in
    GradientCase(
      row.name, values: { try row.leaves().map { $0.detach() } },
      frozen: Set(row.inputs.indices.filter { row.inputs[$0].type != "float64" }), row.body)
  }
  static let all =
    operations + LayerGradientTests.linears + LayerGradientTests.norms + LayerGradientTests.attentions
    + LayerGradientTests.others + LayerGradientTests.unaries

  /// Overwritten operands and results are an error, or do not matter; a wrong gradient is never the answer.
  @Test(arguments: all) func changedTensorsGiveNoWrongGradient(_ row: GradientCase) throws {
    let expected = try gradients(row) { _, _ in }
    for changed in -1..<(try row.inputs().count) {
      do {
        let actual = try gradients(row) { inputs, result in try change(changed < 0 ? result : inputs[changed]) }
        #expect(actual == expected, "\(row.name), \(changed < 0 ? "result" : "operand \(changed)") changed")
      } catch let error as EngineError {
        #expect(error.message.contains("was changed in place after it"), "\(row.name): \(error)")
      }
    }
  }

  @Test func errorNamesTensorAndOperation() throws {
    let x = try normal([3]).requiresGrad(true)
    let y = try x.unary(.exp)
    try change(y)
    expectError("backward(): [3] float64, which 'exp' needs for its gradient, was changed in place after it") {
      try y.sum().backward()
    }
  }

  @Test(arguments: ["add", "sum axis", "slice", "cumsum", "cat", "tril"])
  func operandsThatAreNotSavedMayChange(_ name: String) throws {
    let row = try #require(Self.operations.first { $0.name == name })
    let expected = try gradients(row) { _, _ in }
    let actual = try gradients(row) { inputs, result in try (inputs + [result]).forEach(change) }
    #expect(actual == expected)
  }

  /// The gradients of all operands, where `meddle` runs between the two passes.
  private func gradients(_ row: GradientCase, meddle: ([Tensor], Tensor) throws -> Void) throws -> [[Double]?] {
    let inputs = try row.inputs()
    let result = try row.body(inputs)
    try meddle(inputs, result)
    try result.backward(gradient: try normal(result.shape))
    return inputs.map { $0.grad?.values }
  }

  private func change(_ tensor: Tensor) throws {
    if tensor.dtype.isFloatingPoint { try tensor.detach().mulInPlace(1.37) } else { try tensor.detach().zeroInPlace() }
  }
}
