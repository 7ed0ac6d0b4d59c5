import Files

// Jinja's expressions, from those that bind least to those that bind most.
extension TemplateParser {
  /// One expression, or several with commas between them, which are a tuple.
  mutating func tuple(withChoice: Bool = true) throws -> Expression {
    let line = token.line
    let first = try withChoice ? expression() : disjunction()
    guard isSign(",") else { return first }
    var elements = [first]
    while takeSign(",") {
      if [.variableEnd, .blockEnd].contains(token.kind) || isSign(")") { break }
      elements.append(try withChoice ? expression() : disjunction())
    }
    return Expression(line, .tuple(elements))
  }

  mutating func expression() throws -> Expression {
    try nested { parser in
      let line = parser.token.line
      var value = try parser.disjunction()
      while parser.takeName("if") {
        let condition = try parser.disjunction()
        value = Expression(line, .choice(condition, value, otherwise: parser.takeName("else") ? try parser.expression() : nil))
      }
      return value
    }
  }

  private mutating func disjunction() throws -> Expression {
    let line = token.line
    var left = try conjunction()
    while takeName("or") { left = Expression(line, .or(left, try conjunction())) }
    return left
  }

  private mutating func conjunction() throws -> Expression {
    let line = token.line
    var left = try negation()
    while takeName("and") { left = Expression(line, .and(left, try negation())) }
    return left
  }

  private mutating func negation() throws -> Expression {
    let line = token.line
    guard takeName("not") else { return try comparison() }
    return Expression(line, .not(try nested { try $0.negation() }))
  }

  private mutating func comparison() throws -> Expression {
    let line = token.line
    let left = try sum()
    var others: [(sign: String, other: Expression)] = []
    while true {
      if token.kind == .sign, ["==", "!=", "<", "<=", ">", ">="].contains(token.text) {
        let sign = take().text
        others.append((sign, try sum()))
      } else if takeName("in") {
        others.append(("in", try sum()))
      } else if isName("not"), following.kind == .name, following.text == "in" {
        take()
        take()
        others.append(("not in", try sum()))
      } else {
        return others.isEmpty ? left : Expression(line, .compare(left, others))
      }
    }
  }

  private mutating func sum() throws -> Expression {
    let line = token.line
    var left = try concatenation()
    while isSign("+") || isSign("-") {
      let sign = take().text
      left = Expression(line, .binary(sign, left, try concatenation()))
    }
    return left
  }

  private mutating func concatenation() throws -> Expression {
    let line = token.line
    var parts = [try product()]
    while takeSign("~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : Expression(line, .concatenate(parts))
  }

  private mutating func product() throws -> Expression {
    let line = token.line
    var left = try power()
    while token.kind == .sign, ["*", "/", "//", "%"].contains(token.text) {
      let sign = take().text
      left = Expression(line, .binary(sign, left, try power()))
    }
    return left
  }

  private mutating func power() throws -> Expression {
    let line = token.line
    var left = try unary()
    while takeSign("**") { left = Expression(line, .binary("**", left, try unary())) }
    return left
  }

  private mutating func unary(withFilters: Bool = true) throws -> Expression {
    let line = token.line
    var value: Expression
    if takeSign("-") {
      value = Expression(line, .negative(try nested { try $0.unary(withFilters: false) }))
    } else if takeSign("+") {
      value = Expression(line, .positive(try nested { try $0.unary(withFilters: false) }))
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return withFilters ? try filtersAndTests(value) : value
  }

  private mutating func primary() throws -> Expression {
    let line = token.line
    func constant(_ value: JSONValue) -> Expression { Expression(line, .constant(value)) }
    switch token.kind {
    case .name:
      switch take().text {
      case "true", "True": return constant(.bool(true))
      case "false", "False": return constant(.bool(false))
      case "none", "None": return constant(.null)
      case let name: return Expression(line, .name(name))
      }
    case .string:
      var text = ""
      while token.kind == .string { text += take().text }
      return constant(.string(text))
    case .int:
      guard let value = Int(token.text) else { throw TemplateMistake("the number \(token.text) is too large", line: line) }
      take()
      return constant(.int(value))
    case .float: return constant(.double(Double(take().text) ?? .nan))
    default: break
    }
    if takeSign("(") {
      if takeSign(")") { return Expression(line, .tuple([])) }
      let value = try tuple()
      try expectSign(")")
      return value
    }
    if takeSign("[") {
      var elements: [Expression] = []
      while !takeSign("]") {
        if !elements.isEmpty {
          try expectSign(",")
          if takeSign("]") { break }
        }
        elements.append(try expression())
      }
      return Expression(line, .list(elements))
    }
    if takeSign("{") {
      var members: [(key: Expression, value: Expression)] = []
      while !takeSign("}") {
        if !members.isEmpty {
          try expectSign(",")
          if takeSign("}") { break }
        }
        let key = try expression()
        try expectSign(":")
        members.append((key, try expression()))
      }
      return Expression(line, .dict(members))
    }
    throw unexpected("a value")
  }

  private mutating func postfix(_ value: Expression) throws -> Expression {
    var value = value
    while true {
      let line = token.line
      if takeSign(".") {
        if token.kind == .int, let number = Int(token.text) {
          take()
          value = Expression(line, .item(value, Expression(line, .constant(.int(number)))))
        } else {
          value = Expression(line, .attribute(value, try name()))
        }
      } else if takeSign("[") {
        value = try subscripted(value, line)
      } else if isSign("(") {
        value = Expression(line, .call(value, try arguments()))
      } else {
        return value
      }
    }
  }

  private mutating func subscripted(_ value: Expression, _ line: Int) throws -> Expression {
    var parts: [Expression?] = [nil]
    while !takeSign("]") {
      if takeSign(":") {
        parts.append(nil)
      } else {
        guard parts[parts.count - 1] == nil else { throw unexpected("']'") }
        parts[parts.count - 1] = try expression()
      }
    }
    switch parts.count {
    case 1:
      guard let place = parts[0] else { throw TemplateMistake("[] names no element", line: line) }
      return Expression(line, .item(value, place))
    case 2, 3: return Expression(line, .slice(value, parts[0], parts[1], parts.count == 3 ? parts[2] : nil))
    default: throw TemplateMistake("a slice has at most three parts", line: line)
    }
  }

  private mutating func filtersAndTests(_ value: Expression) throws -> Expression {
    var value = value
    while true {
      let line = token.line
      if takeSign("|") {
        value = Expression(line, .filter(value, try filterCall()))
      } else if takeName("is") {
        let isNegated = takeName("not")
        value = Expression(line, .test(value, try test()))
        if isNegated { value = Expression(line, .not(value)) }
      } else if isSign("(") {
        value = Expression(line, .call(value, try arguments()))
      } else {
        return value
      }
    }
  }

  /// A test's argument may stand without parentheses: `x is divisibleby 3`.
  private mutating func test() throws -> FilterCall {
    let call = try filterCall()
    let begins = [.name, .string, .int, .float].contains(token.kind) || isSign("[") || isSign("{")
    guard begins, !["else", "or", "and", "if", "in", "not", "is"].contains(token.text) || token.kind != .name, call.arguments.isEmpty else {
      return call
    }
    let argument = try primary()
    return FilterCall(line: call.line, name: call.name, arguments: CallArguments(positional: [try postfix(argument)]))
  }

  mutating func arguments() throws -> CallArguments {
    try expectSign("(")
    var arguments = CallArguments()
    while !takeSign(")") {
      if !arguments.isEmpty {
        try expectSign(",")
        if takeSign(")") { break }
      }
      if isSign("*") || isSign("**") { throw TemplateMistake("'\(token.text)' in a call is not supported", line: token.line) }
      if token.kind == .name, following.kind == .sign, following.text == "=" {
        let name = take().text
        take()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty else { throw TemplateMistake("a value without a name stands behind one with a name", line: token.line) }
        arguments.positional.append(try expression())
      }
    }
    return arguments
  }
}

extension CallArguments {
  var isEmpty: Bool { positional.isEmpty && named.isEmpty }
}
