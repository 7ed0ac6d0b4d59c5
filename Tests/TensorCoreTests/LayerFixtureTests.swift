import Checkpoints
import NN
import TensorCore
import TestSupport
import Testing

/// Layers of decoders against Transformers' code of Llama and T5: values and gradients.
@Suite(.engine) struct LayerFixtureTests {
  struct Row: CustomTestStringConvertible, Sendable {
    /// The entries' prefix, and the operands' names.
    let testDescription: String, operands: [String]
    let body: @Sendable (_ x: [Tensor], _ file: SafetensorsFile) throws -> Tensor
  }

  static let rows = [
    Row(testDescription: "rms_norm.eps1e-05", operands: ["x", "weight"]) { x, _ in try x[0].rmsNorm(x[1], eps: 1e-5) },
    Row(testDescription: "rms_norm.eps1e-06", operands: ["x", "weight"]) { x, _ in try x[0].rmsNorm(x[1], eps: 1e-6) },
    rotary("rotary.plain"), rotary("rotary.llama3"),
    Row(testDescription: "gated.silu", operands: ["gate", "up"]) { x, _ in try x[0].gating(x[1], by: .silu) },
    Row(testDescription: "gated.gelu", operands: ["gate", "up"]) { x, _ in try x[0].gating(x[1], by: .gelu) },
    Row(testDescription: "gated.gelu_tanh", operands: ["gate", "up"]) { x, _ in try x[0].gating(x[1], by: .geluTanh) },
    Row(testDescription: "gated.relu", operands: ["gate", "up"]) { x, _ in try x[0].gating(x[1], by: .relu) },
    Row(testDescription: "attention.grouped", operands: ["q", "k", "v"]) { x, file in
      let offsets = try lengths(file)
      return try Tensor.attention(
        Columns(x[0]), offsets, over: [KeyBlock(Columns(x[1]), Columns(x[2]), KeyRanges(offsets))], heads: 6, keyValueHeads: 2,
        causal: true)
    },
    relative("attention.t5_encoder", causal: false), relative("attention.t5_decoder", causal: true),
  ]

  private static func lengths(_ file: SafetensorsFile) throws -> Offsets {
    Offsets(lengths: try file.tensor("rotary.lengths").values.map { Int($0) })
  }

  private static func rotary(_ name: String) -> Row {
    Row(testDescription: name, operands: ["x"]) { x, file in
      let table = RotaryTable(frequencies: try file.tensor(name + ".frequencies").values.map { Float($0) })
      return try x[0].rotary(table, positions: lengths(file).positions, heads: 4)
    }
  }

  /// T5's table of buckets, [buckets, heads], becomes one of distances.
  private static func relative(_ name: String, causal: Bool) -> Row {
    Row(testDescription: name, operands: ["q", "k", "v", "table"]) { x, file in
      let offsets = try lengths(file)
      let buckets = try file.tensor(name + ".buckets").values.map { Int32($0) }
      let table = try x[3].gatherRows(buckets).transpose(0, 1)
      return try Tensor.attention(
        Columns(x[0]), offsets, over: [KeyBlock(Columns(x[1]), Columns(x[2]), KeyRanges(offsets))], heads: 2, scale: 1, causal: causal,
        bias: RelativeBias(table, zero: 15))
    }
  }

  @Test(arguments: rows, ["f64", "f32"]) func agrees(_ row: Row, _ precision: String) throws {
    let file = try SafetensorsFile(packageRoot + "/Tests/Fixtures/layers.safetensors")
    func entry(_ name: String) throws -> Tensor { try file.tensor("\(row.testDescription).\(precision).\(name)").copy() }
    let leaves = try row.operands.map { try entry($0).requiresGrad(true) }
    let y = try row.body(leaves, file)
    // Angles are float32 in both, and 17 positions away.
    let (relative, absolute) = precision == "f64" && !row.testDescription.hasPrefix("rotary") ? (1e-9, 1e-10) : (2e-5, 2e-5)
    expectClose("y", y, try entry("y"), relative: relative, absolute: absolute)
    try y.backward(gradient: entry("dy"))
    for (name, leaf) in zip(row.operands, leaves) {
      expectClose("d" + name, try #require(leaf.grad), try entry("d" + name), relative: relative, absolute: absolute)
    }
  }

  @Test func everyEntryIsCompared() throws {
    let file = try SafetensorsFile(packageRoot + "/Tests/Fixtures/layers.safetensors")
    let names = Set(file.names.filter { $0.hasSuffix(".f64.y") }.map { String($0.dropLast(6)) })
    #expect(names == Set(Self.rows.map(\.testDescription)))
  }
}
