import Files

/// A part of a template that writes or decides.
indirect enum Statement: Sendable {
  case text(String)
  case write(Expression)
  case choose([(condition: Expression, body: [Statement])], otherwise: [Statement])
  case loop(Loop)
  case set(Target, Expression)
  /// `{% set x %}...{% endset %}`
  case setBlock(Target, [FilterCall], [Statement])
  case macro(Macro)
  /// `{% call f(x) %}...{% endcall %}`
  case call(Expression, caller: Macro)
  case filter([FilterCall], [Statement])
  /// `{% with x = 1 %}`, and `{% generation %}` without variables.
  case scope([(Target, Expression)], [Statement])
  case breakLoop
  case continueLoop

  struct Loop: Sendable {
    let line: Int
    let target: Target
    let source: Expression
    let condition: Expression?
    let body: [Statement]
    let otherwise: [Statement]
  }
}

/// What is assigned to.
indirect enum Target: Sendable {
  case name(String)
  case attribute(String, String)
  case several([Target])
}

struct Macro: Sendable {
  let name: String
  let parameters: [(name: String, standard: Expression?)]
  let body: [Statement]
}

struct FilterCall: Sendable {
  let line: Int
  let name: String
  let arguments: CallArguments
}

struct CallArguments: Sendable {
  var positional: [Expression] = []
  var named: [(name: String, value: Expression)] = []
}

/// A part of a template that has a value.
final class Expression: Sendable {
  let line: Int
  let kind: Kind

  init(_ line: Int, _ kind: Kind) { (self.line, self.kind) = (line, kind) }

  enum Kind: Sendable {
    case constant(JSONValue)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dict([(key: Expression, value: Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, Expression?, Expression?, Expression?)
    case call(Expression, CallArguments)
    case filter(Expression, FilterCall)
    case test(Expression, FilterCall)
    case not(Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case compare(Expression, [(sign: String, other: Expression)])
    case negative(Expression)
    case positive(Expression)
    case binary(String, Expression, Expression)
    case concatenate([Expression])
    case choice(Expression, Expression, otherwise: Expression?)
  }
}
