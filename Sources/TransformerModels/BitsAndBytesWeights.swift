import Checkpoints
import Diagnostics
import Files
import NN
import TensorCore

/// Weights in 4 bits as bitsandbytes saves them: beside the codes `X.weight` lie `X.weight.absmax`, `.quant_map`,
/// `.quant_state.bitsandbytes__nf4` (or `__fp4`; JSON), and with double quantisation `.nested_absmax` and `.nested_quant_map`.
///
/// Codes stay in the mapped file. The type that the state names is that of the weight before it was quantised; here,
/// weights are dequantised to float32.
struct BitsAndBytesWeights {
  private let weights: WeightsFolder

  init(_ weights: WeightsFolder) { self.weights = weights }

  private static let stateKey = ".quant_state.bitsandbytes__"
  private static let parts =
    [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"]
    + QuantizationConfig.QuantType.allCases.map { stateKey + $0.rawValue }

  /// The names of what lies beside a weight in 4 bits.
  func companions(of name: String) -> [String] { Self.parts.map { name + $0 }.filter { weights[$0] != nil } }

  /// The weight whose codes are called `name`; nil where they are no codes. Throws where its parts do not fit each other.
  func matrix(_ name: String) throws -> QuantizedMatrix? {
    guard let type = QuantizationConfig.QuantType.allCases.first(where: { weights[name + Self.stateKey + $0.rawValue] != nil }) else {
      return nil
    }
    do {
      let state = try self.state(name + Self.stateKey + type.rawValue)
      return try matrix(name, type, state)
    } catch let error as EngineError { throw error.at("\(weights.path): \(name)") }
  }

  private func state(_ name: String) throws -> HuggingFaceConfig {
    try weights.withBytes(of: name) { entry, bytes in
      guard entry.dtype == .uint8, case .object(let members) = try JSONValue(parsing: bytes, source: "quant_state") else {
        throw EngineError(.data, "quant_state: expected the bytes of a JSON object")
      }
      return HuggingFaceConfig(members, path: "quant_state")
    }
  }

  private func matrix(_ name: String, _ type: QuantizationConfig.QuantType, _ state: HuggingFaceConfig) throws -> QuantizedMatrix {
    _ = try state.string("quant_type", among: [type.rawValue])
    let hasNested = weights[name + ".nested_absmax"] != nil
    let config = QuantizationConfig(type, blocksize: try state.int("blocksize", in: 1...), useDoubleQuant: hasNested)
    let shape = (state["shape"]?.arrayValue ?? []).compactMap(\.intValue)
    guard let sizes = state["shape"]?.arrayValue, sizes.count == shape.count else {
      throw EngineError(.data, "quant_state: shape: expected a list of integers, given \(state["shape"]?.excerpt() ?? "nothing")")
    }
    let map = try floats(name + ".quant_map")
    guard map.count == 16, zip(map, type.values).allSatisfy({ abs($0 - $1) < 1e-6 }) else {
      throw EngineError(.data, "quant_map: its values are not those of \(type.rawValue)")
    }
    let statistics: QuantizedMatrix.Statistics
    if hasNested {
      let nested = try floats(name + ".nested_quant_map")
      guard nested.allSatisfy(\.isFinite) else { throw EngineError(.data, "nested_quant_map has a value that is not finite") }
      let offset = Float(try state.double("nested_offset"))
      statistics = .nested(
        codes: try copy(name + ".absmax", .uint8), absmax: try copy(name + ".nested_absmax", .float32),
        map: nested == QuantizedMatrix.dynamicMap ? QuantizedMatrix.dynamicMap : nested, offset: offset,
        blocksize: try state.int("nested_blocksize", in: 1...))
    } else {
      statistics = .plain(absmax: try copy(name + ".absmax", .float32))
    }
    return try QuantizedMatrix(shape: shape, config, codes: codes(name), statistics: statistics)
  }

  /// The codes in the mapped file; their type may be any that they were stored in.
  private func codes(_ name: String) throws -> Storage {
    let entry = try weights.entry(name)
    guard let file = weights.files.first(where: { $0[name] != nil }) else { throw EngineError(.data, "no tensor '\(name)'") }
    let elements = try file.elements(of: entry)
    return Storage(borrowing: elements.bytes, owner: elements.owner)
  }

  private func copy(_ name: String, _ dtype: ScalarType) throws -> Storage {
    try weights.withBytes(of: name) { entry, bytes in
      guard entry.dtype == dtype else {
        throw EngineError(.data, "'\(name)' has type \(entry.dtype.rawValue), expected \(dtype.rawValue)")
      }
      let storage = try Storage(byteCount: bytes.count)
      if let base = bytes.baseAddress { storage.pointer.copyMemory(from: base, byteCount: bytes.count) }
      return storage
    }
  }

  private func floats(_ name: String) throws -> [Float] {
    let storage = try copy(name, .float32)
    return withExtendedLifetime(storage) {
      Array(UnsafeBufferPointer(start: storage.pointer.assumingMemoryBound(to: Float.self), count: storage.byteCount / 4))
    }
  }
}
