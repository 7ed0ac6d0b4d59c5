import Diagnostics

/// A reader of the pickles in torch's files that runs nothing: it knows the few names that a dictionary of tensors needs, and
/// every other name is an error.
///
/// What it reads is data of strangers. Each instruction costs at least one of at most `longest` bytes and does work in
/// proportion to what it takes from the stack; tuples nest to `deepest`; lists and dictionaries, which may contain
/// themselves, are taken apart when reading ends.
///
/// Format: https://docs.python.org/3/library/pickletools.html, protocol 2, which torch.save uses.
struct TorchPickle {
  /// A tensor as the pickle describes it.
  struct TensorReference {
    let storage: StorageReference
    /// In elements.
    let offset: Int
    let shape: [Int]
    let strides: [Int]
  }

  /// The elements that tensors share.
  final class StorageReference: Sendable {
    let dtype: ScalarType
    /// The member of the archive, below `data/`.
    let key: String
    /// Number of elements.
    let count: Int

    init(dtype: ScalarType, key: String, count: Int) {
      (self.dtype, self.key, self.count) = (dtype, key, count)
    }
  }

  static let longest = 16 << 20
  static let deepest = 32

  private enum Global: Hashable {
    case orderedDict, rebuildTensor, rebuildParameter
    case storage(ScalarType)
  }

  private static let globals: [String: Global] = {
    var result: [String: Global] = [
      "collections.OrderedDict": .orderedDict, "torch._utils._rebuild_tensor_v2": .rebuildTensor,
      "torch._utils._rebuild_parameter": .rebuildParameter,
    ]
    let storages: [(String, ScalarType)] = [
      ("Double", .float64), ("Float", .float32), ("Half", .float16), ("BFloat16", .bfloat16), ("Long", .int64), ("Int", .int32),
      ("Short", .int16), ("Char", .int8), ("Byte", .uint8), ("Bool", .bool),
    ]
    for (name, dtype) in storages { result["torch.\(name)Storage"] = .storage(dtype) }
    return result
  }()

  /// A list (its elements are the values) or a dictionary.
  private final class Box {
    var keys: [Value] = []
    var values: [Value] = []
  }

  private final class Tuple {
    let values: [Value]
    let depth: Int

    init(_ values: [Value], depth: Int) { (self.values, self.depth) = (values, depth) }
  }

  private final class Tensor {
    let reference: TensorReference
    init(_ reference: TensorReference) { self.reference = reference }
  }

  private enum Value {
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case text(String)
    case tuple(Tuple)
    case list(Box)
    case dictionary(Box)
    case global(Global)
    case storage(StorageReference)
    case tensor(Tensor)
  }

  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private var position = 0
  private var stack: [Value] = []
  /// Sizes of the stack where a mark was put.
  private var marks: [Int] = []
  private var memo: [Int: Value] = [:]
  private var boxes: [Box] = []

  /// The tensors of a dictionary, by name; `path` is for messages.
  static func tensors(_ bytes: UnsafeRawBufferPointer, path: String) throws -> [(name: String, tensor: TensorReference)] {
    guard bytes.count <= longest else {
      throw EngineError(.data, "\(path): data.pkl has \(bytes.count) bytes, expected at most \(longest)")
    }
    var reader = TorchPickle(bytes: bytes, path: path)
    // Cycles would never be freed, and long chains would be freed by a recursion as long.
    defer { for box in reader.boxes { (box.keys, box.values) = ([], []) } }
    let value = try reader.read()
    return try reader.stateDict(value)
  }

  private init(bytes: UnsafeRawBufferPointer, path: String) {
    self.bytes = bytes
    self.path = path
  }

  private func failure(_ what: String, hint: String? = nil) -> EngineError {
    EngineError(.data, "\(path): data.pkl: \(what)", hint: hint)
  }
}

// MARK: - Instructions

extension TorchPickle {
  private mutating func read() throws -> Value {
    while true {
      let start = position
      let code = try byte()
      if code == UInt8(ascii: ".") { return try pop() }
      guard try constant(code) || container(code) || reference(code) else {
        throw failure("instruction 0x\(String(code, radix: 16)) at byte \(start) does not belong to a dictionary of tensors")
      }
    }
  }

  /// Instructions that push a constant.
  private mutating func constant(_ code: UInt8) throws -> Bool {
    switch code {
    case 0x80:
      let version = try byte()
      guard version <= 3 else {
        throw failure("pickle protocol \(version), expected 2", hint: "save it with torch.save's default pickle_protocol")
      }
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.int(Int(try byte())))
    case UInt8(ascii: "M"): stack.append(.int(Int(try number(UInt16.self))))
    case UInt8(ascii: "J"): stack.append(.int(Int(try number(Int32.self))))
    case 0x8A: stack.append(.int(try long(Int(byte()))))
    case UInt8(ascii: "G"): stack.append(.double(Double(bitPattern: try number(UInt64.self).byteSwapped)))
    case UInt8(ascii: "X"): stack.append(.text(try text(Int(number(UInt32.self)))))
    case UInt8(ascii: "U"): stack.append(.text(try text(Int(byte()))))
    default: return false
    }
    return true
  }

  /// Instructions that make and fill tuples, lists and dictionaries.
  private mutating func container(_ code: UInt8) throws -> Bool {
    switch code {
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: ")"): try push(tuple: [])
    case 0x85...0x87: try push(tuple: popLast(Int(code) - 0x84))
    case UInt8(ascii: "t"): try push(tuple: popMark())
    case UInt8(ascii: "]"): stack.append(.list(newBox()))
    case UInt8(ascii: "}"): stack.append(.dictionary(newBox()))
    case UInt8(ascii: "a"), UInt8(ascii: "e"):
      let values = try code == UInt8(ascii: "a") ? popLast(1) : popMark()
      try append(values)
    case UInt8(ascii: "s"), UInt8(ascii: "u"):
      let pairs = try code == UInt8(ascii: "s") ? popLast(2) : popMark()
      try set(pairs)
    case UInt8(ascii: "0"): _ = try pop()
    default: return false
    }
    return true
  }

  /// Instructions that name something: what was read before, a function, a storage.
  private mutating func reference(_ code: UInt8) throws -> Bool {
    switch code {
    case UInt8(ascii: "q"): try memoize(Int(byte()))
    case UInt8(ascii: "r"): try memoize(Int(number(UInt32.self)))
    case UInt8(ascii: "h"): try recall(Int(byte()))
    case UInt8(ascii: "j"): try recall(Int(number(UInt32.self)))
    case UInt8(ascii: "c"): stack.append(.global(try global()))
    case UInt8(ascii: "Q"):
      let description = try pop()
      stack.append(.storage(try storage(description)))
    case UInt8(ascii: "R"):
      let arguments = try pop()
      stack.append(try call(pop(), arguments))
    case UInt8(ascii: "b"):
      // The attributes of a dictionary: torch notes versions of modules there.
      _ = try pop()
      guard case .dictionary? = stack.last else { throw failure("attributes of something else than a dictionary") }
    default: return false
    }
    return true
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, count <= bytes.count - position else {
      throw failure("ends in the middle of an instruction", hint: "the file is truncated")
    }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  private mutating func byte() throws -> UInt8 { try take(1)[0] }

  private mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
    Number(littleEndian: try take(MemoryLayout<Number>.size).loadUnaligned(as: Number.self))
  }

  private mutating func text(_ count: Int) throws -> String {
    guard let text = String(validating: try take(count), as: UTF8.self) else { throw failure("a text is not UTF-8") }
    return text
  }

  /// A little-endian two's complement number of so many bytes.
  private mutating func long(_ count: Int) throws -> Int {
    let digits = try take(count)
    guard count <= 8 else { throw failure("a number of \(count) bytes") }
    let isNegative = digits.last.map { $0 >= 0x80 } ?? false
    var bits: UInt64 = isNegative ? .max : 0
    for digit in digits.reversed() { bits = bits << 8 | UInt64(digit) }
    return Int(Int64(bitPattern: bits))
  }

  private mutating func line() throws -> String {
    var count = 0
    while position + count < bytes.count, bytes[position + count] != UInt8(ascii: "\n") { count += 1 }
    let text = try text(count)
    _ = try byte()
    return text
  }

  // MARK: Stack

  private mutating func pop() throws -> Value {
    guard stack.count > (marks.last ?? 0), let value = stack.popLast() else { throw failure("takes more than there is") }
    return value
  }

  private mutating func popLast(_ count: Int) throws -> [Value] {
    guard stack.count - (marks.last ?? 0) >= count else { throw failure("takes more than there is") }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  /// Everything since the last mark.
  private mutating func popMark() throws -> [Value] {
    guard let mark = marks.popLast() else { throw failure("takes what no mark begins") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private mutating func newBox() -> Box {
    let box = Box()
    boxes.append(box)
    return box
  }

  private mutating func push(tuple values: [Value]) throws {
    let depth = values.reduce(0) { if case .tuple(let inner) = $1 { max($0, inner.depth) } else { $0 } } + 1
    guard depth <= Self.deepest else { throw failure("tuples are nested more than \(Self.deepest) deep") }
    stack.append(.tuple(Tuple(values, depth: depth)))
  }

  private func append(_ values: [Value]) throws {
    guard stack.count > (marks.last ?? 0), case .list(let box)? = stack.last else {
      throw failure("appends to something else than a list")
    }
    box.values += values
  }

  private func set(_ pairs: [Value]) throws {
    guard stack.count > (marks.last ?? 0), case .dictionary(let box)? = stack.last, pairs.count % 2 == 0 else {
      throw failure("sets entries of something else than a dictionary")
    }
    for i in stride(from: 0, to: pairs.count, by: 2) {
      box.keys.append(pairs[i])
      box.values.append(pairs[i + 1])
    }
  }

  private mutating func memoize(_ index: Int) throws {
    guard let top = stack.last else { throw failure("remembers what is not there") }
    memo[index] = top
  }

  private mutating func recall(_ index: Int) throws {
    guard let value = memo[index] else { throw failure("recalls what it does not remember") }
    stack.append(value)
  }
}

// MARK: - What is named

extension TorchPickle {
  private mutating func global() throws -> Global {
    let name = try line() + "." + line()
    if let found = Self.globals[name] { return found }
    let shown = name.count > 80 ? name.prefix(80) + "..." : name
    throw failure(
      "names '\(shown)', which is no part of a dictionary of tensors; nothing was run",
      hint: "save only the state_dict, or convert the file to safetensors where you trust it")
  }

  /// ("storage", type, key, device, number of elements).
  private func storage(_ value: Value) throws -> StorageReference {
    guard case .tuple(let tuple) = value, tuple.values.count == 5, case .text("storage") = tuple.values[0],
      case .global(.storage(let dtype)) = tuple.values[1], case .text(let key) = tuple.values[2],
      case .int(let count) = tuple.values[4], count >= 0
    else { throw failure("a storage is not described as torch describes it") }
    return StorageReference(dtype: dtype, key: key, count: count)
  }

  private mutating func call(_ function: Value, _ arguments: Value) throws -> Value {
    guard case .global(let global) = function, case .tuple(let tuple) = arguments else {
      throw failure("calls something else than a function")
    }
    let values = tuple.values
    switch global {
    case .orderedDict where values.isEmpty: return .dictionary(newBox())
    case .rebuildParameter where values.count == 3:
      guard case .tensor = values[0] else { break }
      return values[0]
    case .rebuildTensor where (6...7).contains(values.count):
      guard case .storage(let storage) = values[0], case .int(let offset) = values[1], offset >= 0,
        let shape = sizes(values[2]), let strides = sizes(values[3]), shape.count == strides.count
      else { break }
      return .tensor(Tensor(TensorReference(storage: storage, offset: offset, shape: shape, strides: strides)))
    default: break
    }
    throw failure("a call has other arguments than torch gives it")
  }

  /// A tuple of numbers of at least 0.
  private func sizes(_ value: Value) -> [Int]? {
    guard case .tuple(let tuple) = value, tuple.values.count <= 64 else { return nil }
    let sizes = tuple.values.compactMap { if case .int(let size) = $0, size >= 0 { size } else { nil } }
    return sizes.count == tuple.values.count ? sizes : nil
  }

  /// Names that programs keep the dictionary under, beside other things.
  private static let wrappers = ["state_dict", "model_state_dict"]

  private func stateDict(_ value: Value) throws -> [(name: String, tensor: TensorReference)] {
    guard case .dictionary(let box) = value else { throw failure("is no dictionary of tensors") }
    for (key, value) in zip(box.keys, box.values) {
      if case .text(let name) = key, Self.wrappers.contains(name), case .dictionary(let inner) = value { return try tensors(inner) }
    }
    return try tensors(box)
  }

  private func tensors(_ box: Box) throws -> [(name: String, tensor: TensorReference)] {
    try zip(box.keys, box.values).map { key, value in
      guard case .text(let name) = key else { throw failure("a name is no text") }
      guard case .tensor(let tensor) = value else { throw failure("'\(name)' is no tensor") }
      return (name, tensor.reference)
    }
  }
}
