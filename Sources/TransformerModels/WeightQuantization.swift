import Diagnostics
import NN
import TensorCore

/// Which of a model's frozen weights are held in 4 bits, and how: every linear layer but the head.
///
/// Embeddings, norms and biases stay float32, as in QLoRA. Paper: Dettmers et al. 2023, arXiv 2305.14314.
public struct WeightQuantization: Sendable, Equatable {
  public var config: QuantizationConfig
  /// `llm_int8_skip_modules`: parts of the paths of layers that stay float32, beside the head's.
  public var skipModules: [String]

  public init(_ config: QuantizationConfig = QuantizationConfig(), skipModules: [String] = []) {
    self.config = config
    self.skipModules = skipModules
  }
}

extension BitsAndBytesConfig {
  public init(_ quantization: WeightQuantization) {
    self.init()
    loadIn4bit = true
    bnb4bitQuantType = quantization.config.quantType
    bnb4bitUseDoubleQuant = quantization.config.useDoubleQuant
    bnb4bitBlocksize = quantization.config.blocksize
    llmInt8SkipModules = quantization.skipModules
  }

  /// What it asks for; nil: weights stay as they are.
  public var quantization: WeightQuantization? {
    guard loadIn4bit else { return nil }
    let config = QuantizationConfig(bnb4bitQuantType, blocksize: bnb4bitBlocksize, useDoubleQuant: bnb4bitUseDoubleQuant)
    return WeightQuantization(config, skipModules: llmInt8SkipModules)
  }
}

extension TransformerModel {
  /// The linear layers whose weights are in 4 bits.
  public var quantizedWeights: [(path: String, matrix: QuantizedMatrix)] {
    namedModules().compactMap { path, module in
      (module as? Linear)?.weight.quantized.map { (path, $0) }
    }
  }

  /// Holds the weights of the frozen linear layers in 4 bits from now on, and returns them.
  ///
  /// Throws for an entry of `skipModules` that matches no layer, for a layer that trains, for values that are not finite,
  /// and for layers that are in 4 bits otherwise.
  @discardableResult
  public func quantize(_ quantization: WeightQuantization) throws -> [(path: String, linear: Linear)] {
    try quantization.config.validate()
    let linears = namedModules().compactMap { path, module in (module as? Linear).map { (path: path, linear: $0) } }
    for name in quantization.skipModules where !linears.contains(where: { Self.contains($0.path, name) }) {
      let parts = Set(linears.flatMap { $0.path.split(separator: ".").map(String.init) }).filter { Int($0) == nil }
      throw EngineError(
        .argument, "llm_int8_skip_modules: '\(name)' matches no linear layer", hint: suggestion(for: name, among: parts.sorted()))
    }
    // A block kept for reuse may be half as large again as what it would be given for.
    Memory.trim()
    var changed: [(path: String, linear: Linear)] = []
    for (path, linear) in linears {
      guard linear.role != .head, !(headModules + quantization.skipModules).contains(where: { Self.contains(path, $0) }) else { continue }
      if let held = linear.weight.quantized?.config, held != quantization.config {
        throw EngineError(
          .argument, "\(path): the weight is held in \(held.summary) already, not in \(quantization.config.summary)",
          hint: "leave quantization_config out")
      }
      do { try linear.weight.quantize(quantization.config) } catch let error as EngineError { throw error.at(path) }
      changed.append((path, linear))
    }
    return changed
  }

  private static func contains(_ path: String, _ part: String) -> Bool { ("." + path + ".").contains("." + part + ".") }
}
