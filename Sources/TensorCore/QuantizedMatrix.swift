import CKernels
import Diagnostics

/// How frozen weights are held in 4 bits: the words, and the defaults, of Transformers' `BitsAndBytesConfig`.
public struct QuantizationConfig: Sendable, Hashable {
  /// The values that the 16 codes stand for, times the largest magnitude of their block.
  public enum QuantType: String, FieldChoice {
    /// A floating-point number of 1 sign, 2 exponent and 1 mantissa bit.
    case fp4
    /// Quantiles of the normal distribution: QLoRA's.
    case nf4
  }

  /// `bnb_4bit_quant_type`.
  public var quantType = QuantType.fp4
  /// Elements that share a statistic, one of `blocksizes`.
  public var blocksize = 64
  /// `bnb_4bit_use_double_quant`: the statistics are held in 8 bits, 256 of them sharing one.
  public var useDoubleQuant = false

  /// What bitsandbytes takes.
  public static let blocksizes = [32, 64, 128, 256, 512, 1024, 2048, 4096]

  public init(_ quantType: QuantType = .fp4, blocksize: Int = 64, useDoubleQuant: Bool = false) {
    (self.quantType, self.blocksize, self.useDoubleQuant) = (quantType, blocksize, useDoubleQuant)
  }

  /// Throws for a block size that is none of `blocksizes`.
  public func validate() throws {
    guard Self.blocksizes.contains(blocksize) else {
      let sizes = Self.blocksizes.map(String.init).joined(separator: ", ")
      throw EngineError(.argument, "bnb_4bit_blocksize = \(blocksize): expected one of \(sizes)")
    }
  }

  /// "nf4, blocks of 64, double quantization", for messages and digests.
  public var summary: String {
    "\(quantType.rawValue), blocks of \(blocksize)" + (useDoubleQuant ? ", double quantization" : "")
  }

  /// Bytes of `count` weights: 4.5 bits each in blocks of 64, with double quantization 4.127.
  public func byteCount(of count: Int) -> Int {
    let blocks = (count + blocksize - 1) / blocksize
    return (count + 1) / 2 + (useDoubleQuant ? blocks + (blocks + 255) / 256 * 4 : blocks * 4)
  }
}

/// A float32 tensor in 4 bits, block by block of its elements in row-major order: `value[code] * absmax`.
///
/// Codes lie two in a byte, the first element in the high half, as in bitsandbytes' files. With double quantization,
/// `absmax = map[code] * absmax2 + offset` in blocks of 256, the offset being the mean. Codes, statistics and dequantised
/// values are bit for bit those of bitsandbytes 0.50 on the CPU.
///
/// Paper: Dettmers et al. 2023, "QLoRA", arXiv 2305.14314; the map: Dettmers 2016, arXiv 1511.04561.
public final class QuantizedMatrix {
  /// The statistics: the largest magnitude of each block.
  public enum Statistics {
    /// One float32 for each block.
    case plain(absmax: Storage)
    /// One byte for each block, a place in `map` (256 values); one float32 for `blocksize` of them.
    case nested(codes: Storage, absmax: Storage, map: [Float], offset: Float, blocksize: Int)
  }

  public let shape: [Int]
  public let config: QuantizationConfig
  /// Two codes a byte.
  public let codes: Storage
  public let statistics: Statistics
  /// Number of elements.
  let count: Int

  /// Statistics that share a statistic of their own.
  static let nestedBlocksize = 256

  /// Takes codes and statistics as they are in a file. Throws `EngineError` where a size does not fit the shape, or a
  /// statistic is not finite.
  public init(shape: [Int], _ config: QuantizationConfig, codes: Storage, statistics: Statistics) throws {
    try config.validate()
    count = try elementCount(shape)
    (self.shape, self.config, self.codes, self.statistics) = (shape, config, codes, statistics)
    try require("codes", codes.byteCount, (count + 1) / 2)
    switch statistics {
    case .plain(let absmax): try require("absmax", absmax.byteCount, blocks * 4)
    case .nested(let bytes, let absmax, let map, _, let blocksize):
      guard blocksize > 0 else { throw EngineError(.data, "nested_blocksize = \(blocksize): expected at least 1") }
      try require("absmax", bytes.byteCount, blocks)
      try require("nested_absmax", absmax.byteCount, (blocks + blocksize - 1) / blocksize * 4)
      try require("nested_quant_map", map.count, 256)
    }
    let absmax = try self.absmax()
    if let bad = absmax.firstNonFinite {
      throw EngineError(.data, "the statistic of block \(bad) of \(blocks) is not finite")
    }
  }

  /// Quantises a float32 tensor. Throws where a value is not finite.
  public init(_ tensor: Tensor, _ config: QuantizationConfig) throws {
    try config.validate()
    guard tensor.dtype == .float32 else {
      throw EngineError(.shape, "a \(tensor.summary) tensor in 4 bits: expected float32")
    }
    if let bad = tensor.firstNonFinite {
      throw EngineError(.notFinite, "\(config.quantType.rawValue): the weight has a value that is not finite at index \(bad)")
    }
    (shape, count, self.config) = (tensor.shape, tensor.count, config)
    let blocks = (count + config.blocksize - 1) / config.blocksize
    codes = try Storage(byteCount: (count + 1) / 2)
    let absmax = try Tensor(uninitialized: [blocks])
    pg_quantize_4bit(
      config.quantType.kernel, count, config.blocksize, tensor.floats.baseAddress, codes.bytes, absmax.floats.baseAddress)
    guard config.useDoubleQuant else {
      statistics = .plain(absmax: absmax.storage)
      return
    }
    let nested = Self.nestedBlocksize
    let offset = blocks > 0 ? pg_mean_f32(blocks, absmax.floats.baseAddress) : 0
    guard offset.isFinite else {
      throw EngineError(
        .notFinite, "double quantization: the sum of the blocks' largest magnitudes is beyond float32",
        hint: "leave bnb_4bit_use_double_quant off")
    }
    for i in absmax.floats.indices { absmax.floats[i] -= offset }
    let bytes = try Storage(byteCount: blocks)
    let scales = try Storage(byteCount: (blocks + nested - 1) / nested * 4)
    pg_quantize_8bit(
      Self.dynamicMap, blocks, nested, absmax.floats.baseAddress, bytes.bytes, scales.floats)
    statistics = .nested(codes: bytes, absmax: scales, map: Self.dynamicMap, offset: offset, blocksize: nested)
  }

  private var blocks: Int { (count + config.blocksize - 1) / config.blocksize }

  private func require(_ name: String, _ given: Int, _ expected: Int) throws {
    guard given == expected else {
      throw EngineError(
        .data, "\(name) has \(given) \(name == "nested_quant_map" ? "values" : "bytes"), shape \(shape) in \(config.summary) needs \(expected)")
    }
  }

  /// Bytes that codes and statistics take.
  public var byteCount: Int {
    switch statistics {
    case .plain(let absmax): codes.byteCount + absmax.byteCount
    case .nested(let bytes, let absmax, _, _, _): codes.byteCount + bytes.byteCount + absmax.byteCount
    }
  }

  /// The blocks' largest magnitudes, float32 [blocks].
  func absmax() throws -> Tensor {
    switch statistics {
    case .plain(let absmax):
      return Tensor(shape: [blocks], dtype: .float32, storage: absmax, count: blocks)
    case .nested(let bytes, let absmax, let map, let offset, let blocksize):
      let result = try Tensor(uninitialized: [blocks])
      pg_dequantize_8bit(map, blocks, blocksize, bytes.bytes, absmax.floats, offset, result.floats.baseAddress)
      return result
    }
  }

  private func withKernel<Result>(_ body: (inout pg_quantized) -> Result) throws -> Result {
    let absmax = try absmax()
    return withExtendedLifetime(absmax) {
      var kernel = pg_quantized(
        code: config.quantType.kernel, block: config.blocksize, codes: codes.bytes, absmax: absmax.floats.baseAddress)
      return body(&kernel)
    }
  }

  /// Writes all elements.
  func dequantize(into target: UnsafeMutablePointer<Float>?) throws {
    try withKernel { pg_dequantize_4bit(&$0, count, target) }
  }

  /// The elements as a float32 tensor.
  public func dequantized() throws -> Tensor {
    let result = try Tensor(uninitialized: shape)
    try dequantize(into: result.floats.baseAddress)
    return result
  }

  /// The matrix laid out for products; nil without memory, or where only OpenBLAS multiplies.
  func packed(_ layout: PackedLayout) throws -> OpaquePointer? {
    try withKernel { pg_pack_4bit(&$0, shape[0], shape[1], layout.isTransposed, layout.precision == .bf16) }
  }

  /// Calls `body` with the bytes of codes and statistics, one part after another, and with a line that says what they are:
  /// equal contents have equal parts.
  package func withContent(_ body: (UnsafeRawBufferPointer) -> Void) {
    func visit(_ storage: Storage) { body(UnsafeRawBufferPointer(start: storage.pointer, count: storage.byteCount)) }
    Array("\(config.summary)\n".utf8).withUnsafeBytes(body)
    visit(codes)
    switch statistics {
    case .plain(let absmax): visit(absmax)
    case .nested(let bytes, let absmax, let map, let offset, let blocksize):
      visit(bytes)
      visit(absmax)
      map.withUnsafeBytes(body)
      Array("\(offset.bitPattern) \(blocksize)\n".utf8).withUnsafeBytes(body)
    }
  }

  /// The 256 values of statistics in 8 bits, ascending: for each power of ten from 1e-6 to 1, twice as many between a
  /// tenth of it and itself as for the one before, with both signs; 0; and 1.
  package static let dynamicMap: [Float] = {
    var values: [Float] = [0, 1]
    for (i, scale) in ([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1] as [Float]).enumerated() {
      let count = 1 << i
      // torch.linspace(0.1, 1, count + 1): from the nearer end, rounded once.
      let step = (Float(1) - 0.1) / Float(count)
      let boundaries: [Float] = (0...count).map { (j: Int) -> Float in
        j < (count + 1) / 2 ? Float(0.1).addingProduct(step, Float(j)) : Float(1).addingProduct(-step, Float(count - j))
      }
      for (low, high) in zip(boundaries, boundaries.dropFirst()) {
        let middle = scale * ((low + high) / 2)
        values += [middle, -middle]
      }
    }
    return values.sorted()
  }()
}

extension QuantizationConfig.QuantType {
  var kernel: pg_code { self == .nf4 ? PG_NF4 : PG_FP4 }

  /// The values of the codes 0 ... 15.
  package var values: [Float] {
    [Float](unsafeUninitializedCapacity: 16) { buffer, count in
      pg_code_values(kernel, buffer.baseAddress)
      count = 16
    }
  }
}

extension Storage {
  fileprivate var bytes: UnsafeMutablePointer<UInt8> { pointer.assumingMemoryBound(to: UInt8.self) }
  fileprivate var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }
}

extension Tensor {
  /// The 4-bit content of a frozen weight; nil for every other tensor. Reading such a tensor's elements dequantises them
  /// into memory that is given back after its next product.
  public var quantized: QuantizedMatrix? {
    guard byteOffset == 0, let matrix = storage.quantized, matrix.shape == shape else { return nil }
    return matrix
  }

  /// The tensor itself, or, of a weight in 4 bits, its elements in a tensor of their own, whose memory goes with it: for those
  /// who read a weight in every step.
  public func dequantized() throws -> Tensor { try quantized?.dequantized() ?? self }

  /// Holds a frozen weight in 4 bits from now on. Throws, and changes nothing, for a weight that trains and for values that
  /// are not finite.
  public func quantize(_ config: QuantizationConfig) throws {
    guard quantized?.config != config else { return }
    guard !requiresGrad else { throw EngineError(.argument, "a weight that trains cannot be held in 4 bits") }
    let matrix = try QuantizedMatrix(self, config)
    storage.giveBack()
    let content = Tensor(matrix)
    if packed != nil { content.packed = PackedLayouts() }
    share(content)
  }

  /// A frozen weight with these codes and statistics.
  package convenience init(_ matrix: QuantizedMatrix) {
    self.init(shape: matrix.shape, dtype: .float32, storage: Storage(matrix), count: matrix.count)
  }
}
