import Diagnostics
import Files

/// Texts for sets of facts: the WebNLG Challenge of 2017 (Gardent and others 2017), as JSON of the corpus reader.
///
/// Inputs are as LoRA's authors wrote them for GPT-2: `subject : property : object`, joined by ` | `. Texts that the corpus does not call
/// good are left out.
public struct WebNLG: TextToText {
  public var options = TextToTextOptions()
  public var categories = Categories.all

  public init() {}

  /// Which entries are evaluated, by their category.
  public enum Categories: String, FieldChoice {
    case all, seen, unseen
  }

  /// Categories of the training set.
  private static let seen: Set = [
    "Airport", "Astronaut", "Building", "City", "ComicsCharacter", "Food", "Monument", "SportsTeam", "University", "WrittenWork",
  ]

  public static let name = "webnlg"
  public static let summary = "The WebNLG Challenge of 2017: a text for a set of facts; files: train.json, dev.json and test.json."
  public static let builtInName = "builtin:data_to_text"
  public static let metrics = ["multi_bleu_detok", "meteor", "pyter"]
  public static let fields: [Field<Self>] =
    Field.fields(of: \.options) + [
      .value(
        "categories", \.categories, "which entries are evaluated: \"all\", or those of categories that are in the training set, \"seen\", or not")
    ]

  public static func files(_ part: DataPart) -> [String] {
    switch part {
    case .train: ["train.json"]
    case .validation: ["dev.json"]
    case .test: ["test.json"]
    }
  }

  public func examples(of path: String, _ part: DataPart) throws -> [Example] {
    guard let entries = try JSONValue(file: path)["entries"]?.arrayValue else {
      throw EngineError(.data, "\(path): no list 'entries', expected the JSON of WebNLG's corpus reader")
    }
    return try entries.enumerated().compactMap { index, entry in
      let place = "\(path): entry \(index + 1)"
      let members = Array(entry.objectValue?.members.map(\.1) ?? [])
      guard let fields = members.first, members.count == 1 else {
        throw EngineError(.data, "\(place): expected an object with one entry, got \(entry.excerpt())")
      }
      guard isWanted(isSeen: Self.seen.contains(try text("category", of: fields, place)), part) else { return nil }
      let facts = try list("modifiedtripleset", of: fields, place).map { fact in
        try ["subject", "property", "object"].map { try text($0, of: fact, place) }
      }
      let texts = try list("lexicalisations", of: fields, place).filter { try text("comment", of: $0, place) == "good" }
      return example(facts, try texts.map { try text("lex", of: $0, place) }, index + 1)
    }
  }

  /// Attributes as facts about a name. Names that training does not have are "unseen".
  public func builtIn(_ part: DataPart) -> [Example] {
    BuiltIn.dataToText(part).enumerated().compactMap { index, item in
      guard isWanted(isSeen: !item.isHeldOut, part), let name = item.attributes.first else { return nil }
      let subject = name.value.replacing(" ", with: "_")
      return example(item.attributes.dropFirst().map { [subject, $0.name, $0.value] }, item.texts, index + 1)
    }
  }

  private func isWanted(isSeen: Bool, _ part: DataPart) -> Bool {
    part == .train || categories == .all || (categories == .seen) == isSeen
  }

  private func example(_ facts: [[String]], _ texts: [String], _ line: Int) -> Example {
    Example(
      [facts.map { $0.joined(separator: " : ") }.joined(separator: " | ")],
      target: .texts(texts.filter { $0.contains { !$0.isWhitespace } }), line: line)
  }

  private func text(_ name: String, of value: JSONValue, _ place: String) throws -> String {
    guard let text = value[name]?.stringValue else {
      throw EngineError(.data, "\(place): '\(name)' is \(value[name]?.kindName ?? "missing"), expected a string")
    }
    return text
  }

  private func list(_ name: String, of value: JSONValue, _ place: String) throws -> [JSONValue] {
    guard let list = value[name]?.arrayValue else {
      throw EngineError(.data, "\(place): '\(name)' is \(value[name]?.kindName ?? "missing"), expected a list")
    }
    return list
  }
}
