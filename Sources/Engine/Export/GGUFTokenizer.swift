import Checkpoints
import Diagnostics
import Files
import Tokenizers

/// A tokenizer in llama.cpp's words: byte-level BPE as its "gpt2", pieces with bytes for the rest as its "llama".
struct GGUFTokenizer {
  let facts: [(key: String, value: GGUFValue)]

  /// Types of tokens.
  private enum Kind: Int {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  /// How texts are cut before they are merged, by what llama.cpp calls it: "gpt-2" is ByteLevel's own pattern.
  private static let patterns = [
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#: "llama-bpe",
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#: "qwen2",
  ]

  /// - Parameter vocabulary: rows of the model's table of words; those without a token get names that nothing is read as.
  /// - Throws: `EngineError` for a tokenizer of which llama.cpp would make other tokens.
  init(_ tokenizer: Tokenizer, vocabulary: Int) throws {
    let json = tokenizer.json
    guard json["model"]?["type"] == "BPE" else { throw Self.unsupported("its model is \(json["model"]?["type"]?.excerpt() ?? "?"), not BPE") }
    guard tokenizer.vocabularySize <= vocabulary else {
      throw Self.unsupported("it has \(tokenizer.vocabularySize) tokens, and the model \(vocabulary) rows for them")
    }
    let merges = (json["model"]?["merges"]?.arrayValue ?? []).map { merge in
      merge.stringValue ?? (merge.arrayValue ?? []).compactMap(\.stringValue).joined(separator: " ")
    }
    let isPieces = json["model"]?["byte_fallback"] == .bool(true)
    var facts: [(key: String, value: GGUFValue)] = [("model", .string(isPieces ? "llama" : "gpt2"))]
    if isPieces {
      facts += [("pre", .string("default")), ("add_space_prefix", .bool(try Self.addsSpace(json)))]
      facts.append(("scores", .float32s(try Self.scores(tokenizer, merges, vocabulary))))
    } else {
      facts += [("pre", .string(try Self.preTokenizer(json))), ("merges", .strings(merges))]
    }
    let added = Dictionary(
      (json["added_tokens"]?.arrayValue ?? []).compactMap { token in
        token["id"]?.intValue.map { ($0, token["special"] == .bool(true) ? Kind.control : .userDefined) }
      }, uniquingKeysWith: { first, _ in first })
    let tokens = (0..<vocabulary).map { tokenizer.token(of: Int32($0)) }
    let kinds = tokens.enumerated().map { id, token -> Kind in
      guard let token else { return .unused }
      if isPieces, Int32(id) == tokenizer.unkTokenId { return .unknown }
      return added[id] ?? (isPieces && token.wholeMatch(of: #/<0x[0-9A-F]{2}>/#) != nil ? .byte : .normal)
    }
    facts += [
      ("tokens", .strings(tokens.enumerated().map { $1 ?? "[PAD\($0)]" })), ("token_type", .int32s(kinds.map(\.rawValue))),
    ]
    let ids = [
      ("bos", tokenizer.bosTokenId), ("eos", tokenizer.eosTokenId), ("unknown", tokenizer.unkTokenId), ("padding", tokenizer.padTokenId),
    ]
    for case (let name, let id?) in ids { facts.append(("\(name)_token_id", .uint32(Int(id)))) }
    let around = try tokenizer.encode("").ids
    let (begins, ends) = (around.first.map { $0 == tokenizer.bosTokenId } ?? false, around.last.map { $0 == tokenizer.eosTokenId } ?? false)
    guard around.count == [begins, ends].count(where: \.self) else { throw Self.unsupported("it puts \(around.count) tokens around a text") }
    facts += [("add_bos_token", .bool(begins)), ("add_eos_token", .bool(ends))]
    self.facts =
      facts.map { ("tokenizer.ggml." + $0.key, $0.value) }
      + (tokenizer.configuration["chat_template"]?.stringValue.map { [("tokenizer.chat_template", .string($0))] } ?? [])
  }

  /// llama.cpp's name for how byte-level BPE cuts a text.
  private static func preTokenizer(_ json: JSONValue) throws -> String {
    let whole = json["pre_tokenizer"] ?? .null
    let steps = whole["pretokenizers"]?.arrayValue ?? [whole]
    let types = steps.map { $0["type"]?.stringValue ?? "?" }
    guard let last = steps.last, types.last == "ByteLevel", last["add_prefix_space"] != .bool(true) else {
      throw unsupported("it cuts texts by \(types.joined(separator: ", "))")
    }
    let hasPattern = last["use_regex"] != .bool(false)
    let name: String? =
      switch Array(types.dropLast()) {
      case [] where hasPattern: "gpt-2"
      case ["Digits"] where hasPattern && steps[0]["individual_digits"] == .bool(true): "smollm"
      case ["Split"] where !hasPattern && steps[0]["behavior"] == "Isolated": steps[0]["pattern"]?["Regex"]?.stringValue.flatMap { patterns[$0] }
      default: nil
      }
    guard let name else { throw unsupported("it cuts texts by \(types.joined(separator: ", ")) with a pattern that llama.cpp has no name for") }
    // Qwen's composed letters are what llama.cpp reads as they come.
    let normalizer = json["normalizer"] ?? .null
    guard normalizer == .null || name == "qwen2" && normalizer["type"] == "NFC" else { throw unsupported("it changes texts before it cuts them") }
    guard (json["model"]?["ignore_merges"] == .bool(true)) == (name == "llama-bpe") else {
      throw unsupported("ignore_merges is not what llama.cpp's '\(name)' does")
    }
    return name
  }

  /// Whether pieces begin with a space that the text has not.
  private static func addsSpace(_ json: JSONValue) throws -> Bool {
    let (normalizer, cut) = (json["normalizer"] ?? .null, json["pre_tokenizer"] ?? .null)
    let steps = normalizer["normalizers"]?.arrayValue ?? (normalizer == .null ? [] : [normalizer])
    if cut["type"] == "Metaspace", steps.isEmpty, cut["split"] == .bool(false) { return cut["prepend_scheme"] != "never" }
    let replaces = steps.contains { $0["type"] == "Replace" && $0["pattern"]?["String"] == " " && $0["content"] == "▁" }
    let prepends = steps.contains { $0["type"] == "Prepend" && $0["prepend"] == "▁" }
    guard cut == .null, replaces, steps.count == (prepends ? 2 : 1) else { throw unsupported("it changes texts before it cuts them") }
    return prepends
  }

  /// The scores by which llama.cpp merges pieces: the earlier a merge, the higher that of its result.
  private static func scores(_ tokenizer: Tokenizer, _ merges: [String], _ vocabulary: Int) throws -> [Float] {
    var scores = [Float](repeating: 0, count: vocabulary)
    var last: Int32?
    var seen: Set<Int32> = []
    for (rank, merge) in merges.enumerated() {
      guard let id = tokenizer.id(of: merge.replacing(" ", with: "", maxReplacements: 1)) else { continue }
      // Several merges may give one piece, if nothing comes between them.
      guard id == last || seen.insert(id).inserted else { throw unsupported("a piece comes from merges of different ranks") }
      if id != last { scores[Int(id)] = -Float(rank) }
      last = id
    }
    return scores
  }

  private static func unsupported(_ message: String) -> EngineError {
    EngineError(.argument, "gguf: llama.cpp would make other tokens than this tokenizer: \(message)", hint: "take --to merged")
  }
}
