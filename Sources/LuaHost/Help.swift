import Diagnostics

/// The texts that `help` prints.
public enum Help {
  /// The list of modules and global functions.
  public static func overview(modules: [Module], functions: [Function]) -> String {
    let rows = modules.map { ($0.name, $0.doc) } + functions.map { ($0.name, $0.doc) }
    return "help(x) explains a module, a function or an object.\n" + table(rows)
  }

  /// What is declared under a name: a module, a global function or class, or what one of them has, as "trainer.fit",
  /// "Model:predict".
  ///
  /// Throws `EngineError` with the nearest name where nothing is.
  static func text(for name: String, modules: [Module], functions: [Function], classes: [ClassDeclaration]) throws -> String {
    var texts: [(name: String, text: () -> String)] = []
    /// The fields of a function's options, as in "trainer.fit.learning_rate".
    func addFields(of function: Function, _ place: String) {
      for parameter in function.parameters {
        texts += parameter.type.fields.map { field in
          (place + "." + field.name, { "\(field.name) (\(field.type)), an option of \(place)\n  \(field.text)" })
        }
      }
    }
    for module in modules {
      texts.append((module.name, { text(for: module) }))
      texts += module.functions.map { function in ("\(module.name).\(function.name)", { text(for: function) }) }
      texts += module.constants.map { constant in ("\(module.name).\(constant.name)", { "\(module.name).\(constant.name)\n  \(constant.doc)" }) }
    }
    texts += functions.map { function in (function.name, { text(for: function) }) }
    for declaration in classes {
      texts.append((declaration.name, { text(for: declaration) }))
      texts += declaration.methods.map { method in ("\(declaration.name):\(method.name)", { text(for: method) }) }
      texts += declaration.properties.map { property in
        ("\(declaration.name).\(property.name)", { "\(declaration.name).\(property.name): \(property.type.name)\n  \(property.doc)" })
      }
    }
    let wanted = name.replacing(":", with: ".")
    if let found = texts.first(where: { $0.name.replacing(":", with: ".") == wanted }) { return found.text() }
    for module in modules { for function in module.functions { addFields(of: function, "\(module.name).\(function.name)") } }
    for declaration in classes { for method in declaration.methods { addFields(of: method, "\(declaration.name):\(method.name)") } }
    if let found = texts.first(where: { $0.name.replacing(":", with: ".") == wanted }) { return found.text() }
    // A last part alone, as people remember it.
    let known = texts.map(\.name)
    let ends = known.filter { $0.replacing(":", with: ".").hasSuffix("." + wanted) }
    let hint = ends.isEmpty ? nearestName(to: name, among: known).map { "did you mean '\($0)'?" } : "did you mean \(listed(ends.map { "'\($0)'" }))?"
    throw EngineError(.argument, "help: nothing is called '\(name.prefix(80))'", hint: hint ?? "help() lists all modules")
  }

  /// What a module contains.
  public static func text(for module: Module) -> String {
    var lines = ["\(module.name): \(module.doc)"]
    if let call = module.call { lines.append(text(for: call)) }
    lines.append(table(module.functions.map { (signature($0), $0.doc) }))
    lines.append(table(module.constants.map { ($0.name, $0.doc) }))
    lines.append(table(module.classes.map { ($0.name, $0.doc) }))
    return lines.filter { !$0.isEmpty }.joined(separator: "\n")
  }

  /// What a class has.
  public static func text(for declaration: ClassDeclaration) -> String {
    [
      "\(declaration.name): \(declaration.doc)",
      table(declaration.properties.map { ("\($0.name): \($0.type.name)", $0.doc) }),
      table(declaration.methods.map { (":" + signature($0), $0.doc) }),
    ].filter { !$0.isEmpty }.joined(separator: "\n")
  }

  /// Signature, meaning, parameters and result of a function; fields of its options table.
  public static func text(for function: Function) -> String {
    var lines = [signature(function), "  " + function.doc]
    for parameter in function.parameters {
      lines.append("  \(parameter.name) (\(parameter.type.name)): \(explanation(parameter))")
      lines += parameter.type.fields.map { "    \($0.name) (\($0.type)): \($0.text)" }
    }
    if let type = function.resultType {
      lines.append("  returns \(type.name)" + (function.returns.isEmpty ? "" : ": \(function.returns)"))
      lines += type.fields.map { "    \($0.name) (\($0.type)): \($0.text)" }
    }
    return lines.joined(separator: "\n")
  }

  static func signature(_ function: Function) -> String {
    let names = function.parameters.map { parameter in
      parameter.takesRest ? "..." : parameter.isOptional ? "[\(parameter.name)]" : parameter.name
    }
    return "\(function.name)(\(names.joined(separator: ", ")))"
  }

  /// Meaning, range and default in one line.
  static func explanation(_ parameter: ParameterDescription) -> String {
    explanation(parameter.doc, range: parameter.rangeWords, default: parameter.defaultText)
  }

  static func explanation(_ doc: String, range: String?, default defaultText: String?) -> String {
    var notes: [String] = []
    if let range, !range.isEmpty { notes.append(range) }
    if let defaultText { notes.append("default \(defaultText)") }
    return notes.isEmpty ? doc : "\(doc) (\(notes.joined(separator: "; ")))"
  }

  private static func table(_ rows: [(String, String)]) -> String {
    let width = min(28, rows.map(\.0.count).max() ?? 0)
    return rows.map { name, doc in
      "  \(name)\(String(repeating: " ", count: max(2, width - name.count + 2)))\(doc)"
    }.joined(separator: "\n")
  }
}

/// What stubs and help say about a field of a record.
struct FieldDescription {
  let name: String
  let type: String
  let isOptional: Bool
  let doc: String
  /// Meaning, range and default.
  let text: String
  let choices: [String]?
  let nestedRecord: (any Record.Type)?
}

extension LuaType {
  /// The fields of a table that has declared ones: its name, type, and meaning with range and default.
  var fields: [(name: String, type: String, text: String)] {
    switch definition {
    case .record(let record): fieldDescriptions(of: record).map { ($0.name, $0.type, $0.text) }
    case .shape(let shape): shape.fields.map { ($0.name.hasSuffix("?") ? String($0.name.dropLast()) : $0.name, $0.type, $0.doc) }
    case .choice, nil: []
    }
  }
}

/// The fields of a record, with the defaults of a new one.
func fieldDescriptions(of record: any Record.Type) -> [FieldDescription] {
  func describe<Owner: Record>(_ type: Owner.Type) -> [FieldDescription] {
    let defaults = Owner()
    return Owner.fields.map { field in
      let value = field.read(defaults)
      let hasDefault = if case .null = value { false } else { !field.isRequired }
      return FieldDescription(
        name: field.name, type: field.typeName, isOptional: !field.isRequired, doc: field.doc,
        text: Help.explanation(
          field.doc, range: field.rangeWords, default: hasDefault ? value.luaText : nil),
        choices: field.choices, nestedRecord: field.nestedRecord)
    }
  }
  return describe(record)
}

extension ConfigValue {
  /// The value as a script would write it.
  var luaText: String {
    switch self {
    case .null: return "nil"
    case .bool(let value): return "\(value)"
    case .integer(let value): return "\(value)"
    case .number(let value):
      return Int(exactly: value).map { "\($0)" } ?? "\(value)"
    case .text(let value): return "\"\(value)\""
    case .table(let table):
      let items =
        table.list.map(\.luaText)
        + table.fields.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value.luaText)" }
      return "{\(items.joined(separator: ", "))}"
    case .object(_, let typeName): return typeName
    case .unusable(let words): return words
    }
  }
}
