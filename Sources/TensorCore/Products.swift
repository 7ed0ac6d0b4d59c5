import CKernels
import Diagnostics
import Foundation

/// Kinds of matrix product. Each has somebody of its own who multiplies: the engine's tiles for one of the CPU's units, or a library.
public enum Products: String, CaseIterable, Sendable {
  /// With frozen weights, in bfloat16.
  case packedBF16 = "packed_bf16"
  /// Of other operands, in bfloat16: attention, adapters, gradients of weights.
  case plainBF16 = "bf16"
  case fp32

  /// Who multiplies, as `PERIGEE_PRODUCTS` would name it: "avx512", "openblas".
  public var provider: String { String(cString: pg_products_of(kernel)) }

  /// Whoever multiplies each kind, for the record of a run: "packed_bf16=avx512 bf16=avx512 fp32=avx512".
  public static var text: String { allCases.map { "\($0.rawValue)=\($0.provider)" }.joined(separator: " ") }

  /// What else decides who is the fastest: the CPU's best unit that `PERIGEE_CPU` leaves, and who is in the table.
  public static var candidates: String {
    let units = [(PG_AMX, "amx"), (PG_AVX512_BF16, "avx512bf16"), (PG_AVX512, "avx512"), (PG_AVX2, "avx2")]
    return "\(units.first { pg_cpu_has($0.0) }?.1 ?? "baseline"): \(String(cString: pg_products_names()))"
  }

  /// From now on `name` multiplies this kind, unless `PERIGEE_PRODUCTS` names another. False, and nothing changes, where it may not be
  /// chosen for that on this CPU.
  package func choose(_ name: String) -> Bool { pg_choose_products(kernel, name) }

  /// Takes some milliseconds to find out who is the fastest at each kind, and chooses it: the one that is expected to be,
  /// unless another is at least 1.3 times as fast.
  package static func measure() { pg_measure_products() }

  private var kernel: pg_product_kind {
    switch self {
    case .packedBF16: PG_PACKED_BF16
    case .plainBF16: PG_PLAIN_BF16
    case .fp32: PG_FP32
    }
  }

  /// Throws `EngineError` (`.argument`) where `PERIGEE_CPU` or `PERIGEE_PRODUCTS` names what does not exist, or what this CPU or
  /// this build does not have.
  public static func checkEnvironment() throws {
    var mistake = pg_mistake()
    guard pg_environment_mistake(&mistake) else { return }
    let (variable, value) = (String(cString: mistake.variable), String(cString: mistake.value))
    if let missing = mistake.missing {
      throw EngineError(
        .argument, "\(variable)=\(value): this needs \(String(cString: missing)), which is not here", hint: "unset \(variable)")
    }
    let names = String(cString: mistake.names)
    throw EngineError(
      .argument, "\(variable)=\(value): no such name; expected one of \(names)",
      hint: nearestName(to: value, among: names.components(separatedBy: ", ")).map { "did you mean '\($0)'?" })
  }
}

/// What OpenBLAS takes the CPU for.
public enum OpenBLAS {
  /// As it computes now, and as it was loaded; empty where it does not say. An OpenBLAS that is older than the CPU takes it for one without
  /// AVX2, and is told better before its first product, unless `OPENBLAS_CORETYPE` is set.
  public static var core: (used: String, found: String) {
    var found: UnsafePointer<CChar>?
    let used = pg_blas_core(&found).map { String(cString: $0) } ?? ""
    return (used, found.map { String(cString: $0) } ?? "")
  }

  /// What it had better take the CPU for; nil where `core` is good enough.
  public static func betterCore(than core: String) -> String? { pg_better_blas_core(core).map { String(cString: $0) } }
}

extension Tensor {
  /// y = self w^T in float32 by OpenBLAS at once, with threads of its own, for comparisons; false without memory.
  public func multipliedByOpenBLAS(_ w: Tensor, into y: Tensor) -> Bool {
    pg_blas_whole(rows, w.rows, columns, floats.baseAddress, w.floats.baseAddress, y.floats.baseAddress)
  }
}
