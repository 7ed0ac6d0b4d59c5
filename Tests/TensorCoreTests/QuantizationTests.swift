import CKernels
import Checkpoints
import Diagnostics
import Foundation
import NN
import TensorCore
import TestSupport
import Testing

/// 4-bit weights against bitsandbytes, bit for bit, and as the weights of linear layers.
@Suite(.engine) struct QuantizationTests {
  private static let path = packageRoot + "/Tests/Fixtures/quantization.safetensors"

  /// What `Tests/Fixtures/quantization.py` calls its settings.
  private static let configs: [(suffix: String, config: QuantizationConfig)] = QuantizationConfig.QuantType.allCases
    .flatMap { type in
      [
        ("\(type.rawValue).b64", QuantizationConfig(type)),
        ("\(type.rawValue).b64d", QuantizationConfig(type, useDoubleQuant: true)),
        ("\(type.rawValue).b128d", QuantizationConfig(type, blocksize: 128, useDoubleQuant: true)),
        ("\(type.rawValue).b256", QuantizationConfig(type, blocksize: 256)),
      ]
    }

  private func bytes(_ storage: Storage) -> [UInt8] {
    [UInt8](UnsafeRawBufferPointer(start: storage.pointer, count: storage.byteCount))
  }

  /// Compares with what bitsandbytes recorded under `key`, and says only where the first difference is.
  private func expectEqual(_ matrix: QuantizedMatrix, _ file: SafetensorsFile, _ key: String) throws {
    func expect(_ name: String, _ own: [UInt8]) throws {
      guard let entry = file[key + "." + name] else { return }
      let recorded = try file.withBytes(of: entry) { [UInt8]($0) }
      let difference = zip(own, recorded).enumerated().first { $1.0 != $1.1 }?.offset
      #expect(own.count == recorded.count && difference == nil, "\(key).\(name), first different byte: \(difference ?? -1)")
    }
    try expect("codes", bytes(matrix.codes))
    switch matrix.statistics {
    case .plain(let absmax): try expect("absmax", bytes(absmax))
    case .nested(let codes, let absmax, _, let offset, _):
      try expect("absmax", bytes(codes))
      try expect("nested_absmax", bytes(absmax))
      try expect("nested_offset", withUnsafeBytes(of: offset) { [UInt8]($0) })
    }
    guard file[key + ".y"] != nil else { return }
    let own = try matrix.dequantized()
    // bitsandbytes gives FP4's second zero a sign in one of its two loops, and none in the other.
    if matrix.config.quantType == .fp4 {
      #expect(own.floats.allSatisfy { $0 != 0 || $0.sign == .plus })
      #expect(try own.values == file.tensor(key + ".y").values, "\(key).y")
    } else {
      try expect("y", bytes(own.storage))
    }
  }

  @Test func equalsBitsandbytesBitForBit() throws {
    let file = try SafetensorsFile(Self.path)
    let names = file.names.filter { $0.hasSuffix(".x") && !$0.hasPrefix("statistics") }.map { $0.dropLast(2) }
    #expect(names.count == 17)
    for name in names {
      let x = try file.tensor("\(name).x")
      for (suffix, config) in Self.configs {
        try expectEqual(QuantizedMatrix(x, config), file, "\(name).\(suffix)")
      }
    }
    for count in [300, 1041, 9216] {
      let x = try Tensor.zeros([count, 64])
      for (i, largest) in try file.tensor("statistics\(count).x").values.enumerated() { x.set(largest, at: i * 64 + 5) }
      try expectEqual(QuantizedMatrix(x, QuantizationConfig(.nf4, useDoubleQuant: true)), file, "statistics\(count).nf4.b64d")
    }
    #expect(try QuantizedMatrix.dynamicMap.map(Double.init) == file.tensor("dynamic_map").values)
  }

  @Test func codesOfOneTypeStandForTheirValues() {
    #expect(QuantizationConfig.QuantType.nf4.values == QuantizationConfig.QuantType.nf4.values.sorted())
    let fp4 = QuantizationConfig.QuantType.fp4.values
    #expect(zip(fp4[..<8], fp4[8...]).allSatisfy { $0 == -$1 } && fp4.max() == 1)
  }

  /// Any part of a matrix, from any element on, and nothing beyond it.
  @Test func dequantisesParts() throws {
    let x = try normal([700], stream: 3, .float32)
    for config in [QuantizationConfig(.nf4, blocksize: 32), QuantizationConfig(.fp4)] {
      let matrix = try QuantizedMatrix(x, config)
      // Kept as values: the memory of a tensor that nobody holds is handed out again.
      let dequantized = try matrix.dequantized()
      let whole = withExtendedLifetime(dequantized) { Array(dequantized.floats) }
      guard case .plain(let absmax) = matrix.statistics else { continue }
      var kernel = pg_quantized(
        code: config.quantType == .nf4 ? PG_NF4 : PG_FP4, block: config.blocksize,
        codes: matrix.codes.pointer.assumingMemoryBound(to: UInt8.self),
        absmax: absmax.pointer.assumingMemoryBound(to: Float.self))
      for (first, count) in [(0, 700), (1, 1), (31, 2), (63, 64), (64, 64), (17, 300), (699, 1), (5, 0)] {
        let out = try Tensor.full([count + 8], 77)
        pg_dequantize_run(&kernel, first, count, out.floats.baseAddress)
        #expect(Array(out.floats[..<count]) == Array(whole[first..<first + count]), "\(first), \(count)")
        #expect(out.floats[count...].allSatisfy { $0 == 77 })
      }
    }
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity]) func refusesWhatIsNotFinite(_ value: Double) throws {
    let x = try Tensor.ones([4, 32])
    x.set(value, at: 70)
    #expect { try x.quantize(QuantizationConfig(.nf4)) } throws: {
      "\($0)" == "nf4: the weight has a value that is not finite at index 70"
    }
    #expect(x.quantized == nil)
    let huge = try Tensor.full([4, 64], 3e38)
    #expect { try huge.quantize(QuantizationConfig(useDoubleQuant: true)) } throws: { "\($0)".contains("is beyond float32") }
    try huge.quantize(QuantizationConfig())
    #expect(huge.values.allSatisfy { $0 == Double(Float(3e38)) })
  }

  @Test func refusesPartsThatDoNotFit() throws {
    let x = try normal([10, 64], stream: 3, .float32)
    let matrix = try QuantizedMatrix(x, QuantizationConfig(.nf4))
    func expect(_ message: String, _ shape: [Int], _ config: QuantizationConfig, _ statistics: QuantizedMatrix.Statistics) {
      #expect {
        try QuantizedMatrix(shape: shape, config, codes: matrix.codes, statistics: statistics)
      } throws: { "\($0)".contains(message) }
    }
    let nan = try Tensor.full([10], .nan).storage
    expect("codes has 320 bytes, shape [11, 64] in nf4, blocks of 64 needs 352", [11, 64], matrix.config, matrix.statistics)
    expect("absmax has 40 bytes", [10, 64], QuantizationConfig(.nf4, blocksize: 128), matrix.statistics)
    expect("bnb_4bit_blocksize = 48: expected one of 32, 64", [10, 64], QuantizationConfig(.nf4, blocksize: 48), matrix.statistics)
    expect("the statistic of block 0 of 10 is not finite", [10, 64], matrix.config, .plain(absmax: nan))
    expect("negative size", [-1, 64], matrix.config, matrix.statistics)
    let one = try Storage(byteCount: 10)
    expect(
      "nested_quant_map has 3 values", [10, 64], matrix.config,
      .nested(codes: one, absmax: try Storage(byteCount: 4), map: [0, 1, 2], offset: 0, blocksize: 256))
    expect(
      "nested_blocksize = 0", [10, 64], matrix.config,
      .nested(codes: one, absmax: try Storage(byteCount: 4), map: QuantizedMatrix.dynamicMap, offset: 0, blocksize: 0))
  }

  // MARK: As weights

  /// Sizes with and without packed layouts, and with rows that are no multiple of a block.
  @Test(arguments: [[96, 64], [64, 200], [33, 70], [130, 96], [8, 16]])
  func layersEqualThoseOnDequantisedWeights(_ shape: [Int]) throws {
    let before = Precision.current
    defer { Precision.current = before }
    for precision in [Precision.fp32, .bf16] {
      Precision.current = precision
      let dtype: DType = precision == .bf16 ? .bfloat16 : .float32
      for (_, config) in Self.configs {
        let weight = try normal(shape, stream: 1, .float32).sharedParameter()
        let bias = try normal([shape[0]], stream: 2, .float32)
        try weight.quantize(config)
        let matrix = try #require(weight.quantized)
        let plain = try matrix.dequantized().sharedParameter()
        for rows in [1, 7, 200] {
          let results = try [weight, plain].map { weight -> [[Double]] in
            let x = try normal([rows, shape[1]], stream: 4, .float32)
            try x.requiresGrad(true)
            let y = try x.to(dtype).linear(weight, bias)
            try y.backward(gradient: normal([rows, shape[0]], stream: 5, .float32))
            return [y.values, try #require(x.grad).values]
          }
          #expect(results[0] == results[1], "\(precision) \(config.summary) \(rows) rows")
          #expect(results[0][0].contains { $0 != 0 } && results[0][1].contains { $0 != 0 })
        }
      }
    }
  }

  @Test func givesTheMemoryBack() throws {
    let size = 512
    // A block that is kept for reuse may be larger than what it is given for.
    Memory.trim()
    let before = Memory.liveBytes
    let weight = try normal([size, size], stream: 1, .float32).sharedParameter()
    let config = QuantizationConfig(.nf4, useDoubleQuant: true)
    try weight.quantize(config)
    let matrix = try #require(weight.quantized)
    #expect(matrix.byteCount == size * size / 2 + size * size / 64 + 16 * 4)
    #expect(matrix.byteCount == config.byteCount(of: size * size))
    let held = Memory.liveBytes - before
    #expect(held < size * size * 4 * 16 / 100, "\(held)")
    // Reading dequantises; a product gives that memory back, and so does what asks for it.
    #expect(try weight.values == matrix.dequantized().values)
    #expect(Memory.liveBytes - before > size * size * 4)
    let x = try normal([4, size], stream: 2, .float32)
    _ = try x.linear(weight)
    #expect(Memory.liveBytes - before < held + 5 * size * 4 * 2)
    _ = weight.element(7)
    weight.storage.giveBack()
    #expect(Memory.liveBytes - before < held + 5 * size * 4 * 2)
  }

  @Test func isWrittenByNobody() throws {
    let weight = try normal([64, 64], stream: 1, .float32).sharedParameter()
    try weight.quantize(QuantizationConfig(.nf4))
    let values = weight.values
    #expect { try weight.setTrainable(true) } throws: { "\($0)".contains("is held in 4 bits and cannot train") }
    #expect { try weight.assign(Tensor.zeros([64, 64])) } throws: { "\($0)".contains("it is held in 4 bits") }
    #expect { try weight.addInPlace(Tensor.zeros([64, 64])) } throws: { "\($0)".contains("is held in 4 bits and cannot be written") }
    #expect(weight.values == values && !weight.requiresGrad)
    // A copy, and what was made exclusive, are plain float32.
    let copy = try weight.copy()
    #expect(copy.quantized == nil && copy.values == values)
    let original = weight.detach()
    try weight.makeExclusive()
    #expect(weight.quantized == nil && weight.values == values)
    #expect(original.quantized != nil)
    // What trains is not quantised.
    try weight.setTrainable(true)
    #expect { try weight.quantize(QuantizationConfig(.nf4)) } throws: { "\($0)".contains("a weight that trains") }
  }
}
