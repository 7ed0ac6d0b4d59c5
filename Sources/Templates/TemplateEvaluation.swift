import Files

extension TemplateRenderer {
  func value(of expression: Expression) throws -> TemplateValue {
    try charge()
    line = expression.line
    switch expression.kind {
    case .constant(let value): return TemplateValue(value)
    case .name(let name): return value(named: name)
    case .list(let elements): return .list(try elements.map { try inside(value(of: $0)) })
    case .tuple(let elements): return .tuple(try elements.map { try inside(value(of: $0)) })
    case .dict(let members):
      return .dict(
        TemplateValue.Members(
          try members.map { member in
            guard case .string(let key) = try value(of: member.key) else { throw TemplateMistake("a key of a dict must be a string") }
            return (key, try inside(value(of: member.value)))
          }))
    case .attribute(let object, let name): return try attribute(name, of: value(of: object), at: expression)
    case .item(let object, let place): return try item(value(of: place), of: value(of: object), at: expression)
    case .slice(let object, let start, let stop, let step):
      return try slice(value(of: object), [start, stop, step].map { try $0.map(value) ?? .none })
    case .call(let callee, let arguments): return try call(value(of: callee), evaluated(arguments), expression)
    case .filter(let operand, let filter): return try self.filter(value(of: operand), filter)
    case .test(let operand, let test): return .bool(try self.test(value(of: operand), test.name, evaluated(test.arguments)))
    case .not(let operand): return .bool(try !value(of: operand).isTrue)
    case .and(let left, let right):
      let first = try value(of: left)
      return first.isTrue ? try value(of: right) : first
    case .or(let left, let right):
      let first = try value(of: left)
      return first.isTrue ? first : try value(of: right)
    case .compare(let first, let others): return .bool(try compare(first, others, at: expression))
    case .negative(let operand): return try arithmetic("-", .int(0), value(of: operand))
    case .positive(let operand): return try arithmetic("+", .int(0), value(of: operand))
    case .binary(let sign, let left, let right):
      let (a, b) = (try value(of: left), try value(of: right))
      line = expression.line
      return try arithmetic(sign, a, b)
    case .concatenate(let parts): return try made(parts.map { try value(of: $0).text }.joined())
    case .choice(let condition, let yes, let otherwise):
      if try value(of: condition).isTrue { return try value(of: yes) }
      return try otherwise.map(value) ?? .undefined("the condition is false, and there is no else")
    }
  }

  private func compare(_ first: Expression, _ others: [(sign: String, other: Expression)], at place: Expression) throws -> Bool {
    var left = try value(of: first)
    for (sign, other) in others {
      let right = try value(of: other)
      line = place.line
      let holds =
        switch sign {
        case "==": TemplateValue.areEqual(left, right)
        case "!=": !TemplateValue.areEqual(left, right)
        case "<": try TemplateValue.isLess(left, right)
        case ">": try TemplateValue.isLess(right, left)
        case "<=": try TemplateValue.areEqual(left, right) || TemplateValue.isLess(left, right)
        case ">=": try TemplateValue.areEqual(left, right) || TemplateValue.isLess(right, left)
        case "in": try contains(right, left)
        default: try !contains(right, left)
        }
      guard holds else { return false }
      left = right
    }
    return true
  }

  private func contains(_ container: TemplateValue, _ element: TemplateValue) throws -> Bool {
    switch container {
    case .string(let text):
      guard case .string(let part) = element else { throw TemplateMistake("\(element.described) cannot be in a string") }
      return try find(part, in: text) != nil
    case .dict(let members):
      if case .string(let key) = element { return members[key] != nil }
      return false
    default: return try container.elements().contains { TemplateValue.areEqual($0, element) }
    }
  }

  /// Where a text first stands in another, in bytes from its beginning.
  func find(_ part: String, in text: String, from start: Int = 0) throws -> Int? {
    let (part, text) = (Array(part.utf8), Array(text.utf8))
    guard start + part.count <= text.count else { return nil }
    var steps = 0
    defer { cost(steps) }
    for place in start...(text.count - part.count) {
      var length = 0
      while length < part.count, text[place + length] == part[length] { length += 1 }
      if length == part.count { return place }
      steps += 1 + length
      if steps > 4096 {
        try charge(steps / 32)
        steps = 0
      }
    }
    return nil
  }

  private func cost(_ steps: Int) { try? charge(steps / 32) }

  // MARK: Arithmetic

  func arithmetic(_ sign: String, _ a: TemplateValue, _ b: TemplateValue) throws -> TemplateValue {
    switch (sign, a, b) {
    case ("+", .string(let a), .string(let b)): return try made(a + b)
    case ("+", .list(let a), .list(let b)): return try made(a + b)
    case ("+", .tuple(let a), .tuple(let b)):
      try charge((a.count + b.count) / 4)
      return .tuple(a + b)
    case ("*", .string(let text), _), ("*", _, .string(let text)):
      guard let count = b.whole ?? a.whole else { break }
      try charge(Self.product(text.utf8.count, max(0, count)) / 32)
      return .string(String(repeating: text, count: max(0, count)))
    case ("%", .string, _): throw TemplateMistake("'%' behind a string is not supported", hint: "join the parts with '~'")
    default: break
    }
    if let x = a.whole, let y = b.whole, sign != "/" { return try whole(sign, x, y) }
    guard let x = a.number, let y = b.number else { throw TemplateMistake("'\(sign)' does not take \(a.described) and \(b.described)") }
    if ["/", "//", "%"].contains(sign), y == 0 { throw TemplateMistake("a division by zero") }
    switch sign {
    case "+": return .double(x + y)
    case "-": return .double(x - y)
    case "*": return .double(x * y)
    case "/": return .double(x / y)
    case "//": return .double((x / y).rounded(.down))
    case "%": return .double(x - y * (x / y).rounded(.down))
    default: throw TemplateMistake("'**' is supported for whole numbers alone")
    }
  }

  private static func product(_ a: Int, _ b: Int) -> Int {
    let (product, overflows) = a.multipliedReportingOverflow(by: b)
    return overflows ? .max / 2 : min(product, .max / 2)
  }

  private func whole(_ sign: String, _ a: Int, _ b: Int) throws -> TemplateValue {
    if ["//", "%"].contains(sign), b == 0 { throw TemplateMistake("a division by zero") }
    var (result, overflows) = (0, false)
    switch sign {
    case "+": (result, overflows) = a.addingReportingOverflow(b)
    case "-": (result, overflows) = a.subtractingReportingOverflow(b)
    case "*": (result, overflows) = a.multipliedReportingOverflow(by: b)
    case "//", "%":
      let (quotient, isTooLarge) = a.dividedReportingOverflow(by: b)
      let rest = isTooLarge ? 0 : a % b
      let isBelow = rest != 0 && (rest < 0) != (b < 0)
      (result, overflows) = (sign == "//" ? quotient - (isBelow ? 1 : 0) : rest + (isBelow ? b : 0), isTooLarge)
    default:
      guard b >= 0 else { throw TemplateMistake("'**' with a negative exponent is not supported") }
      result = 1
      for _ in 0..<min(b, 64) where !overflows { (result, overflows) = result.multipliedReportingOverflow(by: a) }
      overflows = overflows || b > 64 && !(-1...1).contains(a)
      if b > 64, a == -1, b % 2 == 1 { result = -1 }
    }
    if overflows { throw TemplateMistake("'\(sign)' gives a number that is too large") }
    return .int(result)
  }

  // MARK: Parts of values

  /// `x.name`: what can be done with a value goes before what is in it.
  private func attribute(_ name: String, of object: TemplateValue, at place: Expression) throws -> TemplateValue {
    line = place.line
    if case .undefined(let what) = object { throw TemplateMistake(what) }
    if let method = TemplateMethods.method(name, of: object) { return .function(method) }
    return member(name, of: object) ?? .undefined("a value of type \(object.typeName) has no attribute '\(name)' here")
  }

  /// `x[place]`: what is in a value goes before what can be done with it.
  private func item(_ key: TemplateValue, of object: TemplateValue, at place: Expression) throws -> TemplateValue {
    line = place.line
    if case .undefined(let what) = object { throw TemplateMistake(what) }
    return item(key, of: object) ?? .undefined("a value of type \(object.typeName) has no element \(key.text)")
  }

  private func item(_ key: TemplateValue, of object: TemplateValue) -> TemplateValue? {
    switch (object, key) {
    case (_, .string(let name)): return member(name, of: object) ?? TemplateMethods.method(name, of: object).map { .function($0) }
    case (.list(let elements), _), (.tuple(let elements), _):
      guard let place = key.whole else { return nil }
      let index = place < 0 ? elements.count + place : place
      return elements.indices.contains(index) ? elements[index] : nil
    case (.string(let text), _):
      guard let place = key.whole else { return nil }
      let letters = text.unicodeScalars
      let offset = place < 0 ? letters.count + place : place
      guard offset >= 0, offset < letters.count else { return nil }
      return .string(String(letters[letters.index(letters.startIndex, offsetBy: offset)]))
    default: return nil
    }
  }

  private func member(_ name: String, of object: TemplateValue) -> TemplateValue? {
    switch object {
    case .dict(let members): members[name]
    case .namespace(let namespace): namespace.members[name]
    default: nil
    }
  }

  /// An attribute by a path such as "function.name", as filters take it; digits are places.
  func attribute(path: TemplateValue, of object: TemplateValue) -> TemplateValue {
    let parts: [TemplateValue]
    if case .string(let path) = path {
      parts = path.split(separator: ".", omittingEmptySubsequences: false).map { part in Int(part).map { .int($0) } ?? .string(String(part)) }
    } else {
      parts = [path]
    }
    return parts.reduce(object) { item($1, of: $0) ?? .undefined("there is no '\($1.text)'") }
  }

  private func slice(_ object: TemplateValue, _ bounds: [TemplateValue]) throws -> TemplateValue {
    let numbers = try bounds.map { bound -> Int? in
      if case .none = bound { return nil }
      guard let number = bound.whole else { throw TemplateMistake("a slice takes whole numbers, not \(bound.described)") }
      return number
    }
    switch object {
    case .list(let elements): return .list(try Self.places(numbers, elements.count).map { elements[$0] })
    case .tuple(let elements): return .tuple(try Self.places(numbers, elements.count).map { elements[$0] })
    case .string(let text):
      let letters = Array(text.unicodeScalars)
      var result = ""
      for place in try Self.places(numbers, letters.count) { result.unicodeScalars.append(letters[place]) }
      return try made(result)
    case .undefined(let what): throw TemplateMistake(what)
    default: return .undefined("a value of type \(object.typeName) has no slices")
    }
  }

  /// The places that a slice takes of `count`.
  private static func places(_ bounds: [Int?], _ count: Int) throws -> [Int] {
    let step = min(max(bounds[2] ?? 1, -count - 1), count + 1)
    guard step != 0 else { throw TemplateMistake("a slice's step is 0") }
    func clamped(_ bound: Int?, _ standard: Int, _ low: Int, _ high: Int) -> Int {
      guard let bound else { return standard }
      return min(max(bound < 0 ? (bound < -count ? -1 : bound + count) : bound, low), high)
    }
    if step > 0 {
      let (start, stop) = (clamped(bounds[0], 0, 0, count), clamped(bounds[1], count, 0, count))
      return start < stop ? Array(stride(from: start, to: stop, by: step)) : []
    }
    let (start, stop) = (clamped(bounds[0], count - 1, -1, count - 1), clamped(bounds[1], -1, -1, count - 1))
    return start > stop ? Array(stride(from: start, to: stop, by: step)) : []
  }
}
