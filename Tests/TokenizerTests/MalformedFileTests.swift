import Diagnostics
import Foundation
import TestSupport
import Testing
import Tokenizers

/// Damaged folders: one clear line that names the file.
struct MalformedFileTests {
  struct Case: CustomTestStringConvertible {
    let name: String
    let files: [String: String]
    let message: String
    var testDescription: String { name }

    /// - Parameter message: the error, behind the name of the folder.
    init(_ name: String, _ files: [String: String], _ message: String) {
      self.name = name
      self.files = files
      self.message = "FOLDER" + message
    }

    /// A `tokenizer.json` with this model; the message behind the name of the file.
    init(_ name: String, model: String, _ message: String) {
      self.init(name, ["tokenizer.json": "{\"model\": \(model)}"], "/tokenizer.json: " + message)
    }

    /// A `tokenizer.json` with a good model and this member.
    init(_ name: String, member: String, _ message: String) {
      let model = MalformedFileTests.small
      self.init(
        name, ["tokenizer.json": "{\(member), \"model\": \(model)}"], "/tokenizer.json: " + message)
    }
  }

  fileprivate static let small =
    #"{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}"#

  static let cases: [Case] = files + models + stages

  static let files: [Case] = [
    Case(
      "nothing",
      [:],
      ": no tokenizer in this folder; expected tokenizer.json, or vocab.txt, or vocab.json and "
        + "merges.txt, or spiece.model, or tokenizer.model"),
    Case(
      "empty",
      ["tokenizer.json": ""],
      "/tokenizer.json:1: invalid JSON: expected a value, the text ends (byte 0)"),
    Case(
      "truncated",
      ["tokenizer.json": "{\"model\":\n {\"vocab\": {\"a\": 0, \"b"],
      "/tokenizer.json:2: invalid JSON: the text ends inside a string (byte 32)"),
    Case(
      "trailing",
      ["tokenizer.json": "{} {}"],
      "/tokenizer.json:1: invalid JSON: expected the end of the text, found '{' (byte 3)"),
    Case(
      "deep",
      ["tokenizer.json": String(repeating: "[", count: 100_000)],
      "/tokenizer.json:1: invalid JSON: nested deeper than 128 levels (byte 128)"),
    Case(
      "array",
      ["tokenizer.json": "[]"],
      "/tokenizer.json: is an array, expected an object"),
    Case(
      "surrogate",
      ["tokenizer.json": #"{"a": "\ud800x"}"#],
      "/tokenizer.json:1: invalid JSON: half of a surrogate pair (byte 13)"),
    Case(
      "control character",
      ["tokenizer.json": "{\"a\n\": 1}"],
      "/tokenizer.json:1: invalid JSON: control character in a string; it must be escaped (byte 3)"),
    Case(
      "number",
      ["tokenizer.json": "{\"a\": 1.2.3}"],
      "/tokenizer.json:1: invalid JSON: expected ',' or '}', found '.' (byte 9)"),
    Case(
      "empty vocab.txt",
      ["vocab.txt": ""],
      "/vocab.txt: the vocabulary is empty"),
    Case(
      "no [UNK]",
      ["vocab.txt": "a\nb"],
      "/vocab.txt: unk_token '[UNK]' is not in the vocabulary"),
    Case(
      "no [CLS]",
      ["vocab.txt": "[UNK]\nb"],
      "/vocab.txt: cls_token '[CLS]' is not in the vocabulary"),
    Case(
      "no merges.txt",
      ["vocab.json": "{\"a\": 0}"],
      "/merges.txt: no such file; vocab.json needs it"),
    Case(
      "merge line",
      ["vocab.json": "{\"a\": 0, \"b\": 1}", "merges.txt": "#version: 0.2\na b c\n"],
      "/merges.txt:2: expected two tokens with a space between them"),
    Case(
      "merge of another vocabulary",
      ["vocab.json": "{\"a\": 0, \"b\": 1}", "merges.txt": "#version: 0.2\n\na b\n"],
      "/merges.txt:3: token 'ab' is not in the vocabulary; do the merges belong to another "
        + "vocabulary?"),
    Case(
      "vocab.json is a list",
      ["vocab.json": "[1]", "merges.txt": ""],
      "/vocab.json: 'vocab' is an array, expected an object of tokens and ids"),
    Case(
      "configuration",
      ["vocab.txt": "[UNK]\n[CLS]\n[SEP]", "tokenizer_config.json": #"{"do_lower_case": "yes"}"#],
      "/tokenizer_config.json: 'do_lower_case' is a string, expected true or false"),
    Case(
      "model_max_length",
      ["vocab.txt": "[UNK]\n[CLS]\n[SEP]", "tokenizer_config.json": #"{"model_max_length": 0}"#],
      "/tokenizer_config.json: 'model_max_length' is 0.0, expected a whole number of at least 1"),
    Case(
      "added_tokens_decoder",
      [
        "vocab.txt": "[UNK]\n[CLS]\n[SEP]",
        "tokenizer_config.json": #"{"added_tokens_decoder": {"7": {"content": "[CLS]"}}}"#,
      ],
      ": token '[CLS]' has id 7 in tokenizer_config.json or added_tokens.json, but 1 in "
        + "FOLDER/vocab.txt"),
  ]

  static let models: [Case] = [
    Case(
      "no model",
      ["tokenizer.json": "{}"],
      "/tokenizer.json: 'model' is missing"),
    Case(
      "unknown model",
      model: #"{"type": "WordLevel"}"#,
      "model 'WordLevel' is not supported; expected one of BPE, Unigram, WordPiece"),
    Case(
      "unigram without scores",
      model: #"{"type": "Unigram", "unk_id": 0, "vocab": [["a", -1], ["b"]]}"#,
      "model Unigram: vocab[1]: expected a token and its score, [\"token\", -1.5]"),
    Case(
      "unigram that knows no unknown token",
      model: #"{"type": "Unigram", "unk_id": null, "vocab": [["a", -1]]}"#,
      "model Unigram: 'unk_id' is missing, and the vocabulary has no token for every byte: some texts have no ids"),
    Case(
      "unknown token that is not there",
      model: #"{"type": "Unigram", "unk_id": 1, "vocab": [["a", -1]]}"#,
      "model Unigram: 'unk_id' is no id of the vocabulary, whose ids are 0 to 0"),
    Case(
      "empty vocabulary",
      model: #"{"type": "BPE", "vocab": {}, "merges": []}"#,
      "model BPE: the vocabulary is empty"),
    Case(
      "no vocabulary",
      model: #"{"type": "WordPiece"}"#,
      "model WordPiece: 'vocab' is missing, expected an object of tokens and ids"),
    Case(
      "duplicate id",
      model: #"{"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}"#,
      "model BPE: tokens 'a' and 'b' have the same id 0"),
    Case(
      "duplicate token",
      ["tokenizer.json": #"{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}"#],
      "/tokenizer.json:1: invalid JSON: duplicate key \"a\" (byte 44)"),
    Case(
      "negative id",
      model: #"{"type": "BPE", "vocab": {"a": -1}, "merges": []}"#,
      "model BPE: token 'a' has id -1, expected 0 to 16777216"),
    Case(
      "id out of range",
      model: #"{"type": "BPE", "vocab": {"a": 9223372036854775807}, "merges": []}"#,
      "model BPE: token 'a' has id 9223372036854775807, expected 0 to 16777216"),
    Case(
      "fractional id",
      model: #"{"type": "BPE", "vocab": {"a": 0.5}, "merges": []}"#,
      "model BPE: the id of token 'a' is not a whole number in range"),
    Case(
      "huge id",
      model: #"{"type": "BPE", "vocab": {"a": 1e400}, "merges": []}"#,
      "model BPE: the id of token 'a' is not a whole number in range"),
    Case(
      "unknown token in a merge",
      model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}"#,
      "model BPE: merge 1: token 'b' is not in the vocabulary; do the merges belong to another "
        + "vocabulary?"),
    Case(
      "merge of three",
      model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a", "a"]]}"#,
      "model BPE: merge 1: expected two tokens with a space between them"),
    Case(
      "no merges",
      model: #"{"type": "BPE", "vocab": {"a": 0}}"#,
      "model BPE: 'merges' is missing, expected an array"),
    Case(
      "dropout",
      model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}"#,
      "model BPE: a 'dropout' other than 0 is not supported"),
    Case(
      "suffix",
      model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}"#,
      "model BPE: 'end_of_word_suffix' = '</w>' is not supported"),
    Case(
      "unk_token",
      model: #"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"}"#,
      "model BPE: unk_token '?' is not in the vocabulary"),
    Case(
      "max_input_chars_per_word",
      model: #"{"type": "WordPiece", "vocab": {"[UNK]": 0}, "max_input_chars_per_word": -5}"#,
      "model WordPiece: 'max_input_chars_per_word' is not a whole number of at least 0"),
  ]

  static let stages: [Case] = [
    Case(
      "normalizer",
      member: #""normalizer": {"type": "Nmt"}"#,
      "normalizer 'Nmt' is not supported; expected one of BertNormalizer, Lowercase, "
        + "NFC, NFD, NFKC, NFKD, Precompiled, Prepend, Replace, Sequence, Strip, StripAccents"),
    Case(
      "character map in no base64",
      member: #""normalizer": {"type": "Precompiled", "precompiled_charsmap": "%"}"#,
      "normalizer Precompiled: 'precompiled_charsmap' is no text in base64"),
    Case(
      "character map that is cut off",
      member: #""normalizer": {"type": "Precompiled", "precompiled_charsmap": "EAAAAAAAAAAAAAAA"}"#,
      "normalizer Precompiled: 'precompiled_charsmap' holds no table: its size does not fit"),
    Case(
      "regular expression",
      member: #""normalizer": {"type": "Replace", "content": "", "pattern": {"String": ""}}"#,
      "normalizer Replace: expected a pattern, {\"Regex\": \"...\"} or {\"String\": \"...\"}"),
    Case(
      "pre-tokenizer",
      member: #""pre_tokenizer": {"type": "Punctuation"}"#,
      "pre_tokenizer 'Punctuation' is not supported; expected one of BertPreTokenizer, "
        + "ByteLevel, Digits, Metaspace, Sequence, Split, Whitespace, WhitespaceSplit"),
    Case(
      "split without a pattern",
      member: #""pre_tokenizer": {"type": "Split", "behavior": "Isolated"}"#,
      #"pre_tokenizer Split: expected a pattern, {"Regex": "..."} or {"String": "..."}"#),
    Case(
      "split with another behavior",
      member: #""pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "isolated"}"#,
      "pre_tokenizer Split: behavior 'isolated'; expected one of Isolated, Removed, MergedWithPrevious, MergedWithNext, "
        + "Contiguous"),
    Case(
      "pattern that is malformed",
      member: #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"}"#,
      "pre_tokenizer Split: '(a' is not a regular expression that is supported: missing ), unterminated subpattern at position 2"),
    Case(
      "pattern with an unknown property",
      member: #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{Han}"}, "behavior": "Isolated"}"#,
      #"pre_tokenizer Split: '\p{Han}' is not a regular expression that is supported: the property 'Han', which is not supported, "#
        + "at position 7"),
    Case(
      "pattern that takes nothing",
      member: #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a*"}, "behavior": "Isolated"}"#,
      "pre_tokenizer Split: 'a*' matches an empty text, which is not supported"),
    Case(
      "metaspace with another scheme",
      member: #""pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "last"}"#,
      "pre_tokenizer Metaspace: prepend_scheme 'last'; expected one of always, first, never"),
    Case(
      "strip without a number",
      member: #""decoder": {"type": "Strip", "content": " ", "start": -1, "stop": 0}"#,
      "decoder Strip: 'start' is not a whole number of at least 0"),
    Case(
      "nested pre-tokenizer",
      member: #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}]}"#,
      "pre_tokenizer Sequence: pre_tokenizer 'Punctuation' is not supported; expected one of "
        + "BertPreTokenizer, ByteLevel, Digits, Metaspace, Sequence, Split, Whitespace, WhitespaceSplit"),
    Case(
      "decoder",
      member: #""decoder": {"type": "CTC"}"#,
      "decoder 'CTC' is not supported; expected one of ByteFallback, ByteLevel, Fuse, "
        + "Metaspace, Replace, Sequence, Strip, WordPiece"),
    Case(
      "no type",
      member: #""decoder": {}"#,
      "decoder: 'type' is missing, expected a string"),
    Case(
      "special token with another id",
      member: #""post_processor": {"type": "RobertaProcessing", "cls": ["a", 1], "sep": ["b", 1]}"#,
      "post_processor RobertaProcessing: cls: token 'a' has id 1, but 0 in the vocabulary"),
    Case(
      "special token unknown",
      member: #""post_processor": {"type": "BertProcessing", "cls": ["c", 1], "sep": ["b", 1]}"#,
      "post_processor BertProcessing: cls: token 'c' is not in the vocabulary"),
    Case(
      "template",
      member:
        #""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "#
        + #""[CLS]", "type_id": 0}}], "pair": [], "special_tokens": {}}"#,
      "post_processor TemplateProcessing: single[0]: '[CLS]' is not among 'special_tokens'"),
    Case(
      "template id",
      member:
        #""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "#
        + #""x", "type_id": 0}}], "pair": [], "special_tokens": {"x": {"ids": [99999999999], "#
        + #""tokens": ["a"]}}}"#,
      "post_processor TemplateProcessing: single[0]: token 'a' has id 99999999999, but 0 in "
        + "the vocabulary"),
    Case(
      "template sequence",
      member:
        #""post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "C", "#
        + #""type_id": 0}}], "pair": []}"#,
      "post_processor TemplateProcessing: single[0]: sequence 'C', expected 'A' or 'B'"),
    Case(
      "added token with the id of another",
      member: #""added_tokens": [{"id": 1, "content": "<x>"}]"#,
      "added token '<x>' has id 1, which is token 'b'"),
    Case(
      "added token with another id",
      member: #""added_tokens": [{"id": 7, "content": "b"}]"#,
      "added token 'b' has id 7, but 1 in the vocabulary"),
    Case(
      "added tokens twice",
      member: #""added_tokens": [{"id": 7, "content": "x"}, {"id": 7, "content": "y"}]"#,
      "added_tokens: tokens 'x' and 'y' have the same id 7"),
    Case(
      "added token out of range",
      member: #""added_tokens": [{"id": 99999999999, "content": "x"}]"#,
      "added_tokens: token 'x' has id 99999999999, expected 0 to 16777216"),
    Case(
      "too many added tokens",
      member: "\"added_tokens\": [" + (0...100_000).map { "{\"id\": \($0), \"content\": \"t\($0)\"}" }.joined(separator: ",") + "]",
      "100001 added tokens, expected at most 100000"),
    Case(
      "long added token",
      member: "\"added_tokens\": [{\"id\": 7, \"content\": \"" + String(repeating: "x", count: 100_000) + "\"}]",
      "added token '" + String(repeating: "x", count: 200) + " ...' has 100000 bytes, expected at most 4096"),
    Case(
      "normalizer that grows",
      member: #""normalizer": {"type": "Sequence", "normalizers": ["#
        + [String](repeating: #"{"type": "Replace", "pattern": {"String": "e"}, "content": "eeeeeeeeee"}"#, count: 12)
        .joined(separator: ",") + "]}",
      "the replacements of the normalizer can make a text 1000000000000 times as long, expected at most 100 times"),
    Case(
      "decoder that grows",
      member: #""decoder": {"type": "Replace", "pattern": {"String": "e"}, "content": ""#
        + String(repeating: "e", count: 101) + "\"}",
      "the replacements of the decoder can make a text 101 times as long, expected at most 100 times"),
    Case(
      "added token empty",
      member: #""added_tokens": [{"id": 7, "content": ""}]"#,
      "added_tokens[0]: 'content' is empty"),
  ]

  @Test(arguments: cases)
  func isRefused(_ damaged: Case) throws {
    try withTemporaryFolder { folder in
      try write(damaged.files, to: folder)
      let error = #expect(throws: EngineError.self) { try Tokenizer.load(folder: folder) }
      #expect(
        error?.description.replacingOccurrences(of: folder, with: "FOLDER") == damaged.message)
    }
  }

  @Test func invalidUTF8() throws {
    try withTemporaryFolder { folder in
      try Data([0x5B, 0x55, 0x0A, 0xFF, 0xFE]).write(
        to: URL(fileURLWithPath: folder + "/vocab.txt"))
      let error = #expect(throws: EngineError.self) { try Tokenizer.load(folder: folder) }
      #expect(error?.description == "\(folder)/vocab.txt:2: invalid UTF-8; save the file as UTF-8")
    }
  }

  @Test func noFolder() throws {
    #expect(throws: EngineError(.file, "/no/such: no such folder")) {
      try Tokenizer.load(folder: "/no/such")
    }
  }

  /// Every prefix of a good file is refused, and none of them stops the program.
  @Test func everyPrefix() throws {
    let added = #"{"added_tokens": [{"id": 3, "content": "<\u00e9\ud83d\ude00>"}], "model": "#
    let text = Array((added + MalformedFileTests.small + "}").utf8)
    try withTemporaryFolder { folder in
      for length in 0..<text.count {
        try Data(text[..<length]).write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
        #expect(throws: EngineError.self) { try Tokenizer.load(folder: folder) }
      }
      try Data(text).write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
      #expect(try Tokenizer.load(folder: folder).encode("ab").ids == [2])
    }
  }

  @Test func readOnlyFolder() throws {
    let tokenizer = try BPETrainer.train(
      corpus: [], vocabularySize: 258, specialTokens: ["<s>", "</s>"])
    try withTemporaryFolder { folder in
      try write(["file": ""], to: folder)
      #expect(throws: EngineError.self) { try tokenizer.save(to: folder + "/file") }
    }
  }
}
