/// The values that an argument or a field may take, as checked and as told to the user.
public protocol ValueRange<Bound> {
  associatedtype Bound: Comparable
  /// Whether the value is allowed.
  func contains(_ value: Bound) -> Bool
  /// Follows a type's name: "from 1 to 4096", "at least 0 and below 1"; empty if all values are allowed.
  var words: String { get }
}

extension ClosedRange: ValueRange {
  public var words: String { "from \(short(lowerBound)) to \(short(upperBound))" }
}

extension Range: ValueRange {
  public var words: String { "at least \(short(lowerBound)) and below \(short(upperBound))" }
}

extension PartialRangeFrom: ValueRange {
  public var words: String { "at least \(short(lowerBound))" }
}

extension PartialRangeThrough: ValueRange {
  public var words: String { "at most \(short(upperBound))" }
}

/// All values.
public struct Unlimited<Bound: Comparable>: ValueRange, Sendable {
  public init() {}
  public func contains(_ value: Bound) -> Bool { true }
  public var words: String { "" }
}

/// The values above a bound, itself excluded; with a second bound, up to that one.
public struct Above<Bound: Comparable & Sendable>: ValueRange, Sendable {
  private let lower: Bound
  private let upper: Bound?

  public init(_ lower: Bound, through upper: Bound? = nil) {
    self.lower = lower
    self.upper = upper
  }

  public func contains(_ value: Bound) -> Bool {
    value > lower && upper.map { value <= $0 } ?? true
  }

  public var words: String {
    "above \(short(lower))" + (upper.map { " and at most \(short($0))" } ?? "")
  }
}

/// Numbers as a script writes them: 1 rather than 1.0.
private func short(_ bound: some Any) -> String {
  if let number = bound as? Double, let whole = Int(exactly: number) { return String(whole) }
  return "\(bound)"
}
