import CLuaBridge
import Diagnostics

/// Names that can stand at the end of a text.
public struct Completion: Equatable {
  /// The beginning of a name that stands there already.
  public let written: String
  /// Whole names, in order; options end with " = ".
  public let names: [String]

  public init(written: String, names: [String]) { (self.written, self.names) = (written, names) }

  /// What all of them go on with.
  public var added: String {
    guard var common = names.first else { return "" }
    for name in names { common = String(zip(common, name).prefix { $0 == $1 }.map(\.0)) }
    return String(common.dropFirst(written.count))
  }
}

extension LuaState {
  /// The names that fit at the end of what is being typed, from the declarations and from what variables hold: members behind
  /// "." and ":", options inside the table that a declared function takes, else variables and words of the language.
  public func completion(of text: String) -> Completion {
    let code = CodeBefore(text)
    let written = code.word
    func fitting(_ names: [String]) -> Completion {
      Completion(written: written, names: Set(names.filter { $0.hasPrefix(written) && !$0.hasPrefix("__") }).sorted())
    }
    if code.isInText { return Completion(written: "", names: []) }
    if let sign = code.sign { return fitting(members(of: code.path, sign: sign)) }
    let options = code.isKey ? code.enclosingCall.flatMap { declared($0) }.map(optionNames) ?? [] : []
    let fittingOptions = fitting(options.map { $0 + " = " })
    return fittingOptions.names.isEmpty ? fitting(variables() + (written.isEmpty ? [] : luaWords)) : fittingOptions
  }

  /// What a path such as "model.adapters" holds, or would.
  private enum Found {
    case names([String])
    case declaration(ClassDeclaration)
    case module(Module)
  }

  private func members(of path: [String], sign: Character) -> [String] {
    switch found(at: path) {
    case .names(let names): names
    case .module(let module): module.memberNames
    case .declaration(let declaration): sign == ":" ? declaration.methods.map(\.name) : declaration.properties.map(\.name)
    case nil: []
    }
  }

  /// The function that a path such as "trainer.fit" or "model:add_adapter" names.
  private func declared(_ path: [String]) -> Function? {
    guard let last = path.last else { return nil }
    if path.count == 1 {
      return globalFunctions.first { $0.name == last } ?? modules.first { $0.name == last }?.call
    }
    switch found(at: Array(path.dropLast())) {
    case .module(let module): return module.functions.first { $0.name == last }
    case .declaration(let declaration): return declaration.methods.first { $0.name == last }
    default: return nil
    }
  }

  private func optionNames(_ function: Function) -> [String] {
    function.parameters.flatMap { parameter -> [String] in
      switch parameter.type.definition {
      case .record(let record)?: fieldDescriptions(of: record).map(\.name)
      case .shape(let shape)?: shape.fields.map { $0.name.replacing("?", with: "") }
      default: []
      }
    }
  }

  private func found(at path: [String]) -> Found? {
    guard let stack = try? openStack(), (try? stack.reserve(8)) != nil else { return nil }
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    lb_push_globals(stack.thread)
    var rest = path[...]
    var result: Found?
    while let name = rest.popFirst() {
      // A property is not computed for this: its declaration tells the class.
      if case .declaration(let declaration)? = result {
        guard let type = declaration.properties.first(where: { $0.name == name })?.type.name else { return nil }
        result = classes.first { $0.name == type || $0.name + "?" == type }.map { .declaration($0) }
        continue
      }
      guard stack.kind(-1) == LB_TABLE else { return nil }
      let table = stack.top
      stack.push(text: name)
      lb_raw_get(stack.thread, table)
      result = value(at: stack.top, on: stack)
      guard result != nil else { return nil }
    }
    return result
  }

  private func value(at index: Int32, on stack: LuaStack) -> Found? {
    switch stack.kind(index) {
    case LB_TABLE:
      if let identity = lb_identity(stack.thread, index), let module = moduleTables[identity] { return .module(module) }
      return .names(fieldNames(stack, of: index))
    case LB_OBJECT:
      let number = Int(lb_object_class(stack.thread, index))
      return classes.indices.contains(number) ? .declaration(classes[number]) : nil
    case LB_STRING: return .names(libraryFields["string"] ?? [])
    default: return nil
    }
  }

  private func variables() -> [String] {
    guard let stack = try? openStack(), (try? stack.reserve(8)) != nil else { return [] }
    let base = stack.top
    defer { lb_set_top(stack.thread, base) }
    lb_push_globals(stack.thread)
    return fieldNames(stack, of: base + 1)
  }
}

private let luaWords = [
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or", "repeat", "return",
  "then", "true", "until", "while",
]

/// What stands before the cursor, as far as completion needs it.
private struct CodeBefore {
  /// The name that is being written; empty between names.
  private(set) var word = ""
  /// "." or ":" before it, and the names before that.
  private(set) var sign: Character?
  private(set) var path: [String] = []
  /// Whether the cursor is inside a string.
  private(set) var isInText = false
  /// Whether the word can be the key of a table.
  private(set) var isKey = false
  /// The path of the function whose table is open.
  private(set) var enclosingCall: [String]?

  init(_ text: String) {
    var letters = Array(text)
    let open = Self.openBrackets(&letters, &isInText)
    let start = Self.nameStart(letters, letters.count)
    word = String(letters[start...])
    if start > 0, letters[start - 1] == "." || letters[start - 1] == ":", start < 2 || letters[start - 2] != "." {
      sign = letters[start - 1]
      path = Self.path(letters, start - 1)
    }
    guard let table = open.last, letters[table] == "{" else { return }
    let before = letters[..<start].last { !$0.isWhitespace }
    isKey = before == "{" || before == ","
    // The table is an argument in brackets, or the only one without.
    let call = open.dropLast().last.flatMap { letters[$0] == "(" ? $0 : nil }
    let direct = Self.path(letters, table)
    enclosingCall = !direct.isEmpty ? direct : call.map { Self.path(letters, $0) }
  }

  /// Where brackets are open at the end. Comments become spaces.
  private static func openBrackets(_ letters: inout [Character], _ isInText: inout Bool) -> [Int] {
    var open: [Int] = []
    var quote: Character?
    var i = 0
    while i < letters.count {
      let letter = letters[i]
      if let end = quote {
        if letter == "\\" { i += 1 } else if letter == end { quote = nil }
      } else if letter == "\"" || letter == "'" {
        quote = letter
      } else if letter == "-", i + 1 < letters.count, letters[i + 1] == "-" {
        while i < letters.count, !letters[i].isNewline {
          letters[i] = " "
          i += 1
        }
        isInText = i == letters.count
      } else if "({[".contains(letter) {
        open.append(i)
      } else if ")}]".contains(letter) {
        _ = open.popLast()
      }
      i += 1
    }
    isInText = isInText || quote != nil
    return open
  }

  /// Where the name begins that ends at `end`.
  private static func nameStart(_ letters: [Character], _ end: Int) -> Int {
    var start = end
    while start > 0, letters[start - 1].isLetter || letters[start - 1].isNumber || letters[start - 1] == "_" { start -= 1 }
    return start
  }

  /// The names joined by "." and ":" that end at `end`, with spaces between them and it.
  private static func path(_ letters: [Character], _ end: Int) -> [String] {
    var end = end
    while end > 0, letters[end - 1].isWhitespace { end -= 1 }
    var names: [String] = []
    while true {
      let start = nameStart(letters, end)
      guard start < end else { return [] }
      names.insert(String(letters[start..<end]), at: 0)
      guard start > 0, letters[start - 1] == "." || letters[start - 1] == ":" else { return names }
      end = start - 1
    }
  }
}
