import CLuaBridge
import Diagnostics
import Files
import Foundation

extension LuaState {
  /// `require`, `help`, and errors for unknown and assigned globals.
  func installGlobals(on thread: OpaquePointer) {
    let stack = LuaStack(thread: thread, state: self)
    _ = lb_reserve(thread, 8)
    let base = stack.top
    lb_push_globals(thread)
    lb_push_require(thread, bind { [unowned self] in try resolveModule($0) })
    stack.setField("require", of: base + 1)
    lb_seal_module(
      thread, "globals", bind { try missingGlobal($0) },
      bind { [unowned self] stack in
        if let promptName, stack.kind(2) == LB_STRING, place(on: stack).hasPrefix(promptName + ":") {
          lb_push_copy(stack.thread, 3)
          stack.setField(keyText(stack), of: 1)
          return 0
        }
        throw EngineError(
          .argument, "assignment to global '\(keyText(stack))'",
          hint: "declare it with 'local' first")
      }, nil)
    for library in ["coroutine", "io", "math", "os", "string", "table", "utf8"] {
      stack.push(text: library)
      lb_raw_get(thread, base + 1)
      if stack.kind(-1) == LB_TABLE { libraryFields[library] = fieldNames(stack, of: base + 2) }
      lb_set_top(thread, base + 1)
    }
    lb_set_top(thread, base)
  }

  /// `help(x)` prints what is known of x; without arguments, the list of modules.
  var helpFunction: Function {
    let parameter = ParameterDescription(
      name: "x", doc: "a module, a function or an object, or a name such as \"trainer.fit\" or \"Model:predict\"; nothing lists all modules",
      type: LuaType("any"), rangeWords: "", defaultText: nil, isOptional: true, takesRest: false)
    return Function(
      name: "help", doc: "Prints an explanation.", parameters: [parameter], returns: "",
      resultType: nil
    ) { [unowned self] stack, _ in
      options.print(try helpText(stack))
      return 0
    }
  }

  /// What `help(name)` prints.
  public func helpText(for name: String) throws -> String {
    try Help.text(for: name, modules: modules, functions: globalFunctions, classes: classes)
  }

  private func helpText(_ stack: LuaStack) throws -> String {
    switch stack.kind(1) {
    case LB_STRING: return try helpText(for: stack.text(1) ?? "?")
    case LB_NONE: return Help.overview(modules: modules, functions: globalFunctions)
    case LB_FUNCTION:
      if let pointer = lb_declared_function(stack.thread, 1),
        let function = Unmanaged<BoundFunction>.fromOpaque(pointer).takeUnretainedValue().function
      {
        return Help.text(for: function)
      }
      return "no help for a function of Lua"
    case LB_TABLE:
      if let identity = lb_identity(stack.thread, 1), let module = moduleTables[identity] {
        return Help.text(for: module)
      }
      return "a table"
    case LB_OBJECT:
      let number = Int(lb_object_class(stack.thread, 1))
      return classes.indices.contains(number) ? Help.text(for: classes[number]) : "an object"
    default: return "a \(stack.typeName(1))"
    }
  }

  // MARK: require

  /// Gives `require` a file's text and chunk name, or a registered module and nil.
  private func resolveModule(_ stack: LuaStack) throws -> Int32 {
    guard let name = stack.text(1) else {
      throw EngineError(.argument, "module names are text, got a string that is not UTF-8")
    }
    if let (identity, _) = moduleTables.first(where: { $0.value.name == name }) {
      lb_push_globals(stack.thread)
      let globals = stack.top
      stack.push(text: name)
      lb_raw_get(stack.thread, globals)
      if lb_identity(stack.thread, -1) == identity {
        lb_push_nil(stack.thread)
        return 2
      }
      lb_set_top(stack.thread, globals - 1)
    }
    let path = try modulePath(name, stack)
    try beforeRequire(name)
    let text = try readText(path)
    sources.append(Source(path: path, text: text))
    stack.push(text: chunkText(text))
    stack.push(text: "@" + path)
    return 2
  }

  /// The file of a module. Only names that cannot leave the folders are looked for.
  private func modulePath(_ name: String, _ stack: LuaStack) throws -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let isPlain = parts.allSatisfy { part in
      !part.isEmpty
        && part.utf8.allSatisfy {
          (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
        }
    }
    guard isPlain, name.utf8.count <= 200 else {
      throw EngineError(
        .argument, "bad module name '\(stack.excerpt(1))'",
        hint: "names are at most 200 letters, digits, '_' and '-', with '.' between folders")
    }
    let relative = parts.joined(separator: "/")
    let folders = options.moduleFolders + (scriptFolder.map { [$0] } ?? [])
    var tried: [String] = []
    for folder in folders {
      for candidate in [FilePath.join(folder, relative + ".lua"), FilePath.join(folder, relative + "/init.lua")] {
        try FilePath.require(candidate)
        if fileExists(candidate) { return candidate }
        tried.append(candidate)
      }
    }
    let near = nearestName(to: name, among: modules.map(\.name) + moduleNames(in: folders))
    throw EngineError(
      .file, "module '\(name)' not found (no \(tried.joined(separator: ", no ")))",
      hint: near.map { "did you mean '\($0)'?" })
  }

  private func moduleNames(in folders: [String]) -> [String] {
    folders.flatMap { folder in
      ((try? AtomicFolder.names(in: folder)) ?? []).filter { $0.hasSuffix(".lua") }.map { String($0.dropLast(4)) }
    }
  }
}

/// The text without a byte order mark, and with a first line for the shell made empty.
func chunkText(_ text: String) -> String {
  var text = text[...]
  if text.unicodeScalars.first == "\u{FEFF}" { text = Substring(text.unicodeScalars.dropFirst()) }
  if text.utf8.first == UInt8(ascii: "#") { text = text.drop { !$0.isNewline } }
  return String(text)
}

/// The key in a call of `__index` or `__newindex`.
func keyText(_ stack: LuaStack) -> String {
  switch stack.kind(2) {
  case LB_STRING: return stack.excerpt(2)
  case LB_INTEGER: return String(lb_integer(stack.thread, 2))
  default: return stack.typeName(2)
  }
}

/// The names in a table.
func fieldNames(_ stack: LuaStack, of table: Int32) -> [String] {
  var names: [String] = []
  let base = stack.top
  lb_push_nil(stack.thread)
  while lb_next(stack.thread, table) {
    if stack.kind(base + 1) == LB_STRING, let name = stack.text(base + 1) { names.append(name) }
    lb_set_top(stack.thread, base + 1)
  }
  lb_set_top(stack.thread, base)
  return names.sorted()
}

func missingGlobal(_ stack: LuaStack) throws -> Int32 {
  let name = keyText(stack)
  let names = fieldNames(stack, of: 1)
  throw EngineError(
    .argument, "unknown global '\(name)'",
    hint: absentGlobals[name] ?? nearestName(to: name, among: names).map { "did you mean '\($0)'?" })
}

/// Globals that other hosts of Lua, or other versions, have, and what to use instead.
private let absentGlobals: [String: String] = [
  "io":
    "scripts open no files: tables go to the run directory with report.table, rows with log.metrics; --allow-io lifts this for scripts that you trust",
  "dofile": "require \"name\" runs a Lua file beside the script", "loadfile": "require \"name\" runs a Lua file beside the script",
  "package": "require \"name\" finds Lua files beside the script", "debug": "--traceback shows the calls that led to an error",
  "arg": "declare params { name = default } and give values with --set name=value",
  "unpack": "it is table.unpack", "loadstring": "it is load", "setfenv": "load takes an environment as its fourth argument",
]

func missingMember(of module: Module, _ stack: LuaStack) throws -> Int32 {
  throw EngineError(
    .argument, "module '\(module.name)' has no '\(keyText(stack))'",
    hint: module.absent[keyText(stack)] ?? suggestion(for: keyText(stack), among: module.memberNames)
      ?? module.call.map { "\(module.name) is a function: \(Help.signature($0)) gives \($0.returns)" })
}

func missingMember(of declaration: ClassDeclaration, _ stack: LuaStack) throws -> Int32 {
  guard stack.kind(2) == LB_STRING else {
    throw EngineError(
      .argument, "\(declaration.name) has no elements: cannot index it with a \(stack.typeName(2))")
  }
  let dynamic = stack.object(1).flatMap { declaration.dynamicFields?($0) } ?? [:]
  if let value = dynamic[keyText(stack)] { return try value.push(onto: stack) }
  throw EngineError(
    .argument, "\(declaration.name) has no field or method '\(keyText(stack))'",
    hint: declaration.absent[keyText(stack)] ?? suggestion(for: keyText(stack), among: declaration.memberNames + dynamic.keys.sorted()))
}

func unsettableMember(of declaration: ClassDeclaration, _ stack: LuaStack) throws -> Int32 {
  let name = keyText(stack)
  if declaration.memberNames.contains(name) {
    throw EngineError(.argument, "field '\(name)' of \(declaration.name) cannot be assigned")
  }
  let settable = declaration.properties.filter(\.isSettable).map(\.name)
  throw EngineError(
    .argument, "\(declaration.name) has no field '\(name)' that can be assigned",
    hint: suggestion(for: name, among: settable))
}
