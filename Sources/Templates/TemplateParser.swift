import Diagnostics

/// Reads the statements of a template.
struct TemplateParser {
  private let tokens: [TemplateToken]
  private var place = 0
  private var depth = 0
  private var loops = 0

  /// Statements and expressions inside each other.
  private static let largestDepth = 120

  init(_ tokens: [TemplateToken]) { self.tokens = tokens }

  mutating func template() throws -> [Statement] {
    let body = try statements(until: [])
    guard token.kind == .end else { throw unexpected() }
    return body
  }

  // MARK: Tokens

  var token: TemplateToken { tokens[min(place, tokens.count - 1)] }
  var following: TemplateToken { tokens[min(place + 1, tokens.count - 1)] }

  @discardableResult
  mutating func take() -> TemplateToken {
    defer { place += 1 }
    return token
  }

  func isSign(_ sign: String) -> Bool { token.kind == .sign && token.text == sign }
  func isName(_ name: String) -> Bool { token.kind == .name && token.text == name }

  mutating func takeSign(_ sign: String) -> Bool {
    guard isSign(sign) else { return false }
    place += 1
    return true
  }

  mutating func takeName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    place += 1
    return true
  }

  mutating func expectSign(_ sign: String) throws {
    guard takeSign(sign) else { throw unexpected("'\(sign)'") }
  }

  mutating func name() throws -> String {
    guard token.kind == .name else { throw unexpected("a name") }
    return take().text
  }

  func unexpected(_ expected: String? = nil) -> TemplateMistake {
    let found = [.end, .blockBegin, .variableBegin].contains(token.kind) ? token.text : "'\(shortened(token.text, limit: 40))'"
    return TemplateMistake((expected.map { "expected \($0), " } ?? "") + "found \(found)", line: token.line)
  }

  /// Goes one level deeper for the time of `body`.
  mutating func nested<Result>(_ body: (inout Self) throws -> Result) throws -> Result {
    guard depth < Self.largestDepth else { throw TemplateMistake("more than \(Self.largestDepth) levels inside each other", line: token.line) }
    depth += 1
    defer { depth -= 1 }
    return try body(&self)
  }

  // MARK: Statements

  /// Statements up to a tag with one of `ends`, whose name is not taken; or up to the template's end.
  private mutating func statements(until ends: [String]) throws -> [Statement] {
    var body: [Statement] = []
    while true {
      switch token.kind {
      case .text: body.append(.text(take().text))
      case .variableBegin:
        take()
        body.append(.write(try nested { try $0.tuple() }))
        guard take().kind == .variableEnd else {
          place -= 1
          throw unexpected("'}}'")
        }
      case .blockBegin:
        if following.kind == .name, ends.contains(following.text) {
          take()
          return body
        }
        take()
        try nested { try $0.statement().map { body.append($0) } }
      case .end:
        guard ends.isEmpty else { throw unexpected(ends.map { "{% \($0) %}" }.joined(separator: " or ")) }
        return body
      default: throw unexpected()
      }
    }
  }

  private mutating func endTag() throws {
    guard take().kind == .blockEnd else {
      place -= 1
      throw unexpected("'%}'")
    }
  }

  /// The body up to `end`, and the tag that ends it.
  private mutating func block(_ end: String) throws -> [Statement] {
    try endTag()
    let body = try statements(until: [end])
    take()
    try endTag()
    return body
  }

  private mutating func statement() throws -> Statement? {
    let line = token.line
    let tag = try name()
    switch tag {
    case "if": return try choice()
    case "for": return try loop(line)
    case "set": return try assignment()
    case "macro":
      let name = try self.name()
      return .macro(try macro(name, end: "endmacro"))
    case "call":
      let parameters = isSign("(") ? try self.parameters() : []
      let call = try expression()
      guard case .call = call.kind else { throw TemplateMistake("{% call %} calls nothing", line: line) }
      return .call(call, caller: Macro(name: "caller", parameters: parameters, body: try withoutLoop { try $0.block("endcall") }))
    case "filter": return .filter(try filters(first: true), try withoutLoop { try $0.block("endfilter") })
    case "with":
      var values: [(Target, Expression)] = []
      while token.kind != .blockEnd {
        if !values.isEmpty { try expectSign(",") }
        let target = try self.target()
        try expectSign("=")
        values.append((target, try expression()))
      }
      return .scope(values, try block("endwith"))
    case "generation": return .scope([], try withoutLoop { try $0.block("endgeneration") })
    case "break", "continue":
      guard loops > 0 else { throw TemplateMistake("{% \(tag) %} stands in no loop", line: line) }
      try endTag()
      return tag == "break" ? .breakLoop : .continueLoop
    default:
      throw TemplateMistake(
        "the tag {% \(shortened(tag, limit: 40)) %} is not supported",
        hint: "there are if, for, set, macro, call, filter, with, generation, break, continue and raw", line: line)
    }
  }

  private mutating func withoutLoop<Result>(_ body: (inout Self) throws -> Result) rethrows -> Result {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try body(&self)
  }

  private mutating func choice() throws -> Statement {
    var branches: [(condition: Expression, body: [Statement])] = []
    var otherwise: [Statement] = []
    while true {
      let condition = try tuple(withChoice: true)
      try endTag()
      branches.append((condition, try statements(until: ["elif", "else", "endif"])))
      let word = take().text
      if word == "elif" { continue }
      if word == "else" { otherwise = try block("endif") } else { try endTag() }
      return .choose(branches, otherwise: otherwise)
    }
  }

  private mutating func loop(_ line: Int) throws -> Statement {
    let target = try self.target()
    guard takeName("in") else { throw unexpected("'in'") }
    let source = try tuple(withChoice: false)
    let condition = takeName("if") ? try expression() : nil
    if isName("recursive") { throw TemplateMistake("a recursive loop is not supported", line: line) }
    try endTag()
    loops += 1
    defer { loops -= 1 }
    let body = try statements(until: ["else", "endfor"])
    var otherwise: [Statement] = []
    if take().text == "else" { otherwise = try block("endfor") } else { try endTag() }
    return .loop(Statement.Loop(line: line, target: target, source: source, condition: condition, body: body, otherwise: otherwise))
  }

  private mutating func assignment() throws -> Statement {
    let target = try self.target(mayHaveAttribute: true)
    if takeSign("=") {
      let value = try tuple()
      try endTag()
      return .set(target, value)
    }
    let filters = try self.filters(first: false)
    return .setBlock(target, filters, try withoutLoop { try $0.block("endset") })
  }

  private mutating func macro(_ name: String, end: String) throws -> Macro {
    let parameters = try self.parameters()
    return Macro(name: name, parameters: parameters, body: try withoutLoop { try $0.block(end) })
  }

  private mutating func parameters() throws -> [(name: String, standard: Expression?)] {
    try expectSign("(")
    var parameters: [(name: String, standard: Expression?)] = []
    while !takeSign(")") {
      if !parameters.isEmpty { try expectSign(",") }
      let name = try self.name()
      let standard = takeSign("=") ? try expression() : nil
      if standard == nil, parameters.last?.standard != nil {
        throw TemplateMistake("'\(name)' needs a default, as the one before it", line: token.line)
      }
      parameters.append((name, standard))
    }
    return parameters
  }

  private mutating func target(mayHaveAttribute: Bool = false) throws -> Target {
    var targets: [Target] = []
    let isEnclosed = takeSign("(")
    repeat {
      if targets.count > 0, token.kind != .name { break }
      let name = try self.name()
      if mayHaveAttribute, takeSign(".") { targets.append(.attribute(name, try self.name())) } else { targets.append(.name(name)) }
    } while takeSign(",")
    if isEnclosed { try expectSign(")") }
    return targets.count == 1 ? targets[0] : .several(targets)
  }

  /// `|a|b(1)`; `first`: begins without the sign.
  private mutating func filters(first: Bool) throws -> [FilterCall] {
    var calls: [FilterCall] = []
    if first { calls.append(try filterCall()) }
    while takeSign("|") { calls.append(try filterCall()) }
    return calls
  }

  mutating func filterCall() throws -> FilterCall {
    let line = token.line
    var name = try self.name()
    while takeSign(".") { name += "." + (try self.name()) }
    return FilterCall(line: line, name: name, arguments: isSign("(") ? try arguments() : CallArguments())
  }
}
