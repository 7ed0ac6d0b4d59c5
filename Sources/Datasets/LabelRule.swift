import Diagnostics
import Foundation

/// How the text of a label column becomes a number.
enum LabelRule: Sendable {
  /// Class indices by spelling. `names` are for messages; a label in `skipped` leaves its row out.
  case classes(names: [String], indices: [String: Int], skipped: Set<String>)
  /// A finite number, within `range` if there is one.
  case score(range: ClosedRange<Double>?)

  enum Reading: Equatable {
    case target(Target)
    case skip(reason: String)
  }

  /// Reads a label; spaces around it do not count.
  ///
  /// Throws `EngineError` without a place.
  func read(_ field: String) throws -> Reading {
    let label = field.trimmingCharacters(in: .whitespaces)
    switch self {
    case .classes(let names, let indices, let skipped):
      if let index = indices[label] { return .target(.label(index)) }
      if skipped.contains(label) { return .skip(reason: "label '\(label)'") }
      throw EngineError(
        .data, "unknown label '\(excerpt(label))', expected one of \(listing(names))")
    case .score(let range):
      guard let score = decimalNumber(label) else {
        throw EngineError(.data, "score '\(excerpt(label))' is not a finite number")
      }
      if let range, !range.contains(score) {
        throw EngineError(
          .data,
          "score \(label) is out of range, expected \(range.lowerBound) to \(range.upperBound)")
      }
      return .target(.score(score))
    }
  }
}

/// A finite decimal number; nil for everything else, also for what Swift's `Double` reads beyond
/// that (`nan`, `inf`, hexadecimal).
private func decimalNumber(_ text: String) -> Double? {
  let isDecimal = text.utf8.allSatisfy { byte in
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "+-.eE".utf8.contains(byte)
  }
  guard isDecimal, let number = Double(text), number.isFinite else { return nil }
  return number
}

/// The classes of a label column, sorted: as numbers if all are integers, else by Unicode order.
///
/// Throws `EngineError` unless there are between 2 and 1,000: one class cannot be learned, and more
/// mean that the column holds texts or scores.
func sortedClasses(_ labels: some Sequence<String>, path: String, column: String) throws -> [String] {
  let distinct = Set(labels.lazy.map { $0.trimmingCharacters(in: .whitespaces) })
  guard distinct.count <= 1_000 else {
    throw EngineError(
      .data,
      "\(path): column '\(column)' has \(distinct.count) different labels, expected at most 1000",
      hint: "for scores, set the problem type to regression")
  }
  guard !distinct.contains("") else {
    throw EngineError(
      .data, "\(path): column '\(column)' is empty in some rows, expected a label in each", hint: "give the labels' names if '' is one of them")
  }
  guard distinct.count >= 2 else {
    let only = distinct.first.map { "'\(excerpt($0))'" } ?? "none"
    throw EngineError(
      .data, "\(path): column '\(column)' needs at least two different labels, found \(only)")
  }
  let spellings = Dictionary(grouping: distinct.filter { decimalNumber($0) != nil }) { decimalNumber($0) ?? 0 }
  if let same = spellings.values.filter({ $0.count > 1 }).map({ $0.sorted() }).min(by: { $0[0] < $1[0] }) {
    throw EngineError(
      .data, "\(path): column '\(column)' has '\(excerpt(same[0]))' and '\(excerpt(same[1]))', which are the same number",
      hint: "write it in one way, or give the labels' names")
  }
  let numbers = distinct.compactMap { Int($0) }
  guard Set(numbers).count == distinct.count else { return distinct.sorted() }
  return distinct.sorted { (Int($0) ?? 0) < (Int($1) ?? 0) }
}
