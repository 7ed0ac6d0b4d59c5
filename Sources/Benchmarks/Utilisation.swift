import Files
import Pipelines
import TensorCore

/// How much of what the machine can do a piece of work used: its arithmetic and its memory traffic beside the machine's limits.
public struct Utilisation: Sendable {
  /// A kind of work, or what was outside kernels.
  public struct Part: Sendable, Equatable {
    public let name: String
    public let seconds: Double
    /// The least time that the machine's arithmetic or memory allows; 0 for what is no work of a kernel, nil where nobody counted.
    public let leastSeconds: Double?

    /// Of the time that it took; nil where nobody counted, or nothing has to be done.
    public var shareOfLimit: Double? { leastSeconds.flatMap { $0 > 0 && seconds > 0 ? $0 / seconds : nil } }
    /// Seconds above the least time.
    var excess: Double { leastSeconds.map { seconds - $0 } ?? 0 }
  }

  /// Floating-point operations.
  public let operations: Double
  /// Those of a second at most; nil where no unit was measured.
  public let peak: Double?
  /// Bytes of a second at most, for a copy.
  public let copyBandwidth: Double
  /// The whole time.
  public let seconds: Double
  public let parts: [Part]

  public init(_ profile: Profile, _ limits: MachineLimits, _ precision: Precision) {
    peak = precision == .bf16 ? limits.bf16Speed ?? limits.fp32Speed : limits.fp32Speed
    (copyBandwidth, seconds) = (limits.copyBandwidth, profile.seconds)
    operations = Profile.Kind.allCases.reduce(0) { $0 + profile[$1].operations }
    let speed = peak
    // Without units for bfloat16, its products run in fp32.
    let unit = limits.bf16Speed == nil ? Precision.fp32 : precision
    parts =
      Profile.Kind.allCases.filter { profile[$0].calls > 0 }.map { kind in
        let entry = profile[kind]
        let isCounted = entry.operations > 0 && speed != nil || entry.bytes > 0
        let least = limits.leastSeconds(operations: speed == nil ? 0 : entry.operations, unit, bytes: entry.bytes)
        return Part(name: kind.name, seconds: entry.seconds, leastSeconds: isCounted ? least : nil)
      } + [Part(name: "outside kernels", seconds: max(0, profile.secondsOutside), leastSeconds: 0)]
  }

  /// Model FLOPs utilisation: the arithmetic in a second, over the machine's; nil where no unit was measured.
  public var modelFLOPs: Double? { peak.flatMap { $0 > 0 && seconds > 0 ? operations / seconds / $0 : nil } }

  /// The part that takes most time beyond its own limit.
  public var slowest: Part? { parts.max { $0.excess < $1.excess } }

  /// The part in words, for `count` of `what`.
  func summary(_ part: Part, per what: String, count: Int) -> String {
    let each = 1e3 / Double(max(1, count))
    func milliseconds(_ seconds: Double) -> String { numberText((seconds * each * 1e3).rounded() / 1e3) + " ms" }
    guard let share = part.shareOfLimit, let least = part.leastSeconds else { return "\(part.name): \(milliseconds(part.seconds)) a \(what)" }
    return "\(part.name): \(Int((share * 100).rounded())) % of its limit, \(milliseconds(part.seconds)) instead of \(milliseconds(least)) a \(what)"
  }
}
