import CLuaBridge
import Diagnostics

/// The stack of a running Lua thread: where arguments come from and results go to.
///
/// Valid only during the call that received it.
public struct LuaStack {
  /// The thread that called, which may be a coroutine.
  let thread: OpaquePointer
  let state: LuaState

  /// Tables may be nested this deep.
  private static let maximumDepth = 100
  /// A copied argument may have this many values in all: shared tables multiply when copied.
  private static let maximumValues = 2_000_000

  var top: Int32 { lb_top(thread) }

  func kind(_ index: Int32) -> Int { Int(lb_kind(thread, index)) }

  /// Whether the value is a number; for arguments that take one of several types, cheaper than a failed read.
  public func isNumber(at index: Int32) -> Bool {
    let kind = kind(index)
    return kind == LB_INTEGER || kind == LB_NUMBER
  }

  /// Whether the value is a table.
  public func isTable(at index: Int32) -> Bool { kind(index) == LB_TABLE }

  /// Whether the value is a string.
  public func isString(at index: Int32) -> Bool { kind(index) == LB_STRING }

  /// Makes room for values that will be pushed, and for what they take beside the stack.
  func reserve(_ count: Int32, bytes: Int = 0) throws {
    guard lb_reserve(thread, count) else {
      throw EngineError(.argument, "too many values for one call")
    }
    guard lb_has_room(thread, bytes) else {
      throw EngineError(.argument, "not enough memory: a script's values may take \(state.options.memoryLimit >> 20) MiB")
    }
  }

  /// What messages call the type of the value.
  package func typeName(_ index: Int32) -> String {
    switch kind(index) {
    case LB_NONE: return "nothing"
    case LB_NIL: return "nil"
    case LB_BOOL: return "boolean"
    case LB_INTEGER, LB_NUMBER: return "number"
    case LB_STRING: return "string"
    case LB_TABLE: return "table"
    case LB_FUNCTION: return "function"
    case LB_THREAD: return "coroutine"
    case LB_OBJECT:
      let name = state.className(Int(lb_object_class(thread, index)))
      return lb_object(thread, index) == nil ? "a released \(name)" : name
    default: return "userdata"
    }
  }

  /// A mismatch that tells the type that came.
  public func mismatch(_ expected: String, at index: Int32) -> ValueMismatch {
    ValueMismatch(expected: expected, found: typeName(index))
  }

  /// The Swift object behind a value, if it is one and not released.
  func object(_ index: Int32) -> AnyObject? {
    guard let pointer = lb_object(thread, index) else { return nil }
    return Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue()
  }

  func bytes(_ index: Int32) -> UnsafeRawBufferPointer {
    var count = 0
    let start = lb_string(thread, index, &count)
    return UnsafeRawBufferPointer(start: start, count: count)
  }

  /// A string for a message: cut where it is long, with U+FFFD for what is not UTF-8.
  func excerpt(_ index: Int32) -> String {
    let bytes = bytes(index)
    let limit = 400
    let text = String(decoding: bytes.prefix(limit), as: UTF8.self)
    return bytes.count > limit ? "\(text)... (\(bytes.count) bytes)" : text
  }

  /// The text of a string, nil if it is not UTF-8.
  func text(_ index: Int32) -> String? {
    String(validating: bytes(index).bindMemory(to: UInt8.self), as: UTF8.self)
  }

  // MARK: Copying values out

  /// A deep copy of a value; cycles, holes in lists and keys that are no names are errors.
  func value(_ index: Int32) throws(ValueMismatch) -> LuaValue {
    var copy = TableCopy(remaining: Self.maximumValues)
    return try value(index, &copy)
  }

  private struct TableCopy {
    var open: [UnsafeRawPointer] = []
    var remaining: Int
  }

  private func value(_ index: Int32, _ copy: inout TableCopy) throws(ValueMismatch) -> LuaValue {
    copy.remaining -= 1
    if copy.remaining < 0 {
      throw ValueMismatch(expected: "at most \(Self.maximumValues) values", found: "more")
    }
    switch kind(index) {
    case LB_NONE, LB_NIL: return .nil
    case LB_BOOL: return .bool(lb_bool(thread, index))
    case LB_INTEGER: return .integer(Int(lb_integer(thread, index)))
    case LB_NUMBER: return .number(lb_number(thread, index))
    case LB_STRING: return text(index).map { .string($0) } ?? .bytes([UInt8](bytes(index)))
    case LB_TABLE: return .table(try table(index, &copy))
    case LB_FUNCTION: return .function(LuaFunction(copying: index, from: self))
    default:
      if let object = object(index) as? any LuaObject { return .object(object) }
      throw mismatch("a plain value", at: index)
    }
  }

  private func table(_ index: Int32, _ copy: inout TableCopy) throws(ValueMismatch) -> LuaTable {
    guard let identity = lb_identity(thread, index) else { return LuaTable() }
    if copy.open.contains(identity) {
      throw ValueMismatch(expected: "a table without cycles", found: "a table inside itself")
    }
    if copy.open.count >= Self.maximumDepth || !lb_reserve(thread, 8) {
      throw ValueMismatch(
        expected: "at most \(Self.maximumDepth) tables inside each other", found: "more")
    }
    copy.open.append(identity)
    let base = top
    defer {
      lb_set_top(thread, base)
      copy.open.removeLast()
    }
    let position = index > 0 ? index : base + index + 1
    var result = LuaTable()
    let count = lb_raw_length(thread, position)
    for i in 0..<count {
      lb_raw_get_index(thread, position, i + 1)
      if kind(-1) == LB_NIL { throw hole(i + 1) }
      do throws(ValueMismatch) {
        result.list.append(try value(top, &copy))
      } catch {
        throw inside("[\(i + 1)]", error)
      }
      lb_set_top(thread, base)
    }
    try fields(position, count, &result, &copy)
    return result
  }

  private func fields(
    _ position: Int32, _ count: Int64, _ result: inout LuaTable, _ copy: inout TableCopy
  ) throws(ValueMismatch) {
    let base = top
    lb_push_nil(thread)
    while lb_next(thread, position) {
      if kind(base + 1) == LB_INTEGER {
        let key = lb_integer(thread, base + 1)
        if key < 1 || key > count { throw key > count ? hole(count + 1) : badKey("\(key)") }
      } else {
        guard kind(base + 1) == LB_STRING, let name = text(base + 1) else {
          throw badKey("a \(typeName(base + 1))")
        }
        do throws(ValueMismatch) {
          result.fields[name] = try value(base + 2, &copy)
        } catch {
          throw inside(".\(name)", error)
        }
      }
      lb_set_top(thread, base + 1)
    }
  }

  private func inside(_ place: String, _ error: ValueMismatch) -> ValueMismatch {
    ValueMismatch(
      expected: error.expected, found: error.found, place: place + error.place,
      report: error.report)
  }

  private func hole(_ position: Int64) -> ValueMismatch {
    ValueMismatch(expected: "a list without holes", found: "nothing at [\(position)]")
  }

  private func badKey(_ key: String) -> ValueMismatch {
    ValueMismatch(expected: "names or 1, 2, 3, ... as keys", found: key)
  }

  // MARK: Pushing values

  /// Pushes a value.
  func push(_ value: LuaValue) throws {
    try reserve(4, bytes: value.pushedBytes)
    switch value {
    case .nil: lb_push_nil(thread)
    case .bool(let value): lb_push_bool(thread, value)
    case .integer(let value): lb_push_integer(thread, Int64(value))
    case .number(let value): lb_push_number(thread, value)
    case .string(let value): push(text: value)
    case .bytes(let value):
      value.withUnsafeBytes { bytes in
        lb_push_string(thread, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
      }
    case .table(let table): try push(table)
    case .function(let function): try function.pushReference(onto: self)
    case .object(let object): try push(object: object)
    }
  }

  /// Pushes a text that is not large.
  func push(text: String) {
    var text = text
    text.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) {
        lb_push_string(thread, $0.baseAddress, $0.count)
      }
    }
  }

  private func push(_ table: LuaTable) throws {
    lb_new_table(thread, Int32(clamping: table.list.count), Int32(clamping: table.fields.count))
    let position = top
    for (i, item) in table.list.enumerated() {
      try push(item)
      lb_raw_set_index(thread, position, Int64(i + 1))
    }
    // In order, so that the table looks the same in every run.
    for (name, item) in table.fields.sorted(by: { $0.key < $1.key }) {
      try push(item)
      setField(name, of: position)
    }
  }

  /// Pops a value and stores it in a table.
  func setField(_ name: String, of table: Int32) {
    var name = name
    name.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) {
        lb_raw_set_field(thread, table, $0.baseAddress, $0.count)
      }
    }
  }

  /// Pushes an object as an instance of its class, or of the nearest superclass that the state knows.
  func push(object: AnyObject) throws {
    let number = try state.classNumber(of: object)
    try reserve(4)
    lb_push_object(thread, Int32(number), Unmanaged.passRetained(object).toOpaque())
  }
}

extension LuaValue {
  /// What Lua needs at once for the value itself; the items of a table count when they are pushed.
  fileprivate var pushedBytes: Int {
    switch self {
    case .string(let text): text.utf8.count
    case .bytes(let bytes): bytes.count
    case .table(let table): 16 * table.list.count + 40 * table.fields.count
    default: 0
    }
  }
}
