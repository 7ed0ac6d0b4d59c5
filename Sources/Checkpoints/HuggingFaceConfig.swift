import Diagnostics
import Files
import Foundation

/// Typed access to a `config.json` (a model's or an adapter's). Every error names file and key,
/// says what was expected and what is there.
///
///     let config = try HuggingFaceConfig(folder: "models/roberta-base")
///     let hiddenSize = try config.int("hidden_size", in: 1...)
///     let dropout = try config.double("hidden_dropout_prob", in: 0...1, default: 0.1)
public struct HuggingFaceConfig: Sendable {
  public let path: String
  public let values: JSONObject
  /// The file of each key that comes from another one.
  private var origins: [String: String] = [:]

  /// Reads `folder/config.json`.
  public init(folder: String, file: String = "config.json") throws {
    try self.init(path: folder + "/" + file)
  }

  /// Reads a JSON file that holds an object. Throws `EngineError` (`.file`, `.data`).
  public init(path: String) throws {
    let json = try JSONValue(file: path)
    guard let values = json.objectValue else {
      throw EngineError(.data, "\(path): expected a JSON object, found \(json.kindName)")
    }
    self.init(values, path: path)
  }

  /// Values that are not from a file; `path` stands for them in errors.
  public init(_ values: JSONObject, path: String) {
    self.values = values
    self.path = path
  }

  /// The configuration with more keys, from another file, which errors name.
  public func adding(_ more: JSONObject, from path: String) -> HuggingFaceConfig {
    var values = self.values
    for (key, value) in more.members { values[key] = value }
    var result = HuggingFaceConfig(values, path: self.path)
    result.origins = origins.merging(more.keys.map { ($0, path) }) { $1 }
    return result
  }

  /// The file that has, or would have, a key.
  public func file(of key: String) -> String { origins[key] ?? path }

  /// The error for a key that is not there. `expected`: what it would hold.
  public func missing(_ key: String, _ expected: String) -> EngineError {
    EngineError(
      .data, "\(path): missing key '\(key)', expected \(expected)",
      hint: nearestName(to: key, among: values.keys.filter { $0 != key }).map { "did you mean '\($0)'?" })
  }

  /// The raw value, or nil where the key is missing or null, which configs use alike.
  public subscript(key: String) -> JSONValue? {
    values[key].flatMap { $0 == .null ? nil : $0 }
  }

  /// An integer (also written `12.0`) within `range`. Without a default, a missing key is an error.
  public func int(
    _ key: String, in range: some ValueRange<Int> = Unlimited<Int>(), default value: Int? = nil
  ) throws -> Int {
    try read(key, "an integer " + range.words, default: value) {
      $0.intValue.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  /// A finite number within `range`. Without a default, a missing key is an error.
  public func double(
    _ key: String, in range: some ValueRange<Double> = Unlimited<Double>(), default value: Double? = nil
  ) throws -> Double {
    try read(key, "a number " + range.words, default: value) {
      $0.doubleValue.flatMap { $0.isFinite && range.contains($0) ? $0 : nil }
    }
  }

  /// A boolean. Without a default, a missing key is an error.
  public func bool(_ key: String, default value: Bool? = nil) throws -> Bool {
    try read(key, "true or false", default: value) { $0.boolValue }
  }

  /// A string, one of `choices` if some are given. Without a default, a missing key is an error.
  public func string(
    _ key: String, among choices: [String]? = nil, default value: String? = nil
  ) throws -> String {
    let expected = choices.map { "one of " + $0.map { "'\($0)'" }.joined(separator: ", ") } ?? "a string"
    return try read(key, expected, default: value) {
      $0.stringValue.flatMap { choices?.contains($0) ?? true ? $0 : nil }
    }
  }

  /// A list of strings. Without a default, a missing key is an error.
  public func strings(_ key: String, default value: [String]? = nil) throws -> [String] {
    try read(key, "a list of strings", default: value) { json in
      guard let elements = json.arrayValue else { return nil }
      let strings = elements.compactMap(\.stringValue)
      return strings.count == elements.count ? strings : nil
    }
  }

  /// The names of the head's labels, by id: those of `id2label`, or of `label2id` where the former has none of its own; nil
  /// where the configuration names none. Ids must be 0, 1, 2, ...
  ///
  /// Throws where one name stands for two ids, where the two keys contradict each other, and for another `num_labels`.
  public func labels() throws -> [String]? {
    let byId: [String] = try read("id2label", "an object of labels for \"0\", \"1\", ...", default: []) { json in
      guard let object = json.objectValue else { return nil }
      let labels = (0..<object.count).compactMap { object[String($0)]?.stringValue }
      return labels.count == object.count ? labels : nil
    }
    let byName: [String] = try read("label2id", "an object of the ids 0, 1, ... by label", default: []) { json in
      guard let object = json.objectValue else { return nil }
      let ids = object.members.map { $1.intValue }
      guard Set(ids) == Set(0..<ids.count) else { return nil }
      return object.members.sorted { $0.1.intValue ?? 0 < $1.1.intValue ?? 0 }.map(\.0)
    }
    if let twice = byId.indices.first(where: { byId[..<$0].contains(byId[$0]) }) {
      throw EngineError(.data, "\(path): id2label: two ids have the label '\(byId[twice])'")
    }
    // Transformers fills a key that was left out with LABEL_0, ...: that says nothing.
    let hasNames = !byId.isEmpty && !Self.arePlaceholders(byId)
    if hasNames, !byName.isEmpty, !Self.arePlaceholders(byName), byId != byName {
      throw EngineError(.data, "\(path): id2label names \(listed(byId, limit: 8)), label2id \(listed(byName, limit: 8))")
    }
    let labels = hasNames || byName.isEmpty ? byId : byName
    guard !labels.isEmpty else { return nil }
    if self["num_labels"] != nil {
      let count = try int("num_labels", in: 1...)
      guard count == labels.count else {
        throw EngineError(.data, "\(path): num_labels is \(count), but \(labels.count) labels are named: \(listed(labels, limit: 8))")
      }
    }
    return labels
  }

  /// Whether names of labels are those that Transformers gives where nobody has: LABEL_0, LABEL_1, ...
  public static func arePlaceholders(_ labels: [String]) -> Bool { labels == placeholders(labels.count) }

  /// LABEL_0, LABEL_1, ...
  public static func placeholders(_ count: Int) -> [String] { (0..<count).map { "LABEL_\($0)" } }

  private func read<Value>(
    _ key: String, _ expected: String, default fallback: Value?,
    _ convert: (JSONValue) -> Value?
  ) throws -> Value {
    let words = expected.hasSuffix(" ") ? String(expected.dropLast()) : expected
    guard let json = self[key] else {
      if let fallback { return fallback }
      throw missing(key, words)
    }
    guard let value = convert(json) else {
      throw EngineError(.data, "\(file(of: key)): '\(key)' must be \(words), got \(json.excerpt())")
    }
    return value
  }
}
