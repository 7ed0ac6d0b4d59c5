import Diagnostics
import Foundation

/// The learning rate's course: a multiplier for each update, as Transformers' schedulers.
public struct Schedule: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    /// Down to 0 on a straight line.
    case linear
    /// Down to 0 on half a cosine.
    case cosine
    /// 1, without warm-up.
    case constant
    /// 1, after the warm-up.
    case constantWithWarmup = "constant_with_warmup"
  }

  public var kind: Kind
  /// Updates over which the rate rises from 0.
  public var warmupSteps: Int
  /// Updates in all.
  public var totalSteps: Int

  public init(_ kind: Kind, warmupSteps: Int, totalSteps: Int) {
    self.kind = kind
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
  }

  /// The multiplier of the update after `done` updates: the first update uses `multiplier(0)`.
  public func multiplier(_ done: Int) -> Double {
    if kind == .constant { return 1 }
    if done < warmupSteps { return Double(done) / Double(max(1, warmupSteps)) }
    let rest = Double(max(1, totalSteps - warmupSteps))
    switch kind {
    case .constant, .constantWithWarmup: return 1
    case .linear: return max(0, Double(totalSteps - done) / rest)
    case .cosine: return max(0, 0.5 * (1 + cos(.pi * Double(done - warmupSteps) / rest)))
    }
  }
}
