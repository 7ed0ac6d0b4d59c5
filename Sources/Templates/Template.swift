import Diagnostics
import Files

/// A template in Jinja's language, as chat models bring one: what it makes of messages is what Jinja2 makes of them in the environment
/// that Transformers gives to it (`trim_blocks`, `lstrip_blocks`, `break` and `continue`, no change of a value).
///
/// What is not known here (inheritance, includes, recursive loops, rare filters) is an error with its line. A template comes with a model,
/// so it may come from anybody: it reaches nothing but its variables, and its time and room are limited.
public struct Template: Sendable {
  /// As it was read.
  public let text: String
  /// The file that it stands in, for messages.
  public let source: String
  let body: [Statement]

  /// Throws `EngineError` (`.data`) with source and line for what is no template, or needs what is not known here.
  public init(_ text: String, source: String) throws {
    (self.text, self.source) = (text, source)
    do {
      var lexer = TemplateLexer(text)
      var parser = TemplateParser(try lexer.tokens())
      body = try parser.template()
    } catch let mistake as TemplateMistake {
      throw EngineError(.data, "\(source): \(mistake.description)", hint: mistake.hint)
    }
  }

  /// The text that it makes.
  ///
  /// - Parameter variables: what it can name.
  /// - Throws: `EngineError` with source and line: `.argument` where the template itself refuses its variables with `raise_exception`, else `.data`.
  public func render(_ variables: JSONObject) throws -> String { try render(variables, mostCost: 4_000_000) }

  /// `mostCost`: see `TemplateRenderer`.
  func render(_ variables: JSONObject, mostCost: Int) throws -> String {
    let renderer = TemplateRenderer(variables, mostCost: mostCost)
    do { return try renderer.render(body) } catch var mistake as TemplateMistake {
      mistake.line = mistake.line ?? renderer.line
      throw EngineError(mistake.isRefusal ? .argument : .data, "\(source): \(mistake.description)", hint: mistake.hint)
    }
  }
}

/// What is wrong in a template, or with what it was given.
struct TemplateMistake: Error {
  var message: String
  var hint: String?
  /// Nil: where the renderer is.
  var line: Int?
  /// The template says so itself.
  var isRefusal = false

  init(_ message: String, hint: String? = nil, line: Int? = nil) { (self.message, self.hint, self.line) = (message, hint, line) }

  var description: String { (line.map { "line \($0) of the template: " } ?? "") + message }
}
