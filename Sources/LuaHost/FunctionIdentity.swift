import CLuaBridge
import Diagnostics
import Files
import Foundation

/// An object whose content tells functions that captured it apart, for keys of stored results.
public protocol LuaContent: LuaObject {
  /// Equal for objects with which a function computes the same.
  func contentIdentity() throws -> JSONValue
  /// Memory that others may hold as well, by name: who shares it sees what the object's owner writes.
  var sharedMemory: [(name: String, memory: ObjectIdentifier)] { get }
}

extension LuaContent {
  public var sharedMemory: [(name: String, memory: ObjectIdentifier)] { [] }
}

/// A function by what it computes, for keys of stored results.
public struct FunctionIdentity {
  /// What its code does: names of variables, lines and comments do not count.
  public let code: Digest
  /// What it captured, and what it reads of globals that the script changed.
  public let captured: Digest
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

  /// What functions compute that take part in one thing: their code, and what they captured as it is now, tables, functions
  /// and objects with their content. Values that several of them share are told from equal ones that they do not share.
  ///
  /// - Parameters:
  ///   - functions: the functions by their roles, which messages name.
  ///   - known: objects that take part under a name, whatever they hold.
  ///
  /// Throws `EngineError` (`.argument`) for what cannot be told from another: a coroutine, an open file, an iterator.
  public static func identities(
    of functions: [(role: String, function: LuaFunction)], known: [(name: String, object: any LuaContent)] = []
  ) throws -> [(role: String, identity: FunctionIdentity)] {
    guard let first = functions.first?.function else { return [] }
    guard let state = first.state, let thread = state.currentThread else {
      throw EngineError(.argument, "a Lua function was used after its state was closed")
    }
    let stack = LuaStack(thread: thread, state: state)
    let base = stack.top
    defer { lb_set_top(thread, base) }
    var description = ValueDescription(stack: stack, known: known)
    return try functions.map { role, function in
      lb_set_top(thread, base)
      try function.pushReference(onto: stack)
      description.start = "\(function.place): the function '\(role)'"
      let value = try description.value(at: stack.top)
      guard let parts = value.objectValue, let code = parts["code"] else {
        return (role, FunctionIdentity(code: Digest(of: value), captured: Digest(of: .null)))
      }
      let rest = parts.members.filter { $0.0 != "code" }
      return (role, FunctionIdentity(code: Digest(of: code), captured: Digest(of: .object(JSONObject(rest)))))
    }
  }
}

/// Values as JSON, each table, function and object once: where one comes again, its number stands.
private struct ValueDescription {
  let stack: LuaStack
  /// What messages begin with.
  var start = ""
  private var known: [UnsafeRawPointer: JSONValue] = [:]
  /// Who first showed a piece of memory.
  private var memory: [ObjectIdentifier: String] = [:]
  /// The way to the value at hand, for messages.
  private var path: [String] = []

  init(stack: LuaStack, known objects: [(name: String, object: any LuaContent)]) {
    self.stack = stack
    for (name, object) in objects {
      known[UnsafeRawPointer(Unmanaged.passUnretained(object as AnyObject).toOpaque())] = ["given": .string(name)]
      for part in object.sharedMemory { memory[part.memory] = name + " " + part.name }
    }
  }

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
    case LB_STRING: return .string(bytes(at: index))
    case LB_TABLE, LB_FUNCTION:
      guard let place = lb_identity(thread, index) else { return .null }
      if let seen = try seen(place) { return seen }
      return stack.kind(index) == LB_TABLE ? try table(at: index, place) : try function(at: index, place)
    case LB_OBJECT:
      guard let object = stack.object(index) else { return ["released": .string(stack.typeName(index))] }
      if let seen = try seen(UnsafeRawPointer(Unmanaged.passUnretained(object).toOpaque())) { return seen }
      guard let content = object as? any LuaContent else { throw unknown("a \(stack.typeName(index))") }
      return try self.object(content)
    case LB_THREAD: throw unknown("a coroutine")
    default:
      if let name = lb_identity(thread, index).flatMap({ stack.state.originals.name(ofHost: $0) }) { return ["host": .string(name)] }
      throw unknown("an open file or another object of a library")
    }
  }

  /// The number of what was described before; nil, after it was given one, for what was not.
  private mutating func seen(_ place: UnsafeRawPointer) throws -> JSONValue? {
    if let seen = known[place] { return seen }
    known[place] = ["seen": .int(known.count)]
    guard known.count < Self.largestCount, path.count < Self.largestDepth, lb_reserve(stack.thread, 8) else {
      throw EngineError(.argument, "a function that takes part in a training has captured too many tables, or too deep ones")
    }
    return nil
  }

  private func unknown(_ what: String) -> EngineError {
    EngineError(
      .argument,
      "\(start) has captured \(what) (\(path.joined(separator: " > "))), which cannot be told from another: "
        + "whether a stored result is that of this training could not be known", hint: "make it inside the function")
  }

  /// Text as it is; other bytes by their digest.
  private func bytes(at index: Int32) -> String {
    stack.text(index).map { "s" + $0 } ?? "b" + Digest(of: stack.bytes(index)).hex
  }

  private mutating func object(_ content: any LuaContent) throws -> JSONValue {
    let number = known.count
    var shares: [JSONValue] = []
    for (name, part) in content.sharedMemory {
      if let other = memory[part] { shares.append([.string(name), .string(other)]) } else { memory[part] = "\(number) \(name)" }
    }
    let value = try content.contentIdentity()
    return shares.isEmpty ? value : ["content": value, "shares": .array(shares)]
  }

  // MARK: Tables

  private mutating func table(at index: Int32, _ place: UnsafeRawPointer) throws -> JSONValue {
    if let name = stack.state.originals.name(of: place) { return try changed(at: index, place, name) }
    var fields = JSONObject(try entries(at: index) { _, _ in true })
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    if lb_push_metatable(stack.thread, index) {
      fields = ["fields": .object(fields), "metatable": try inside("metatable") { try $0.value(at: base + 1) }]
    }
    return .object(fields)
  }

  /// A table of the library or the host: what the script has changed in it. Of the globals, that goes for the libraries too.
  private mutating func changed(at index: Int32, _ place: UnsafeRawPointer, _ name: String) throws -> JSONValue {
    let (originals, stack) = (stack.state.originals, stack)
    var changes = try entries(at: index) { key, value in
      key.hasPrefix("6 s") ? !originals.isOriginal(String(key.dropFirst(3)), of: place, at: value, on: stack) : true
    }
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    for key in originals.keys(of: place) {
      lb_set_top(stack.thread, base)
      stack.push(text: key)
      lb_raw_get(stack.thread, index)
      if stack.kind(-1) == LB_NIL { changes.append(("6 s" + key, "removed")) }
      if name.isEmpty, key != "_G", let change = try librarysChange(key, of: place) { changes.append((key, change)) }
    }
    lb_set_top(stack.thread, base)
    if stack.state.moduleTables[place] == nil, !name.isEmpty, lb_push_metatable(stack.thread, index) {
      changes.append(("metatable", try inside("metatable") { try $0.value(at: base + 1) }))
    }
    if name.isEmpty, let loaded = try loadedModules() { changes.append(("loaded", loaded)) }
    return changes.isEmpty ? ["library": .string(name)] : ["library": .string(name), "changes": .object(JSONObject(changes))]
  }

  /// What is changed in the library on the top of the stack, which a global holds as it did at first; nil: nothing, or it
  /// was told before.
  private mutating func librarysChange(_ name: String, of globals: UnsafeRawPointer) throws -> JSONValue? {
    let top = stack.top
    guard stack.kind(top) == LB_TABLE, let place = lb_identity(stack.thread, top), known[place] == nil,
      stack.state.originals.isOriginal(name, of: globals, at: top, on: stack)
    else { return nil }
    return try inside(name) { try $0.value(at: top) }["changes"]
  }

  /// Keys with their kinds, and values, in an order that does not depend on where Lua keeps them.
  private mutating func entries(
    at index: Int32, _ isWanted: (_ key: String, _ value: Int32) -> Bool
  ) throws -> [(String, JSONValue)] {
    let thread = stack.thread
    let base = stack.top
    defer { lb_set_top(thread, base) }
    // Keys first: numbers of tables must not depend on the order in which Lua goes through them.
    var keys: [(text: String, reference: Int32)] = []
    defer { keys.forEach { lb_release_reference(thread, $0.reference) } }
    var others: [JSONValue] = []
    lb_push_nil(thread)
    while lb_next(thread, index) {
      if let key = keyText(at: base + 1) {
        if isWanted(key, base + 2) {
          lb_push_copy(thread, base + 1)
          keys.append((key, lb_reference(thread)))
        }
      } else {
        others.append(try pair(at: base + 1))
      }
      lb_set_top(thread, base + 1)
    }
    lb_set_top(thread, base)
    var entries = try keys.sorted { $0.text < $1.text }.map { key, reference in
      lb_push_referenced(thread, reference)
      lb_raw_get(thread, index)
      defer { lb_set_top(thread, base) }
      return (key, try inside(String(key.dropFirst(3))) { try $0.value(at: base + 1) })
    }
    if !others.isEmpty {
      let sorted = others.map { Digest(of: $0).hex }.sorted()
      entries.append(("others", .array(sorted.map { .string($0) })))
    }
    return entries
  }

  /// A key that has no order, such as a table or an object, with its value: described by what they hold alone.
  private func pair(at index: Int32) throws -> JSONValue {
    var alone = self
    return try alone.inside("[\(stack.typeName(index))]") { [try $0.value(at: index), try $0.value(at: index + 1)] }
  }

  /// A key's kind and text; nil for tables, functions and objects, which have no order.
  private func keyText(at index: Int32) -> String? {
    let kind = stack.kind(index)
    switch kind {
    case LB_STRING: return "6 " + bytes(at: index)
    case LB_INTEGER: return "4  " + String(lb_integer(stack.thread, index))
    case LB_NUMBER: return "5  \(lb_number(stack.thread, index))"
    case LB_BOOL: return "3  " + (lb_bool(stack.thread, index) ? "true" : "false")
    default: return nil
    }
  }

  private mutating func inside<Result>(_ part: String, _ body: (inout Self) throws -> Result) rethrows -> Result {
    path.append(part)
    defer { path.removeLast() }
    return try body(&self)
  }

  // MARK: Functions

  private mutating func function(at index: Int32, _ place: UnsafeRawPointer) throws -> JSONValue {
    let thread = stack.thread
    let parts = CodeParts()
    let reader = lb_code_reader(
      context: Unmanaged.passUnretained(parts).toOpaque(),
      write: { context, bytes, count in CodeParts.from(context)?.digest.update(UnsafeRawBufferPointer(start: bytes, count: count)) },
      constant: { context, bytes, count in
        CodeParts.from(context)?.names.insert(String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self))
      })
    let kind = Int(lb_function_code(thread, index, reader))
    guard kind != LB_HOST_CODE else { return try hostFunction(place) }
    guard kind != LB_UNKNOWN_CODE else { throw unknown("a function whose code cannot be read") }
    var captured: [JSONValue] = []
    var globalTables = 0
    var number: Int32 = 1
    while let name = lb_push_upvalue(thread, index, number) {
      defer {
        lb_set_top(thread, stack.top - 1)
        number += 1
      }
      if stack.kind(-1) == LB_TABLE, lb_identity(thread, -1).flatMap({ stack.state.originals.name(of: $0) }) == "" {
        // What is read of them by another name than Lua's own is not told apart.
        globalTables += strcmp(name, "_ENV") == 0 ? 1 : 2
        captured.append("globals")
        continue
      }
      // A variable that two functions share is not two variables of one value.
      let variable = lb_upvalue_place(thread, index, number)
      if let variable, let seen = known[variable] {
        captured.append(["variable": seen])
        continue
      }
      if let variable { known[variable] = ["seen": .int(known.count)] }
      captured.append(try inside("'\(String(cString: name))'") { try $0.value(at: $0.stack.top) })
    }
    var value: JSONObject = ["code": .string(parts.digest.finish().hex), "captured": .array(captured)]
    // Whoever compiles text, or reaches the table of globals as a value, can read anything.
    let readsAny = globalTables > 1 || kind == LB_CODE_WITH_GLOBALS || parts.names.contains("load") || parts.names.contains("_G")
    let globals = try globalTables == 0 ? [] : readsAny ? allGlobals() : globals(parts.names)
    let changes = globals + (try methodsOfTexts())
    if !changes.isEmpty { value["globals"] = .object(JSONObject(changes)) }
    return .object(value)
  }

  private mutating func hostFunction(_ place: UnsafeRawPointer) throws -> JSONValue {
    guard let name = stack.state.originals.name(ofHost: place) else {
      throw unknown("a function of the library that remembers something, such as an iterator")
    }
    guard name == "require", let loaded = try loadedModules() else { return ["host": .string(name)] }
    return ["host": .string(name), "loaded": loaded]
  }

  /// What the script has changed of the globals with these names.
  private mutating func globals(_ names: Set<String>) throws -> [(String, JSONValue)] {
    let (thread, base) = (stack.thread, stack.top)
    defer { lb_set_top(thread, base) }
    lb_push_globals(thread)
    guard let place = lb_identity(thread, base + 1) else { return [] }
    var found: [(String, JSONValue)] = []
    for name in names.sorted() {
      lb_set_top(thread, base + 1)
      stack.push(text: name)
      lb_raw_get(thread, base + 1)
      if stack.state.originals.isOriginal(name, of: place, at: base + 2, on: stack) {
        if name == "require", let loaded = try loadedModules() { found.append((name, loaded)) }
        if let change = try librarysChange(name, of: place) { found.append((name, change)) }
      } else {
        found.append((name, try inside(name) { try $0.value(at: base + 2) }))
      }
    }
    return found
  }

  private mutating func allGlobals() throws -> [(String, JSONValue)] {
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    lb_push_globals(stack.thread)
    guard let place = lb_identity(stack.thread, base + 1) else { return [] }
    return try changed(at: base + 1, place, "")["changes"].map { [("all", $0)] } ?? []
  }

  /// What the script has changed in the methods of texts, which are found without a name.
  private mutating func methodsOfTexts() throws -> [(String, JSONValue)] {
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    lb_push_string(stack.thread, "", 0)
    guard lb_push_metatable(stack.thread, base + 1) else { return [] }
    stack.push(text: "__index")
    lb_raw_get(stack.thread, base + 2)
    return try [base + 2, base + 3].compactMap { index in
      guard stack.kind(index) == LB_TABLE, let place = lb_identity(stack.thread, index), known[place] == nil else { return nil }
      return try inside("texts") { try $0.value(at: index) }["changes"].map { ("texts", $0) }
    }
  }

  /// What was required so far; nil if it is nothing.
  private mutating func loadedModules() throws -> JSONValue? {
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    guard let require = stack.state.requireReference else { return nil }
    lb_push_referenced(stack.thread, require)
    guard lb_push_upvalue(stack.thread, base + 1, 1) != nil, let place = lb_identity(stack.thread, base + 2) else { return nil }
    if let seen = try seen(place) { return seen }
    let modules = try entries(at: base + 2) { _, _ in true }
    return modules.isEmpty ? nil : .object(JSONObject(modules))
  }
}

/// What a function's code consists of.
private final class CodeParts {
  let digest = DigestStream()
  var names: Set<String> = []

  static func from(_ context: UnsafeMutableRawPointer?) -> CodeParts? {
    context.map { Unmanaged<CodeParts>.fromOpaque($0).takeUnretainedValue() }
  }
}
