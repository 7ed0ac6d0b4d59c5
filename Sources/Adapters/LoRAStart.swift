import Diagnostics
import NN
import TensorCore

/// How a LoRA's A and B start: PEFT's `init_lora_weights`.
public enum LoRAStart: Sendable, Equatable {
  /// A Kaiming-uniform (a = sqrt 5), B zero: the authors' code, and PEFT's `true`.
  case kaiming
  /// A normal with standard deviation 1 / r, B zero.
  case gaussian
  /// Both Kaiming-uniform, so that the fresh adapter changes the model: PEFT's `false`.
  case random
  /// Both random, with B A = 0; r must be even.
  case orthogonal
  /// The first r singular vectors of the weight. Paper: Meng et al. 2024, arXiv 2404.02948.
  case pissa
  /// The same by a randomised decomposition with so many power iterations.
  case pissaIterations(Int)
  /// The first r columns and rows of the weight's QR decomposition. Paper: Büyükakyüz 2024, arXiv 2406.01775.
  case olora

  /// Whether the factors are a part of the weight, of which the rest stays frozen.
  public var isResidual: Bool {
    switch self {
    case .pissa, .pissaIterations, .olora: true
    case .kaiming, .gaussian, .random, .orthogonal: false
    }
  }

  /// Whether the part of the weight depends on random draws, so that it cannot be found again.
  public var isDrawn: Bool { if case .pissaIterations = self { true } else { false } }

  /// PEFT's word; "true" and "false" for its booleans.
  public var word: String {
    switch self {
    case .kaiming: "true"
    case .gaussian: "gaussian"
    case .random: "false"
    case .orthogonal: "orthogonal"
    case .pissa: "pissa"
    case .pissaIterations(let count): Self.iterationsPrefix + "\(count)"
    case .olora: "olora"
    }
  }

  private static let iterationsPrefix = "pissa_niter_"
  /// The most power iterations: more change nothing in float32.
  private static let mostIterations = 1000

  init?(word: String) {
    let fixed: [LoRAStart] = [.kaiming, .gaussian, .random, .orthogonal, .pissa, .olora]
    if let found = fixed.first(where: { $0.word == word }) {
      self = found
      return
    }
    guard word.hasPrefix(Self.iterationsPrefix), let count = Int(word.dropFirst(Self.iterationsPrefix.count)),
      (0...Self.mostIterations).contains(count)
    else { return nil }
    self = .pissaIterations(count)
  }

  private static let words = "true, false, gaussian, orthogonal, pissa, pissa_niter_N, olora"

  /// A [r, in] and B [out, r] of a layer, before anything is taken from its weight.
  func factors(_ r: Int, of linear: Linear, at site: AdapterSite) throws -> (a: Tensor, b: Tensor) {
    let (aShape, bShape) = ([r, linear.inFeatures], [linear.outFeatures, r])
    func make(_ a: Initialization, _ b: Initialization) throws -> (a: Tensor, b: Tensor) {
      (try site.parameter("lora_A.weight", aShape, a), try site.parameter("lora_B.weight", bShape, b))
    }
    switch self {
    case .gaussian: return try make(.normal(std: 1 / Double(r)), .zeros)
    case .random: return try make(.kaimingUniform, .kaimingUniform)
    case .orthogonal: return try orthogonalFactors(aShape, bShape, at: site)
    case .kaiming, .pissa, .pissaIterations, .olora: return try make(.kaimingUniform, .zeros)
    }
  }

  /// Factors whose rows and columns lie in complementary halves of an orthogonal basis of the r dimensions between them.
  private func orthogonalFactors(_ aShape: [Int], _ bShape: [Int], at site: AdapterSite) throws -> (a: Tensor, b: Tensor) {
    let r = aShape[0]
    guard r % 2 == 0 else {
      throw EngineError(.argument, "init_lora_weights = 'orthogonal' needs an even rank, layer '\(site.path)' has r = \(r)")
    }
    func draws(_ name: String, _ shape: [Int]) throws -> Tensor { try site.parameter(name, shape, .normal(std: 1)) }
    func half(_ first: Int) throws -> Tensor { try draws("lora_basis", [r, r]).qr().q.slice(0, first, r, step: 2) }
    return (
      try site.parameter("lora_A.weight", aShape) {
        try half(0).permute([1, 0]).matmul(draws("lora_A.weight", [r / 2, aShape[1]])).mul(0.1)
      },
      try site.parameter("lora_B.weight", bShape) { try draws("lora_B.weight", [bShape[0], r / 2]).matmul(half(1)).mul(0.1) }
    )
  }
}

extension LoRAStart: FieldValue {
  public static var typeName: String { "boolean|string" }
  public static var expected: String { "one of \(words)" }
  public var configValue: ConfigValue {
    switch self {
    case .kaiming: .bool(true)
    case .random: .bool(false)
    default: .text(word)
    }
  }

  public static func decode(_ value: ConfigValue) throws(ValueMismatch) -> LoRAStart {
    switch value {
    case .bool(let flag): return flag ? .kaiming : .random
    case .text(let text):
      if let start = LoRAStart(word: text) { return start }
      let near = nearestName(to: text, among: ["gaussian", "orthogonal", "pissa", "pissa_niter_4", "olora"])
      throw ValueMismatch(expected: expected, found: value.briefly + (near.map { "; did you mean '\($0)'?" } ?? ""))
    default: throw ValueMismatch(expected: expected, found: value.briefly)
    }
  }
}
