import CLuaBridge
import Diagnostics
import Files

/// Functions of a Lua file that are declared as those of the host are: their arguments are checked, help, stubs and the reference know
/// them, and mistakes have the place of the script that called.
///
///     return library {
///       name = "sweep", doc = "Trainings that differ in some values.",
///       { "mean", "The mean of a list.", mean, parameters = { { "values", "number[]", "the list" } }, returns = { "number", "its mean" } },
///       { "run", "Trains every point.", run, options = { { "name", "string", "what stages are called" }, { "trials?", "integer", "...", min = 1 } } },
///     }
struct LuaLibrary {
  let module: Module
  /// By the names of functions: what tells their code from other code.
  let identities: [(name: String, identity: String)]

  /// Throws `EngineError` (`.argument`) for a declaration that lacks something.
  init(_ table: LuaTable) throws {
    let name = try Self.text(table["name"], "name", of: "library")
    var functions: [Function] = []
    var identities: [(String, String)] = []
    for value in table.list {
      guard case .table(let entry) = value, entry.list.count == 3, let short = entry.list[0].text, let doc = entry.list[1].text,
        case .function(let body) = entry.list[2]
      else { throw EngineError(.argument, "library '\(name)': a function is declared as { name, doc, function, ... }") }
      let known = ["parameters", "options", "returns"]
      if let unknown = entry.fields.keys.sorted().first(where: { !known.contains($0) }) {
        throw EngineError(.argument, "\(name).\(short): unknown field '\(unknown)'", hint: suggestion(for: unknown, among: known))
      }
      functions.append(try Self.function("\(name).\(short)", short, doc, body, entry, of: name))
      identities.append((short, try Digest(of: .object(LuaFunction.identities(of: [(short, body)]).json)).hex))
    }
    module = Module(name, try Self.text(table["doc"], "doc", of: "library '\(name)'"), functions: functions)
    self.identities = identities
  }

  private static func text(_ value: LuaValue, _ key: String, of place: String) throws -> String {
    guard let text = value.text else { throw EngineError(.argument, "\(place): '\(key)' must be a string, got \(value.typeName)") }
    return text
  }

  private static func function(
    _ fullName: String, _ name: String, _ doc: String, _ body: LuaFunction, _ entry: LuaTable, of library: String
  ) throws -> Function {
    func values(_ key: String) throws -> [DeclaredValue] {
      if case .nil = entry[key] { return [] }
      guard case .table(let list) = entry[key] else { throw EngineError(.argument, "\(fullName): '\(key)' must be a list") }
      return try list.list.map { try DeclaredValue($0, of: fullName) }
    }
    let (positional, options) = (try values("parameters"), try values("options"))
    var descriptions = positional.map(\.parameter)
    if !options.isEmpty {
      let typeName = library.prefix(1).uppercased() + library.dropFirst() + name.prefix(1).uppercased() + name.dropFirst() + "Options"
      let shape = LuaType.TableShape(
        typeName, "Options of \(fullName).",
        fields: options.map { ($0.name + ($0.isOptional ? "?" : ""), $0.type.name, $0.explanation) })
      descriptions.append(
        ParameterDescription(
          name: "options", doc: "see the fields", type: LuaType(typeName, definition: .shape(shape)), rangeWords: "", defaultText: nil,
          isOptional: options.allSatisfy(\.isOptional), takesRest: false))
    }
    var result: (type: LuaType, doc: String)?
    if case .table(let returned) = entry["returns"], let type = returned.list.first?.text, let doc = returned.list.last?.text {
      result = (LuaType(type), doc)
    }
    return Function(name: name, doc: doc, parameters: descriptions, returns: result?.doc ?? "", resultType: result?.type) { stack, first in
      let most = positional.count + (options.isEmpty ? 0 : 1)
      let given = Int(stack.top - first + 1)
      guard given <= most else {
        throw EngineError(.argument, "too many arguments to '\(fullName)' (expected \(most == 1 ? "1 argument" : "\(most) arguments"), got \(given))")
      }
      lb_set_top(stack.thread, first + Int32(most) - 1)
      try stack.reserve(16)
      for (place, value) in positional.enumerated() {
        try value.check(stack, at: first + Int32(place)) { mismatch in
          "bad argument #\(place + 1) '\(value.name)' to '\(fullName)' (expected \(mismatch.expected), got \(mismatch.found)\(mismatch.place))"
        }
      }
      if !options.isEmpty { try DeclaredValue.check(options, stack, at: first + Int32(positional.count), of: fullName) }
      return try stack.state.forward(body, stack, from: first)
    }
  }
}

/// One parameter, or one field of an options table, that a Lua file declares: { "name", "integer[]", "doc", default = , min = , max = };
/// a name that ends with "?" may be left out.
private struct DeclaredValue {
  let name: String
  let type: DeclaredType
  let doc: String
  let isOptional: Bool
  let defaultValue: LuaValue
  private let range: (low: Double, high: Double)
  private let rangeWords: String

  init(_ value: LuaValue, of function: String) throws {
    guard case .table(let table) = value, table.list.count == 3, let name = table.list[0].text, let type = table.list[1].text,
      let doc = table.list[2].text
    else { throw EngineError(.argument, "\(function): a value is declared as { name, type, doc, default = , min = , max = }") }
    defaultValue = table["default"]
    if case .nil = defaultValue { isOptional = name.hasSuffix("?") } else { isOptional = true }
    (self.name, self.type, self.doc) = (name.hasSuffix("?") ? String(name.dropLast()) : name, DeclaredType(type), doc)
    let (low, high) = (table["min"].double, table["max"].double)
    range = (low ?? -.infinity, high ?? .infinity)
    rangeWords =
      switch (low, high) {
      case (let low?, let high?) where low <= high: (low...high).words
      case (let low?, _): (low...).words
      case (nil, let high?): (...high).words
      case (nil, nil): ""
      }
  }

  private var defaultText: String? { if case .nil = defaultValue { nil } else { defaultValue.configValue.luaText } }

  var explanation: String { Help.explanation(doc, range: rangeWords, default: defaultText) }

  var parameter: ParameterDescription {
    ParameterDescription(
      name: name, doc: doc, type: LuaType(type.name), rangeWords: rangeWords, defaultText: defaultText, isOptional: isOptional, takesRest: false)
  }

  /// Checks the value there; puts the default in the place of nothing.
  func check(_ stack: LuaStack, at index: Int32, _ message: (ValueMismatch) -> String) throws {
    if stack.kind(index) == LB_NIL, isOptional {
      if case .nil = defaultValue { return }
      try stack.push(defaultValue)
      return lb_replace(stack.thread, index)
    }
    var mismatch = type.mismatch(stack, at: index)
    if mismatch == nil, let number = outside(stack, index) { mismatch = ValueMismatch(expected: type.expected, found: number) }
    guard let mismatch else { return }
    let expected = [mismatch.expected, mismatch.place.isEmpty ? rangeWords : ""].filter { !$0.isEmpty }.joined(separator: " ")
    throw EngineError(.argument, message(ValueMismatch(expected: expected, found: mismatch.found, place: mismatch.place)))
  }

  /// The number, where it is one and not in the range.
  private func outside(_ stack: LuaStack, _ index: Int32) -> String? {
    guard stack.isNumber(at: index) else { return nil }
    let number = stack.kind(index) == LB_INTEGER ? Double(lb_integer(stack.thread, index)) : lb_number(stack.thread, index)
    return number >= range.low && number <= range.high ? nil : ConfigValue.number(number).luaText
  }

  /// Checks a table of options, and puts a copy with all defaults into its place.
  static func check(_ fields: [DeclaredValue], _ stack: LuaStack, at index: Int32, of function: String) throws {
    let thread = stack.thread
    let isLeftOut = stack.kind(index) == LB_NIL
    guard isLeftOut || stack.kind(index) == LB_TABLE else {
      throw EngineError(.argument, "bad argument 'options' to '\(function)' (expected table { name = value, ... }, got \(stack.typeName(index)))")
    }
    lb_new_table(thread, 0, Int32(fields.count))
    let copy = stack.top
    if !isLeftOut {
      lb_push_nil(thread)
      while lb_next(thread, index) {
        guard stack.kind(copy + 1) == LB_STRING, let name = stack.text(copy + 1) else {
          throw EngineError(.argument, "\(function): value without a name in the options", hint: "write name = value")
        }
        guard fields.contains(where: { $0.name == name }) else {
          throw EngineError(.argument, "\(function): unknown field '\(name)'", hint: suggestion(for: name, among: fields.map(\.name)))
        }
        stack.setField(name, of: copy)
      }
    }
    for field in fields {
      stack.push(text: field.name)
      lb_raw_get(thread, copy)
      if stack.kind(-1) == LB_NIL {
        guard field.isOptional else { throw EngineError(.argument, "\(function): missing field '\(field.name)'") }
        try stack.push(field.defaultValue)
        stack.setField(field.name, of: copy)
      } else {
        try field.check(stack, at: stack.top) { "\(function): '\(field.name)\($0.place)' must be \($0.expected), got \($0.found)" }
      }
      lb_set_top(thread, copy)
    }
    lb_replace(thread, index)
  }
}

/// A type in LuaCATS, as far as values can be checked against it: "integer", "Task", "string[]", "fun(x: number): number".
private struct DeclaredType {
  let name: String

  init(_ name: String) { self.name = name }

  /// With its article, for messages.
  var expected: String {
    switch name {
    case "integer": return "an integer"
    case "boolean": return "true or false"
    case "any": return "a value"
    default: break
    }
    if name.hasPrefix("fun(") { return "a function" }
    if name == "any[]" { return "a list" }
    if name.hasSuffix("[]") { return "a list of \(name.dropLast(2))s" }
    if name.hasPrefix("table") || name.hasPrefix("{") { return "a table" }
    return (name.first.map { "aeiouAEIOU".contains($0) } ?? false ? "an " : "a ") + name
  }

  /// nil where the value there is one of the type.
  func mismatch(_ stack: LuaStack, at index: Int32) -> ValueMismatch? {
    let kind = stack.kind(index)
    func ifNot(_ fits: Bool) -> ValueMismatch? { fits ? nil : stack.mismatch(expected, at: index) }
    switch name {
    case "any": return ifNot(kind != LB_NIL)
    case "boolean": return ifNot(kind == LB_BOOL)
    case "string": return ifNot(kind == LB_STRING)
    case "number": return ifNot(stack.isNumber(at: index))
    case "integer":
      if kind == LB_NUMBER {
        let number = lb_number(stack.thread, index)
        return Int(exactly: number) == nil ? ValueMismatch(expected: expected, found: "\(number)") : nil
      }
      return ifNot(kind == LB_INTEGER)
    default: break
    }
    if name.hasPrefix("fun(") { return ifNot(kind == LB_FUNCTION) }
    if name.hasPrefix("table") && !name.hasSuffix("[]") || name.hasPrefix("{") { return ifNot(kind == LB_TABLE) }
    guard name.hasSuffix("[]") else { return ifNot(stack.typeName(index) == name) }
    guard kind == LB_TABLE else { return ifNot(false) }
    let element = DeclaredType(String(name.dropLast(2)))
    let position = index > 0 ? index : stack.top + index + 1
    for i in 0..<lb_raw_length(stack.thread, position) {
      lb_raw_get_index(stack.thread, position, i + 1)
      defer { lb_set_top(stack.thread, stack.top - 1) }
      if let mismatch = element.mismatch(stack, at: stack.top) {
        return ValueMismatch(expected: mismatch.expected, found: mismatch.found, place: "[\(i + 1)]" + mismatch.place)
      }
    }
    return nil
  }
}

/// What a module's table is to the script.
public struct LibraryTable: LuaResult {
  fileprivate let name: String

  public static var luaType: LuaType { LuaType("table") }

  public func push(onto stack: LuaStack) throws -> Int32 {
    try stack.reserve(4)
    lb_push_globals(stack.thread)
    stack.push(text: name)
    lb_raw_get(stack.thread, stack.top - 1)
    return 1
  }
}

extension LuaState {
  /// The function `library`, by which Lua files declare what they offer.
  public var libraryFunction: Function {
    Function(
      "library", "Declares the functions of a Lua file, so that their arguments are checked, and help and the reference know them.",
      Param<LuaTable>(
        "declaration",
        "name, doc, and for each function { name, doc, function, parameters = { ... }, options = { ... }, returns = { type, doc } }; parameters and options are { name, type, doc, default = , min = , max = }, and a name that ends with '?' may be left out"
      ), returns: "the module, which require gives"
    ) { [unowned self] table in try declare(LuaLibrary(table)) }
  }

  private func declare(_ library: LuaLibrary) throws -> LibraryTable {
    let name = library.module.name
    guard !modules.contains(where: { $0.name == name }) else { throw EngineError(.argument, "library '\(name)': there is a module of this name") }
    try register(library.module)
    let stack = try openStack()
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    try stack.reserve(4)
    lb_push_globals(stack.thread)
    stack.push(text: name)
    lb_raw_get(stack.thread, base + 1)
    // What a callback captured of it counts with its code, which is the user's to change.
    if let place = lb_identity(stack.thread, base + 2) {
      originals.rename(table: place, "\(name) \(Digest(of: .array(library.identities.map { .string($0.identity) })).hex)")
    }
    for (function, identity) in library.identities {
      stack.push(text: function)
      lb_raw_get(stack.thread, base + 2)
      if let place = lb_identity(stack.thread, stack.top) { originals.rename(place, "\(name).\(function) \(identity)") }
      lb_set_top(stack.thread, base + 2)
    }
    return LibraryTable(name: name)
  }

  /// Calls a function of Lua with the arguments that are on the stack from `first` on, the tables themselves; the number of its results,
  /// which are on the stack.
  func forward(_ function: LuaFunction, _ stack: LuaStack, from first: Int32) throws -> Int32 {
    let arguments = stack.top - first + 1
    let base = stack.top
    try stack.reserve(arguments + 4)
    try function.pushReference(onto: stack)
    for index in first..<first + arguments { lb_push_copy(stack.thread, index) }
    do { try callInPlace(stack, arguments: arguments) } catch let error as LuaError {
      // A mistake without a place is one of the caller, whose place is added.
      guard error.underlying == nil, case .nil = error.value, LuaError.place(in: error.message) == nil else { throw error }
      throw EngineError(.argument, error.message)
    }
    return stack.top - base
  }
}
