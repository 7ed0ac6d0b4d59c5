import Bindings
import Diagnostics
import Engine
import Files
import Foundation
import LuaHost
import Pipelines

/// A conversation with the interpreter: statements in, values out. Variables, models among them, stay from one to the next.
final class Prompt {
  private let state: LuaState
  private let lines: any LineReader
  /// Whether somebody sits there: errors are shown, and the conversation goes on.
  private let isAttended: Bool
  private let show: (String) -> Void
  private let showError: (any Error) -> Void
  /// Takes what ran without an error.
  var ran: (_ statement: String) throws -> Void = { _ in }

  /// The lines of the statement that is not complete yet.
  private var pending: [String] = []
  /// Lines before it.
  private var done = 0

  init(
    _ state: LuaState, lines: any LineReader, isAttended: Bool, show: @escaping (String) -> Void, showError: @escaping (any Error) -> Void
  ) {
    (self.state, self.lines, self.isAttended, self.show, self.showError) = (state, lines, isAttended, show, showError)
  }

  /// What completion looks at before the line that is being typed.
  var begun: String { pending.map { $0 + "\n" }.joined() }

  /// Reads and runs statements until the lines end.
  ///
  /// Throws what ends the conversation: where nobody sits there the first error, and a signal that is not Ctrl-C.
  func run() throws {
    while true {
      switch try lines.line(prompt: pending.isEmpty ? "> " : ">> ") {
      case .end:
        if isAttended { show("") }
        return try finish()
      case .givenUp:
        try goOn()
        if isAttended { show("") }
        pending = []
      case .text(let line):
        if isAttended, !line.allSatisfy(\.isWhitespace) { lines.remember(line) }
        pending.append(line)
        try attempt { try reply() }
      }
    }
  }

  /// Runs what is to come before the first statement; where somebody sits there, an error does not end it.
  func attempt(_ body: () throws -> Void) throws {
    do { try body() } catch {
      done += pending.count
      pending = []
      if isInterruption(error) { try goOn() }
      guard isAttended else { throw error }
      showError(error)
    }
  }

  private func reply() throws {
    let statement = pending.joined(separator: "\n")
    guard case .done(let values, let isExpression) = try state.reply(to: statement, name: name, line: firstLine) else { return }
    done += pending.count
    pending = []
    // In a file, an expression must be part of a statement; a comment may end it.
    try ran(isExpression ? "print(\(statement)\n)" : statement)
    for value in values { show(Self.text(of: value)) }
  }

  private func finish() throws {
    guard !pending.isEmpty, !pending.allSatisfy({ $0.allSatisfy(\.isWhitespace) }), !isAttended else { return }
    throw EngineError(.argument, "\(name):\(firstLine): standard input ends inside a statement")
  }

  private var name: String { isAttended ? "(repl)" : "(stdin)" }
  private var firstLine: Int { isAttended ? 1 : done + 1 }

  /// After a signal: Ctrl-C at a terminal is done with, all else ends the conversation.
  private func goOn() throws {
    guard isAttended, Interrupt.exitCode == 130 else { throw EngineError(.interrupted, "interrupted") }
    Interrupt.reset()
  }

  /// A list of rows is shown as a table.
  static func text(of value: PromptValue) -> String {
    guard case .table(let table)? = value.value, table.list.count > 1, table.fields.isEmpty else { return value.text }
    let rows = table.list.compactMap { item -> [String: JSONValue]? in
      guard case .table(let row) = item, row.list.isEmpty, !row.fields.isEmpty else { return nil }
      let cells = row.fields.compactMapValues { value -> JSONValue? in
        switch value {
        case .nil, .bool, .integer, .number, .string: try? value.json("")
        default: nil
        }
      }
      return cells.count == row.fields.count ? cells : nil
    }
    let names = Set(rows.flatMap(\.keys)).sorted()
    guard rows.count == table.list.count, names.count <= 12 else { return value.text }
    let text = Table(columns: names.map { Table.Column($0) }, rows: rows.map { row in names.map { row[$0] ?? .null } }).text()
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }
}

extension Runner {
  /// `perigee repl`: runs the script of the options, if there is one, and then what is typed, or stands in standard input.
  package static func converse(_ options: RunOptions, showError: @escaping (any Error) -> Void) throws {
    var options = options
    let hasScript = !options.script.isEmpty
    if !hasScript { options.text = RunScript(path: "repl.lua", text: "", title: "(repl)") }
    let style = ProgressStyle.detect(descriptor: 1)
    let isAttended = isatty(0) == 1 && isatty(1) == 1
    // Ctrl-C ends what runs, and not the process.
    if isAttended { Interrupt.protectWork() }
    var pipeline = PipelineRun(options, open: Runner.open)
    try pipeline.run(isInteractive: true) { session, interpreter, script in
      guard let state = interpreter as? LuaState else { return }
      var current: Prompt?
      let edited =
        isAttended
        ? EditedLines(history: EditedLines.historyFile(), columns: style.columns) { [weak state] line in
          state?.completion(of: (current?.begun ?? "") + line) ?? Completion(written: "", names: [])
        } : nil
      if isAttended { print("perigee \(EngineSetup.version): help() lists what there is, the tab key completes names, Ctrl-D ends.") }
      if isAttended, edited == nil { session.progress.note("without libedit (Debian: libedit2), lines are neither edited nor kept") }
      let prompt = Prompt(
        state, lines: edited ?? PlainLines(showsPrompt: isAttended), isAttended: isAttended, show: session.print
      ) { error in
        session.progress.end("stopped")
        showError(error)
      }
      current = prompt
      defer { current = nil }
      var text = script.text
      prompt.ran = { statement in
        text += statement + "\n"
        try session.runDirectory?.rewrite(text)
      }
      try prompt.attempt { try state.runKeepingLocals(LuaState.Source(path: script.path, text: script.text), name: script.title) }
      try prompt.run()
    }
  }
}
