import Diagnostics

/// Writes definitions for the Lua language server (LuaCATS) from the declarations, so that editors know every
/// function, field and option.
public enum Stubs {
  /// File names and contents: one file per module, and `globals.lua` for global functions.
  public static func files(
    modules: [Module], globals: [Function] = []
  ) -> [(name: String, text: String)] {
    // A type that several modules use is defined in the first.
    var defined: Set<String> = []
    var files = modules.map { module in
      (name: module.name + ".lua", text: text(for: module, &defined))
    }
    if !globals.isEmpty {
      var lines = [header]
      let types = globals.flatMap(types)
      lines += definitions(types, &defined)
      for function in globals { lines += declaration(function, prefix: "") + [""] }
      files.append((name: "globals.lua", text: joined(lines)))
    }
    return files
  }

  private static let header = "---@meta\n-- Written by `perigee stubs` from the declarations.\n"

  private static func text(for module: Module, _ defined: inout Set<String>) -> String {
    var lines = [header]
    var types = module.functions.flatMap(types)
    for declaration in module.classes {
      types += (declaration.methods + declaration.metamethods).flatMap(Self.types)
      types += declaration.properties.map(\.type)
    }
    types += module.call.map(Self.types) ?? []
    lines += definitions(types, &defined)
    for declaration in module.classes where defined.insert(declaration.name).inserted {
      lines += text(for: declaration)
    }
    lines += ["---\(module.doc)", "---@class \(module.name)lib"]
    for constant in module.constants {
      lines.append("---@field \(constant.name) \(typeName(constant.value)) \(constant.doc)")
    }
    if let call = module.call {
      let parameters = call.parameters.map {
        "\($0.name)\($0.isOptional ? "?" : ""): \($0.type.name)"
      }
      let result = call.resultType.map { ": \($0.name)" } ?? ""
      lines.append("---@overload fun(\(parameters.joined(separator: ", ")))\(result)")
    }
    lines += ["\(module.name) = {}", ""]
    for function in module.functions {
      lines += declaration(function, prefix: module.name + ".") + [""]
    }
    lines += ["return \(module.name)"]
    return joined(lines)
  }

  private static func joined(_ lines: [String]) -> String { lines.joined(separator: "\n") + "\n" }

  private static func types(of function: Function) -> [LuaType] {
    function.parameters.map(\.type) + (function.resultType.map { [$0] } ?? [])
  }

  private static func text(for declaration: ClassDeclaration) -> [String] {
    var lines = ["---\(declaration.doc)", "---@class \(declaration.name)"]
    for property in declaration.properties {
      lines.append("---@field \(property.name) \(property.type.name) \(property.doc)")
    }
    for function in declaration.metamethods {
      lines += operatorLine(function, of: declaration.name)
    }
    lines += ["local \(declaration.name) = {}", ""]
    for method in declaration.methods {
      lines += Self.declaration(method, prefix: declaration.name + ":") + [""]
    }
    return lines
  }

  private static func operatorLine(_ function: Function, of owner: String) -> [String] {
    let name = String(function.name.dropFirst(2))
    let unary: Set = ["unm", "len", "bnot"]
    let binary: Set = [
      "add", "sub", "mul", "div", "mod", "pow", "idiv", "concat", "band", "bor", "bxor", "shl", "shr",
    ]
    let result = function.resultType?.name ?? "any"
    if name == "call" {
      let parameters = function.parameters.dropFirst().map { "\($0.name): \($0.type.name)" }
      return ["---@overload fun(\(parameters.joined(separator: ", "))): \(result)"]
    }
    if unary.contains(name) { return ["---@operator \(name): \(result)"] }
    guard binary.contains(name), let operand = function.parameters.last else { return [] }
    return ["---@operator \(name)(\(operand.type.name)): \(result)"]
  }

  private static func declaration(_ function: Function, prefix: String) -> [String] {
    var lines = ["---\(function.doc)"]
    var names: [String] = []
    for parameter in function.parameters {
      let name = parameter.takesRest ? "..." : parameter.name
      let mark = parameter.isOptional && !parameter.takesRest ? "?" : ""
      var type = parameter.type.name
      if type.hasSuffix("?") { type.removeLast() }
      lines.append("---@param \(name)\(mark) \(type) \(Help.explanation(parameter))")
      names.append(name)
    }
    if let result = function.resultType {
      let doc = function.returns.isEmpty ? "" : " # \(function.returns)"
      lines.append("---@return \(result.name)\(doc)")
    }
    lines.append("function \(prefix)\(function.name)(\(names.joined(separator: ", "))) end")
    return lines
  }

  /// The choices and records that these types need, each once.
  private static func definitions(_ types: [LuaType], _ defined: inout Set<String>) -> [String] {
    var lines: [String] = []
    for type in types {
      switch type.definition {
      case .choice(let choices):
        let name = type.name.replacing("?", with: "").replacing("[]", with: "")
        if defined.insert(name).inserted { lines += choice(name, choices) + [""] }
      case .record(let record): lines += recordLines(record, &defined)
      case .shape(let shape):
        guard defined.insert(shape.name).inserted else { continue }
        lines += ["---\(shape.doc)", "---@class \(shape.name)"]
        lines += shape.fields.map { "---@field \($0.name) \($0.type) \($0.doc)" } + [""]
      case nil: break
      }
    }
    return lines
  }

  private static func choice(_ name: String, _ choices: [String]) -> [String] {
    ["---@alias \(name)"] + choices.map { "---| \"\($0)\"" }
  }

  private static func recordLines(
    _ record: any Record.Type, _ defined: inout Set<String>
  ) -> [String] {
    guard defined.insert(record.typeName).inserted else { return [] }
    var lines: [String] = []
    let fields = fieldDescriptions(of: record)
    for field in fields {
      if let nested = field.nestedRecord { lines += recordLines(nested, &defined) }
      let base = field.type.replacing("[]", with: "")
      if let choices = field.choices, defined.insert(base).inserted {
        lines += choice(base, choices) + [""]
      }
    }
    lines += ["---\(record.recordName)", "---@class \(record.typeName)"]
    for field in fields {
      lines.append("---@field \(field.name)\(field.isOptional ? "?" : "") \(field.type) \(field.text)")
    }
    return lines + [""]
  }

  private static func typeName(_ value: LuaValue) -> String {
    if case .integer = value { return "integer" }
    return value.typeName
  }
}

/// Every declaration without an explanation: "tensor.softmax: parameter 'dim'". Empty if all is said.
public func missingDocumentation(modules: [Module], globals: [Function] = []) -> [String] {
  var missing: [String] = []
  func check(_ doc: String, _ what: String) {
    if doc.trimmingPrefix(while: \.isWhitespace).count < 3 { missing.append(what) }
  }
  func check(_ type: LuaType, _ what: String) {
    guard case .record(let record)? = type.definition else { return }
    for field in fieldDescriptions(of: record) {
      check(field.doc, "\(record.typeName): field '\(field.name)'")
    }
  }
  func check(_ function: Function, _ name: String) {
    check(function.doc, name)
    for parameter in function.parameters {
      check(parameter.doc, "\(name): parameter '\(parameter.name)'")
      check(parameter.type, name)
    }
    if function.resultType != nil, !function.name.hasPrefix("__") {
      check(function.returns, "\(name): result")
    }
  }
  for module in modules {
    check(module.doc, module.name)
    for function in module.functions { check(function, "\(module.name).\(function.name)") }
    for constant in module.constants { check(constant.doc, "\(module.name).\(constant.name)") }
    if let call = module.call { check(call, "\(module.name)()") }
    for declaration in module.classes {
      check(declaration.doc, declaration.name)
      for property in declaration.properties {
        check(property.doc, "\(declaration.name).\(property.name)")
      }
      for function in declaration.methods + declaration.metamethods {
        check(function, "\(declaration.name):\(function.name)")
      }
    }
  }
  for function in globals { check(function, function.name) }
  return missing
}
