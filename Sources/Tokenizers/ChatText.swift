import Diagnostics
import Files
import Foundation
import Templates

/// How messages become a text. The names are those of Transformers' `apply_chat_template`.
public struct ChatOptions: Sendable {
  /// Ends the text with what stands in front of an answer.
  public var addGenerationPrompt = false
  /// Leaves the last message open, so that a model goes on with it.
  public var continueFinalMessage = false
  /// Functions that the model may call, as JSON schemas; for templates that know them.
  public var tools: JSONValue?
  /// Texts to answer from; for templates that know them.
  public var documents: JSONValue?
  /// A template, or the name of one of the model's; nil: the model's own.
  public var chatTemplate: String?
  /// Further variables of the template, such as `enable_thinking`.
  public var templateVariables = JSONObject()

  public init() {}
}

extension Tokenizer {
  /// Whether the model's files hold a chat template.
  public var hasChatTemplate: Bool { !chatTemplates.texts.isEmpty }

  /// What else than ids it gives: the model's chat templates, in their order.
  public var chatTemplateTexts: [String] { chatTemplates.texts.map(\.text.text) }

  /// A conversation in the form in which the model reads it, equal to what Transformers' `apply_chat_template` makes of it.
  ///
  /// The text holds all special tokens: encode it with `addSpecialTokens: false`, as `chatTokens` does.
  ///
  /// - Parameter messages: objects, usually with `role` and `content`.
  /// - Throws: `EngineError`: `.argument` for messages that cannot be a conversation or that the template refuses, and for a model without a
  ///   template; `.data`, with its line, for a template that needs what is not known here.
  public func chatText(_ messages: [JSONValue], _ options: ChatOptions = ChatOptions()) throws -> String {
    let template = try chatTemplates.template(options.chatTemplate, hasTools: options.tools != nil, of: definition.place)
    guard !messages.isEmpty else { throw EngineError(.argument, "messages: expected at least one") }
    guard !options.continueFinalMessage || !options.addGenerationPrompt else {
      throw EngineError(
        .argument, "continue_final_message goes on with the last message, and add_generation_prompt begins another one", hint: "give one of them")
    }
    var conversation = try messages.enumerated().map { place, message in
      guard case .object(let members) = message else {
        throw EngineError(.argument, "messages[\(place + 1)]: expected an object with 'role' and 'content', got \(message.kindName)")
      }
      return Self.withReasoningNames(JSONObject(members.members.filter { $1 != .null }))
    }
    let last = try options.continueFinalMessage ? Self.open(&conversation[conversation.count - 1], template) : nil
    var variables = JSONObject()
    for role in SpecialTokens.Role.allCases { variables[role.rawValue] = definition.specialTokens[role].map { .string($0) } }
    variables["messages"] = .array(conversation.map { .object($0) })
    variables["tools"] = options.tools ?? .null
    variables["documents"] = options.documents ?? .null
    variables["add_generation_prompt"] = .bool(options.addGenerationPrompt)
    for (name, value) in options.templateVariables.members {
      guard !["messages", "tools", "documents", "add_generation_prompt"].contains(name) else {
        throw EngineError(.argument, "chat_template_kwargs: '\(name)' is given by itself", hint: "leave it out there")
      }
      variables[name] = value
    }
    let text = try template.render(variables)
    return try last.map { try Self.cut(text, behind: $0, template) } ?? text
  }

  /// The tokens of `chatText`, as the model reads them.
  public func chatTokens(_ messages: [JSONValue], _ options: ChatOptions = ChatOptions()) throws -> [Int32] {
    try encode(chatText(messages, options), addSpecialTokens: false).ids
  }

  /// What a model thought has had several names: templates read one of them.
  private static func withReasoningNames(_ message: JSONObject) -> JSONObject {
    guard let reasoning = ["reasoning_content", "thinking", "reasoning"].lazy.compactMap({ message[$0] }).first else { return message }
    var result = JSONObject()
    result["thinking"] = reasoning
    for (key, value) in message.members { result[key] = value }
    result["reasoning_content"] = reasoning
    return result
  }

  // MARK: A last message that stays open

  /// Marks where the last message's text ends.
  private static let mark = "CONTINUE_FINAL_MESSAGE_TAG "

  /// Puts the mark behind a message's text, and returns that text.
  private static func open(_ message: inout JSONObject, _ template: Template) throws -> String {
    guard template.text.contains("content") else {
      throw EngineError(.argument, "\(template.source): continue_final_message: the template reads no 'content'")
    }
    switch message["content"] {
    case .string(let text):
      message["content"] = .string(text + mark)
      return text
    case .array(var blocks):
      guard let place = blocks.lastIndex(where: { $0["text"]?.stringValue != nil }), case .object(var block) = blocks[place],
        case .string(let text)? = block["text"]
      else { fallthrough }
      block["text"] = .string(text + mark)
      blocks[place] = .object(block)
      message["content"] = .array(blocks)
      return text
    default: throw EngineError(.argument, "continue_final_message: the last message has no text to go on with")
    }
  }

  /// The text up to the mark. A template that cuts spaces off the message has them cut off here too.
  private static func cut(_ text: String, behind message: String, _ template: Template) throws -> String {
    let message = withoutSpaces(message)
    guard let place = text.range(of: withoutSpaces(mark), options: [.literal, .backwards]),
      message.isEmpty || text.range(of: message, options: .literal) != nil
    else {
      throw EngineError(
        .argument, "\(template.source): continue_final_message: the template does not write the last message as it is",
        hint: "begin an answer instead: add_generation_prompt")
    }
    let (before, after) = (text.unicodeScalars[..<place.lowerBound], text.unicodeScalars[place.lowerBound...])
    return after.starts(with: mark.unicodeScalars) ? String(before) : withoutSpaces(String(before), atStart: false)
  }

  private static func withoutSpaces(_ text: String, atStart: Bool = true) -> String {
    var letters = text.unicodeScalars[...]
    if atStart { letters = letters.drop(while: \.isPythonSpace) }
    while let last = letters.last, last.isPythonSpace { letters.removeLast() }
    return String(letters)
  }
}
