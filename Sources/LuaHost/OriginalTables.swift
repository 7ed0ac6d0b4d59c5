import CLuaBridge
import Files

/// What the libraries and modules hold before a script runs: it tells what a script has put in its place, and gives
/// functions of the host, and the library's open files, their names.
struct OriginalTables {
  /// A field's first value.
  private enum Entry {
    case place(UnsafeRawPointer)
    case plain(JSONValue)
  }

  private var tables: [UnsafeRawPointer: (name: String, entries: [String: Entry])] = [:]
  private var names: [UnsafeRawPointer: String] = [:]

  /// What a library's or module's table is called; nil for any other table.
  func name(of table: UnsafeRawPointer) -> String? { tables[table]?.name }

  /// "math.floor": what a function of the host is called; nil for one that only came into being as the script ran.
  func name(ofHost object: UnsafeRawPointer) -> String? { names[object] }

  /// The fields that a table had at first.
  func keys(of table: UnsafeRawPointer) -> [String] { (tables[table]?.entries.keys).map { $0.sorted() } ?? [] }

  mutating func rename(_ function: UnsafeRawPointer, _ name: String) { names[function] = name }

  mutating func rename(table: UnsafeRawPointer, _ name: String) { tables[table]?.name = name }

  /// Keeps what a table holds now. The tables in the table of globals are kept as well.
  mutating func remember(_ name: String, at index: Int32, on stack: LuaStack) {
    guard let table = lb_identity(stack.thread, index), lb_reserve(stack.thread, 8) else { return }
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    let place = index > 0 ? index : base + index + 1
    tables[table] = (name, [:])
    keep(at: place, on: stack)
    lb_push_nil(stack.thread)
    while lb_next(stack.thread, place) {
      if stack.kind(base + 1) == LB_STRING, let key = stack.text(base + 1) {
        remember(field: key, of: table, on: stack)
        let isNew = stack.kind(-1) == LB_TABLE && lb_identity(stack.thread, -1).map { tables[$0] == nil } ?? false
        if name.isEmpty, isNew { remember(key, at: stack.top, on: stack) }
      }
      lb_set_top(stack.thread, base + 1)
    }
  }

  /// Keeps the value on the top of the stack as a field of a table that is known.
  mutating func remember(field key: String, of table: UnsafeRawPointer, on stack: LuaStack) {
    guard let name = tables[table]?.name else { return }
    switch stack.kind(-1) {
    case LB_TABLE, LB_FUNCTION, LB_OBJECT, LB_OTHER:
      guard let place = lb_identity(stack.thread, -1) else { return }
      tables[table]?.entries[key] = .place(place)
      keep(at: stack.top, on: stack)
      if stack.kind(-1) != LB_TABLE, names[place] == nil { names[place] = name.isEmpty ? key : name + "." + key }
    default:
      let value = plain(at: stack.top, on: stack)
      tables[table]?.entries[key] = value.map { .plain($0) }
    }
  }

  /// Whether the value at this index is what the field held at first.
  func isOriginal(_ key: String, of table: UnsafeRawPointer, at index: Int32, on stack: LuaStack) -> Bool {
    switch tables[table]?.entries[key] {
    case .place(let place): place == lb_identity(stack.thread, index)
    case .plain(let value): plain(at: index, on: stack).map { $0.encoded(.canonical) == value.encoded(.canonical) } ?? false
    case nil: stack.kind(index) == LB_NIL
    }
  }

  private func plain(at index: Int32, on stack: LuaStack) -> JSONValue? {
    switch stack.kind(index) {
    case LB_BOOL: .bool(lb_bool(stack.thread, index))
    case LB_INTEGER: .int(Int(lb_integer(stack.thread, index)))
    case LB_NUMBER: .string("\(lb_number(stack.thread, index))")
    case LB_STRING: stack.text(index).map { .string("s" + $0) }
    default: nil
    }
  }

  /// A place that is remembered must not become that of another value: what is there lives as long as the state.
  private func keep(at index: Int32, on stack: LuaStack) {
    lb_push_copy(stack.thread, index)
    _ = lb_reference(stack.thread)
  }
}

extension LuaState {
  /// Keeps what the libraries hold, and where `require` is.
  func rememberLibraries(on thread: OpaquePointer) {
    let stack = LuaStack(thread: thread, state: self)
    let base = stack.top
    defer { lb_set_top(thread, base) }
    guard lb_reserve(thread, 8) else { return }
    lb_push_globals(thread)
    originals.remember("", at: base + 1, on: stack)
    stack.push(text: "require")
    lb_raw_get(thread, base + 1)
    requireReference = lb_reference(thread)
    stack.push(text: "math")
    lb_raw_get(thread, base + 1)
    stack.push(text: "random")
    lb_raw_get(thread, base + 2)
    randomReference = lb_reference(thread)
    lb_set_top(thread, base + 1)
    lb_push_string(thread, "", 0)
    if lb_push_metatable(thread, base + 2) { originals.remember("methods of texts", at: base + 3, on: stack) }
  }

  /// Keeps the value on the top of the stack, which is popped, as a global's first one.
  func rememberGlobal(_ name: String, in globals: Int32, on stack: LuaStack) {
    if let place = lb_identity(stack.thread, globals) { originals.remember(field: name, of: place, on: stack) }
    lb_set_top(stack.thread, stack.top - 1)
  }

  /// Runs `body` with draws of `math.random` that are a function of `seed` and their number alone; later draws do not notice.
  public func drawing<Result>(from seed: UInt64, _ body: () throws -> Result) rethrows -> Result {
    var count = 0
    guard let thread = currentThread, let reference = randomReference, let start = lb_random_state(thread, reference, &count),
      count == 4 * MemoryLayout<UInt64>.size
    else { return try body() }
    let state = start.assumingMemoryBound(to: UInt64.self)
    let before = (0..<4).map { state[$0] }
    defer { for i in 0..<4 { state[i] = before[i] } }
    // SplitMix64, from which the generator's authors ask to fill it.
    var next = seed
    for i in 0..<4 {
      next &+= 0x9E37_79B9_7F4A_7C15
      var word = next
      word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
      state[i] = word ^ word >> 31
    }
    return try body()
  }
}
