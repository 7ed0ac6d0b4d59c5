import CEditLine
import Diagnostics
import Files
import Foundation
import LuaHost

/// What came of asking for a line.
enum TypedLine {
  case text(String)
  /// Ctrl-C: the line, and the statement that it belongs to, are given up.
  case givenUp
  case end
}

/// Where the lines of a prompt come from.
protocol LineReader: AnyObject {
  /// Throws `EngineError` where the lines cannot be read.
  func line(prompt: String) throws -> TypedLine
  /// Keeps a line for later.
  func remember(_ line: String)
}

/// Lines of a terminal, edited by libedit, with a history that stays and with completion.
final class EditedLines: LineReader {
  private var editor: OpaquePointer?
  private let columns: Int
  private let complete: (_ text: String) -> Completion

  /// Nil where the system has no libedit.
  ///
  /// - Parameters:
  ///   - history: the file of earlier lines; nil: nothing is kept.
  ///   - columns: how wide the terminal is.
  ///   - complete: the names that fit behind a line's beginning.
  init?(history: String?, columns: Int, complete: @escaping (_ text: String) -> Completion) {
    (self.columns, self.complete) = (columns, complete)
    let owner = ce_owner(
      context: Unmanaged.passUnretained(self).toOpaque(), interrupted: { _ in Interrupt.isRequested },
      complete: { context, line, shown in
        guard let context, let line else { return nil }
        let reader = Unmanaged<EditedLines>.fromOpaque(context).takeUnretainedValue()
        let completion = reader.complete(String(cString: line))
        if completion.names.count > 1, completion.added.isEmpty { shown?.pointee = strdup(reader.columnsText(completion.names)) }
        return strdup(completion.added)
      })
    editor = ce_open(history, owner)
    if editor == nil { return nil }
  }

  deinit { if let editor { ce_close(editor) } }

  func line(prompt: String) -> TypedLine {
    guard let editor else { return .end }
    var text: UnsafePointer<CChar>?
    let outcome = prompt.withCString { Int(ce_read(editor, $0, &text)) }
    switch outcome {
    case CE_LINE: return .text(text.map { String(cString: $0) } ?? "")
    case CE_INTERRUPTED: return .givenUp
    default: return .end
    }
  }

  func remember(_ line: String) { if let editor { _ = ce_remember(editor, line) } }

  private func columnsText(_ names: [String]) -> String {
    let names = names.count > 200 ? names.prefix(200) + ["... (\(names.count) in all)"] : names
    let width = (names.map(\.count).max() ?? 0) + 2
    let perLine = max(1, columns / width)
    return stride(from: 0, to: names.count, by: perLine).map { start in
      names[start..<min(start + perLine, names.count)].map { $0 + String(repeating: " ", count: width - $0.count) }.joined()
    }.joined(separator: "\n")
  }

  /// Where the lines of earlier sessions are: `$XDG_STATE_HOME/perigee/repl_history`, by default in `~/.local/state`. Nil where the
  /// folder cannot be made.
  static func historyFile(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
    let state = environment["XDG_STATE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? FilePath.expandHome("~/.local/state", environment)
    let folder = state + "/perigee"
    return (try? createFolder(folder)).map { folder + "/repl_history" }
  }
}

/// Lines of standard input as they come: of a pipe or a file, or of a terminal without libedit.
final class PlainLines: LineReader {
  private let showsPrompt: Bool
  private var rest: [UInt8] = []
  private var isAtEnd = false

  init(showsPrompt: Bool) { self.showsPrompt = showsPrompt }

  func line(prompt: String) throws -> TypedLine {
    if showsPrompt {
      print(prompt, terminator: "")
      fflush(nil)
    }
    while true {
      if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        defer { rest.removeFirst(end + 1) }
        return .text(try text(rest[..<end]))
      }
      if isAtEnd {
        defer { rest = [] }
        return rest.isEmpty ? .end : .text(try text(rest[...]))
      }
      // A signal's handler lets `read` go on, but not `poll`.
      var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
      if poll(&input, 1, -1) < 0 {
        if Interrupt.isRequested { return .givenUp }
        continue
      }
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      let count = read(0, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw EngineError(.file, "standard input cannot be read: \(String(cString: strerror(errno)))") }
      isAtEnd = count == 0
      rest += chunk.prefix(count)
    }
  }

  func remember(_ line: String) {}

  private func text(_ bytes: ArraySlice<UInt8>) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw EngineError(.data, "standard input: invalid UTF-8") }
    return text
  }
}
