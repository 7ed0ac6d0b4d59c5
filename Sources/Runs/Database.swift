import CSQLite
import Diagnostics
import Files

/// An SQLite file, for one thread. Every value goes in and comes out as text.
final class Database {
  private let path: String
  private var handle: OpaquePointer?

  /// Opens or creates the file.
  ///
  /// - Parameter patience: how long to wait for another process that writes, in milliseconds.
  ///
  /// Throws `EngineError` (`.file`). SQLite reads a file when it is first asked: one that is none of its own shows only then.
  init(_ path: String, patience: Int32) throws {
    self.path = path
    try FilePath.require(path)
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_FULLMUTEX
    guard sqlite3_open_v2(path, &handle, flags, nil) == SQLITE_OK else {
      let error = failure()
      sqlite3_close_v2(handle)
      handle = nil
      throw error
    }
    sqlite3_busy_timeout(handle, patience)
  }

  deinit { sqlite3_close_v2(handle) }

  /// Runs one statement with values for its question marks; its rows. Throws `EngineError`: `.data` for a file that is damaged or
  /// no database, else `.file`.
  @discardableResult
  func run(_ sql: String, _ values: [String] = []) throws -> [[String]] {
    var statement: OpaquePointer?
    guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK else { throw failure() }
    defer { sqlite3_finalize(statement) }
    // SQLite's word for "copy it": the text is gone when the call returns.
    let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    for (place, value) in values.enumerated() {
      guard sqlite3_bind_text(statement, Int32(place + 1), value, Int32(value.utf8.count), copied) == SQLITE_OK else { throw failure() }
    }
    var rows: [[String]] = []
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_DONE: return rows
      case SQLITE_ROW:
        rows.append(
          (0..<sqlite3_column_count(statement)).map { column in
            guard let text = sqlite3_column_text(statement, column) else { return "" }
            return String(decoding: UnsafeBufferPointer(start: text, count: Int(sqlite3_column_bytes(statement, column))), as: UTF8.self)
          })
      default: throw failure()
      }
    }
  }

  /// All that `body` changes, or nothing.
  func transaction(_ body: () throws -> Void) throws {
    // Asks for the right to write at once: one that is asked for half-way is refused where another process has it.
    try run("BEGIN IMMEDIATE")
    do {
      try body()
      try run("COMMIT")
    } catch {
      _ = try? run("ROLLBACK")
      throw error
    }
  }

  private func failure() -> EngineError {
    let code = sqlite3_errcode(handle)
    let isDamaged = [SQLITE_CORRUPT, SQLITE_NOTADB].contains(code)
    return EngineError(isDamaged ? .data : .file, "\(path): \(handle.map { String(cString: sqlite3_errmsg($0)) } ?? "cannot be opened")")
  }
}
