import Diagnostics
import Files
import Synchronization
import Templates

/// The templates of a chat model: the texts that its files hold, each read as a template when it is first asked for.
final class ChatTemplates: Sendable {
  /// A template as the files hold it.
  struct Text: Sendable {
    var text: String
    /// Where it stands.
    var source: String
    /// The file that holds it in a saved folder; nil: `tokenizer_config.json`.
    var file: String?
  }

  /// By name; the usual one is "default".
  let texts: [(name: String, text: Text)]
  private let known = Mutex<[String: Template]>([:])

  init(_ texts: [(name: String, text: Text)]) { self.texts = texts }

  /// What a folder holds, as Transformers reads it: files before `tokenizer_config.json`, and those before `chat_template.json`.
  ///
  /// - Parameter configuration: of `tokenizer_config.json`.
  /// - Throws: `EngineError` for files that cannot be read, and for a `chat_template` that is no text and no list of named ones.
  static func texts(folder: String, configuration: JSONValue) throws -> [(name: String, text: Text)] {
    var texts: [(name: String, text: Text)] = []
    func add(_ name: String, file: String) throws {
      let path = folder + "/" + file
      texts.append((name, Text(text: try readText(path), source: path, file: file)))
    }
    if fileExists(folder + "/chat_template.jinja") { try add("default", file: "chat_template.jinja") }
    if fileKind(folder + "/" + additional) == .folder {
      for file in try AtomicFolder.names(in: folder + "/" + additional).sorted() where file.hasSuffix(".jinja") {
        try add(String(file.dropLast(6)), file: "\(additional)/" + file)
      }
    }
    if !texts.isEmpty { return texts }
    texts = try Self.texts(configuration["chat_template"], source: folder + "/tokenizer_config.json: chat_template")
    let path = folder + "/chat_template.json"
    guard texts.isEmpty, fileExists(path) else { return texts }
    return try Self.texts(JSONValue(file: path)["chat_template"], source: path + ": chat_template").map { name, text in
      (name, Text(text: text.text, source: text.source, file: name == "default" ? "chat_template.jinja" : "\(additional)/\(name).jinja"))
    }
  }

  private static let additional = "additional_chat_templates"

  private static func texts(_ json: JSONValue?, source: String) throws -> [(name: String, text: Text)] {
    switch json {
    case nil, .null: return []
    case .string(let text): return [("default", Text(text: text, source: source))]
    case .array(let templates):
      return try templates.enumerated().map { place, template in
        guard let name = template["name"]?.stringValue, let text = template["template"]?.stringValue else {
          throw EngineError(.data, "\(source)[\(place)]: expected an object with the texts 'name' and 'template'")
        }
        return (name, Text(text: text, source: "\(source) '\(name)'"))
      }
    case let other?: throw EngineError(.data, "\(source): is \(other.kindName), expected a string")
    }
  }

  /// Writes those that stand in files of their own.
  func save(to folder: String) throws {
    for (_, text) in texts {
      guard let file = text.file else { continue }
      try createFolder(FilePath.folder(of: folder + "/" + file))
      try AtomicFile.write(text.text, to: folder + "/" + file)
    }
  }

  /// The template that `chosen`, a name or a template itself, says; nil: the usual one, or the one for tools.
  func template(_ chosen: String?, hasTools: Bool, of place: String) throws -> Template {
    if let chosen {
      if let named = texts.first(where: { $0.name == chosen }) { return try template(named.text) }
      return try template(Text(text: chosen, source: "chat_template"))
    }
    // Several templates without a usual one: the caller has to choose.
    if hasTools, texts.count > 1, let tools = texts.first(where: { $0.name == "tool_use" }) { return try template(tools.text) }
    if let usual = texts.first(where: { $0.name == "default" }) { return try template(usual.text) }
    guard texts.isEmpty else {
      throw EngineError(
        .argument, "\(place): the model has several chat templates, and none is called 'default'",
        hint: "name one with chat_template: " + texts.map(\.name).sorted().joined(separator: ", "))
    }
    throw EngineError(
      .argument, "\(place): the model has no chat template, so the form in which it reads a conversation is not known",
      hint:
        "put the model's chat_template.jinja, or a tokenizer_config.json with 'chat_template', into its folder, or give a template as chat_template")
  }

  private func template(_ text: Text) throws -> Template {
    if let template = known.withLock({ $0[text.text] }) { return template }
    let template = try Template(text.text, source: text.source)
    known.withLock { known in
      // Templates that come with calls must not fill the memory.
      if known.count >= 16 { known = [:] }
      known[text.text] = template
    }
    return template
  }
}
