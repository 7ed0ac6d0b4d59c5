import Foundation

/// How the numbers of a column are written: with at least three significant digits each, and their points below each other.
///
/// Numbers from 0.001 on have as many digits after the point as the most demanding of them needs, smaller ones an exponent.
/// A column of small numbers with few digits, such as a grid of learning rates, has exponents throughout.
struct NumberFormat {
  private let decimals: Int
  private let isScientific: Bool

  /// - Parameter numbers: those of the column; infinities and NaN are passed over.
  init(_ numbers: [Double]) {
    let magnitudes = numbers.filter { $0.isFinite && $0 != 0 }.map(abs)
    decimals = numbers.filter { $0 == 0 || Self.isPlain(abs($0)) }.map(Self.decimals).max() ?? 4
    isScientific =
      magnitudes.contains { $0 < Self.smallest } && magnitudes.allSatisfy { $0 <= 0.1 && Double($0.shortScientific) == $0 }
  }

  func text(_ number: Double) -> String {
    guard number.isFinite else { return number.isNaN ? "nan" : number < 0 ? "-inf" : "inf" }
    if isScientific { return number == 0 ? "0" : number.shortScientific }
    guard number == 0 || Self.isPlain(abs(number)) else { return number.shortScientific }
    return grouped(fixed(number, decimals: decimals))
  }

  /// Below this, digits after the point are mostly zeros.
  private static let smallest = 1e-3

  private static func isPlain(_ magnitude: Double) -> Bool { magnitude >= smallest && magnitude < 1e15 }

  /// Digits after the point that a number needs: four, fewer for large ones, more where the first digits are zeros.
  private static func decimals(_ number: Double) -> Int {
    let magnitude = abs(number)
    if magnitude >= 100 { return 1 }
    if magnitude >= 10 { return 2 }
    guard magnitude < 0.01, magnitude > 0 else { return 4 }
    let parts = magnitude.shortScientific.split(separator: "e")
    let digits = parts[0].count { $0 != "." }
    return max(4, digits - 1 - (Int(parts[1]) ?? 0))
  }
}

/// One number, as a column that has no other shows it: "0.7950", "5e-05", "1,234.5".
public func numberText(_ number: Double) -> String { NumberFormat([number]).text(number) }

/// The digits before the point in groups of three: "124,647,170".
public func grouped(_ text: String) -> String {
  let digits = text.prefix { $0 != "." && $0 != "e" }
  let sign = digits.hasPrefix("-") ? "-" : ""
  var grouped = ""
  for (place, digit) in digits.dropFirst(sign.count).reversed().enumerated() {
    if place > 0 && place % 3 == 0 { grouped.append(",") }
    grouped.append(digit)
  }
  return sign + String(grouped.reversed()) + text.dropFirst(digits.count)
}

/// A number with a fixed count of digits after the point, whatever the locale.
func fixed(_ number: Double, decimals: Int) -> String {
  String(format: "%.\(min(max(decimals, 0), 17))f", number)
}

extension Double {
  /// "5e-04", "1.25e-05": at most three significant digits.
  var shortScientific: String {
    let parts = String(format: "%.2e", self).split(separator: "e")
    guard parts.count == 2 else { return description }
    var digits = String(parts[0])
    while digits.hasSuffix("0") { digits.removeLast() }
    if digits.hasSuffix(".") { digits.removeLast() }
    return digits + "e" + parts[1]
  }
}
