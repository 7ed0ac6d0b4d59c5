import Diagnostics

/// One-sentence summaries of articles: XSum (Narayan and others 2018), as JSON lines with `document` and `summary`.
public struct XSum: TextToText {
  public var options = TextToTextOptions()

  public init() {}

  public static let name = "xsum"
  public static let summary = "XSum: a summary of one sentence for an article; files: train.jsonl, dev.jsonl and test.jsonl."
  public static let builtInName = "builtin:summary"
  public static let metrics = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
  public static let usualType = WritingType.seq2seqLM
  public static let fields: [Field<Self>] = Field.fields(of: \.options)

  public static func files(_ part: DataPart) -> [String] {
    switch part {
    case .train: ["train.jsonl"]
    case .validation: ["dev.jsonl"]
    case .test: ["test.jsonl"]
    }
  }

  public func examples(of path: String, _ part: DataPart) throws -> [Example] {
    try readRows(path, format: .jsonl, columns: .named(["document", "summary"])).map { row in
      switch row.content {
      case .malformed(let problem): throw malformed(problem, row, path)
      case .values(let values): Example([values[0]], target: .texts(values[1].allSatisfy(\.isWhitespace) ? [] : [values[1]]), line: row.line)
      }
    }
  }

  public func builtIn(_ part: DataPart) -> [Example] {
    BuiltIn.summaries(part).enumerated().map { Example([$1.document], target: .texts([$1.summary]), line: $0 + 1) }
  }
}
