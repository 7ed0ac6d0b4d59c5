import Diagnostics
import Files
import LuaHost
import Tokenizers

/// Options of `Tokenizer:apply_chat_template`.
struct ChatTemplateOptions: LuaRecord {
  var addGenerationPrompt = false
  var continueFinalMessage = false
  var tokenize = true
  var tools: JSONValue?
  var documents: JSONValue?
  var chatTemplate: String?
  var chatTemplateKwargs: JSONValue?

  static let recordName = "apply_chat_template options"
  static let fields: [Field<Self>] = [
    .value("add_generation_prompt", \.addGenerationPrompt, "end with what stands in front of an answer"),
    .value("continue_final_message", \.continueFinalMessage, "leave the last message open, so that the model goes on with it"),
    .value("tokenize", \.tokenize, "give token ids, which model:generate takes; false: the text"),
    .value("tools", \.tools, "list of functions that the model may call, as JSON schemas"),
    .value("documents", \.documents, "list of texts to answer from"),
    .value("chat_template", \.chatTemplate, "a template, or the name of one of the model's; default: the model's own"),
    .value("chat_template_kwargs", \.chatTemplateKwargs, "table of further variables of the template"),
  ]

  /// Throws for variables that are no table with names.
  var chat: ChatOptions {
    get throws(EngineError) {
      var chat = ChatOptions()
      (chat.addGenerationPrompt, chat.continueFinalMessage) = (addGenerationPrompt, continueFinalMessage)
      (chat.tools, chat.documents, chat.chatTemplate) = (tools, documents, chatTemplate)
      switch chatTemplateKwargs {
      case nil, .array([]): break
      case .object(let variables): chat.templateVariables = variables
      case let other?: throw EngineError(.argument, "chat_template_kwargs: expected a table with names, got \(other.kindName)")
      }
      return chat
    }
  }
}

/// Messages of a conversation.
struct ChatMessages: LuaArgument {
  let messages: [JSONValue]

  static var luaType: LuaType {
    LuaType(
      "ChatMessage[]",
      definition: .shape(
        LuaType.TableShape(
          "ChatMessage", "What somebody says in a conversation; a template may read further fields.",
          fields: [("role", "string", "who: usually \"system\", \"user\" or \"assistant\""), ("content", "string", "what is said")])))
  }
  static var expectedWord: String { "a list of messages, { { role = \"user\", content = \"...\" } }" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> ChatMessages {
    let value = try LuaValue.read(stack, at: index).configValue
    guard case .array(let messages)? = try? JSONValue.decode(value) else { throw ValueMismatch(expected: expectedWord, found: value.briefly) }
    return ChatMessages(messages: messages)
  }
}

/// `Tokenizer:apply_chat_template`.
func chatTemplateMethod() -> Member<Tokenizer> {
  .method(
    "apply_chat_template", "A conversation in the form in which a chat model reads it, as its chat template says.",
    Param<ChatMessages>("messages", "who says what, in order"), Param<ChatTemplateOptions>("options", "see the fields"),
    returns: "list of token ids; with tokenize = false the text, special tokens included"
  ) { tokenizer, messages, options -> LuaValue in
    let chat = try options.chat
    if !options.tokenize { return .string(try tokenizer.chatText(messages.messages, chat)) }
    return .table(LuaTable(list: try tokenizer.chatTokens(messages.messages, chat).map { .integer(Int($0)) }))
  }
}
