import Diagnostics
import LuaHost
import TensorCore

/// Looks for the first place where what a script computed is not what it expected.
package struct ValueDifferences {
  /// Which numbers count as the same: those that differ by at most `atol + rtol * |expected|`. Nil: only equal ones.
  package var tolerance: Tolerance?

  package init(tolerance: Tolerance? = nil) { self.tolerance = tolerance }

  /// "at .rows[2]: expected 3, given 4"; nil where the values are the same. Throws for what cannot be compared.
  package func first(_ given: LuaValue, _ expected: LuaValue, at place: String = "") throws -> String? {
    let found = place.isEmpty ? "" : "at \(place): "
    switch (given, expected) {
    case (.table(let given), .table(let expected)): return try first(given, expected, at: place)
    case (.object(let given as Tensor), .object(let expected as Tensor)): return first(given, expected).map { found + $0 }
    case (.function, .function):
      throw EngineError(.argument, "\(found)functions cannot be compared", hint: "compare what they return")
    default:
      if isSame(given, expected) { return nil }
      let allowed = tolerance.flatMap { tolerance in
        given.double.flatMap { given in expected.double.map { tolerance.explanation(of: given, $0, .float64) } }
      }
      return "\(found)expected \(words(expected)), given \(words(given))\(allowed ?? "")"
    }
  }

  private func isSame(_ given: LuaValue, _ expected: LuaValue) -> Bool {
    switch (given, expected) {
    case (.nil, .nil): true
    case (.bool(let a), .bool(let b)): a == b
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.bytes(let a), .bytes(let b)): a == b
    case (.integer(let a), .integer(let b)) where tolerance == nil: a == b
    case (.integer(let a), .number(let b)) where tolerance == nil: Int(exactly: b) == a
    case (.number(let a), .integer(let b)) where tolerance == nil: Int(exactly: a) == b
    case (.object(let a), .object(let b)): a === b
    default:
      if let a = given.double, let b = expected.double { isSame(a, b, .float64) } else { false }
    }
  }

  private func isSame(_ given: Double, _ expected: Double, _ dtype: DType) -> Bool {
    given == expected || tolerance?.allows(given, expected, dtype) ?? false
  }

  private func first(_ given: LuaTable, _ expected: LuaTable, at place: String) throws -> String? {
    let names = Set(given.fields.keys).union(expected.fields.keys).sorted()
    for i in 0..<max(given.list.count, expected.list.count) {
      let (a, b) = (given.list.dropFirst(i).first ?? .nil, expected.list.dropFirst(i).first ?? .nil)
      if let found = try first(a, b, at: "\(place)[\(i + 1)]") { return found }
    }
    for name in names {
      if let found = try first(given[name], expected[name], at: "\(place).\(name)") { return found }
    }
    return nil
  }

  private func first(_ given: Tensor, _ expected: Tensor) -> String? {
    guard given.shape == expected.shape, given.dtype == expected.dtype else {
      return "expected a tensor of \(expected.summary), given one of \(given.summary)"
    }
    let wrong = (0..<given.count).filter { !isSame(given.element($0), expected.element($0), given.dtype) }
    guard let index = wrong.first else { return nil }
    let (a, b) = (given.element(index), expected.element(index))
    return "\(wrong.count) of \(given.count) elements are not \(tolerance == nil ? "equal" : "close"): at \(position(index, given.shape)) "
      + "expected \(words(b)), given \(words(a))\(tolerance?.explanation(of: a, b, given.dtype) ?? "")"
  }

  /// "[0, 2]": where the element lies.
  private func position(_ index: Int, _ shape: [Int]) -> String {
    var (rest, axes) = (index, [Int]())
    for size in shape.reversed() {
      axes.append(rest % size)
      rest /= size
    }
    return "\(axes.reversed() as [Int])"
  }

  private func words(_ number: Double) -> String { number.isNaN ? "nan" : "\(number)" }

  private func words(_ value: LuaValue) -> String {
    switch value {
    case .nil: "nil"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): words(value)
    case .string(let text): "'\(text)'"
    case .bytes: "a string that is not UTF-8"
    case .object(let tensor as Tensor): "a tensor of \(tensor.summary)"
    case .table(let table): "a table of \(table.list.count + table.fields.count) values"
    default: "a \(value.typeName)"
    }
  }
}

/// How far numbers may be apart; the options of `assert_close`.
package struct Tolerance: LuaRecord {
  package var rtol: Double?
  package var atol: Double?
  package var equalNaN = false

  package init() {}

  package static let recordName = "closeness options"
  package static let fields: [Field<Self>] = [
    .float(
      "rtol", \.rtol, "allowed difference as a part of the expected number (as PyTorch: 1.3e-6 for float32, 0.016 for bfloat16, 1e-7 for numbers)",
      in: 0...),
    .float("atol", \.atol, "allowed difference beside it (as PyTorch: 1e-5 for float32 and bfloat16, 1e-7 for numbers)", in: 0...),
    .value("equal_nan", \.equalNaN, "whether nan is close to nan"),
  ]

  package func validate() throws(EngineError) {
    if (rtol == nil) != (atol == nil) { throw EngineError(.argument, "'rtol' and 'atol' are given together, or both are left out") }
  }

  private func limits(_ dtype: DType) -> (relative: Double, absolute: Double) {
    if let rtol, let atol { return (rtol, atol) }
    return switch dtype {
    case .float32: (1.3e-6, 1e-5)
    case .bfloat16: (1.6e-2, 1e-5)
    case .float64: (1e-7, 1e-7)
    case .int32: (0, 0)
    }
  }

  func allows(_ given: Double, _ expected: Double, _ dtype: DType) -> Bool {
    if given.isNaN || expected.isNaN { return equalNaN && given.isNaN && expected.isNaN }
    guard given.isFinite, expected.isFinite else { return given == expected }
    let limits = limits(dtype)
    return abs(given - expected) <= limits.absolute + limits.relative * abs(expected)
  }

  /// What a message says about two numbers that are not close.
  func explanation(of given: Double, _ expected: Double, _ dtype: DType) -> String {
    guard given.isFinite, expected.isFinite else { return "" }
    let limits = limits(dtype)
    return ", which differ by \(abs(given - expected)) (allowed: \(limits.absolute) + \(limits.relative) x \(abs(expected)))"
  }
}
