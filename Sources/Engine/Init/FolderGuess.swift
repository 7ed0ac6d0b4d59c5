import Checkpoints
import Datasets
import Diagnostics
import Files
import Tasks
import TransformerModels

/// What the files of a folder suggest: which data is to be learnt from, as which task, and with which model.
struct FolderGuess {
  /// What is to be learnt.
  enum Task {
    /// Classes, or a score.
    case labels(text: String, pair: String?, label: String, isScore: Bool)
    /// A text for each prompt.
    case completions(prompt: String, completion: String)
    /// Texts themselves.
    case texts
  }

  let train: String
  let validation: String?
  let task: Task
  /// Rows of the training file.
  let rows: Int
  /// A model's folder, and what its tokens see of each other; nil: there is none.
  let model: (path: String, kind: any LanguageTaskType.Type)?

  private static let endings = ["csv", "tsv", "jsonl", "txt"]
  private static let labels = ["label", "labels", "gold_label", "class", "category", "target", "score", "stars", "rating", "sentiment", "y"]
  private static let pairs = [("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence")]
  private static let completions = [
    ("prompt", "completion"), ("input", "output"), ("instruction", "output"), ("mr", "ref"), ("source", "target"), ("document", "summary"),
    ("question", "answer"),
  ]

  /// - Throws: `EngineError` (`.data`) where the files suggest nothing, or several things.
  init(_ folder: String) throws {
    let names = try AtomicFolder.names(in: folder).filter { !$0.hasPrefix(".") }.sorted()
    let data = names.filter { Self.endings.contains(FilePath.fileExtension(of: $0)) }
    let held = data.filter { name in ["dev", "val", "eval", "test"].contains { name.lowercased().contains($0) } }
    let others = data.filter { !held.contains($0) }
    guard let train = others.first(where: { $0.lowercased().contains("train") }) ?? (others.count == 1 ? others[0] : nil) else {
      throw EngineError(
        .data,
        others.isEmpty
          ? "\(folder): no data to learn from: expected a .csv, .tsv, .jsonl or .txt file"
          : "\(folder): which of \(others.joined(separator: ", ")) is to be learnt from?",
        hint: others.isEmpty ? nil : "call it train.\(FilePath.fileExtension(of: others[0]))")
    }
    (self.train, model) = (train, try Self.model(in: folder, names))
    let ending = FilePath.fileExtension(of: train)
    let fitting = held.filter { FilePath.fileExtension(of: $0) == ending }
    validation = fitting.first { !$0.lowercased().contains("test") } ?? fitting.first
    let path = FilePath.join(folder, train)
    let content = try readText(path)
    guard let format = ending == "txt" ? nil : try TableFormat(path: path) else {
      (task, rows) = (.texts, content.split(separator: "\n").count)
      return
    }
    let columns = try RecordFile.columnNames(content, path: path, format: format)
    let records = try RecordFile(content, path: path, format: format, columns: columns).records.map(\.values)
    rows = records.count
    task = try Self.task(columns, records, path)
  }

  private static func task(_ columns: [String], _ records: [[String]], _ path: String) throws -> Task {
    func values(_ column: String) -> [String] { columns.firstIndex(of: column).map { place in records.map { $0[place] } } ?? [] }
    if let (prompt, completion) = completions.first(where: { columns.contains($0.0) && columns.contains($0.1) }) {
      return .completions(prompt: prompt, completion: completion)
    }
    let pair = pairs.first { columns.contains($0.0) && columns.contains($0.1) }
    let rest = columns.filter { $0 != pair?.0 && $0 != pair?.1 }
    let known = labels.first(where: rest.contains)
    // Else what has few values beside many rows.
    let few = rest.filter { Set(values($0)).count <= max(2, records.count / 3) }.min { Set(values($0)).count < Set(values($1)).count }
    guard let label = known ?? few, let text = pair?.0 ?? rest.filter({ $0 != label }).max(by: { length(values($0)) < length(values($1)) }) else {
      throw EngineError(
        .data, "\(path): which column is the label? The columns are \(columns.joined(separator: ", "))",
        hint: "call it label, or the columns of a text that is to be written prompt and completion")
    }
    let numbers = values(label).map { Double($0) }
    let isScore = numbers.allSatisfy { $0 != nil } && numbers.contains { $0?.rounded() != $0 }
    return .labels(text: text, pair: pair?.1, label: label, isScore: isScore)
  }

  private static func length(_ texts: [String]) -> Int { texts.reduce(0) { $0 + $1.utf8.count } }

  /// The first model's folder there, or in `models`.
  private static func model(in folder: String, _ names: [String]) throws -> (path: String, kind: any LanguageTaskType.Type)? {
    let inModels = ((try? AtomicFolder.names(in: FilePath.join(folder, "models"))) ?? []).sorted().map { "models/" + $0 }
    guard let path = (names + inModels).first(where: { fileExists(FilePath.join(folder, $0) + "/config.json") }) else { return nil }
    let config = try HuggingFaceConfig(folder: FilePath.join(folder, path))
    guard let kind = try TaskTypeCatalogue.languageTypes(of: ModelCatalogue.architecture(of: config), config).first else { return nil }
    return (path, kind)
  }
}
