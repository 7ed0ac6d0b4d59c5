import Datasets
import Diagnostics
import Files
import Generation
import Tasks
import Training

/// What a model says about the rows of a file, each written back with columns of answers.
package struct FilePrediction {
  /// Rows that are answered, and written, together.
  private static let rowsAtATime = 256

  private let file: RecordFile
  private let path: String
  /// Of some rows, the first of which has this place.
  private let answer: ([RecordFile.Record], _ first: Int) throws -> [[Cell]]
  private let added: [String]

  /// A value of a new column.
  enum Cell {
    case text(String)
    case number(Double)
    case numbers([(name: String, value: Double)])
    case vector([Float])
  }

  /// - Parameters:
  ///   - generation: of a model that writes text; nil: none was given.
  ///   - maxLength: tokens of a row at most, for a model that classifies.
  ///   - onText: told of every row that a model has written for, of all of the file's.
  /// - Throws: `EngineError` for a file that has one of the new columns already, and where its columns do not fit the model.
  package init(
    _ model: TrainableModel, _ file: RecordFile, path: String, generation: GenerationOptions?, maxLength: Int, seed: Int,
    onText: @escaping TextObserver = { _, _, _ in }
  ) throws {
    (self.file, self.path) = (file, path)
    if model.type is any SequenceTaskType {
      guard generation == nil else {
        throw EngineError(.argument, "--set: the model classifies texts, and has no options of generation", hint: "leave --set out")
      }
      let predictor = try Predictor(model, maxLength: maxLength)
      guard file.columns.count <= 2 else { throw EngineError(.argument, "\(path): \(file.columns.count) columns of text, expected one or two") }
      added = model.type is Regression ? ["prediction"] : ["prediction", "score", "probabilities"]
      answer = { records, _ in
        try predictor.predictions(for: records.map { Predictor.Input($0.values[...]) }).map {
          switch $0 {
          case .score(let score): [.number(score)]
          case .label(let label, let index, let probabilities):
            [.text(label), .number(probabilities[index]), .numbers(Array(zip(predictor.labels, probabilities)))]
          }
        }
      }
    } else {
      guard (type(of: model.type) as? any LanguageTaskType.Type)?.kind != .masked else {
        throw EngineError(
          .argument, "the model is \(model.type.name): it fills masked tokens in, and answers no texts",
          hint: "predict with a classifier, or with a model that writes")
      }
      guard file.columns.count == 1 else {
        throw EngineError(.argument, "\(path): \(file.columns.count) columns of text, but the model continues one", hint: "name it with --text")
      }
      let options = try generation ?? GenerationOptions(settings: [])
      guard options.numReturnSequences == 1 else {
        throw EngineError(.argument, "num_return_sequences is \(options.numReturnSequences), but a row has one prediction", hint: "leave it out")
      }
      let generator = try TextGenerator(model.network, model.tokenizer, options, seed: UInt64(seed))
      let prompts = try generator.encoded(file.records.map { $0.values[0] })
      added = ["prediction"]
      var tokens = 0
      // Draws depend on the row's place in the file.
      answer = { records, first in
        let places = first..<first + records.count
        var done = first
        let results = try generator.generate(tokens: Array(prompts[places]), numbers: Array(places)) { _, texts in
          (done, tokens) = (done + 1, tokens + texts.reduce(0) { $0 + $1.tokens.count })
          onText(done, prompts.count, tokens)
        }
        return results.map { [.text($0.first?.text ?? "")] }
      }
    }
    try requireNewColumns()
  }

  /// The rows with the vectors of their texts. Throws as the one above.
  package init(_ embedder: Embedder, _ file: RecordFile, path: String) throws {
    (self.file, self.path, added) = (file, path, ["embedding"])
    answer = { records, _ in
      let result = try embedder.embeddings(of: records.map { $0.values[0] })
      return records.indices.map { [.vector(result.vector($0))] }
    }
    try requireNewColumns()
  }

  private func requireNewColumns() throws {
    guard let twice = added.first(where: file.names.contains) else { return }
    throw EngineError(.data, "\(path): it has a column '\(twice)' already", hint: "rename that column")
  }

  /// Rows of the file.
  package var count: Int { file.records.count }

  /// Answers the rows from `first` on.
  ///
  /// - Parameter write: called with lines, their line ends included, and the number of rows that are done with them.
  package func run(from first: Int = 0, write: (String, Int) throws -> Void) throws {
    if first == 0, let header = header { try write(header + "\n", 0) }
    for start in stride(from: first, to: count, by: Self.rowsAtATime) {
      try Interrupt.check()
      let records = Array(file.records[start..<min(start + Self.rowsAtATime, count)])
      let lines = try zip(records, answer(records, start)).map { try line($0, $1) }
      try write(lines.joined(separator: "\n") + "\n", start + records.count)
    }
  }

  private var header: String? {
    file.header.map { $0 + (file.format == .csv ? "," : "\t") + added.joined(separator: file.format == .csv ? "," : "\t") }
  }

  private func line(_ record: RecordFile.Record, _ cells: [Cell]) throws -> String {
    switch file.format {
    case .tsv: return ([String(record.source)] + cells.map { Self.escaped($0.plain) }).joined(separator: "\t")
    case .csv: return ([String(record.source)] + cells.map { Self.quoted($0.plain) }).joined(separator: ",")
    case nil: return Self.object([("text", .string(record.values[0]))] + members(cells))
    case .jsonl:
      // The row as it stands, with more behind it: no number in it is written another way.
      let end = record.source.lastIndex(of: "}") ?? record.source.endIndex
      return record.source[..<end] + "," + Self.object(members(cells)).dropFirst()
    }
  }

  private func members(_ cells: [Cell]) -> [(String, JSONValue)] { zip(added, cells.map(\.json)).map { ($0, $1) } }

  private static func object(_ members: [(String, JSONValue)]) -> String { JSONValue.object(JSONObject(members)).encoded(.line) }

  /// A field of a table without quotes: tabs, line ends and backslashes are written as in C.
  private static func escaped(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\t", with: "\\t").replacing("\r\n", with: "\\r\\n").replacing("\n", with: "\\n")
      .replacing("\r", with: "\\r")
  }

  /// A field as RFC 4180 has it.
  private static func quoted(_ text: String) -> String {
    guard text.utf8.contains(where: { [10, 13, 34, 44].contains($0) }) else { return text }
    return "\"" + text.replacing("\"", with: "\"\"") + "\""
  }
}

extension FilePrediction.Cell {
  /// Numbers with six digits behind the point, of which zeros at the end are left out; those of vectors with all their digits.
  fileprivate var json: JSONValue {
    switch self {
    case .text(let text): .string(text)
    case .number(let number): .double(Self.rounded(number))
    case .numbers(let numbers): .object(JSONObject(numbers.map { ($0.name, .double(Self.rounded($0.value))) }))
    // The shortest number that is the same in float32.
    case .vector(let numbers): .array(numbers.map { .double(Double($0.description) ?? Double($0)) })
    }
  }

  /// As a field of a table.
  fileprivate var plain: String {
    switch self {
    case .text(let text): text
    case .number, .numbers, .vector: json.encoded(.line)
    }
  }

  private static func rounded(_ number: Double) -> Double { (number * 1e6).rounded() / 1e6 }
}
