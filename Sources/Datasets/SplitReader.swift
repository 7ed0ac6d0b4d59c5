import Diagnostics
import Foundation

/// Turns the rows of files into splits: columns are text, text pair if the task has pairs, and
/// label, in this order.
struct SplitReader {
  let hasPairs: Bool
  let labels: LabelRule
  /// Leave malformed rows out and count them, instead of refusing the file.
  var skipsMalformedRows = false

  /// The split of rows already read, and what was left out.
  func split(
    named name: String, suffix: String? = nil, path: String, rows: [Row], limit: Int?, seed: UInt64
  ) throws -> (split: Split, skipped: [SkippedRows]) {
    var skipped: [SkippedRows] = []
    func skip(_ row: Row, _ reason: String) {
      if let index = skipped.firstIndex(where: { $0.reason == reason }) {
        skipped[index].count += 1
      } else {
        skipped.append(SkippedRows(path: path, reason: reason, count: 1, firstLine: row.line))
      }
    }
    var examples: [Example] = []
    examples.reserveCapacity(rows.count)
    for row in rows {
      switch row.content {
      case .malformed(let problem):
        guard skipsMalformedRows else { throw malformed(problem, row, path) }
        skip(row, problem)
      case .values(let values):
        let reading: LabelRule.Reading
        do {
          reading = try labels.read(values.last ?? "")
        } catch let error as EngineError {
          throw error.at("\(path):\(row.line)")
        }
        switch reading {
        case .skip(let reason): skip(row, reason)
        case .target(let target):
          examples.append(
            Example(
              Array(values.prefix(hasPairs ? 2 : 1)), target: target, line: row.line))
        }
      }
    }
    guard !examples.isEmpty else {
      let reasons = skipped.map { "\($0.count) with \($0.reason)" }.joined(separator: ", ")
      throw EngineError(.data, "\(path): no usable rows, all were skipped: \(reasons)")
    }
    examples = RowLimit.keep(limit, of: examples, seed: seed)
    return (Split(name: name, path: path, suffix: suffix, examples: examples), skipped)
  }
}

/// The error of a row that cannot be read.
func malformed(_ problem: String, _ row: Row, _ path: String) -> EngineError {
  EngineError(.data, "\(path):\(row.line): \(problem)")
}
