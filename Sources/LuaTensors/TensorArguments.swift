import Diagnostics
import LuaHost
import TensorCore

extension Tensor: LuaObject {
  public static var luaName: String { "Tensor" }
}

extension DType: LuaChoice {}

/// A tensor, or a number that stands for a tensor of its value.
package enum Operand: LuaArgument {
  case number(Double)
  case tensor(Tensor)

  package static var luaType: LuaType { LuaType("Tensor|number") }
  package static var expectedWord: String { "Tensor or number" }

  package static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Operand {
    if stack.isNumber(at: index) { return .number(try Double.read(stack, at: index)) }
    do throws(ValueMismatch) {
      return .tensor(try Tensor.read(stack, at: index))
    } catch {
      throw stack.mismatch(expectedWord, at: index)
    }
  }

  /// The function of the elements of two operands, of which one is a tensor.
  package static func apply(_ operation: BinaryOperation, _ a: Operand, _ b: Operand) throws -> Tensor {
    switch (a, b) {
    case (.tensor(let x), .tensor(let y)): return try x.binary(operation, y)
    case (.tensor(let x), .number(let y)): return try x.binary(operation, y)
    case (.number(let x), .tensor(let y)): return try y.binary(operation, x, reversed: true)
    case (.number(let x), .number(let y)): return try Tensor.full([], x).binary(operation, y)
    }
  }

  /// A tensor; numbers become scalars of the type of `other`, or float32.
  package func tensor(like other: Operand? = nil) throws -> Tensor {
    switch (self, other) {
    case (.tensor(let tensor), _): return tensor
    case (.number(let number), .tensor(let tensor)):
      let fits = tensor.dtype != .int32 || Int32(exactly: number) != nil
      return try Tensor.full([], number, fits ? tensor.dtype : .float32)
    case (.number(let number), _): return try Tensor.full([], number)
    }
  }
}

/// One axis, or a list of axes.
package struct Axes: LuaArgument {
  package let values: [Int]

  package static var luaType: LuaType { LuaType("integer|integer[]") }
  package static var expectedWord: String { "integer or list of integers" }

  package static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Axes {
    if stack.isNumber(at: index) { return Axes(values: [try Int.read(stack, at: index)]) }
    guard stack.isTable(at: index) else { throw stack.mismatch(expectedWord, at: index) }
    return Axes(values: try [Int].read(stack, at: index))
  }
}

/// Sizes or axes as one list, or as all further arguments: `reshape({ 2, 3 })`, `reshape(2, 3)`.
struct Sizes: LuaArgument {
  let values: [Int]

  static var luaType: LuaType { Axes.luaType }
  static var expectedWord: String { Axes.expectedWord }
  static var takesRest: Bool { true }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Sizes {
    guard stack.isTable(at: index) else {
      return Sizes(values: try Rest<Int>.read(stack, at: index).values)
    }
    let list = try [Int].read(stack, at: index)
    guard try Rest<LuaValue>.read(stack, at: index + 1).values.isEmpty else {
      throw ValueMismatch(expected: "one list, or integers", found: "a list and more")
    }
    return Sizes(values: list)
  }
}

/// Positions, classes or token ids: an int32 tensor, or a list of integers.
enum Identifiers: LuaArgument {
  case tensor(Tensor)
  case list([Int])

  static var luaType: LuaType { LuaType("Tensor|integer[]") }
  static var expectedWord: String { "int32 Tensor or list of integers" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Identifiers {
    if stack.isTable(at: index) { return .list(try [Int].read(stack, at: index)) }
    do throws(ValueMismatch) {
      return .tensor(try Tensor.read(stack, at: index))
    } catch {
      throw stack.mismatch(expectedWord, at: index)
    }
  }

  /// The ids as an int32 tensor. Throws for numbers that are no int32, and other types.
  func tensor(_ operation: String) throws -> Tensor {
    switch self {
    case .tensor(let tensor):
      guard tensor.dtype == .int32 else {
        throw EngineError(
          .argument, "\(operation): ids of \(tensor.dtype.rawValue), expected int32",
          hint: "convert with :int()")
      }
      return tensor
    case .list(let list):
      let values = try list.map { id in
        guard let value = Int32(exactly: id) else {
          throw EngineError(.data, "\(operation): id \(id) is not an int32")
        }
        return value
      }
      return try Tensor(values, [values.count])
    }
  }
}

/// Two tensors, as two results. A missing second one is nil.
struct TensorPair: LuaResult {
  let first: Tensor
  let second: Tensor?

  static var luaType: LuaType { LuaType("Tensor, Tensor") }

  init(_ first: Tensor, _ second: Tensor?) {
    self.first = first
    self.second = second
  }

  func push(onto stack: LuaStack) throws -> Int32 {
    try first.push(onto: stack) + (second?.push(onto: stack) ?? 0)
  }
}

/// Three tensors, as three results.
struct TensorTriple: LuaResult {
  let values: (Tensor, Tensor, Tensor)

  static var luaType: LuaType { LuaType("Tensor, Tensor, Tensor") }

  init(_ values: (Tensor, Tensor, Tensor)) { self.values = values }

  func push(onto stack: LuaStack) throws -> Int32 {
    try values.0.push(onto: stack) + values.1.push(onto: stack) + values.2.push(onto: stack)
  }
}

/// A number of a script: an integer where the tensor's type is one.
struct Element: LuaResult {
  let value: Double
  let isInteger: Bool

  static var luaType: LuaType { LuaType("number") }

  init(_ value: Double, of tensor: Tensor) {
    self.value = value
    isInteger = tensor.dtype == .int32
  }

  var lua: LuaValue { isInteger ? .integer(Int(value)) : .number(value) }

  func push(onto stack: LuaStack) throws -> Int32 { try lua.push(onto: stack) }
}

// MARK: - Options

/// Options of functions that make tensors.
struct TensorOptions: LuaRecord {
  var dtype = DType.float32
  var requiresGrad = false

  static let recordName = "tensor options"
  static let fields: [Field<Self>] = [
    .value("dtype", \.dtype, "type of the elements"),
    .value("requires_grad", \.requiresGrad, "whether backward() fills grad"),
  ]

  /// The tensor as a leaf with these options.
  func leaf(_ tensor: Tensor) throws -> Tensor { try tensor.requiresGrad(requiresGrad) }
}

/// Options of functions that draw random numbers.
struct RandomOptions: LuaRecord {
  var seed: Int?
  var dtype = DType.float32
  var requiresGrad = false

  static let recordName = "random options"
  static let fields: [Field<Self>] = [
    .int(
      "seed", \.seed,
      "draws the same numbers every time; default: --seed or manual_seed, and the call's number",
      in: 0...),
    .value("dtype", \.dtype, "float32, float64 or bfloat16"),
    .value("requires_grad", \.requiresGrad, "whether backward() fills grad"),
  ]
}

/// Options of `dropout`.
struct DropoutOptions: LuaRecord {
  var seed: Int?
  var training = true

  static let recordName = "dropout options"
  static let fields: [Field<Self>] = [
    .int(
      "seed", \.seed,
      "drops the same elements every time; default: --seed or manual_seed, and the call's number",
      in: 0...),
    .value("training", \.training, "false returns the tensor as it is"),
  ]
}

/// Options of `cross_entropy`.
struct CrossEntropyOptions: LuaRecord {
  var labelSmoothing = 0.0

  static let recordName = "cross_entropy options"
  static let fields: [Field<Self>] = [
    .float(
      "label_smoothing", \.labelSmoothing, "share of the label spread over all classes", in: 0...1)
  ]
}

/// Options of `backward`.
struct BackwardOptions: LuaRecord {
  var gradient: Tensor?
  var retainGraph = false

  static let recordName = "backward options"
  static let fields: [Field<Self>] = [
    .object(
      "gradient", \.gradient,
      "gradient of the tensor itself, of its shape; default: 1, for one element", type: "Tensor"),
    .value("retain_graph", \.retainGraph, "keep the graph, for another backward()"),
  ]
}
