import CLuaBridge
import Diagnostics
import Files

/// What a text that was typed at a prompt came to.
public enum PromptReply {
  /// More lines have to follow.
  case incomplete
  /// It ran; these are the values of an expression. One that is no statement as well could not stand in a file.
  case done([PromptValue], isExpression: Bool)
}

/// A value as a prompt shows it.
public struct PromptValue {
  public let text: String
  /// The value itself, where it can be copied out.
  public let value: LuaValue?
}

extension LuaState {
  /// Runs a script file or a text so that its local variables become globals, which stay.
  ///
  /// `name` takes its path's place in messages. Throws as `run` does.
  public func runKeepingLocals(_ source: Source, name: String) throws {
    promptName = name
    sources.append(source)
    scriptFolder = FilePath.folder(of: source.path)
    texts[name] = source.text
    let stack = try openStack()
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    try stack.reserve(4)
    guard load(source.text, chunkName: "@" + name, on: stack) else { throw error(on: stack, at: stack.top, interrupted: false) }
    try callKeepingLocals(stack)
  }

  /// Runs what was typed at a prompt: an expression gives its values, a statement none. Local variables and assigned globals stay.
  ///
  /// - Parameters:
  ///   - name: takes a file's place in messages.
  ///   - line: the number of the text's first line there.
  ///
  /// Throws `LuaError`.
  public func reply(to text: String, name: String, line: Int = 1) throws -> PromptReply {
    promptName = name
    let stack = try openStack()
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    try stack.reserve(4)
    let before = String(repeating: "\n", count: line - 1)
    texts[name] = before + text
    // The space keeps "#" from being the first letter of a file for the shell.
    let isStatement = load(before + " " + text, chunkName: "@" + name, on: stack)
    if load(before + "return " + text, chunkName: "@" + name, on: stack) {
      try callKeepingLocals(stack)
    } else if isStatement {
      lb_set_top(stack.thread, base + 1)
      try callKeepingLocals(stack)
      return .done(try values(base + 1, on: stack), isExpression: false)
    } else {
      // As the one or as the other, it may go on.
      if (base + 1...base + 2).contains(where: { stack.text($0)?.hasSuffix("near <eof>") ?? false }) { return .incomplete }
      lb_set_top(stack.thread, base + 1)
      throw error(on: stack, at: stack.top, interrupted: false)
    }
    return .done(try values(base + 2, on: stack), isExpression: !isStatement)
  }

  private func values(_ first: Int32, on stack: LuaStack) throws -> [PromptValue] {
    try (first..<stack.top + 1).map { index in
      PromptValue(text: try ValueText(stack).text(index), value: try? stack.value(index))
    }
  }

  private func callKeepingLocals(_ stack: LuaStack) throws {
    lb_keep_locals(stack.thread, stack.top)
    try callInPlace(stack, arguments: 0)
    try stack.reserve(8)
  }
}

/// Writes values as a script would, as far as that can be.
struct ValueText {
  private let stack: LuaStack
  /// The tables around the one that is written.
  private var open: [UnsafeRawPointer] = []

  /// Longer lists show this many elements.
  private static let shownItems = 40
  private static let deepest = 6
  private static let columns = 100

  init(_ stack: LuaStack) { self.stack = stack }

  /// Throws what the `__tostring` of an object raises by Ctrl-C.
  func text(_ index: Int32) throws -> String {
    switch stack.kind(index) {
    case LB_STRING: return quoted(stack.excerpt(index))
    case LB_TABLE: return try table(index)
    case LB_FUNCTION: return function(index)
    default: return try description(index)
    }
  }

  private func description(_ index: Int32) throws -> String {
    try stack.reserve(4)
    let top = stack.top
    defer { lb_set_top(stack.thread, top) }
    if Int(lb_push_description(stack.thread, index)) == LB_INTERRUPTED { throw EngineError(.interrupted, "interrupted") }
    return stack.text(-1) ?? stack.excerpt(-1)
  }

  private func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\" + String(scalar)
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case "\r": quoted += "\\r"
      default: quoted += scalar.properties.generalCategory == .control ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
      }
    }
    return quoted + "\""
  }

  private func function(_ index: Int32) -> String {
    if let pointer = lb_declared_function(stack.thread, index),
      let function = Unmanaged<BoundFunction>.fromOpaque(pointer).takeUnretainedValue().function
    {
      return "function \(Help.signature(function)): \(function.doc)"
    }
    var place = [CChar](repeating: 0, count: 256)
    lb_function_place(stack.thread, index, &place, place.count)
    let text = String(decoding: place.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return text == "?" ? "function of Lua" : "function (\(text))"
  }

  private func table(_ index: Int32) throws -> String {
    try stack.reserve(8)
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    let place = index > 0 ? index : base + index + 1
    if lb_push_metatable(stack.thread, place) {
      lb_set_top(stack.thread, base)
      if let identity = lb_identity(stack.thread, place), let module = stack.state.moduleTables[identity] {
        return "module \(module.name): \(module.doc)"
      }
    }
    guard let identity = lb_identity(stack.thread, place) else { return "{}" }
    if open.contains(identity) { return "{ a table inside itself }" }
    if open.count == Self.deepest { return "{ ... }" }
    var inner = self
    inner.open.append(identity)
    let items = try inner.items(place)
    let line = items.isEmpty ? "{}" : "{ \(items.joined(separator: ", ")) }"
    if line.count <= Self.columns - 2 * open.count, !line.contains("\n") { return line }
    return "{\n" + items.map { "  " + $0.replacing("\n", with: "\n  ") + ",\n" }.joined() + "}"
  }

  /// The values of the list, then those with other keys, names first and in order.
  private func items(_ place: Int32) throws -> [String] {
    let base = stack.top
    let count = lb_raw_length(stack.thread, place)
    var list: [String] = []
    for i in 0..<min(count, Int64(Self.shownItems)) {
      lb_raw_get_index(stack.thread, place, i + 1)
      list.append(try text(stack.top))
      lb_set_top(stack.thread, base)
    }
    if count > Self.shownItems { list.append("... (\(count) in all)") }
    var named: [(key: String, text: String)] = []
    var others = 0
    lb_push_nil(stack.thread)
    while lb_next(stack.thread, place) {
      let isInList = stack.kind(base + 1) == LB_INTEGER && (1...max(1, count)).contains(lb_integer(stack.thread, base + 1)) && count > 0
      if !isInList {
        if named.count < Self.shownItems { named.append((try key(base + 1), try text(base + 2))) } else { others += 1 }
      }
      lb_set_top(stack.thread, base + 1)
    }
    lb_set_top(stack.thread, base)
    named.sort { $0.key < $1.key }
    return list + named.map { "\($0.key) = \($0.text)" } + (others > 0 ? ["... (\(others) more)"] : [])
  }

  private func key(_ index: Int32) throws -> String {
    if stack.kind(index) == LB_STRING, let name = stack.text(index), name.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_]*/) != nil { return name }
    return "[\(try text(index))]"
  }
}
