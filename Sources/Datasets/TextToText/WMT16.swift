import Diagnostics
import Files

/// English to Romanian: the news translation task of WMT 2016 (Bojar and others 2016), with the words in front that T5 knows it by.
///
/// A name without an ending is two files with a sentence a line, `dev.en` and `dev.ro`; `.tsv` has English, a tab and Romanian, without a
/// header; `.jsonl` has the rows of the Hugging Face hub, `{"translation": {"en": ..., "ro": ...}}`.
public struct WMT16: TextToText {
  public var options = TextToTextOptions()

  public init() {}

  public static let name = "wmt16_en_ro"
  public static let summary =
    "WMT 2016, English to Romanian: a translation for a sentence; files: train, dev and test, each with .en and .ro, or .tsv or .jsonl files."
  public static let builtInName = "builtin:translation"
  public static let metrics = ["sacrebleu", "rouge1", "rouge2", "rougeL"]
  public static let usualType = WritingType.seq2seqLM
  public static let prefix = "translate English to Romanian: "
  public static let fields: [Field<Self>] = Field.fields(of: \.options)

  public static func files(_ part: DataPart) -> [String] {
    switch part {
    case .train: ["train"]
    case .validation: ["dev"]
    case .test: ["test"]
    }
  }

  public func examples(of path: String, _ part: DataPart) throws -> [Example] {
    switch FilePath.fileExtension(of: path) {
    case "tsv":
      return try linesOfText(path).map { number, line in
        let texts = line.split(separator: "\t", omittingEmptySubsequences: false)
        guard texts.count == 2 else {
          throw EngineError(.data, "\(path):\(number): \(texts.count) tab-separated texts, expected 2, English and Romanian")
        }
        return example(String(texts[0]), String(texts[1]), number)
      }
    case "jsonl":
      return try linesOfText(path).map { number, line in
        let pair = try JSONValue(parsing: line, source: "\(path):\(number)")["translation"]
        guard let english = pair?["en"]?.stringValue, let romanian = pair?["ro"]?.stringValue else {
          throw EngineError(.data, "\(path):\(number): expected {\"translation\": {\"en\": ..., \"ro\": ...}}, got '\(excerpt(line))'")
        }
        return example(english, romanian, number)
      }
    default: return try aligned(path)
    }
  }

  public func builtIn(_ part: DataPart) -> [Example] {
    BuiltIn.translations(part).enumerated().map { example($1.english, $1.romanian, $0 + 1) }
  }

  /// Lines that are empty in one of the files, or in both, have no usable text.
  private func aligned(_ path: String) throws -> [Example] {
    let (english, romanian) = (try linesOfText(path + ".en"), try linesOfText(path + ".ro"))
    let (last, other) = (english.last?.number ?? 0, romanian.last?.number ?? 0)
    guard last == other else {
      throw EngineError(.data, "\(path).en has \(last) lines, \(path).ro has \(other), expected a translation for each line")
    }
    let translations = Dictionary(romanian.map { ($0.number, $0.text) }) { first, _ in first }
    return english.map { example($0.text, translations[$0.number] ?? "", $0.number) }
  }

  private func example(_ english: String, _ romanian: String, _ line: Int) -> Example {
    let isUsable = [english, romanian].allSatisfy { $0.contains { !$0.isWhitespace } }
    return Example([english], target: .texts(isUsable ? [romanian] : []), line: line)
  }
}
