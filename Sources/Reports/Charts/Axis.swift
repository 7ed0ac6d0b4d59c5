import Foundation
import Pipelines

/// One axis of a chart: where a value lies on it, and which values are named.
struct Axis: Sendable {
  /// How values are spread over an axis.
  enum Scale: String, Sendable, CaseIterable {
    case linear
    case log
  }

  /// A named place: from 0, where the axis begins, to 1, where it ends.
  struct Tick: Sendable {
    var place: Double
    var label: String
  }

  let ticks: [Tick]
  private let low: Double
  private let high: Double
  private let scale: Scale

  /// - Parameters:
  ///   - values: what has to lie on the axis; without a finite number (on a logarithmic scale: a positive one), 0 to 1 is shown.
  ///   - count: about how many ticks have room.
  ///   - isExtended: whether the axis begins and ends at a tick.
  ///   - isWhole: whether only whole numbers are named.
  init(_ values: some Sequence<Double>, scale: Scale = .linear, count: Int = 5, isExtended: Bool = true, isWhole: Bool = false) {
    let finite = values.filter { $0.isFinite && (scale == .linear || $0 > 0) }
    let ends = (finite.min() ?? 0, finite.max() ?? 1)
    self.scale = scale
    switch scale {
    case .linear:
      let (low, high) = Self.widened(ends.0, ends.1, isWhole: isWhole)
      // Half of each, because a difference of two large numbers may have no room.
      let step = Self.niceStep((high / 2 - low / 2) / Double(max(count, 1)) * 2, isWhole: isWhole)
      let steps = isExtended ? ((low / step).rounded(.down), (high / step).rounded(.up)) : ((low / step).rounded(.up), (high / step).rounded(.down))
      self.low = isExtended ? steps.0 * step : low
      self.high = isExtended ? steps.1 * step : high
      let (from, to) = (self.low, self.high)
      let format = TickFormat(step: step, largest: max(abs(from), abs(to)))
      ticks = stride(from: steps.0, through: steps.1, by: 1).prefix(50).map { number in
        let value = number * step
        return Tick(place: Self.share(value, from, to), label: format.text(value))
      }
    case .log:
      let (low, high) = ends.0 < ends.1 ? (log10(ends.0), log10(ends.1)) : (log10(max(ends.0, 1e-300)) - 0.5, log10(max(ends.1, 1e-300)) + 0.5)
      (self.low, self.high) = (low, high)
      ticks = Self.logTicks(low, high, finite, count: count).map { Tick(place: Self.share(log10($0), low, high), label: TickFormat.short($0)) }
    }
  }

  /// Where a value lies: 0 is the axis's beginning, 1 its end. nil for what the axis cannot show.
  func place(of value: Double) -> Double? {
    if scale == .log && value <= 0 { return nil }
    let share = Self.share(scale == .log ? log10(value) : value, low, high)
    return share.isFinite ? share : nil
  }

  private static func share(_ value: Double, _ low: Double, _ high: Double) -> Double { (value / 2 - low / 2) / (high / 2 - low / 2) }

  /// An axis has a length also where all values are one.
  private static func widened(_ low: Double, _ high: Double, isWhole: Bool) -> (Double, Double) {
    let (low, high) = (max(low, -1e300), min(high, 1e300))
    if high - low > 1e-9 * max(abs(low), abs(high)) { return (low, high) }
    let margin = low == 0 ? 1 : isWhole ? max(1, abs(low) * 0.5) : abs(low) * 0.5
    return (low - margin, high + margin)
  }

  /// 1, 2 or 5 times a power of ten, no less than a step.
  private static func niceStep(_ step: Double, isWhole: Bool) -> Double {
    let step = max(step, 1e-300)
    let power = pow(10, log10(step).rounded(.down))
    let nice = [1.0, 2, 5, 10].first { $0 * power >= step * 0.999_999 } ?? 10
    return isWhole ? max(1, nice * power) : nice * power
  }

  /// Powers of two where all values are (ranks, batch sizes); else powers of ten, or with 2 and 5 between them.
  private static func logTicks(_ low: Double, _ high: Double, _ values: [Double], count: Int) -> [Double] {
    let isBinary = high - low < 4 && values.allSatisfy { log2($0).rounded() == log2($0) }
    var ticks: [Double]
    if isBinary {
      ticks = stride(from: (low / log10(2)).rounded(), through: high / log10(2) + 1e-9, by: 1).map { exp2($0) }
    } else {
      let decades = stride(from: low.rounded(.down), through: high.rounded(.up), by: 1).map { pow(10, $0) }
      let digits = high - low >= 2 ? [1.0] : [1, 2, 5]
      ticks = decades.flatMap { decade in digits.map { $0 * decade } }.filter { log10($0) >= low - 1e-9 && log10($0) <= high + 1e-9 }
    }
    let stride = (ticks.count + count - 1) / max(count, 1)
    if stride > 1 { ticks = ticks.enumerated().filter { $0.offset % stride == 0 }.map(\.element) }
    return ticks
  }
}

/// How the numbers along an axis are written: as short as tells neighbours apart.
struct TickFormat {
  private let step: Double
  private let largest: Double

  init(step: Double, largest: Double) { (self.step, self.largest) = (step, largest) }

  func text(_ value: Double) -> String {
    if abs(value) < step * 1e-6 { return "0" }
    if largest >= 1e9 || largest < 2e-3 { return Self.scientific(value, step: step) }
    if largest >= 1e6 { return Self.fraction(value / 1e6, step: step / 1e6) + "M" }
    if largest >= 1e4, step >= 100 { return Self.fraction(value / 1e3, step: step / 1e3) + "k" }
    return grouped(Self.fraction(value, step: step))
  }

  /// A number of its own: "0.001", "5e-5", "1,024".
  static func short(_ value: Double) -> String {
    let magnitude = abs(value)
    if magnitude >= 1e6 || magnitude < 1e-3 { return scientific(value, step: magnitude / 100) }
    return grouped(String(format: "%.4g", value))
  }

  private static func fraction(_ value: Double, step: Double) -> String {
    let decimals = min(max(0, Int((-log10(step) - 1e-6).rounded(.up))), 12)
    return String(format: "%.\(decimals)f", value)
  }

  private static func scientific(_ value: Double, step: Double) -> String {
    let exponent = Int(log10(abs(value)).rounded(.down))
    let power = pow(10, Double(exponent))
    var digits = fraction(value / power, step: step / power)
    if digits.contains(".") {
      while digits.hasSuffix("0") { digits.removeLast() }
      if digits.hasSuffix(".") { digits.removeLast() }
    }
    return digits + "e\(exponent)"
  }
}
