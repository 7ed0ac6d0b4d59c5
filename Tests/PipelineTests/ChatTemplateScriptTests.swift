import Files
import Testing

/// `tokenizer:apply_chat_template`, and a model that answers what it gives.
@Suite(.serialized) struct ChatTemplateScriptTests {
  private static let messages = "{ { role = 'user', content = 'red, dog' } }"
  private static let template =
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}it:{{ end }}{% endif %}"

  private func printed(_ script: String) throws -> [String] {
    try ScriptHost.with { host, folder in
      try WritingTask.write(to: folder)
      return try host.printed(
        WritingTask.script(folder) + "local tokenizer, t = base.tokenizer, [[\(Self.template)]]\nlocal messages = \(Self.messages)\n" + script)
    }
  }

  @Test func textsAndTokens() throws {
    let lines = try printed(
      """
      local text = tokenizer:apply_chat_template(messages, { chat_template = t, tokenize = false, add_generation_prompt = true, chat_template_kwargs = { ["end"] = "!" } })
      print((text:gsub("\\n", "|")))
      local ids = tokenizer:apply_chat_template(messages, { chat_template = t, add_generation_prompt = true, chat_template_kwargs = { ["end"] = "!" } })
      print(tokenizer:decode(ids, false) == text, ids[1] == tokenizer:token_to_id("<s>"))
      local model = make()
      local one = model:generate(ids, { max_new_tokens = 4 })
      print(type(one), #model:generate({ ids, ids }, { max_new_tokens = 4 }), model:generate({ ids, ids }, { max_new_tokens = 4 })[2] == one)
      """)
    #expect(lines == ["<s>user: red, dog|it:!", "true\ttrue", "string\t2\ttrue"])
  }

  @Test func mistakes() throws {
    for (call, words) in [
      ("tokenizer:apply_chat_template(messages)", "has no chat template"),
      ("tokenizer:apply_chat_template({}, { chat_template = t })", "at least one"),
      ("tokenizer:apply_chat_template('x', { chat_template = t })", "a list of messages"),
      ("tokenizer:apply_chat_template({ print }, { chat_template = t })", "a list of messages"),
      ("tokenizer:apply_chat_template(messages, { chat_template = '\\n{{ x.y }}' })", "line 2 of the template: 'x' is undefined"),
      ("tokenizer:apply_chat_template(messages, { chat_template = t, chat_template_kwargs = { messages = 1 } })", "given by itself"),
      ("tokenizer:apply_chat_template(messages, { chat_template = t, add_generation_prompts = true })", "add_generation_prompt"),
      ("make():generate({ 5, -1 })", "has the token -1"), ("make():generate({ 5, 'a' })", "a text, a list of texts, or token ids"),
    ] {
      let lines = try printed("local ok, message = pcall(function() return \(call) end)\nprint(ok, message)")
      #expect(lines.first?.hasPrefix("false") == true && lines.first?.contains(words) == true, "\(call): \(lines)")
    }
  }
}
