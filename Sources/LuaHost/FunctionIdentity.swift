import CLuaBridge
import Diagnostics
import Files
import Foundation

/// An object whose content tells functions that captured it apart, for keys of stored results.
public protocol LuaContent: LuaObject {
  /// Equal for objects with which a function computes the same.
  func contentIdentity() throws -> JSONValue
}

extension LuaFunction {
  /// "train.lua:12": where the function begins; "?" for one of the host's.
  public var place: String {
    guard let state, let thread = state.currentThread else { return "?" }
    let stack = LuaStack(thread: thread, state: state)
    let base = stack.top
    defer { lb_set_top(thread, base) }
    guard (try? pushReference(onto: stack)) != nil else { return "?" }
    var text = [CChar](repeating: 0, count: 512)
    lb_function_place(thread, stack.top, &text, text.count)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// What the function computes: its code, lines included, and the values that it captured, tables and functions with
  /// theirs. Objects count with their content if they are `LuaContent`, else as their class alone.
  public func identity() throws -> JSONValue {
    guard let state, let thread = state.currentThread else {
      throw EngineError(.argument, "a Lua function was used after its state was closed")
    }
    let stack = LuaStack(thread: thread, state: state)
    let base = stack.top
    defer { lb_set_top(thread, base) }
    try pushReference(onto: stack)
    var description = ValueDescription(stack: stack)
    return try description.value(at: stack.top)
  }
}

/// Values as JSON, each table and function once: where one comes again, its number stands.
private struct ValueDescription {
  let stack: LuaStack
  private var known: [UnsafeRawPointer: Int] = [:]

  init(stack: LuaStack) { self.stack = stack }

  private var depth = 0

  private static let largestCount = 100_000
  private static let largestDepth = 200

  mutating func value(at index: Int32) throws -> JSONValue {
    let thread = stack.thread
    switch stack.kind(index) {
    case LB_NONE, LB_NIL: return .null
    case LB_BOOL: return .bool(lb_bool(thread, index))
    case LB_INTEGER: return .int(Int(lb_integer(thread, index)))
    case LB_NUMBER:
      let number = lb_number(thread, index)
      return number.isFinite ? .double(number) : .string("\(number)")
    case LB_STRING: return .string("s" + (stack.text(index) ?? Digest(of: stack.bytes(index)).hex))
    case LB_TABLE, LB_FUNCTION:
      guard let identity = lb_identity(thread, index) else { return .null }
      if let number = known[identity] { return ["seen": .int(number)] }
      known[identity] = known.count
      guard known.count < Self.largestCount, depth < Self.largestDepth, lb_reserve(thread, 8) else {
        throw EngineError(.argument, "a function that takes part in a training has captured too many tables, or too deep ones")
      }
      if let module = stack.state.moduleTables[identity] { return ["module": .string(module.name)] }
      depth += 1
      defer { depth -= 1 }
      return stack.kind(index) == LB_TABLE ? try table(at: index) : try function(at: index)
    default:
      if let object = stack.object(index) as? any LuaContent { return try object.contentIdentity() }
      return ["class": .string(stack.typeName(index))]
    }
  }

  private mutating func table(at index: Int32) throws -> JSONValue {
    let thread = stack.thread
    let base = stack.top
    defer { lb_set_top(thread, base) }
    var entries: [(key: String, kind: Int)] = []
    var places: [String: JSONValue] = [:]
    // Keys first, in order: numbers of tables must not depend on where Lua keeps them.
    lb_push_nil(thread)
    while lb_next(thread, index) {
      lb_set_top(thread, base + 1)
      if let key = keyText(at: base + 1) { entries.append((key, stack.kind(base + 1))) }
    }
    for (key, kind) in entries.sorted(by: { ($0.kind, $0.key) < ($1.kind, $1.key) }) {
      switch kind {
      case LB_STRING: stack.push(text: key)
      case LB_INTEGER: lb_push_integer(thread, Int64(key) ?? 0)
      case LB_NUMBER: lb_push_number(thread, Double(key) ?? 0)
      default: lb_push_bool(thread, key == "true")
      }
      lb_raw_get(thread, index)
      places["\(kind) \(key)"] = try value(at: base + 1)
      lb_set_top(thread, base)
    }
    return .object(JSONObject(places.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))
  }

  /// The key as text; nil for tables, functions and objects, which have no order.
  private func keyText(at index: Int32) -> String? {
    switch stack.kind(index) {
    case LB_STRING: return stack.text(index)
    case LB_INTEGER: return String(lb_integer(stack.thread, index))
    case LB_NUMBER: return "\(lb_number(stack.thread, index))"
    case LB_BOOL: return lb_bool(stack.thread, index) ? "true" : "false"
    default: return nil
    }
  }

  private func hostFunctionName(at index: Int32) -> String? {
    lb_declared_function(stack.thread, index)
      .flatMap { Unmanaged<BoundFunction>.fromOpaque($0).takeUnretainedValue().function?.name }
  }

  private mutating func function(at index: Int32) throws -> JSONValue {
    let thread = stack.thread
    let stream = DigestStream()
    let isScript = lb_function_code(
      thread, index,
      { context, bytes, count in
        guard let context else { return }
        Unmanaged<DigestStream>.fromOpaque(context).takeUnretainedValue()
          .update(UnsafeRawBufferPointer(start: bytes, count: count))
      }, Unmanaged.passUnretained(stream).toOpaque())
    guard isScript else { return ["host": .string(hostFunctionName(at: index) ?? "library")] }
    var captured: [JSONValue] = []
    var number: Int32 = 1
    while let name = lb_push_upvalue(thread, index, number) {
      // Globals cannot be written.
      captured.append(strcmp(name, "_ENV") == 0 ? .null : try value(at: stack.top))
      lb_set_top(thread, stack.top - 1)
      number += 1
    }
    return ["code": .string(stream.finish().hex), "captured": .array(captured)]
  }
}
