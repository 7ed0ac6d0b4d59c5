import Diagnostics

/// Writes the reference for people, in Markdown, from the declarations: one page for each module, and a list of them.
public struct Reference {
  /// The first line of every page.
  public static let mark = "<!-- Written by `perigee stubs --reference` from the declarations. -->"

  private let modules: [Module]
  private let globals: [Function]
  /// The pages that explain tables and choices, by their names.
  private var homes: [String: String] = [:]

  public init(modules: [Module], globals: [Function]) {
    (self.modules, self.globals) = (modules, globals)
    for module in modules {
      for type in Self.types(of: module) { for name in Self.definitions(of: type).map(\.name) where homes[name] == nil { homes[name] = module.name } }
      for declaration in module.classes { homes[declaration.name] = module.name }
    }
    for type in globals.flatMap(Self.types) { for name in Self.definitions(of: type).map(\.name) where homes[name] == nil { homes[name] = "README" } }
  }

  /// File names and contents.
  public func files() -> [(name: String, text: String)] {
    let rows = modules.map { "| [\($0.name)](\($0.name).md) | \(Self.cell($0.doc)) |" }
    var index = [Self.mark, "# What a script can call", "", "| Module | |", "|---|---|"] + rows
    if !globals.isEmpty { index += ["", "## Global functions", ""] + globals.flatMap { entry($0, "", on: "README") } }
    index += definitions(of: globals.flatMap(Self.types), on: "README")
    index += ["", "`perigee help NAME` says the same in a terminal, `help(x)` in a script."]
    return [("README.md", Self.joined(index))] + modules.map { ($0.name + ".md", page($0)) }
  }

  private func page(_ module: Module) -> String {
    var lines = [Self.mark, "# \(module.name)", "", module.doc, ""]
    if let call = module.call { lines += entry(call, "", on: module.name) }
    for function in module.functions { lines += entry(function, module.name + ".", on: module.name) }
    if !module.constants.isEmpty {
      lines += ["## Constants", "", "| | |", "|---|---|"] + module.constants.map { "| `\(module.name).\($0.name)` | \(Self.cell($0.doc)) |" } + [""]
    }
    for declaration in module.classes {
      lines += ["## \(declaration.name)", "", declaration.doc, ""]
      if !declaration.properties.isEmpty {
        lines += ["| Field | Type | |", "|---|---|---|"]
        lines += declaration.properties.map { property in
          let doc = property.doc + (property.isSettable ? "; can be assigned" : "")
          return "| `\(property.name)` | \(link(property.type.name, on: module.name)) | \(Self.cell(doc)) |"
        }
        lines.append("")
      }
      for method in declaration.methods { lines += entry(method, declaration.name + ":", on: module.name) }
      let operators = declaration.metamethods.filter { !["__tostring", "__gc", "__close", "__concat"].contains($0.name) }
      if !operators.isEmpty {
        lines += ["Operators: " + operators.map { "`\($0.name.dropFirst(2))` (\($0.doc))" }.joined(separator: ", ") + ".", ""]
      }
    }
    return Self.joined(lines + definitions(of: Self.types(of: module), on: module.name))
  }

  /// The tables and choices that are explained on a page, each once.
  private func definitions(of types: [LuaType], on page: String) -> [String] {
    var lines: [String] = []
    var known: Set<String> = []
    for definition in types.flatMap(Self.definitions) where homes[definition.name] == page && known.insert(definition.name).inserted {
      lines += ["## \(definition.name)", "", definition.doc, ""]
      if !definition.fields.isEmpty { lines += table(definition.fields, title: "Option", on: page) }
    }
    return lines
  }

  /// What is said of a function.
  private func entry(_ function: Function, _ prefix: String, on page: String) -> [String] {
    var lines = ["### \(prefix)\(Help.signature(function))".replacing("[", with: "\\["), "", function.doc, ""]
    if !function.parameters.isEmpty {
      lines += table(
        function.parameters.map { ($0.takesRest ? "..." : $0.name, $0.type.name, Help.explanation($0)) }, title: "Argument", on: page)
    }
    if let result = function.resultType {
      lines += ["Returns \(link(result.name, on: page))" + (function.returns.isEmpty ? "" : ": \(function.returns)") + ".", ""]
    }
    return lines
  }

  private func table(_ rows: [(name: String, type: String, text: String)], title: String, on page: String) -> [String] {
    ["| \(title) | Type | |", "|---|---|---|"] + rows.map { "| `\($0.name)` | \(link($0.type, on: page)) | \(Self.cell($0.text)) |" } + [""]
  }

  /// A type as code, with a link to where it is explained.
  private func link(_ type: String, on page: String) -> String {
    let code = "`\(Self.cell(type))`"
    let name = type.replacing("?", with: "").replacing("[]", with: "")
    guard let home = homes[name] else { return code }
    return "[\(code)](\(home == page ? "" : home + ".md")#\(name.lowercased()))"
  }

  private static func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }

  private static func joined(_ lines: [String]) -> String {
    var lines = lines
    while lines.last == "" { lines.removeLast() }
    return lines.joined(separator: "\n") + "\n"
  }

  // MARK: - Types

  private static func types(of module: Module) -> [LuaType] {
    let methods = module.classes.flatMap { $0.methods + $0.metamethods }
    return (module.functions + methods + [module.call].compactMap(\.self)).flatMap(types) + module.classes.flatMap { $0.properties.map(\.type) }
  }

  private static func types(of function: Function) -> [LuaType] { function.parameters.map(\.type) + [function.resultType].compactMap(\.self) }

  private typealias Definition = (name: String, doc: String, fields: [(name: String, type: String, text: String)])

  /// What is to be explained of a type: itself, and the tables inside it.
  private static func definitions(of type: LuaType) -> [Definition] {
    switch type.definition {
    case .record(let record): definitions(of: record)
    case .shape(let shape): [(shape.name, shape.doc, type.fields)]
    case .choice(let choices): [choice(type.name, choices)]
    case nil: []
    }
  }

  private static func choice(_ name: String, _ choices: [String]) -> Definition {
    (name.replacing("?", with: "").replacing("[]", with: ""), "One of " + choices.map { "`\"\($0)\"`" }.joined(separator: ", ") + ".", [])
  }

  private static func definitions(of record: any Record.Type) -> [Definition] {
    let fields = fieldDescriptions(of: record)
    let inner = fields.flatMap { field in
      (field.nestedRecord.map { definitions(of: $0) } ?? []) + (field.choices.map { [choice(field.type, $0)] } ?? [])
    }
    let own = fields.map { (name: $0.name, type: $0.type, text: ($0.isOptional ? "" : "required: ") + $0.text) }
    return [(record.typeName, "Fields of \(record.recordName).", own)] + inner
  }
}
