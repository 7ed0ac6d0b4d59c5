import Foundation

/// What every template can call.
enum TemplateGlobals {
  static let functions: [(String, @Sendable (TemplateRenderer, TemplateArguments) throws -> TemplateValue)] = [
    (
      "raise_exception",
      { _, arguments in
        var refusal = TemplateMistake("the template refuses the messages: " + (arguments.positional.first?.text ?? ""))
        refusal.isRefusal = true
        throw refusal
      }
    ),
    ("namespace", { renderer, arguments in .namespace(TemplateValue.Namespace(try members(renderer, arguments, "namespace"))) }),
    ("dict", { renderer, arguments in .dict(try members(renderer, arguments, "dict")) }),
    (
      "range",
      { renderer, arguments in
        let given = try arguments.values(of: ["start", "stop", "step"], "range").map { value -> Int? in
          guard let value else { return nil }
          guard let whole = value.whole, abs(whole) <= 1_000_000 else {
            throw TemplateMistake("range takes whole numbers up to a million, not \(value.text)")
          }
          return whole
        }
        guard let first = given[0] else { throw TemplateMistake("range needs a number") }
        let (start, stop, step) = given[1].map { (first, $0, given[2] ?? 1) } ?? (0, first, 1)
        guard step != 0 else { throw TemplateMistake("range has a step of 0") }
        let numbers = Array(stride(from: start, to: stop, by: step))
        guard numbers.count <= 100_000 else { throw TemplateMistake("range has \(numbers.count) numbers, expected at most 100000") }
        return try renderer.made(numbers.map { .int($0) })
      }
    ),
    (
      "strftime_now",
      { renderer, arguments in
        guard case .string(let format)? = arguments.positional.first else { throw TemplateMistake("strftime_now needs a format") }
        return try renderer.made(TemplateClock.text(format))
      }
    ),
  ]

  private static func members(_ renderer: TemplateRenderer, _ arguments: TemplateArguments, _ what: String) throws -> TemplateValue.Members {
    var members = TemplateValue.Members()
    guard arguments.positional.count <= 1 else { throw TemplateMistake("\(what) takes one dict at most") }
    if let first = arguments.positional.first {
      guard case .dict(let given) = first else { throw TemplateMistake("\(what) takes a dict or names, not \(first.described)") }
      members = given
    }
    for (name, value) in arguments.named { members[name] = try renderer.inside(value) }
    if what == "namespace", members.keys.contains(where: { $0.hasPrefix("_") }) {
      throw TemplateMistake("a name in a namespace may not begin with '_'")
    }
    return members
  }
}

/// The time as `strftime` writes it, with English names.
enum TemplateClock {
  static func text(_ format: String) throws -> String {
    if format.isEmpty { return "" }
    guard format.utf8.count <= 200 else { throw TemplateMistake("strftime_now has a format of more than 200 bytes") }
    var now = time(nil)
    var parts = tm()
    guard localtime_r(&now, &parts) != nil else { throw TemplateMistake("the time cannot be told") }
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = strftime(&buffer, buffer.count, format, &parts)
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
