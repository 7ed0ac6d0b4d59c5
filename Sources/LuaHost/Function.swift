import CLuaBridge
import Diagnostics

/// One parameter of a function: its name, what it means, its default and its range.
public struct Param<Value: LuaArgument> {
  /// One reference, because every call copies the parameters.
  private final class Content {
    let name: String
    let doc: String
    let rangeWords: String
    let makeDefault: (() -> Value)?
    let isAllowed: ((Value) -> Bool)?

    init(
      _ name: String, _ doc: String, _ defaultValue: Value?, _ rangeWords: String = "",
      _ isAllowed: ((Value) -> Bool)? = nil
    ) {
      self.name = name
      self.doc = doc
      self.rangeWords = rangeWords
      self.isAllowed = isAllowed
      makeDefault = defaultValue.map { value in { value } }
    }
  }

  private let content: Content

  /// A parameter that takes every value of its type; with a default it may be left out.
  public init(_ name: String, _ doc: String, default defaultValue: Value? = nil) {
    content = Content(name, doc, defaultValue)
  }

  /// A number in a range.
  public init<Allowed: ValueRange<Value>>(
    _ name: String, _ doc: String, default defaultValue: Value? = nil, in range: Allowed
  ) {
    content = Content(name, doc, defaultValue, range.words, range.contains)
  }

  /// A number in a range, or nothing.
  public init<Number, Allowed: ValueRange<Number>>(
    _ name: String, _ doc: String, in range: Allowed
  ) where Value == Number? {
    content = Content(name, doc, nil, range.words) { $0.map(range.contains) ?? true }
  }

  var name: String { content.name }

  func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Value {
    let content = content
    let kind = stack.kind(index)
    if let makeDefault = content.makeDefault, kind == LB_NONE || kind == LB_NIL {
      return makeDefault()
    }
    if kind == LB_NONE, !Value.acceptsNothing {
      throw ValueMismatch(expected: expected, found: "nothing")
    }
    let value: Value
    do throws(ValueMismatch) {
      value = try Value.read(stack, at: index)
    } catch {
      if content.rangeWords.isEmpty || error.report != nil { throw error }
      throw ValueMismatch(expected: expected, found: error.found, place: error.place)
    }
    if let isAllowed = content.isAllowed, !isAllowed(value) {
      throw ValueMismatch(expected: expected, found: "\(value)".unwrapped)
    }
    return value
  }

  private var expected: String {
    content.rangeWords.isEmpty
      ? Value.expectedWord : "\(Value.expectedWord) \(content.rangeWords)"
  }

  var description: ParameterDescription {
    ParameterDescription(
      name: content.name, doc: content.doc, type: Value.luaType, rangeWords: content.rangeWords,
      defaultText: content.makeDefault.map { Self.text(of: $0()) },
      isOptional: content.makeDefault != nil || Value.acceptsNothing, takesRest: Value.takesRest)
  }

  private static func text(of value: Value) -> String {
    if let field = value as? any FieldValue { return field.configValue.luaText }
    return "\(value)"
  }
}

extension String {
  /// "Optional(3)" as "3".
  fileprivate var unwrapped: String {
    hasPrefix("Optional(") ? String(dropFirst(9).dropLast()) : self
  }
}

/// What stubs and help say about a parameter.
public struct ParameterDescription {
  public let name: String
  public let doc: String
  public let type: LuaType
  public let rangeWords: String
  public let defaultText: String?
  public let isOptional: Bool
  public let takesRest: Bool
}

/// A Swift function as scripts see it. One declaration gives checks, messages, help and stubs.
///
///     Function("softmax", "Normalises exp(x) along one axis, so that it sums to 1.",
///       Param<Tensor>("x", "scores, any shape"),
///       Param<Int>("dim", "axis to normalise; negative counts from the end", default: -1),
///       returns: "tensor, same shape and dtype as x"
///     ) { x, dim in try x.softmax(dim: dim) }
///
/// What the closure throws becomes an error at the line of the script that called.
public struct Function {
  public let name: String
  public let doc: String
  public let parameters: [ParameterDescription]
  /// What the result means.
  public let returns: String
  /// Nil if there is no result.
  public let resultType: LuaType?
  /// Runs with the first declared argument at `first`; returns the number of results pushed.
  let invoke: (_ stack: LuaStack, _ first: Int32) throws -> Int32

  public init<each Value: LuaArgument, Result: LuaResult>(
    _ name: String, _ doc: String, _ parameters: repeat Param<each Value>, returns: String = "",
    _ body: @escaping (repeat each Value) throws -> Result
  ) {
    self.name = name
    self.doc = doc
    self.returns = returns
    self.parameters = describe(repeat each parameters)
    resultType = Result.luaType
    invoke = { stack, first in
      var reader = ArgumentReader(name, stack, first)
      let result = try body(repeat try reader.next(each parameters))
      try reader.finish()
      return try result.push(onto: stack)
    }
  }

  /// A function without a result.
  public init<each Value: LuaArgument>(
    _ name: String, _ doc: String, _ parameters: repeat Param<each Value>,
    body: @escaping (repeat each Value) throws -> Void
  ) {
    self.name = name
    self.doc = doc
    returns = ""
    self.parameters = describe(repeat each parameters)
    resultType = nil
    invoke = { stack, first in
      var reader = ArgumentReader(name, stack, first)
      let arguments = (repeat try reader.next(each parameters))
      try reader.finish()
      try body(repeat each arguments)
      return 0
    }
  }

  init(
    name: String, doc: String, parameters: [ParameterDescription], returns: String,
    resultType: LuaType?, invoke: @escaping (LuaStack, Int32) throws -> Int32
  ) {
    self.name = name
    self.doc = doc
    self.parameters = parameters
    self.returns = returns
    self.resultType = resultType
    self.invoke = invoke
  }
}

func describe<each Value: LuaArgument>(
  _ parameters: repeat Param<each Value>
) -> [ParameterDescription] {
  var result: [ParameterDescription] = []
  repeat result.append((each parameters).description)
  return result
}

/// Reads the arguments of one call in order; errors name function, position and parameter.
struct ArgumentReader {
  private let function: String
  private let stack: LuaStack
  private let first: Int32
  private let last: Int32
  private var index: Int32
  private var tookRest = false

  init(_ function: String, _ stack: LuaStack, _ first: Int32) {
    self.function = function
    self.stack = stack
    self.first = first
    last = stack.top
    index = first
  }

  mutating func next<Value>(_ parameter: Param<Value>) throws -> Value {
    do throws(ValueMismatch) {
      let value = try parameter.read(stack, at: index)
      index += 1
      tookRest = tookRest || Value.takesRest
      return value
    } catch {
      if let report = error.report { throw report }
      throw EngineError(
        .argument,
        "bad argument #\(index - first + 1) '\(parameter.name)' to '\(function)' "
          + "(expected \(error.expected), got \(error.found)"
          + (error.place.isEmpty ? ")" : " at \(error.place))"))
    }
  }

  /// Throws if arguments are left.
  func finish() throws {
    if tookRest || index > last { return }
    let wanted = index - first
    let given = last - first + 1
    let most = wanted == 0 ? "no arguments" : wanted == 1 ? "1 argument" : "\(wanted) arguments"
    throw EngineError(
      .argument, "too many arguments to '\(function)' (expected \(most), got \(given))")
  }
}
