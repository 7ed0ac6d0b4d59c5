import Diagnostics

/// The points of `perigee run --multirun`: every combination of the values that `--set name=a,b,c` gives.
package struct SettingGrid {
  /// One combination.
  package struct Point {
    /// A value for each name, in the order of the names.
    package let values: [(name: String, value: String)]

    /// The `name=value` of each `--set`.
    package var settings: [String] { values.map { "\($0.name)=\($0.value)" } }
    /// The name of its run directory, the same for any order of the options: "batch=8,r=2".
    package var folderName: String {
      // A comma is no letter of a stage's folder, but keeps names and values of a point apart.
      let words = settings.sorted()
      let plain = words.map(RunDirectory.stageFolderName)
      let joined = plain.joined(separator: ",")
      return joined.utf8.count <= 200 ? joined : RunDirectory.stageFolderName(words.joined(separator: ","))
    }
  }

  /// The names with several values, in the order of the options.
  package let swept: [String]
  /// The last name changes fastest.
  package let points: [Point]

  /// More are a mistake rather than a plan.
  private static let most = 10_000

  /// - Parameter settings: what follows each `--set`; the last one of a name counts.
  ///
  /// Throws `EngineError` (`.argument`) for what is no `name=value`, for values that `values` cannot take apart, for a value that is
  /// there twice, and for more than 10,000 points.
  package init(_ settings: [String]) throws {
    var names: [String] = []
    var lists: [String: [String]] = [:]
    for text in settings {
      let setting = try Setting(text)
      let values = try Self.values(setting.value, at: setting.place)
      if let twice = values.first(where: { value in values.count { $0 == value } > 1 }) {
        throw EngineError(.argument, "\(setting.place): the value '\(twice)' is there twice")
      }
      if lists.updateValue(values, forKey: setting.name) == nil { names.append(setting.name) }
    }
    var combinations: [[(name: String, value: String)]] = [[]]
    for name in names {
      combinations = combinations.flatMap { point in (lists[name] ?? []).map { point + [(name, $0)] } }
      guard combinations.count <= Self.most else {
        throw EngineError(.argument, "--multirun: the values of --set have more than \(Self.most) combinations")
      }
    }
    swept = names.filter { (lists[$0]?.count ?? 0) > 1 }
    points = combinations.map(Point.init)
  }

  /// The values between commas. One that has a comma itself is put in quotes, '...' or "...", which are taken away; a list in
  /// brackets is one value.
  static func values(_ text: String, at place: String) throws(EngineError) -> [String] {
    var values: [String] = []
    var rest = Substring(text)
    while true {
      let value: Substring
      switch rest.first {
      case let quote? where quote == "'" || quote == "\"":
        guard let end = rest.dropFirst().firstIndex(of: quote) else {
          throw EngineError(.argument, "\(place): the quote \(quote) in front of a value has no end")
        }
        value = rest[rest.index(after: rest.startIndex)..<end]
        rest = rest[rest.index(after: end)...]
      case "[":
        let end = try endOfList(rest, at: place)
        value = rest[..<end]
        rest = rest[end...]
      default:
        value = rest.prefix { $0 != "," }
        rest = rest.dropFirst(value.count)
        if value.isEmpty, text.contains(",") {
          throw EngineError(.argument, "\(place): a value between commas is empty", hint: "write '' for an empty text")
        }
      }
      values.append(String(value))
      if rest.isEmpty { return values }
      guard rest.first == "," else {
        throw EngineError(.argument, "\(place): expected a comma behind the value '\(value)', found '\(rest.prefix(20))'")
      }
      rest = rest.dropFirst()
    }
  }

  /// The end of a list that begins with "[": texts in it may have brackets and commas.
  private static func endOfList(_ text: Substring, at place: String) throws(EngineError) -> Substring.Index {
    var (depth, isInText, isEscaped) = (0, false, false)
    for index in text.indices {
      let letter = text[index]
      if isInText {
        if !isEscaped, letter == "\"" { isInText = false }
        isEscaped = letter == "\\" && !isEscaped
        continue
      }
      switch letter {
      case "\"": isInText = true
      case "[": depth += 1
      case "]": depth -= 1
      default: break
      }
      if depth == 0 { return text.index(after: index) }
    }
    throw EngineError(.argument, "\(place): a list has no ']' at its end")
  }
}
