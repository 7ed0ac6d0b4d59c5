import Diagnostics
import Files

/// The parameters that a pipeline declares, and their values for one run.
public struct ParameterSet: Sendable {
  public let parameters: [Parameter]

  /// Throws `EngineError` (`.argument`) for two parameters of one name.
  public init(_ parameters: [Parameter]) throws {
    var names: Set<String> = []
    for parameter in parameters where !names.insert(parameter.name).inserted {
      throw EngineError(.argument, "parameter '\(parameter.name)' is declared twice")
    }
    self.parameters = parameters
  }

  /// The parameters that a table declares: `name = default`, or `name = { default, doc = , min = , max = , choices = { } }`; a
  /// table of one value without names is a list. Throws `EngineError` (`.argument`) for any other; messages begin with `place`.
  public init(_ declarations: ConfigTable, place: String) throws {
    if let first = declarations.list.first {
      throw EngineError(.argument, "\(place): value without a name: \(first.briefly)", hint: "write name = default")
    }
    try self.init(
      declarations.fields.sorted { $0.key < $1.key }.map { name, value in
        guard case .table(let table) = value, table.list.count == 1, !table.fields.isEmpty else {
          return try Parameter(name, default: value.json(at: "parameter '\(name)'"))
        }
        return try Parameter(name, default: table.list[0].json(at: "parameter '\(name)'"), described: table.fields)
      })
  }

  private var defaults: JSONObject { JSONObject(parameters.map { ($0.name, $0.defaultValue) }) }

  /// The value of every parameter, in order of declaration.
  ///
  /// `settings`: the `name=value` of each `--set`; the last one of a name wins. `offersMultirun`: whether a mistake may be that several
  /// values were meant. Throws one `EngineError` (`.argument`) that lists every mistake.
  public func resolve(settings: [String] = [], offersMultirun: Bool = false) throws -> JSONObject {
    var mistakes: [EngineError] = []
    var values = defaults
    for text in settings {
      do throws(EngineError) {
        let setting = try Setting(text)
        guard let parameter = parameters.first(where: { $0.name == setting.name }) else {
          throw setting.unknown(among: parameters.map(\.name), hint: parameters.isEmpty ? "the script declares no parameters" : nil)
        }
        do throws(EngineError) { values[setting.name] = try parameter.value(text: setting.value) } catch {
          let isSeveral = offersMultirun && parameter.isSeveral(setting.value)
          let hint = isSeveral ? "to run each value in a run of its own, add --multirun to 'perigee run'" : error.hint
          throw EngineError(error.kind, error.message, hint: hint).at(setting.place)
        }
      } catch {
        mistakes.append(error)
      }
    }
    if mistakes.count == 1 { throw mistakes[0] }
    if !mistakes.isEmpty {
      throw EngineError(.argument, "\(mistakes.count) mistakes: " + mistakes.map(\.description).joined(separator: " | "))
    }
    return values
  }

  /// The value of every parameter, where `given` names some and the others keep their defaults. Throws `EngineError`
  /// (`.argument`) for the first that does not fit; messages begin with `place`.
  public func resolve(given: JSONObject, place: String) throws -> JSONObject {
    var values = defaults
    for (name, value) in given.members {
      guard let parameter = parameters.first(where: { $0.name == name }) else {
        throw EngineError(
          .argument, "\(place): unknown field '\(name)'", hint: suggestion(for: name, among: parameters.map(\.name)))
      }
      do throws(EngineError) { values[name] = try parameter.value(value.configValue) } catch { throw error.at(place) }
    }
    return values
  }

  /// The values in a file like a run's `params.json`, as the `name=value` of `--set`. Throws `EngineError` naming the file.
  public static func settings(file path: String) throws -> [String] {
    try values(JSONValue(file: path), source: path).members.map { name, value in
      if let item = (value.arrayValue ?? []).first(where: { $0.stringValue?.contains(",") ?? false }) {
        throw EngineError(.data, "\(path): '\(name)' has \(item.excerpt()), but items of a list have no commas")
      }
      return "\(name)=\(value.word)"
    }
  }

  /// The values in a `params.json`. Throws `EngineError` (`.data`), which begins with `source`, for what no parameter can be.
  static func values(_ json: JSONValue, source: String) throws -> JSONObject {
    guard let object = json.objectValue else {
      throw EngineError(.data, "\(source): expected an object, found \(json.kindName)")
    }
    for (name, value) in object.members {
      let simple = (value.arrayValue ?? [value]).allSatisfy { element in
        switch element {
        case .null, .array, .object: false
        case .bool, .int, .double, .string: true
        }
      }
      guard simple else {
        throw EngineError(
          .data, "\(source): '\(name)' must be a boolean, a number, a string or a list of these, got \(value.excerpt())")
      }
    }
    return object
  }

  /// A table of names, defaults, expectations and docs for help; with the values of a run, if they are given.
  public func table(values: JSONObject? = nil) -> Table {
    var columns: [Table.Column] = ["parameter", "value", "default", "type", "what"]
    if values == nil { columns.remove(at: 1) }
    return Table(
      columns: columns,
      rows: parameters.map { parameter in
        var words = [parameter.name]
        if let values { words.append(values[parameter.name]?.word ?? "") }
        words += [parameter.defaultValue.word, parameter.expectation, parameter.doc ?? ""]
        return words.map { JSONValue.string($0) }
      })
  }
}

extension JSONValue {
  /// A string without quotes, a list as `a,b`, all else as JSON: how a user writes it.
  package var word: String {
    switch self {
    case .string(let text): text
    case .array(let elements): elements.map(\.word).joined(separator: ",")
    default: number
    }
  }

  /// A number without a needless `.0`.
  var number: String {
    let text = encoded(.canonical)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
