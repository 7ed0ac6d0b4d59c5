import CLuaBridge
import Diagnostics
import Files
import Foundation

/// A Lua interpreter with a sandbox around it. Belongs to one thread.
///
/// A script has the language, `string`, `table`, `math`, `utf8`, `coroutine`, the time functions of `os`, and what
/// is registered. It cannot start processes, load native code or bytecode, and reads and writes only through what is
/// registered. Reading an unknown global and writing any global are errors.
public final class LuaState {
  /// How a state is set up.
  public struct Options {
    /// Gives scripts `io` and `os` (but not `os.exit`).
    public var allowIO = false
    /// Seed of `math.random`.
    public var seed = 0
    /// Where `require` looks besides the script's own folder, first match wins.
    public var moduleFolders: [String] = []
    /// Bytes that the script's own values may take; more is an error in the script. 0: no limit.
    public var memoryLimit = 4 << 30
    /// Counts the live bytes of native objects, so that the collector frees dropped ones in time.
    public var nativeBytes: (@convention(c) () -> Int)?
    /// Below this many native bytes nothing is collected on their account.
    public var nativeFloor = 256 << 20
    /// Receives each line that `print` writes, without the line feed.
    public var print: (String) -> Void = { Swift.print($0) }
    /// Asked every few thousand instructions; true stops the script.
    public var isInterrupted: () -> Bool = { Interrupt.isRequested }

    public init() {}
  }

  /// A Lua file that was run or required.
  public struct Source: Equatable {
    public let path: String
    public let text: String

    public init(path: String, text: String) { (self.path, self.text) = (path, text) }
  }

  public let options: Options
  /// All files that took part, in the order of loading: the provenance of a run.
  public internal(set) var sources: [Source] = []
  /// All registered modules, in order.
  public private(set) var modules: [Module] = []
  /// Functions registered as globals, in order.
  public private(set) var globalFunctions: [Function] = []

  /// Texts that were run, by the name that messages call them.
  var texts: [String: String] = [:]
  /// The names in Lua's own libraries, by library.
  var libraryFields: [String: [String]] = [:]
  /// The name of what is typed at a prompt, whose variables stay; nil: there is none.
  var promptName: String?
  /// The folder of the running script.
  var scriptFolder: String?
  /// The thread that runs: the main one, or the coroutine that called last. Nil once closed.
  private(set) var currentThread: OpaquePointer?
  private let callbacks: HostCallbacks
  /// What Lua's functions point to; Lua does not own them.
  private var retained: [BoundFunction] = []
  private var pendingReleases: [Int32] = []
  private(set) var classes: [ClassDeclaration] = []
  private var classNumbers: [ObjectIdentifier: Int] = [:]
  private(set) var moduleTables: [UnsafeRawPointer: Module] = [:]
  /// What libraries and modules held before the script ran.
  var originals = OriginalTables()
  /// Lua's own `require`, whatever the script has put into the global's place.
  var requireReference: Int32?
  /// `math.random`, likewise.
  var randomReference: Int32?
  /// Called before a file is required for the first time; what it throws is an error of the script.
  public var beforeRequire: (_ name: String) throws -> Void = { _ in }

  /// - Throws: `EngineError` if there is no memory for an interpreter.
  public init(_ options: Options = Options()) throws {
    self.options = options
    callbacks = HostCallbacks(options)
    let host = lb_host(
      context: Unmanaged.passUnretained(callbacks).toOpaque(), entry: callDeclaredFunction,
      release: { object in
        if let object { Unmanaged<AnyObject>.fromOpaque(object).release() }
      },
      print: { context, bytes, count in HostCallbacks.from(context)?.print(bytes, count) },
      interrupted: { context in HostCallbacks.from(context)?.options.isInterrupted() ?? false },
      memory_cap: max(0, options.memoryLimit))
    guard let thread = lb_create(host) else {
      throw EngineError(.argument, "not enough memory for a Lua interpreter")
    }
    currentThread = thread
    guard lb_open_libraries(thread, options.allowIO, Int64(options.seed)) else {
      throw EngineError(.argument, "not enough memory for the Lua libraries")
    }
    lb_set_native_memory(thread, options.nativeBytes, max(0, options.nativeFloor))
    registerClass(ErrorObject.declaration.declaration, on: thread)
    installGlobals(on: thread)
    rememberLibraries(on: thread)
    try register(helpFunction)
  }

  deinit { close() }

  /// Ends the interpreter and releases every object that Lua holds. Harmless twice, but a bug
  /// of the host while a script runs.
  public func close() {
    guard let thread = currentThread else { return }
    precondition(!lb_is_running(thread), "a Lua state was closed by its own script")
    currentThread = nil
    lb_close(thread)
    retained = []
    pendingReleases = []
  }

  /// Bytes that the script's own values take.
  public var heapBytes: Int { currentThread.map { lb_heap_bytes($0) } ?? 0 }

  /// Collects everything that the script has dropped.
  public func collect() {
    guard let thread = currentThread else { return }
    releasePending(thread)
    lb_collect(thread)
  }

  // MARK: Running

  /// Runs a script file; `require` then also finds files beside it.
  ///
  /// - Throws: `EngineError` if the file cannot be read, `LuaError` if the script fails.
  @discardableResult
  public func run(file path: String) throws -> [LuaValue] { try run(Source(path: path, text: readText(path)), name: path) }

  /// Runs a script whose text was read already; `name` takes its path's place in messages.
  @discardableResult
  public func run(_ source: Source, name: String) throws -> [LuaValue] {
    sources.append(source)
    scriptFolder = FilePath.folder(of: source.path)
    return try run(text: source.text, chunkName: "@" + name)
  }

  /// Runs a script given as text; `name` takes the file's place in messages.
  @discardableResult
  public func run(text: String, name: String) throws -> [LuaValue] {
    try run(text: text, chunkName: "@" + name)
  }

  private func run(text: String, chunkName: String) throws -> [LuaValue] {
    let stack = try openStack()
    try stack.reserve(4)
    let base = stack.top
    texts[String(chunkName.dropFirst())] = text
    guard load(text, chunkName: chunkName, on: stack) else {
      defer { lb_set_top(stack.thread, base) }
      throw error(on: stack, at: stack.top, interrupted: false)
    }
    return try call(stack, arguments: 0)
  }

  /// Compiles a text, and leaves its function on the stack, or a message.
  func load(_ text: String, chunkName: String, on stack: LuaStack) -> Bool {
    var code = chunkText(text)
    return code.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { lb_load(stack.thread, $0.baseAddress, $0.count, chunkName) }
    }
  }

  func openStack() throws -> LuaStack {
    guard let currentThread else { throw EngineError(.argument, "the Lua state is closed") }
    return LuaStack(thread: currentThread, state: self)
  }

  /// Calls the function below its arguments; its results take their place. What it throws is a `LuaError`.
  func callInPlace(_ stack: LuaStack, arguments: Int32) throws {
    let base = stack.top - arguments - 1
    releasePending(stack.thread)
    let outer = currentThread
    let status = Int(lb_pcall(stack.thread, arguments))
    currentThread = outer
    guard status == LB_OK else {
      defer { lb_set_top(stack.thread, base) }
      throw error(on: stack, at: stack.top, interrupted: status == LB_INTERRUPTED)
    }
  }

  /// The same with the results taken from the stack.
  func call(_ stack: LuaStack, arguments: Int32) throws -> [LuaValue] {
    let base = stack.top - arguments - 1
    defer { lb_set_top(stack.thread, base) }
    try callInPlace(stack, arguments: arguments)
    try stack.reserve(8)
    var results: [LuaValue] = []
    var index = base + 1
    while index <= stack.top {
      do throws(ValueMismatch) {
        results.append(try stack.value(index))
      } catch {
        throw EngineError(
          .argument, "a result cannot be used: expected \(error.expected), got \(error.found)")
      }
      index += 1
    }
    return results
  }

  /// The Swift error for an error value of Lua.
  func error(on stack: LuaStack, at index: Int32, interrupted: Bool) -> LuaError {
    let thread = stack.thread
    _ = lb_reserve(thread, 4)
    lb_push_traceback(thread)
    let traceback = stack.kind(-1) == LB_STRING ? stack.text(-1) ?? "" : ""
    lb_set_top(thread, index)
    if let object = stack.object(index) as? ErrorObject {
      if !object.error.traceback.isEmpty { return object.error }
      return LuaError(
        message: object.error.message, traceback: traceback, underlying: object.error.underlying,
        value: object.error.value)
    }
    var isInterruption = interrupted
    if stack.kind(index) != LB_STRING {
      // Runs the script's `__tostring`, which Ctrl-C may have to end.
      isInterruption = Int(lb_push_description(thread, index)) == LB_INTERRUPTED || isInterruption
    }
    let text = stack.excerpt(-1)
    let isString = stack.kind(index) == LB_STRING
    lb_set_top(thread, index)
    let underlying = isInterruption ? EngineError(.interrupted, "interrupted") : nil
    if isString { return LuaError(message: withHint(LuaError.placedOnce(text)), traceback: traceback, underlying: underlying) }
    let value = (try? stack.value(index)) ?? .nil
    return LuaError(
      message: "the script raised a \(value.typeName): \(text)", traceback: traceback,
      underlying: underlying, value: value)
  }

  // MARK: Registering

  /// Makes a module available, as a global and to `require`.
  public func register(_ module: Module) throws {
    let stack = try openStack()
    let thread = stack.thread
    try stack.reserve(16)
    let base = stack.top
    defer { lb_set_top(thread, base) }
    for declaration in module.classes { registerClass(declaration, on: thread) }
    lb_new_table(thread, 0, Int32(clamping: module.memberNames.count))
    let table = stack.top
    for function in module.functions {
      pushFunction(function, on: thread)
      stack.setField(function.name, of: table)
    }
    for constant in module.constants {
      try stack.push(constant.value)
      stack.setField(constant.name, of: table)
    }
    if let identity = lb_identity(thread, table) { moduleTables[identity] = module }
    let call = module.call.map { call in
      bind(call) { stack in try call.invoke(stack, 2) }
    }
    lb_seal_module(
      thread, module.name,
      bind { [unowned self] stack in
        let known = lb_identity(stack.thread, 1).flatMap { moduleTables[$0] }
        return try missingMember(of: known ?? module, stack)
      },
      bind { stack in
        throw EngineError(
          .argument, "module '\(module.name)' is read-only: cannot set '\(keyText(stack))'")
      }, call)
    originals.remember(module.name, at: table, on: stack)
    lb_push_globals(thread)
    lb_push_copy(thread, table)
    stack.setField(module.name, of: table + 1)
    lb_push_copy(thread, table)
    rememberGlobal(module.name, in: table + 1, on: stack)
    modules.append(module)
  }

  /// Adds a function to a registered module, and returns it as the script sees it. `identity`: what tells functions apart
  /// that read it there.
  public func add(_ function: Function, to module: String, identity: String) throws -> LuaFunction {
    guard let (place, found) = moduleTables.first(where: { $0.value.name == module }) else {
      throw EngineError(.argument, "no module '\(module)'", hint: suggestion(for: module, among: modules.map(\.name)))
    }
    let stack = try openStack()
    try stack.reserve(8)
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    lb_push_globals(stack.thread)
    stack.push(text: module)
    lb_raw_get(stack.thread, base + 1)
    guard lb_identity(stack.thread, stack.top) == place else {
      throw EngineError(.argument, "the script put something else in the place of module '\(module)'")
    }
    let table = stack.top
    pushFunction(function, on: stack.thread)
    lb_push_copy(stack.thread, stack.top)
    stack.setField(function.name, of: table)
    if let added = lb_identity(stack.thread, stack.top) { originals.rename(added, "\(module).\(function.name) \(identity)") }
    moduleTables[place] = found.adding(function)
    return LuaFunction(copying: stack.top, from: stack)
  }

  /// Makes a function available as a global.
  public func register(_ function: Function) throws {
    let stack = try openStack()
    try stack.reserve(4)
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    lb_push_globals(stack.thread)
    pushFunction(function, on: stack.thread)
    lb_push_copy(stack.thread, stack.top)
    stack.setField(function.name, of: base + 1)
    rememberGlobal(function.name, in: base + 1, on: stack)
    globalFunctions.append(function)
  }

  private func pushFunction(_ function: Function, on thread: OpaquePointer) {
    lb_push_function(thread, bind(function) { stack in try function.invoke(stack, 1) })
  }

  /// What a Lua function points to. Lives as long as the state.
  func bind(
    _ function: Function? = nil, _ invoke: @escaping (LuaStack) throws -> Int32
  ) -> UnsafeMutableRawPointer {
    let bound = BoundFunction(state: self, function: function, invoke: invoke)
    retained.append(bound)
    return Unmanaged.passUnretained(bound).toOpaque()
  }

  private func registerClass(_ declaration: ClassDeclaration, on thread: OpaquePointer) {
    guard classNumbers[declaration.type] == nil else { return }
    let number = classes.count
    classes.append(declaration)
    classNumbers[declaration.type] = number
    let stack = LuaStack(thread: thread, state: self)
    _ = lb_reserve(thread, 16)
    func pushTable(_ functions: [(name: String, function: Function)]) {
      lb_new_table(thread, 0, Int32(functions.count))
      let table = stack.top
      for (name, function) in functions {
        pushFunction(function, on: thread)
        if let place = lb_identity(thread, stack.top) { originals.rename(place, declaration.name + "." + name) }
        stack.setField(name, of: table)
      }
    }
    pushTable(declaration.methods.map { ($0.name, $0) })
    pushTable(declaration.properties.map { ($0.name, $0.getter) })
    pushTable(
      declaration.properties.compactMap { property in property.setter.map { (property.name, $0) } })
    pushTable(declaration.metamethods.map { ($0.name, $0) })
    lb_define_class(
      thread, Int32(number), declaration.name, bind { try missingMember(of: declaration, $0) },
      bind { try unsettableMember(of: declaration, $0) })
  }

  // MARK: Objects

  func className(_ number: Int) -> String {
    classes.indices.contains(number) ? classes[number].name : "object"
  }

  /// The class of an object: that of its type, else of the nearest superclass that is registered.
  func classNumber(of object: AnyObject) throws -> Int {
    let type = ObjectIdentifier(Swift.type(of: object))
    if let number = classNumbers[type] { return number }
    var mirror = Mirror(reflecting: object).superclassMirror
    while let current = mirror {
      if let superclass = current.subjectType as? AnyClass,
        let number = classNumbers[ObjectIdentifier(superclass)]
      {
        classNumbers[type] = number
        return number
      }
      mirror = current.superclassMirror
    }
    throw EngineError(
      .argument, "\(Swift.type(of: object)) has no class in Lua", hint: "register its module first")
  }

  // MARK: Calls from Lua

  /// Runs a declared function on the thread that called it, also if that is a coroutine.
  fileprivate func enter(_ bound: BoundFunction, _ thread: OpaquePointer) -> Int32 {
    let outer = currentThread
    currentThread = thread
    defer { currentThread = outer }
    releasePending(thread)
    let stack = LuaStack(thread: thread, state: self)
    do {
      return try bound.invoke(stack)
    } catch {
      return report(colonMistake(bound, stack) ?? error, on: stack)
    }
  }

  /// What is said where a function of a module was called as a method: `trainer:fit { ... }`.
  private func colonMistake(_ bound: BoundFunction, _ stack: LuaStack) -> EngineError? {
    guard let function = bound.function, stack.kind(1) == LB_TABLE, let identity = lb_identity(stack.thread, 1),
      let module = moduleTables[identity], module.functions.contains(where: { $0.name == function.name }),
      // A module that is called comes with itself as its first argument.
      module.call?.name != function.name
    else { return nil }
    return EngineError(
      .argument, "'\(function.name)' is a function of the module '\(module.name)', no method",
      hint: "write \(module.name).\(function.name)(...), with '.' instead of ':'")
  }

  /// Leaves an error object on the stack.
  private func report(_ error: any Error, on stack: LuaStack) -> Int32 {
    _ = lb_reserve(stack.thread, 8)
    let raised: LuaError
    switch error {
    case let passing as LuaError:
      if case .nil = passing.value {
        raised = passing
      } else {
        // What the script raised itself comes back to it as it was.
        try? stack.push(passing.value)
        return Int32(passing.isInterruption ? LB_FAILED_BY_INTERRUPT : LB_FAILED)
      }
    case let mistake as EngineError:
      raised = LuaError(message: LuaError.placedOnce(place(on: stack) + mistake.description), underlying: mistake)
    default:
      let mistake = EngineError(.argument, "\(error)")
      raised = LuaError(message: LuaError.placedOnce(place(on: stack) + mistake.description), underlying: mistake)
    }
    do {
      try stack.push(object: ErrorObject(raised))
    } catch {
      stack.push(text: raised.message)
    }
    return Int32(raised.isInterruption ? LB_FAILED_BY_INTERRUPT : LB_FAILED)
  }

  /// "train.lua:12: " for the line that called.
  func place(on stack: LuaStack) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      guard let start = buffer.baseAddress else { return "" }
      lb_where(stack.thread, 1, start, buffer.count)
      let text = String(cString: start)
      return text.isEmpty ? "" : text + ": "
    }
  }

  // MARK: References

  func releaseLater(_ reference: Int32) { pendingReleases.append(reference) }

  private func releasePending(_ thread: OpaquePointer) {
    if pendingReleases.isEmpty { return }
    let references = pendingReleases
    pendingReleases = []
    for reference in references { lb_release_reference(thread, reference) }
  }
}

/// What the light userdata behind a Lua function points to.
final class BoundFunction {
  unowned let state: LuaState
  /// The declaration, for help.
  let function: Function?
  let invoke: (LuaStack) throws -> Int32

  init(state: LuaState, function: Function?, invoke: @escaping (LuaStack) throws -> Int32) {
    self.state = state
    self.function = function
    self.invoke = invoke
  }
}

/// The one way from Lua into Swift; the caller is a C function, which raises what is reported.
private func callDeclaredFunction(
  _ thread: OpaquePointer?, _ pointer: UnsafeMutableRawPointer?
) -> Int32 {
  guard let thread, let pointer else {
    if let thread { lb_push_string(thread, "no function", 11) }
    return Int32(LB_FAILED)
  }
  let bound = Unmanaged<BoundFunction>.fromOpaque(pointer).takeUnretainedValue()
  return bound.state.enter(bound, thread)
}

/// The closures behind the C callbacks of a state.
private final class HostCallbacks {
  let options: LuaState.Options

  init(_ options: LuaState.Options) { self.options = options }

  static func from(_ context: UnsafeMutableRawPointer?) -> HostCallbacks? {
    context.map { Unmanaged<HostCallbacks>.fromOpaque($0).takeUnretainedValue() }
  }

  func print(_ bytes: UnsafePointer<CChar>?, _ count: Int) {
    options.print(Self.text(bytes, count))
  }

  private static func text(_ bytes: UnsafePointer<CChar>?, _ count: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
  }
}
