import Diagnostics
import Files

/// Texts to learn a language from: a text file with one example a line, or columns of a table.
public struct TextTask: Sendable {
  /// What holds the texts of an example.
  public enum Columns: Sendable {
    /// The lines of a text file. With `hasPairs`, a tab separates the two texts of a pair.
    case lines(hasPairs: Bool)
    /// One column of a table.
    case text(String)
    /// Two columns: what is given, and what should follow.
    case completion(prompt: String, completion: String)
  }

  /// The training file, or "builtin:corpus".
  public var train: String
  /// What is evaluated on; nil: nothing, or the corpus's own.
  public var validation: String?
  public var columns: Columns
  /// The format of tables; nil tells each file's by its extension.
  public var format: TableFormat?
  /// Put in front of each example's first text.
  public var prefix = ""
  /// How many examples to keep; default all.
  public var limit = RowLimit()

  public init(train: String, validation: String? = nil, columns: Columns) {
    (self.train, self.validation, self.columns) = (train, validation, columns)
  }

  /// Reads the files. Throws for missing files and columns, and for rows that cannot be read, the latter with file and line.
  public func read(name: String, metrics: [String]) throws -> TaskDefinition {
    try limit.validate()
    guard !train.hasPrefix("builtin:") else { return try corpus(metrics) }
    var skipped: [SkippedRows] = []
    func split(_ path: String, _ name: String, _ count: Int?) throws -> Split {
      Split(name: name, path: path, examples: RowLimit.keep(count, of: try examples(path, &skipped), seed: limit.seed))
    }
    let train = try split(train, "train", limit.train)
    let evaluation = try validation.map { [try split($0, "validation", limit.evaluation)] } ?? []
    return TaskDefinition(
      name: name, labels: nil, metricNames: metrics, metricForBestModel: metrics.first ?? "loss", train: train, evaluation: evaluation,
      skippedRows: skipped)
  }

  /// Rows with nothing to learn are left out, and counted: a model would learn to say nothing.
  private func examples(_ path: String, _ skipped: inout [SkippedRows]) throws -> [Example] {
    let names: [String]
    switch columns {
    case .lines(let hasPairs): return try lines(path, hasPairs: hasPairs)
    case .text(let column): names = [column]
    case .completion(let prompt, let completion): names = [prompt, completion]
    }
    guard Set(names).count == names.count else {
      throw EngineError(.argument, "prompt and completion columns: expected different columns, got \(listing(names))")
    }
    let examples = try readRows(path, format: format ?? TableFormat(path: path), columns: .named(names)).map { row in
      switch row.content {
      case .malformed(let problem): throw malformed(problem, row, path)
      case .values(let values): Example([prefix + values[0]], target: values.count > 1 ? .texts([values[1]]) : .none, line: row.line)
      }
    }
    func isEmpty(_ example: Example) -> Bool { example.texts.last?.allSatisfy(\.isWhitespace) ?? true }
    let kept = examples.filter { !isEmpty($0) }
    let reason = "column '\(names[names.count - 1])' is empty"
    guard !kept.isEmpty else { throw EngineError(.data, "\(path): \(reason) in all \(examples.count) rows") }
    if let first = examples.first(where: isEmpty) {
      skipped.append(SkippedRows(path: path, reason: reason, count: examples.count - kept.count, firstLine: first.line))
    }
    return kept
  }

  private func lines(_ path: String, hasPairs: Bool) throws -> [Example] {
    let examples = try linesOfText(path).compactMap { number, line -> Example? in
      let texts = hasPairs ? line.split(separator: "\t", maxSplits: 1).map(String.init) : [line]
      return texts.first?.contains { !$0.isWhitespace } == true ? Example(texts, line: number) : nil
    }
    guard !examples.isEmpty else { throw EngineError(.data, "\(path): no text in it") }
    return examples
  }

  private static let corpusName = "builtin:corpus"

  /// The generated corpus, with the columns "text" and "text_pair"; as a text, the second follows the first where pairs are not wanted.
  private func corpus(_ metrics: [String]) throws -> TaskDefinition {
    guard train == Self.corpusName else {
      throw EngineError(.argument, "\(train): no such built-in text", hint: suggestion(for: train, among: [Self.corpusName]))
    }
    guard validation == nil else {
      throw EngineError(.argument, "\(train) has a validation set of its own", hint: "leave validation_file out")
    }
    func split(_ part: String, seed: UInt64, count: Int, _ limit: Int?) throws -> Split {
      let pairs = BuiltIn.corpus(seed: seed, count: min(count, limit ?? count)).enumerated()
      return Split(name: part, path: "\(train) \(part)", examples: try pairs.map { try corpusExample([$1.text, $1.textPair ?? ""], line: $0 + 1) })
    }
    return TaskDefinition(
      name: train, labels: nil, metricNames: metrics, metricForBestModel: metrics.first ?? "loss",
      train: try split("train", seed: 1, count: 40_000, limit.train), evaluation: [try split("dev", seed: 2, count: 500, limit.evaluation)])
  }

  private func corpusExample(_ pair: [String], line: Int) throws -> Example {
    let names = ["text", "text_pair"]
    func text(_ column: String) throws -> String {
      if let place = names.firstIndex(of: column) { return pair[place] }
      throw EngineError(.argument, "\(train): no column '\(column)' (columns: \(listing(names)))", hint: suggestion(for: column, among: names))
    }
    return switch columns {
    case .lines(hasPairs: true): Example(pair, line: line)
    case .lines(hasPairs: false): Example([pair.joined(separator: " ")], line: line)
    case .text(let column): Example([try text(column)], line: line)
    case .completion(let prompt, let completion): Example([prefix + (try text(prompt))], target: .texts([try text(completion)]), line: line)
    }
  }
}
