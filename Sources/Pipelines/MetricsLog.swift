import Diagnostics
import Files
import Foundation

/// `metrics.jsonl`: one JSON object per line, only ever appended to.
///
/// Rows are durable when `flush` returns. A line that a killed process left half-written is cut off
/// when the file is opened again.
public final class MetricsLog {
  public let path: String
  private var descriptor: Int32
  private var pending: [UInt8] = []
  /// Whether all that was written is on the disk.
  private var isSynchronized = true
  private var lastFlush = Date()
  /// The length of the file up to its last whole row.
  private var length: Int
  /// How often each row is there that an earlier attempt logged.
  private var repeated: [String: Int] = [:]

  /// Opens or creates the file. Throws `EngineError` (`.file`).
  public init(_ path: String) throws {
    self.path = path
    length = 0
    try FilePath.require(path)
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw errno == ELOOP ? linkError(path) : Self.writeError(path) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw EngineError(.file, "\(path): expected a regular file")
    }
    let data = try readFile(path)
    let rows = try Self.wholeRows(data)
    length = rows.last?.end ?? 0
    for (row, _) in rows { repeated[JSONValue.object(row).encoded(.line), default: 0] += 1 }
    // A file with a second name elsewhere is left as it is there.
    if status.st_nlink > 1 { try replace(String(decoding: data.prefix(length), as: UTF8.self)) }
    guard ftruncate(descriptor, off_t(length)) == 0 else { throw Self.writeError(path) }
  }

  deinit {
    try? flush()
    close(descriptor)
  }

  /// Adds a row; NaN and infinities become null, which any reader of JSON takes.
  ///
  /// - Parameter unlessRepeated: leaves a row where it is that an earlier attempt logged: a script that runs again from its
  ///   start logs it again.
  public func append(_ row: JSONObject, unlessRepeated: Bool = false) {
    let line = JSONValue.object(row).encoded(.line)
    if unlessRepeated, let count = repeated[line], count > 0 {
      repeated[line] = count - 1
      return
    }
    pending.append(contentsOf: line.utf8)
    pending.append(UInt8(ascii: "\n"))
  }

  /// Writes the rows added so far and waits until they are on the disk.
  ///
  /// Throws `EngineError` (`.file`) on a full disk; the rows then stay pending, and the file is as
  /// before.
  public func flush() throws {
    try write()
    guard isSynchronized || fsync(descriptor) == 0 else { throw Self.writeError(path) }
    isSynchronized = true
    lastFlush = Date()
  }

  /// Writes the rows added so far, without waiting for the disk: of what can be written again.
  public func write() throws {
    if pending.isEmpty { return }
    isSynchronized = false
    var rest = pending[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { bytes in
        bytes.baseAddress.map { FileWriter.systemWrite(descriptor, $0, bytes.count) } ?? 0
      }
      if count < 0 {
        if errno == EINTR { continue }
        let error = Self.writeError(path)
        ftruncate(descriptor, off_t(length))
        throw error
      }
      rest = rest.dropFirst(count)
    }
    length += pending.count
    pending = []
  }

  /// All rows, also those not flushed yet.
  public func rows() throws -> [JSONObject] {
    try write()
    return try Self.wholeRows(try readFile(path)).map(\.row)
  }

  /// Drops rows for which `isKept` is false: what a resumed stage is about to measure again.
  func keepRows(where isKept: (JSONObject) -> Bool) throws {
    let all = try rows()
    let kept = all.filter(isKept)
    if kept.count == all.count { return }
    for row in all where !isKept(row) {
      let line = JSONValue.object(row).encoded(.line)
      if let count = repeated[line], count > 0 { repeated[line] = count - 1 }
    }
    try replace(kept.map { JSONValue.object($0).encoded(.line) + "\n" }.joined())
  }

  private func replace(_ text: String) throws {
    try AtomicFile.write(text, to: path)
    let reopened = open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC)
    guard reopened >= 0 else { throw Self.writeError(path) }
    close(descriptor)
    descriptor = reopened
    length = text.utf8.count
  }

  /// The rows of a file that another process may be writing. Throws `EngineError` (`.file`).
  static func rows(inFile path: String) throws -> [JSONObject] { try wholeRows(readFile(path)).map(\.row) }

  /// The rows up to the first line that is none, each with the offset behind it.
  private static func wholeRows(_ data: Data) throws -> [(row: JSONObject, end: Int)] {
    var rows: [(JSONObject, Int)] = []
    var start = 0
    let bytes = [UInt8](data)
    while let newline = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
      let line = Array(bytes[start..<newline])
      guard let row = try? JSONValue(parsing: line, source: "metrics").objectValue else { break }
      start = newline + 1
      rows.append((row, start))
    }
    return rows
  }

  private static func writeError(_ path: String) -> EngineError {
    let code = errno
    return EngineError(
      .file, "\(path): cannot be written: \(String(cString: strerror(code)))",
      hint: code == ENOSPC ? "free some space, then resume the run" : nil)
  }
}

extension MetricsLog: RunListener {
  /// Makes the file hold the stage's rows up to here: those of a run that was killed may lack some, or have some of steps that
  /// will be repeated; another run's folder has none. Rows that the script adds for the stage stay up to the step.
  public func stageBegan(_ stage: String, rows history: [JSONObject], step: Int, settings: TrainingSettings?) throws {
    func isTrainers(_ row: JSONObject) -> Bool {
      row["stage"]?.stringValue == stage && row["epoch"] != nil && (row["grad_norm"] != nil || row["eval_loss"] != nil)
    }
    func isKept(_ row: JSONObject) -> Bool { row["stage"]?.stringValue != stage || (row["step"]?.intValue ?? 0) <= step }
    if try rows().filter(isTrainers) == history { return try keepRows(where: isKept) }
    try keepRows { !isTrainers($0) && isKept($0) }
    for row in history { append(row) }
  }

  /// Rows reach the disk within seconds, so that a loop of the script's own that is killed leaves its rows.
  public func logged(_ row: JSONObject, isRepeatable: Bool) throws {
    append(row, unlessRepeated: isRepeatable)
    if Date().timeIntervalSince(lastFlush) >= 5 { try flush() }
  }

  /// What was found is found again: of a finished sweep, nobody waits for the disk at every point.
  public func stageEnded(_ facts: JSONObject, isReused: Bool) throws {
    if isReused { try write() } else { try flush() }
  }

  public func keep() throws { try flush() }
}
