import Bindings
import Commands
import Diagnostics
import TestSupport
import Testing

@testable import LuaHost

/// What `lua/meta` tells an editor is what the engine takes: no type that nobody defines, none that is refused, none that is missing.
@Suite(.engine) struct StubTypeTests {
  /// The type at the beginning of a text, before what explains it.
  private func type(_ text: Substring) -> String {
    var depth = 0
    var quoted = false
    var end = text.startIndex
    while end < text.endIndex {
      let letter = text[end]
      if letter == "\"" { quoted.toggle() }
      if !quoted {
        if "(<[{".contains(letter) { depth += 1 }
        if ")>]}".contains(letter) { depth -= 1 }
        // What a function returns stands behind ": ".
        if letter == " ", depth == 0, text[..<end].last != ":" { break }
      }
      end = text.index(after: end)
    }
    return String(text[..<end])
  }

  @Test func everyTypeIsDefined() throws {
    var known: Set = ["any", "nil", "boolean", "integer", "number", "string", "table", "function", "fun"]
    var used: [(type: String, line: String)] = []
    for (name, text) in try Runner.stubs() {
      let failure = try ScriptHost.with { host, _ in try host.failure("assert(load([==[\(text)]==], '\(name)'))") }
      #expect(failure == nil)
      for line in text.split(separator: "\n") where line.hasPrefix("---@") {
        let words = line.dropFirst(4).split(separator: " ", maxSplits: 2)
        switch words[0] {
        case "class", "alias": known.insert(String(words[1]))
        case "param", "field": used.append((type(line.dropFirst(4 + words[0].count + 1 + words[1].count + 1)), String(line)))
        case "return", "overload": used.append((type(line.dropFirst(4 + words[0].count + 1)), String(line)))
        default: break
        }
      }
    }
    #expect(used.count > 800)
    for (type, line) in used {
      let names = type.replacing(/"[^"]*"/, with: "").replacing(#/\w+\??: /#, with: "").matches(of: /[A-Za-z_]\w*/).map { String($0.output) }
      #expect(!names.isEmpty || type.contains("\""), "\(line)")
      for name in names { #expect(known.contains(name), "'\(name)' is defined nowhere: \(line)") }
    }
  }

  @Test func optionsTakeWhatTheirTypesSayAndNothingElse() throws {
    try ScriptHost.with { host, _ in
      let function = try #require(host.state.run(text: "return function() end", name: "t.lua").first).configValue
      var records: [String: any Record.Type] = [:]
      func add(_ record: any Record.Type) {
        guard records.updateValue(record, forKey: record.typeName) == nil else { return }
        for field in fieldDescriptions(of: record) { if let nested = field.nestedRecord { add(nested) } }
      }
      for module in host.state.modules {
        let functions = module.functions + module.classes.flatMap(\.methods) + [module.call].compactMap(\.self)
        for case .record(let record)? in functions.flatMap(\.parameters).map(\.type.definition) { add(record) }
      }
      #expect(records.count > 40)
      for record in records.values {
        for field in fieldDescriptions(of: record) {
          for probe in probes(field, function) {
            guard let isTaken = isTaken(probe.value, by: field.name, of: record) else { continue }
            #expect(isTaken == probe.isNamed, "\(record.typeName).\(field.name): \(field.type): \(probe.kind) is \(isTaken ? "taken" : "refused")")
          }
        }
      }
    }
  }

  /// Whether a record takes a value; nil where that cannot be told, because another field has to be there.
  private func isTaken(_ values: [ConfigValue], by name: String, of record: any Record.Type) -> Bool? {
    func take<Owner: Record>(_ owner: Owner.Type) -> Bool? {
      var isTaken: Bool? = false
      for value in values {
        do throws(EngineError) { _ = try Owner(table: ConfigTable(fields: [name: value])) } catch {
          if error.message.contains("'\(name)'"), error.message.contains(" must be ") { continue }
          if error.message.contains("missing field '"), !error.message.contains("'\(name)'") {
            isTaken = nil
            continue
          }
        }
        return true
      }
      return isTaken
    }
    return take(record)
  }

  private typealias Probe = (kind: String, value: [ConfigValue], isNamed: Bool)

  /// Values of each kind, and whether the type of the field has it.
  private func probes(_ field: FieldDescription, _ function: ConfigValue) -> [Probe] {
    let type = field.type
    if type == "any" { return [] }
    let plain = type.replacing(/fun\(.*/, with: "fun").replacing(/table<[^>]*>/, with: "table")
    let parts = plain.split(separator: "|").map { $0.hasSuffix("?") ? String($0.dropLast()) : String($0) }
    let texts =
      ["x", "1", "all", "none", "gaussian"] + (field.choices ?? []) + parts.filter { $0.hasPrefix("\"") }.map { String($0.dropFirst().dropLast()) }
    // Choices are names of their own, and so are classes, which no plain value is.
    let isText = parts.contains { $0 == "string" || $0.hasPrefix("\"") } || field.choices != nil && !plain.contains("[]")
    let isTable = parts.contains { $0.hasSuffix("[]") || $0 == "table" || $0.hasPrefix("(") } || field.nestedRecord != nil
    let isOther = parts.contains { $0.first?.isUppercase ?? false } && field.choices == nil && field.nestedRecord == nil
    var probes: [Probe] = [
      ("true", [.bool(true), .bool(false)], parts.contains("boolean")),
      ("an integer", [0, 1, 2, 8, 512].map { .integer($0) }, parts.contains("integer") || parts.contains("number")),
      ("a fraction", [0.5, 1.5, 1e-4, -0.5].map { .number($0) }, parts.contains("number")), ("a text", texts.map { .text($0) }, isText),
      ("a function", [function], parts.contains("fun") || parts.contains("function")),
    ]
    if isOther { probes = probes.filter(\.isNamed) }
    if !isTable, !isOther {
      probes.append(("a list", [.table(ConfigTable(list: [.text("x")])), .table(ConfigTable(list: [.integer(1)]))], false))
    }
    return probes
  }
}
