import Diagnostics
import Foundation

/// The learning rate's course: a multiplier for each update, as Transformers' schedulers.
public struct Schedule: Sendable, Equatable {
  /// `w` is the number of warm-up steps, `N` that of all, `k` that of updates done, `p = (k - w) / (N - w)`.
  public enum Kind: String, FieldChoice {
    /// Down to 0 on a straight line: `1 - p`.
    case linear
    /// Down to 0 on half a cosine: `(1 + cos(2 pi num_cycles p)) / 2`.
    case cosine
    /// Several times down on half a cosine, and up at once: `(1 + cos(pi (num_cycles p mod 1))) / 2`.
    case cosineWithRestarts = "cosine_with_restarts"
    /// Down to `lr_end`: `(1 - p)^power`.
    case polynomial
    /// 1, without warm-up.
    case constant
    /// 1, after the warm-up.
    case constantWithWarmup = "constant_with_warmup"
    /// `sqrt(timescale / (k - w + timescale))`.
    case inverseSqrt = "inverse_sqrt"
    /// The cosine of LoRA's language generation, which does not begin at the warm-up's end: `(1 + cos(pi k / N)) / 2`.
    case cosineLoRANLG = "cosine_lora_nlg"

    public static let typeName = "SchedulerType"

    /// The options of the course, in the words of `lr_scheduler_kwargs`.
    var options: [String] {
      switch self {
      case .cosine, .cosineWithRestarts: ["num_cycles"]
      case .polynomial: ["power", "lr_end"]
      case .inverseSqrt: ["timescale"]
      default: []
      }
    }
  }

  public var kind: Kind
  /// Updates over which the rate rises from 0.
  public var warmupSteps: Int
  /// Updates in all.
  public var totalSteps: Int
  public var options: ScheduleOptions
  /// The rate that the multipliers are of; only `lr_end` needs it.
  public var learningRate: Double

  public init(
    _ kind: Kind, warmupSteps: Int, totalSteps: Int, options: ScheduleOptions = ScheduleOptions(), learningRate: Double = 1
  ) {
    self.kind = kind
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
    self.options = options
    self.learningRate = learningRate
  }

  /// The multiplier of the update after `done` updates: the first update uses `multiplier(0)`.
  public func multiplier(_ done: Int) -> Double {
    if kind == .constant { return 1 }
    if done < warmupSteps { return Double(done) / Double(max(1, warmupSteps)) }
    let after = Double(done - warmupSteps)
    let rest = Double(max(1, totalSteps - warmupSteps))
    switch kind {
    case .constant, .constantWithWarmup: return 1
    case .linear: return max(0, Double(totalSteps - done) / rest)
    case .cosine: return max(0, 0.5 * (1 + cos(.pi * (options.numCycles ?? 0.5) * 2 * (after / rest))))
    case .cosineWithRestarts:
      guard after < rest else { return 0 }
      let place = ((options.numCycles ?? 1) * (after / rest)).truncatingRemainder(dividingBy: 1)
      return max(0, 0.5 * (1 + cos(.pi * place)))
    case .polynomial:
      let end = learningRate > 0 ? options.usedEnd / learningRate : 0
      guard done <= totalSteps else { return end }
      return (1 - end) * pow(1 - after / Double(max(1, totalSteps - warmupSteps)), options.power ?? 1) + end
    case .inverseSqrt:
      let scale = Double(options.timescale ?? (warmupSteps > 0 ? warmupSteps : 10_000))
      return (scale / (after + scale)).squareRoot()
    case .cosineLoRANLG: return max(0, 0.5 * (1 + cos(.pi * Double(done) / Double(max(1, totalSteps)))))
    }
  }
}

/// Options of a schedule: Transformers' `lr_scheduler_kwargs`.
public struct ScheduleOptions: Record, Sendable, Equatable {
  /// nil: half of one for "cosine", one for "cosine_with_restarts".
  public var numCycles: Double?
  /// nil: 1.
  public var power: Double?
  /// nil: 1e-7.
  public var lrEnd: Double?
  /// nil: the warm-up steps, or 10,000 without.
  public var timescale: Int?

  public init() {}

  var usedEnd: Double { lrEnd ?? 1e-7 }

  public static let recordName = "scheduler options"
  public static let fields: [Field<Self>] = [
    .float("num_cycles", \.numCycles, "waves of \"cosine\" (default: a half), falls of \"cosine_with_restarts\" (1)", in: Above(0)),
    .float("power", \.power, "exponent of \"polynomial\"; default: 1", in: Above(0)),
    .float("lr_end", \.lrEnd, "the step size at the end of \"polynomial\"; default: 1e-7", in: 0...),
    .int("timescale", \.timescale, "updates over which \"inverse_sqrt\" falls; default: those of the warm-up, or 10000", in: 1...),
  ]

  /// Throws for options that the course does not have, or that do not fit the learning rate.
  public func check(_ kind: Schedule.Kind, learningRate: Double) throws(EngineError) {
    let given = [("num_cycles", numCycles), ("power", power), ("lr_end", lrEnd), ("timescale", timescale.map { Double($0) })]
    for (name, value) in given {
      guard let value else { continue }
      guard value.isFinite else { throw EngineError(.argument, "lr_scheduler_kwargs: '\(name)' must be a finite number") }
      if !kind.options.contains(name) {
        throw EngineError(
          .argument, "lr_scheduler_kwargs: '\(name)' has no meaning with lr_scheduler_type = \"\(kind.rawValue)\"",
          hint: kind.options.isEmpty ? nil : "it takes \(kind.options.joined(separator: " and "))")
      }
    }
    if kind == .polynomial, usedEnd >= learningRate {
      throw EngineError(
        .argument, "lr_scheduler_type = \"polynomial\": lr_end = \(usedEnd) must be below learning_rate = \(learningRate)",
        hint: "set it in lr_scheduler_kwargs")
    }
  }
}
