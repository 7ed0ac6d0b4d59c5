import Diagnostics
import Files
import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Templates

/// Conversations through chat templates, against Transformers' `apply_chat_template`, and Jinja's language against Jinja2.
struct ChatTemplateTests {
  private static func fixture() throws -> JSONValue {
    try once("chat templates") { try JSONValue(file: packageRoot + "/Tests/TokenizerTests/Fixtures/chat_templates.json") }
  }

  private static let names = [
    "chatml", "smollm2", "qwen2.5", "qwen3", "llama2", "llama3", "llama3.1", "mistral", "mistral-tools", "zephyr", "gemma", "gemma3", "phi3",
    "deepseek",
    "macros",
  ]

  /// A tokenizer with one of the templates, by way of the folder's files.
  private func tokenizer(_ entry: JSONValue, _ files: [String: String]) throws -> Tokenizer {
    try withTemporaryFolder { folder in
      try write(files.merging(["tokenizer.json": unwrap(try Self.fixture()["tokenizer"]?.stringValue, "tokenizer")]) { $1 }, to: folder)
      return try Tokenizer.load(folder: folder)
    }
  }

  private func configuration(_ entry: JSONValue, _ change: (inout JSONObject) -> Void = { _ in }) -> String {
    var configuration = JSONObject()
    for key in ["bos_token", "eos_token", "chat_template"] { configuration[key] = entry[key] }
    change(&configuration)
    return JSONValue.object(configuration).encoded(.ordered)
  }

  private func entry(_ name: String) throws -> JSONValue {
    try unwrap(try Self.fixture()["templates"]?.arrayValue?.first { $0["name"]?.stringValue == name }, name)
  }

  @Test(arguments: names) func conversations(_ name: String) throws {
    let entry = try entry(name)
    let tokenizer = try tokenizer(entry, ["tokenizer_config.json": configuration(entry)])
    let conversations = try unwrap(try Self.fixture()["conversations"]?.arrayValue, "conversations")
    for (conversation, answers) in zip(conversations, try unwrap(entry["answers"]?.arrayValue, "answers")) {
      for (place, answer) in try unwrap(answers.arrayValue, "answers").enumerated() {
        var options = ChatOptions()
        (options.addGenerationPrompt, options.continueFinalMessage) = (place == 1, place == 2)
        options.tools = conversation["tools"]
        options.templateVariables = conversation["kwargs"]?.objectValue ?? JSONObject()
        let messages = conversation["messages"]?.arrayValue ?? []
        guard let text = answer["text"]?.stringValue else {
          #expect(throws: EngineError.self, "\(name): \(conversation.excerpt()) \(answer.excerpt())") { try tokenizer.chatText(messages, options) }
          continue
        }
        let got = try tokenizer.chatText(messages, options)
        #expect(same(got, text), "\(name), \(place): \(got.debugDescription) is not \(text.debugDescription)")
        #expect(try tokenizer.chatTokens(messages, options).map { JSONValue.int(Int($0)) } == answer["ids"]?.arrayValue)
      }
    }
  }

  /// What Jinja2 refuses is refused, and else the same is written.
  @Test func language() throws {
    let variables = try unwrap(try Self.fixture()["variables"]?.objectValue, "variables")
    let snippets = try unwrap(try Self.fixture()["snippets"]?.arrayValue, "snippets")
    #expect(snippets.count > 100)
    for snippet in snippets {
      let template = try unwrap(snippet["template"]?.stringValue, "template")
      let result = Result { try Template(template, source: "t").render(variables) }
      if let text = snippet["text"]?.stringValue {
        switch result {
        case .success(let got): #expect(same(got, text), "\(template.debugDescription): \(got.debugDescription) is not \(text.debugDescription)")
        case .failure(let error): Issue.record("\(template.debugDescription): \(error)")
        }
      } else {
        #expect(throws: EngineError.self, "\(template.debugDescription): \(snippet["error"]?.stringValue ?? "")") { try result.get() }
      }
    }
  }

  private func mistake(_ template: String, _ variables: JSONObject = [:]) -> String {
    do { return "no error: " + (try Template(template, source: "m/chat_template.jinja").render(variables)) } catch { return "\(error)" }
  }

  @Test func mistakesHaveLines() throws {
    #expect(
      mistake("a\n{% include 'x' %}").hasPrefix("m/chat_template.jinja: line 2 of the template: the tag {% include %} is not supported; there are if")
    )
    #expect(
      mistake("\n\n{{ x | uper }}") == "m/chat_template.jinja: line 3 of the template: the filter 'uper' is not supported; did you mean 'upper'?")
    #expect(mistake("{# \n #}\n{{ x.y }}") == "m/chat_template.jinja: line 3 of the template: 'x' is undefined")
    #expect(mistake("{{ 'a' % 1 }}").contains("line 1 of the template: '%' behind a string is not supported"))
    #expect(mistake("{% for i in [1] recursive %}{% endfor %}").contains("a recursive loop is not supported"))
    #expect(mistake("\n{{ raise_exception('no') }}") == "m/chat_template.jinja: line 2 of the template: the template refuses the messages: no")
  }

  /// A template comes with a model, from anybody: none runs, grows or nests without end.
  @Test func templatesEnd() throws {
    let loop = "{% for i in range(100000) %}"
    for template in [
      "\(loop)\(loop)x{% endfor %}{% endfor %}", "{% set ns = namespace(x='ab') %}\(loop){% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}\(loop){% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}\(loop){% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.x = ns %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'a' * 10 ** 18 }}",
      "{{ 'a' * 1000000000 }}",
      "{{ 9223372036854775807 + 1 }}", "{{ 2 ** 64 }}", "{{ (-9223372036854775807 - 1) // -1 }}{{ (-9223372036854775807 - 1) % -1 }}",
      "{{ 99999999999999999999 }}",
      "{{ " + String(repeating: "(", count: 5000), "{{ " + String(repeating: "-", count: 5000) + "1 }}",
      "{{ " + String(repeating: "not ", count: 5000) + "1 }}", String(repeating: "{% if 1 %}", count: 5000),
      "{{ '" + String(repeating: "a", count: 40_000) + "' * 60000 }}",
      "{% set a = 'a' * 2000000 %}\(loop){% if (a ~ 'b') in a %}{% endif %}{% endfor %}", "{{ ('a' * 2000000).replace('', 'b' * 1000) }}",
      "{{ range(0, 10, 0) }}",
    ] {
      #expect(throws: EngineError.self, "\(template.prefix(80))") { try Template(template, source: "t").render([:], mostCost: 100_000) }
    }
  }

  @Test func files() throws {
    let entry = try entry("chatml")
    let message: [JSONValue] = [["role": "user", "content": "x"]]
    func text(_ files: [String: String], _ change: (inout ChatOptions) -> Void = { _ in }) throws -> String {
      let tokenizer = try tokenizer(entry, files)
      var options = ChatOptions()
      change(&options)
      // What is saved has the same templates.
      let saved = try withTemporaryFolder { folder in
        try tokenizer.save(to: folder)
        return try Tokenizer.load(folder: folder)
      }
      let text = try tokenizer.chatText(message, options)
      #expect(try saved.chatText(message, options) == text && saved.digest() == tokenizer.digest())
      return text
    }
    let own = configuration(entry)
    let none = configuration(entry) { $0["chat_template"] = nil }
    let named = configuration(entry) { $0["chat_template"] = [["name": "default", "template": "d"], ["name": "tool_use", "template": "t"]] }
    #expect(try text(["tokenizer_config.json": own]) == "<|im_start|>user\nx<|im_end|>\n")
    #expect(try text(["tokenizer_config.json": own, "chat_template.jinja": "file {{ bos_token }}"]) == "file <s>")
    #expect(try text(["tokenizer_config.json": none, "chat_template.json": #"{"chat_template": "json"}"#]) == "json")
    #expect(try text(["tokenizer_config.json": named]) == "d" && text(["tokenizer_config.json": named]) { $0.tools = [[:]] } == "t")
    #expect(try text(["tokenizer_config.json": named]) { $0.chatTemplate = "tool_use" } == "t")
    #expect(try text(["tokenizer_config.json": named]) { $0.chatTemplate = "{{ messages[0].content }}!" } == "x!")
    #expect(
      try text(["tokenizer_config.json": none, "chat_template.jinja": "a", "additional_chat_templates/b.jinja": "b"]) { $0.chatTemplate = "b" } == "b"
    )
    #expect(throws: EngineError.self) { try text(["tokenizer_config.json": none]) }
    #expect(throws: EngineError.self) { try text(["tokenizer_config.json": configuration(entry) { $0["chat_template"] = 3 }]) }
    // A template that cannot be read is no reason not to read the tokenizer.
    let broken = try tokenizer(entry, ["tokenizer_config.json": none, "chat_template.jinja": "{% if %}"])
    #expect(throws: EngineError.self) { try broken.chatText(message) }
    #expect(throws: EngineError.self) { try tokenizer(entry, ["tokenizer_config.json": own]).chatText([]) }
    #expect(throws: EngineError.self) { try tokenizer(entry, ["tokenizer_config.json": own]).chatText(["x"]) }
  }
}
