import Diagnostics
import LuaHost
import TensorCore

/// Numbers of a script: one number, or lists nested to the same depth everywhere.
struct NestedNumbers: LuaArgument {
  let shape: [Int]
  /// In row-major order.
  let values: [Double]

  static var luaType: LuaType { LuaType("number|table") }
  static var expectedWord: String { "number or nested lists of numbers" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> NestedNumbers {
    guard stack.isNumber(at: index) || stack.isTable(at: index) else {
      throw stack.mismatch(expectedWord, at: index)
    }
    let content = try LuaValue.read(stack, at: index)
    var shape: [Int] = []
    var first = content
    while case .table(let table) = first {
      shape.append(table.list.count)
      guard let next = table.list.first else { break }
      first = next
    }
    var values: [Double] = []
    try collect(content, shape[...], "", &values)
    return NestedNumbers(shape: shape, values: values)
  }

  /// Adds the numbers of a value that must have this shape. `place` is where it stands: "[1][2]".
  private static func collect(
    _ value: LuaValue, _ shape: ArraySlice<Int>, _ place: String, _ values: inout [Double]
  ) throws(ValueMismatch) {
    func mismatch(_ expected: String, _ found: String) -> ValueMismatch {
      ValueMismatch(expected: expected, found: found, place: place)
    }
    switch value {
    case .integer, .number:
      guard shape.isEmpty else {
        throw mismatch("a list of \(shape.first ?? 0) values as at [1]", "a number")
      }
      values.append(value.double ?? .nan)
    case .table(let table):
      if let name = table.fields.keys.min() {
        throw mismatch("nested lists of numbers", "a field named '\(name)'")
      }
      guard let size = shape.first else { throw mismatch("a number as before it", "a table") }
      guard table.list.count == size else {
        throw mismatch("\(size) values as in the list before it", "\(table.list.count) values")
      }
      for (i, item) in table.list.enumerated() {
        try collect(item, shape.dropFirst(), "\(place)[\(i + 1)]", &values)
      }
    default: throw mismatch("a number", value.typeName)
    }
  }

  /// The numbers in a type. Throws where it cannot hold one of them.
  func tensor(_ dtype: DType) throws -> Tensor {
    let exact = try Tensor(values, shape)
    if dtype == .int32, let bad = values.firstIndex(where: { Int32(exactly: $0) == nil }) {
      throw EngineError(.data, "tensor: \(values[bad]) is not an int32")
    }
    return try exact.to(dtype)
  }
}

extension Tensor {
  /// A list for a script has at most so many numbers.
  private static let longestList = 10_000_000

  /// The elements as nested lists, or a number.
  func nestedLists() throws -> LuaValue {
    guard count <= Self.longestList else {
      throw EngineError(
        .shape, "tolist: \(count) elements, expected at most \(Self.longestList)",
        hint: "take a part of it first")
    }
    var position = 0
    return nested(shape[...], &position)
  }

  private func nested(_ sizes: ArraySlice<Int>, _ position: inout Int) -> LuaValue {
    guard let size = sizes.first else {
      defer { position += 1 }
      return Element(element(position), of: self).lua
    }
    // Lists of empty lists could be longer than the tensor has elements.
    let isEmpty = count == 0 && !sizes.dropFirst().isEmpty
    var list: [LuaValue] = []
    for _ in 0..<(isEmpty ? min(size, 1000) : size) {
      list.append(nested(sizes.dropFirst(), &position))
    }
    return .table(LuaTable(list: list))
  }

  /// The row-major index of a 0-based position along every axis; negative ones count from the end.
  func elementIndex(_ operation: String, _ positions: [Int]) throws -> Int {
    guard positions.count == rank else {
      throw EngineError(
        .argument,
        "\(operation): \(positions.count) positions for \(summary): expected \(rank), "
          + "one for each axis"
      )
    }
    var index = 0
    for (axis, (position, size)) in zip(positions, shape).enumerated() {
      guard position >= -size, position < size else {
        throw EngineError(
          .argument,
          "\(operation): position \(position) is outside axis \(axis) of \(shape)",
          hint: "positions count from 0"
        )
      }
      index = index * size + (position < 0 ? position + size : position)
    }
    return index
  }
}
