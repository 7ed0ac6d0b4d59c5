import Diagnostics
import Files

extension ScoredTexts {
  /// Reads texts from files of lines, a line each.
  ///
  /// - Parameters:
  ///   - hypothesisPath: one hypothesis a line.
  ///   - referencePaths: one reference a line in each; of several files, an empty line, or one of spaces, says that the segment has no such
  ///     reference. One file alone may instead have the references of each segment on lines of their own, with an empty line
  ///     between segments.
  /// - Throws: `EngineError` for files that cannot be read, are not UTF-8, or do not fit each other.
  public init(hypothesisPath: String, referencePaths: [String]) throws {
    let hypotheses = try Self.lines(of: hypothesisPath)
    guard !hypotheses.isEmpty else { throw EngineError(.data, "\(hypothesisPath): the file is empty", hint: "expected one hypothesis a line") }
    guard let first = referencePaths.first else {
      throw EngineError(.argument, "no file of references", hint: "expected at least one")
    }
    let files = try referencePaths.map(Self.lines)
    let references: [[String]]
    if files.count == 1, files[0].count != hypotheses.count {
      references = Self.groups(of: files[0])
      guard references.count == hypotheses.count else {
        let found = references.count == 1 ? "" : ", \(references.count) groups of lines between empty ones"
        throw EngineError(
          .data, "\(first): \(files[0].count) lines\(found) for \(hypotheses.count) hypotheses in \(hypothesisPath)",
          hint: "expected a line for each hypothesis, or for each a group of lines and an empty line between groups")
      }
    } else {
      for (path, lines) in zip(referencePaths, files) where lines.count != hypotheses.count {
        throw EngineError(
          .data, "\(path): \(lines.count) lines for \(hypotheses.count) hypotheses in \(hypothesisPath)",
          hint: "expected a line for each hypothesis, empty where there is no such reference")
      }
      references = hypotheses.indices.map { segment in
        let all = files.map { $0[segment] }
        let there = all.filter { !Self.isBlank($0) }
        // A segment whose references are all empty has one that is.
        return there.isEmpty ? [""] : there
      }
    }
    try self.init(hypotheses: hypotheses, references: references)
  }

  /// The lines of a file, without line ends and without a mark of the byte order.
  private static func lines(of path: String) throws -> [String] {
    var text = try readText(path).unicodeScalars[...]
    if text.first == "\u{FEFF}" { text = text.dropFirst() }
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map { String(String.UnicodeScalarView($0.last == "\r" ? $0.dropLast() : $0)) }
  }

  private static func isBlank(_ line: String) -> Bool { line.unicodeScalars.allSatisfy(\.isPythonSpace) }

  private static func groups(of lines: [String]) -> [[String]] {
    lines.split(whereSeparator: isBlank).map(Array.init)
  }
}
