import Diagnostics
import Files
import Foundation

/// Fills one template in, once.
final class TemplateRenderer {
  /// Where it is.
  var line = 1
  private var output = ""
  private var scope: Scope
  /// Where macros were defined: these hold their scopes, which hold them.
  private var homes: [Scope] = []
  /// Macros and calls inside each other.
  private var depth = 0
  private var cost = 0

  /// Steps, and 32 bytes of text each, that the template may cost.
  private let mostCost: Int
  private static let largestDepth = 50

  /// The names of a part of the template.
  private final class Scope {
    var names: [String: TemplateValue] = [:]
    let parent: Scope?
    init(_ parent: Scope?) { self.parent = parent }

    func value(_ name: String) -> TemplateValue? { names[name] ?? parent?.value(name) }
  }

  private enum Flow { case on, breakLoop, continueLoop }

  init(_ variables: JSONObject, mostCost: Int) {
    self.mostCost = mostCost
    scope = Scope(nil)
    for (name, function) in TemplateGlobals.functions { scope.names[name] = .function(TemplateValue.Function(name: name, body: function)) }
    scope = Scope(scope)
    for (name, value) in variables.members { scope.names[name] = TemplateValue(value) }
  }

  func render(_ body: [Statement]) throws -> String {
    defer { homes.forEach { $0.names = [:] } }
    _ = try run(body)
    return output
  }

  /// Counts work, so that no template runs or grows without end.
  func charge(_ amount: Int = 1) throws {
    cost += amount
    guard cost <= mostCost else { throw TemplateMistake("the template takes too many steps, or makes too much text") }
  }

  /// A text that was made.
  func made(_ text: String) throws -> TemplateValue {
    try charge(1 + text.utf8.count / 32)
    return .string(text)
  }

  func made(_ elements: [TemplateValue]) throws -> TemplateValue {
    try charge(1 + elements.count / 4)
    return .list(elements)
  }

  /// A value that becomes part of another one. Values inside each other without end, or in a circle, would be the end of the stack.
  func inside(_ value: TemplateValue, depth: Int = 0) throws -> TemplateValue {
    try charge()
    guard depth < 100 else { throw TemplateMistake("more than 100 values inside each other") }
    switch value {
    case .list(let elements), .tuple(let elements): for element in elements { _ = try inside(element, depth: depth + 1) }
    case .dict(let members): for element in members.values { _ = try inside(element, depth: depth + 1) }
    case .namespace, .function: throw TemplateMistake("a \(value.typeName) inside another value is not supported")
    default: break
    }
    return value
  }

  // MARK: Statements

  private func run(_ body: [Statement]) throws -> Flow {
    for statement in body {
      let flow = try run(statement)
      if flow != .on { return flow }
    }
    return .on
  }

  private func run(_ statement: Statement) throws -> Flow {
    try charge()
    switch statement {
    case .text(let text): try write(text)
    case .write(let expression): try write(value(of: expression).text)
    case .choose(let branches, let otherwise):
      for branch in branches where try value(of: branch.condition).isTrue { return try run(branch.body) }
      return try run(otherwise)
    case .loop(let loop): try run(loop)
    case .set(let target, let expression): try assign(target, value(of: expression))
    case .setBlock(let target, let filters, let body): try assign(target, filtered(captured(body), filters))
    case .macro(let macro): scope.names[macro.name] = .function(function(macro))
    case .call(let expression, let caller):
      guard case .call(let callee, let arguments) = expression.kind else { return .on }
      var given = try evaluated(arguments)
      given.named.append(("caller", .function(function(caller))))
      try write(call(value(of: callee), given, expression).text)
    case .filter(let filters, let body): try write(filtered(captured(body), filters).text)
    case .scope(let values, let body):
      return try within(Scope(scope)) {
        for (target, expression) in values { try assign(target, value(of: expression)) }
        return try run(body)
      }
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    }
    return .on
  }

  private func write(_ text: String) throws {
    try charge(text.utf8.count / 32)
    output += text
  }

  private func within<Result>(_ inner: Scope, _ body: () throws -> Result) rethrows -> Result {
    let outer = scope
    scope = inner
    defer { scope = outer }
    return try body()
  }

  /// What a body writes.
  private func captured(_ body: [Statement]) throws -> TemplateValue {
    let outer = output
    output = ""
    defer { output = outer }
    _ = try within(Scope(scope)) { try run(body) }
    return .string(output)
  }

  private func filtered(_ value: TemplateValue, _ filters: [FilterCall]) throws -> TemplateValue {
    try filters.reduce(value) { try filter($0, $1) }
  }

  private func assign(_ target: Target, _ value: TemplateValue) throws {
    switch target {
    case .name(let name): scope.names[name] = value
    case .attribute(let object, let name):
      guard case .namespace(let namespace) = scope.value(object) ?? .none else {
        throw TemplateMistake("'\(object).\(name)' cannot be set: '\(object)' is no namespace")
      }
      if name.hasPrefix("_") { throw TemplateMistake("a name in a namespace may not begin with '_'") }
      namespace.members[name] = try inside(value)
    case .several(let targets):
      let values = try value.elements()
      guard values.count == targets.count else { throw TemplateMistake("\(targets.count) names are set to \(values.count) values") }
      for (target, value) in zip(targets, values) { try assign(target, value) }
    }
  }

  private func run(_ loop: Statement.Loop) throws {
    line = loop.line
    var elements = try value(of: loop.source).elements()
    line = loop.line
    try charge(elements.count)
    if let condition = loop.condition {
      elements = try elements.filter { element in
        try within(Scope(scope)) {
          try assign(loop.target, element)
          return try value(of: condition).isTrue
        }
      }
    }
    if elements.isEmpty { return try within(Scope(scope)) { _ = try run(loop.otherwise) } }
    for place in elements.indices {
      let inner = Scope(scope)
      let flow = try within(inner) {
        inner.names["loop"] = Self.state(elements, place)
        line = loop.line
        try assign(loop.target, elements[place])
        return try run(loop.body)
      }
      if flow == .breakLoop { break }
    }
  }

  /// What `loop` is in a loop's body.
  private static func state(_ elements: [TemplateValue], _ place: Int) -> TemplateValue {
    let count = elements.count
    let cycle = TemplateValue.Function(name: "loop.cycle") { _, arguments in
      guard !arguments.positional.isEmpty else { throw TemplateMistake("loop.cycle has nothing to choose from") }
      return arguments.positional[place % arguments.positional.count]
    }
    return .dict(
      TemplateValue.Members([
        ("index", .int(place + 1)), ("index0", .int(place)), ("revindex", .int(count - place)), ("revindex0", .int(count - place - 1)),
        ("first", .bool(place == 0)), ("last", .bool(place == count - 1)), ("length", .int(count)), ("depth", .int(1)), ("depth0", .int(0)),
        ("previtem", place > 0 ? elements[place - 1] : .undefined("there is no previous item")),
        ("nextitem", place + 1 < count ? elements[place + 1] : .undefined("there is no next item")), ("cycle", .function(cycle)),
      ]))
  }

  // MARK: Calls

  private func function(_ macro: Macro) -> TemplateValue.Function {
    let home = scope
    homes.append(home)
    return TemplateValue.Function(name: macro.name) { renderer, arguments in
      var arguments = arguments
      let caller = arguments.named.firstIndex { $0.name == "caller" }.map { arguments.named.remove(at: $0).value }
      let values = try arguments.values(of: macro.parameters.map(\.name), "the macro '\(macro.name)'")
      let inner = Scope(home)
      return try renderer.within(inner) {
        inner.names["caller"] = caller
        for ((name, standard), given) in zip(macro.parameters, values) {
          inner.names[name] = try given ?? standard.map { try renderer.value(of: $0) } ?? .undefined("the parameter '\(name)' was not given")
        }
        return try renderer.captured(macro.body)
      }
    }
  }

  func call(_ callee: TemplateValue, _ arguments: TemplateArguments, _ place: Expression) throws -> TemplateValue {
    line = place.line
    if case .undefined(let what) = callee { throw TemplateMistake(what) }
    guard case .function(let function) = callee else { throw TemplateMistake("\(callee.described) cannot be called") }
    guard depth < Self.largestDepth else { throw TemplateMistake("more than \(Self.largestDepth) calls inside each other") }
    depth += 1
    defer { depth -= 1 }
    return try function.body(self, arguments)
  }

  func filter(_ value: TemplateValue, _ call: FilterCall) throws -> TemplateValue {
    let arguments = try evaluated(call.arguments)
    line = call.line
    return try filter(value, call.name, arguments)
  }

  func filter(_ value: TemplateValue, _ name: String, _ arguments: TemplateArguments) throws -> TemplateValue {
    guard let filter = TemplateFilters.all[name] else {
      throw TemplateMistake("the filter '\(name)' is not supported", hint: suggestion(for: name, among: Array(TemplateFilters.all.keys)))
    }
    return try filter(self, value, arguments)
  }

  func test(_ value: TemplateValue, _ name: String, _ arguments: TemplateArguments) throws -> Bool {
    guard let test = TemplateTests.all[name] else {
      throw TemplateMistake("the test '\(name)' is not supported", hint: suggestion(for: name, among: Array(TemplateTests.all.keys)))
    }
    return try test(value, arguments.positional)
  }

  func evaluated(_ arguments: CallArguments) throws -> TemplateArguments {
    var result = TemplateArguments(try arguments.positional.map(value))
    result.named = try arguments.named.map { ($0.name, try value(of: $0.value)) }
    return result
  }

  func value(named name: String) -> TemplateValue { scope.value(name) ?? .undefined("'\(name)' is undefined") }
}
