import Diagnostics
import Engine
import LuaHost
import Metrics
import Tokenizers

extension Tokenizer: LuaObject {
  public static var luaName: String { "Tokenizer" }
}

/// Options of encoding.
struct EncodeOptions: LuaRecord {
  var pair: String?
  var maxLength: Int?
  var addSpecialTokens = true

  static let recordName = "encode options"
  static let fields: [Field<Self>] = [
    .value("pair", \.pair, "second text of a pair"),
    .int("max_length", \.maxLength, "truncate to so many tokens, longest text first", in: 1...),
    .value("add_special_tokens", \.addSpecialTokens, "whether to add the tokens that the model expects"),
  ]
}

/// Options of `tokenizers.train`.
struct TokenizerTrainingOptions: LuaRecord {
  var vocabSize = 0
  var specialTokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]

  static let recordName = "tokenizer training options"
  static let fields: [Field<Self>] = [
    .int("vocab_size", \.vocabSize, "number of tokens; there are fewer where the texts have no more pairs to merge", in: 1..., required: true),
    .value("special_tokens", \.specialTokens, "take the first ids; at least <s>, which begins a text, and </s>, which ends it"),
  ]
}

func tokenizersModule(_ session: Session) -> Module {
  Module(
    "tokenizers", "Text to token ids and back.",
    classes: [
      Class<Tokenizer>(
        "A tokenizer of a model.",
        .property("vocab_size", "number of tokens") { $0.vocabularySize },
        .method(
          "encode", "Token ids of a text.", Param<String>("text", "any text"), Param<EncodeOptions>("options", "see the fields"),
          returns: "table: input_ids, token_type_ids, special_tokens_mask"
        ) {
          tokenizer, text, options in
          let encoding = try tokenizer.encode(
            text, pair: options.pair, addSpecialTokens: options.addSpecialTokens, maxLength: options.maxLength)
          func list(_ values: some Sequence<some BinaryInteger>) -> LuaValue { .table(LuaTable(list: values.map { .integer(Int($0)) })) }
          return LuaTable(fields: [
            "input_ids": list(encoding.ids), "token_type_ids": list(encoding.tokenTypeIds),
            "special_tokens_mask": list(encoding.specialTokensMask),
          ])
        },
        chatTemplateMethod(),
        .method("tokenize", "Tokens of a text, without special ones.", Param<String>("text", "any text"), returns: "list of tokens") {
          $0.tokenize($1)
        },
        .method(
          "decode", "Text of token ids.", Param<[Int]>("ids", "token ids"),
          Param<Bool>("skip_special_tokens", "whether to leave special tokens out", default: true), returns: "text"
        ) {
          tokenizer, ids, skip in try tokenizer.decode(ids.map { Int32(truncatingIfNeeded: $0) }, skipSpecialTokens: skip)
        },
        .method("token_to_id", "The id of a token.", Param<String>("token", "the token"), returns: "id, or nil") { $0.id(of: $1).map(Int.init) },
        .method("id_to_token", "The token of an id.", Param<Int>("id", "the id"), returns: "token, or nil") { tokenizer, id in
          Int32(exactly: id).flatMap { tokenizer.token(of: $0) }
        },
        .metamethod("__tostring", "size", Param<Tokenizer>("tokenizer", "a tokenizer")) { "Tokenizer(\($0.vocabularySize) tokens)" }
      ).declaration
    ],
    functions: [
      Function(
        "load", "Reads tokenizer.json, vocab.txt, vocab.json with merges.txt, spiece.model, or tokenizer.model.",
        Param<String>("folder", "the model's folder"),
        returns: "tokenizer"
      ) {
        try Tokenizer.load(folder: $0)
      },
      Function(
        "train", "Learns a byte-level BPE tokenizer from a task's training texts, always the same one from the same texts.",
        Param<Task>("task", "whose training texts, completions included, to learn from"),
        Param<TokenizerTrainingOptions>("options", "see the fields"), returns: "tokenizer"
      ) { task, options in
        try BPETrainer.train(
          corpus: task.task.train.examples.flatMap(\.texts), vocabularySize: options.vocabSize, specialTokens: options.specialTokens)
      },
    ])
}

func metricsModule() -> Module {
  Module(
    "metrics", "Metrics of classification and regression, and of texts against references.",
    functions: MetricCatalogue.metrics.filter { !$0.readsLoss }.map { metric in
      if let scorer = metric.textScorer { return textMetricFunction(metric, scorer) }
      return Function(
        metric.name, metric.doc, Param<[Double]>("predictions", "class indices, or scores"),
        Param<[Double]>("references", "the right ones"), returns: "the metric"
      ) { predictions, references in try metric(predictions: predictions, references: references) }
    } + [
      Function(
        "greater_is_better", "Whether more of a metric is better.",
        Param<String>("name", "a metric, \"loss\", \"perplexity\" or \"combined\", also with \"eval_\" in front or an evaluation set's suffix"),
        returns: "true or false; nil for a name that is not known"
      ) { MetricCatalogue.greaterIsBetter($0) }
    ])
}
