import Foundation
import TensorCore

/// How products with frozen weights compute.
public enum PrecisionChoice: String, CaseIterable, Sendable {
  /// bf16 where this CPU multiplies it faster, by a short measurement; else fp32.
  case auto
  case bf16
  case fp32
}

/// What every use of the engine begins with.
public enum EngineSetup {
  /// The engine's version; part of every stage's key, and so another one whenever a result changes.
  public static let version = "0.4.0"

  /// Where the choice of who multiplies is kept: the command's cache folder. nil: nothing is measured, and who is expected to be the
  /// fastest multiplies.
  nonisolated(unsafe) public static var cacheFolder: String?

  /// Sets threads (nil: all cores of the process), the bytes that tensors may take, and precision, before the first product.
  /// Returns what was chosen, and why.
  ///
  /// - Parameter isShared: whether other processes over the same cache have to choose the same precision.
  @discardableResult
  public static func configure(threads: Int?, memory: Int? = nil, precision: PrecisionChoice, isShared: Bool = false) -> String {
    if let memory { Memory.limitBytes = memory }
    Threads.count = threads ?? Threads.count
    if let cacheFolder { ProductChoice.apply(cacheFolder: cacheFolder) }
    switch precision {
    case .fp32: Precision.current = .fp32
    case .bf16: Precision.current = .bf16
    case .auto:
      if isShared, let cacheFolder {
        Precision.current = ProductChoice.precision(cacheFolder: cacheFolder)
        break
      }
      let (choice, ratio) = Precision.measured()
      Precision.current = choice
      let measurement = ratio.map { String(format: ", bf16 measured at %.1f x fp32", $0) } ?? ", no bfloat16 units"
      return "\(choice.rawValue) on \(choice.provider)\(measurement)"
    }
    let chosen = "\(Precision.current.rawValue) on \(Precision.current.provider)"
    let isEmulated = Precision.current == .bf16 && !Precision.hasBFloat16Units
    return chosen + (isEmulated ? ": this CPU has no bfloat16 units, and fp32 would be faster" : "")
  }
}
