import Diagnostics
import LuaHost
import Metrics

/// Options of a metric of texts, and of its confidence interval.
struct TextMetricOptions<Scorer: TextScorer>: LuaRecord {
  var scorer = Scorer()
  var bootstrap: Int?
  var seed = Int(BootstrapOptions.defaultSeed)

  static var recordName: String { Scorer.recordName }
  static var typeName: String { "\(Scorer.self)Options" }
  static var fields: [Field<Self>] {
    Field.fields(of: \.scorer) + [
      .int("bootstrap", \.bootstrap, "draw so many corpora from the segments, for a confidence interval", in: 2...1_000_000),
      .int("seed", \.seed, "where the draws begin; sacreBLEU's is 12345", in: 0...),
    ]
  }

  func validate() throws(EngineError) { try scorer.validate() }
}

/// References as scripts give them: one text, or a list of texts, for each segment.
struct TextReferences: LuaArgument {
  let lists: [[String]]

  private struct One: LuaArgument {
    let texts: [String]

    static var luaType: LuaType { LuaType("string|string[]") }
    static var expectedWord: String { "text, or list of texts," }

    static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> One {
      One(texts: stack.isTable(at: index) ? try [String].read(stack, at: index) : [try String.read(stack, at: index)])
    }
  }

  static var luaType: LuaType { LuaType("(\(One.luaType.name))[]") }
  static var expectedWord: String { "a list of texts, or of lists of texts" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> TextReferences {
    let segments: [One] = try stack.several(at: index, expected: expectedWord)
    return TextReferences(lists: segments.map(\.texts))
  }
}

/// A metric of texts as scripts get it.
struct TextMetricResult: LuaResult {
  let report: TextReport

  static var luaType: LuaType {
    LuaType(
      "TextScore",
      definition: .shape(
        LuaType.TableShape(
          "TextScore", "How texts compare with references.",
          fields: [
            ("score", "number", "the metric"),
            ("parts", "table<string, number>", "what it is made of, such as precision and recall"),
            ("low", "number?", "with bootstrap: the value that 2.5 % of the drawn corpora lie below"),
            ("high", "number?", "with bootstrap: the value that 2.5 % of the drawn corpora lie above"),
            ("mean", "number?", "with bootstrap: the mean over the drawn corpora"),
            ("remarks", "string[]", "what there is to know about how it was computed"),
          ])))
  }

  func push(onto stack: LuaStack) throws -> Int32 {
    let parts = report.score.parts.map { ($0.name, LuaValue.number($0.value)) }
    var fields: [String: LuaValue] = [
      "score": .number(report.score.value), "parts": .table(LuaTable(fields: Dictionary(uniqueKeysWithValues: parts))),
      "remarks": .table(LuaTable(list: report.remarks.map { .string($0) })),
    ]
    if let interval = report.interval {
      fields["low"] = .number(interval.low)
      fields["high"] = .number(interval.high)
      fields["mean"] = .number(interval.mean)
    }
    return try LuaTable(fields: fields).push(onto: stack)
  }
}

/// The function of a metric of texts in the module `metrics`.
func textMetricFunction<Scorer: TextScorer>(_ metric: Metric, _ scorer: Scorer) -> Function {
  Function(
    metric.name, metric.doc, Param<[String]>("hypotheses", "the texts to score"),
    Param<TextReferences>("references", "for each of them a text, or a list of texts"),
    Param<TextMetricOptions<Scorer>>("options", "see the fields"), returns: "the score, and what it is made of"
  ) { hypotheses, references, options in
    let texts = try ScoredTexts(hypotheses: hypotheses, references: references.lists)
    let bootstrap = options.bootstrap.map { BootstrapOptions(resamples: $0, seed: UInt64(options.seed)) }
    return TextMetricResult(report: try metric.score(texts, with: scorer.with(options: options.scorer), bootstrap: bootstrap))
  }
}
