import CLuaBridge
import Diagnostics

/// What stubs and help know of a type.
public struct LuaType {
  /// A type that stubs must define before they use it.
  public enum Definition {
    /// A choice between a few strings.
    case choice([String])
    /// A table with declared fields.
    case record(any Record.Type)
    /// A table that functions return.
    case shape(TableShape)
  }

  /// What is in a table that functions return.
  public struct TableShape: Sendable {
    public let name: String
    public let doc: String
    public let fields: [(name: String, type: String, doc: String)]

    public init(_ name: String, _ doc: String, fields: [(name: String, type: String, doc: String)]) {
      (self.name, self.doc, self.fields) = (name, doc, fields)
    }
  }

  /// In LuaCATS: "integer", "Tensor", "number[]".
  public let name: String
  public let definition: Definition?

  public init(_ name: String, definition: Definition? = nil) {
    self.name = name
    self.definition = definition
  }
}

/// A Swift type that has a name in Lua.
public protocol LuaTyped {
  static var luaType: LuaType { get }
}

/// A type that functions bound to Lua can take.
public protocol LuaArgument: LuaTyped {
  /// What messages expect: "integer", "list of strings".
  static var expectedWord: String { get }
  /// Whether nothing (or nil) is a value.
  static var acceptsNothing: Bool { get }
  /// Whether it takes this and all following arguments.
  static var takesRest: Bool { get }
  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Self
}

extension LuaArgument {
  public static var expectedWord: String { luaType.name }
  public static var acceptsNothing: Bool { false }
  public static var takesRest: Bool { false }
}

/// A type that functions bound to Lua can return.
public protocol LuaResult: LuaTyped {
  /// Pushes the value and returns how many Lua values that were.
  func push(onto stack: LuaStack) throws -> Int32
}

extension Int: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("integer") }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Int {
    switch stack.kind(index) {
    case LB_INTEGER: return Int(lb_integer(stack.thread, index))
    case LB_NUMBER:
      let number = lb_number(stack.thread, index)
      if let whole = Int(exactly: number) { return whole }
      throw ValueMismatch(expected: "integer", found: number.isNaN ? "nan" : "\(number)")
    default: throw stack.mismatch("integer", at: index)
    }
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    lb_push_integer(stack.thread, Int64(self))
    return 1
  }
}

extension Double: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("number") }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Double {
    switch stack.kind(index) {
    case LB_INTEGER: return Double(lb_integer(stack.thread, index))
    case LB_NUMBER: return lb_number(stack.thread, index)
    default: throw stack.mismatch("number", at: index)
    }
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    lb_push_number(stack.thread, self)
    return 1
  }
}

extension Bool: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("boolean") }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Bool {
    guard stack.kind(index) == LB_BOOL else { throw stack.mismatch("boolean", at: index) }
    return lb_bool(stack.thread, index)
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    lb_push_bool(stack.thread, self)
    return 1
  }
}

extension String: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("string") }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> String {
    guard stack.kind(index) == LB_STRING else { throw stack.mismatch("string", at: index) }
    guard let text = stack.text(index) else {
      throw ValueMismatch(expected: "string", found: "a string that is not UTF-8")
    }
    return text
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.push(.string(self))
    return 1
  }
}

extension LuaValue: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("any") }
  public static var expectedWord: String { "value" }
  public static var acceptsNothing: Bool { true }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> LuaValue {
    try stack.value(index)
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.push(self)
    return 1
  }
}

extension LuaTable: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("table") }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> LuaTable {
    guard case .table(let table) = try stack.value(index) else {
      throw stack.mismatch("table", at: index)
    }
    return table
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.push(.table(self))
    return 1
  }
}

extension LuaFunction: LuaArgument, LuaResult {
  public static var luaType: LuaType { LuaType("function") }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Self {
    guard stack.kind(index) == LB_FUNCTION else { throw stack.mismatch("function", at: index) }
    return Self(copying: index, from: stack)
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.push(.function(self))
    return 1
  }
}

extension Optional: LuaTyped where Wrapped: LuaTyped {
  public static var luaType: LuaType {
    LuaType(Wrapped.luaType.name + "?", definition: Wrapped.luaType.definition)
  }
}

extension Optional: LuaArgument where Wrapped: LuaArgument {
  public static var expectedWord: String { Wrapped.expectedWord }
  public static var acceptsNothing: Bool { true }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Wrapped? {
    let kind = stack.kind(index)
    return kind == LB_NONE || kind == LB_NIL ? nil : try Wrapped.read(stack, at: index)
  }
}

extension Optional: LuaResult where Wrapped: LuaResult {
  public func push(onto stack: LuaStack) throws -> Int32 {
    if let value = self { return try value.push(onto: stack) }
    lb_push_nil(stack.thread)
    return 1
  }
}

extension Array: LuaTyped where Element: LuaTyped {
  public static var luaType: LuaType {
    LuaType(Element.luaType.name + "[]", definition: Element.luaType.definition)
  }
}

extension Array: LuaArgument where Element: LuaArgument {
  public static var expectedWord: String { "list of \(Element.expectedWord)s" }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> [Element] {
    guard stack.kind(index) == LB_TABLE, lb_reserve(stack.thread, 4) else {
      throw stack.mismatch(expectedWord, at: index)
    }
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    let position = index > 0 ? index : base + index + 1
    var result: [Element] = []
    let count = lb_raw_length(stack.thread, position)
    lb_push_nil(stack.thread)
    while lb_next(stack.thread, position) {
      let key = lb_integer(stack.thread, base + 1)
      guard stack.kind(base + 1) == LB_INTEGER, key >= 1, key <= count else {
        throw ValueMismatch(expected: expectedWord, found: "a table with other keys")
      }
      lb_set_top(stack.thread, base + 1)
    }
    for i in 0..<count {
      lb_raw_get_index(stack.thread, position, i + 1)
      do throws(ValueMismatch) {
        result.append(try Element.read(stack, at: base + 1))
      } catch {
        throw ValueMismatch(
          expected: expectedWord, found: "\(error.found) at [\(i + 1)]\(error.place)")
      }
      lb_set_top(stack.thread, base)
    }
    return result
  }
}

extension Array: LuaResult where Element: LuaResult {
  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.reserve(4, bytes: 16 * count)
    lb_new_table(stack.thread, Int32(clamping: count), 0)
    let position = stack.top
    for (i, item) in enumerated() {
      try stack.reserve(4)
      // A list holds one value per item.
      let pushed = try item.push(onto: stack)
      lb_set_top(stack.thread, stack.top - pushed + 1)
      lb_raw_set_index(stack.thread, position, Int64(i + 1))
    }
    return 1
  }
}

/// All further arguments of a call.
public struct Rest<Element: LuaArgument>: LuaArgument {
  public let values: [Element]

  public static var luaType: LuaType { Element.luaType }
  public static var expectedWord: String { Element.expectedWord }
  public static var acceptsNothing: Bool { true }
  public static var takesRest: Bool { true }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Rest {
    var values: [Element] = []
    let last = stack.top
    var next = index
    while next <= last {
      values.append(try Element.read(stack, at: next))
      next += 1
    }
    return Rest(values: values)
  }
}

/// Several results at once: `return Results(loss, logits)`.
public struct Results: LuaResult {
  private let pushAll: (LuaStack) throws -> Int32

  public static var luaType: LuaType { LuaType("any ...") }

  public init<each Value: LuaResult>(_ values: repeat each Value) {
    let values = (repeat each values)
    pushAll = { stack in
      var count: Int32 = 0
      repeat count += try (each values).push(onto: stack)
      return count
    }
  }

  /// As many results as the list has values.
  public init(list: [LuaValue]) {
    pushAll = { stack in
      for value in list { try stack.push(value) }
      return Int32(list.count)
    }
  }

  public func push(onto stack: LuaStack) throws -> Int32 { try pushAll(stack) }
}

/// A Swift class whose instances scripts can hold. Its `Class` must be registered with the state.
public protocol LuaObject: AnyObject, LuaArgument, LuaResult {
  /// The class name in Lua.
  static var luaName: String { get }
}

extension LuaObject {
  public static var luaType: LuaType { LuaType(luaName) }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Self {
    if let object = stack.object(index) {
      if type(of: object) == Self.self { return unsafeDowncast(object, to: Self.self) }
      if let fitting = object as? Self { return fitting }
    }
    throw stack.mismatch(expectedWord, at: index)
  }

  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.push(object: self)
    return 1
  }
}

/// A record that functions take as their options table; leaving it out gives all defaults.
public protocol LuaRecord: Record, LuaArgument {}

extension LuaRecord {
  public static var luaType: LuaType { LuaType(typeName, definition: .record(Self.self)) }
  public static var expectedWord: String { "table { name = value, ... }" }
  public static var acceptsNothing: Bool { true }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Self {
    switch stack.kind(index) {
    case LB_TABLE, LB_NIL, LB_NONE: return try decode(try stack.value(index).configValue)
    default: throw stack.mismatch(expectedWord, at: index)
    }
  }
}

/// A choice between a few strings that functions take.
public protocol LuaChoice: FieldChoice, LuaArgument, LuaResult {}

extension LuaChoice {
  public static var luaType: LuaType {
    LuaType(typeName, definition: .choice(allCases.map(\.rawValue)))
  }
  public static var expectedWord: String { expected }

  public static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Self {
    guard stack.kind(index) == LB_STRING else { throw stack.mismatch(expected, at: index) }
    return try decode(try stack.value(index).configValue)
  }

  public func push(onto stack: LuaStack) throws -> Int32 { try rawValue.push(onto: stack) }
}

extension Field {
  /// A callback, or nothing.
  public static func function(
    _ name: String, _ path: WritableKeyPath<Owner, LuaFunction?> & Sendable, _ doc: String,
    type typeName: String = "function"
  ) -> Field {
    .object(name, path, doc, type: typeName)
  }
}
