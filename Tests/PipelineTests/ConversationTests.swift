import Diagnostics
import Files
import Foundation
import LuaHost
import TestSupport
import Testing

@testable import Bindings
@testable import Commands

/// `perigee repl`: what is typed, shown and kept. A model stays loaded from line to line.
@Suite(.engine) struct ConversationTests {
  private final class Typed: LineReader {
    var lines: [TypedLine]
    var remembered: [String] = []
    var prompts: [String] = []
    init(_ lines: [TypedLine]) { self.lines = lines }
    func line(prompt: String) -> TypedLine {
      prompts.append(prompt)
      return lines.isEmpty ? .end : lines.removeFirst()
    }
    func remember(_ line: String) { remembered.append(line) }
  }

  private final class Seen {
    var shown: [String] = []
    var errors: [String] = []
    var ran: [String] = []
  }

  private func converse(_ lines: [TypedLine], isAttended: Bool = true) throws -> (Seen, Typed) {
    let (seen, typed) = (Seen(), Typed(lines))
    try ScriptHost.with { host, _ in
      let prompt = Prompt(
        host.state, lines: typed, isAttended: isAttended, show: { seen.shown.append($0) }, showError: { seen.errors.append("\($0)") })
      prompt.ran = { seen.ran.append($0) }
      try prompt.run()
    }
    return (seen, typed)
  }

  @Test func aModelStaysAndErrorsEndNothing() throws {
    let (seen, typed) = try converse([
      .text("local model = models.load('builtin:tiny'):classifier { num_labels = 2 }"), .text("model:no_such()"), .text("for i = 1, 2 do"),
      .text("  seen = i"), .text("end"), .text("seen, model ~= nil"), .text("{ {"), .givenUp, .text("  "),
      .text("{ { rank = 4, accuracy = 0.5 }, { rank = 16, accuracy = 0.75 } }"), .text("tensor.zeros { 2 }"),
    ])
    #expect(seen.errors.count == 1 && seen.errors.first?.hasPrefix("(repl):1: Model has no field or method 'no_such'") == true)
    let table = "accuracy  rank\n--------  ----\n  0.5000     4\n  0.7500    16"
    #expect(seen.shown == ["2", "true", "", table, "tensor([0, 0], shape=[2], dtype=float32)", ""])
    #expect(typed.prompts == ["> ", "> ", "> ", ">> ", ">> ", "> ", "> ", ">> ", "> ", "> ", "> ", "> "])
    #expect(seen.ran.contains("for i = 1, 2 do\n  seen = i\nend") && !seen.ran.contains("model:no_such()"))
    #expect(!typed.remembered.contains("  ") && typed.remembered.count == 9)
  }

  @Test func withoutAnybodyThereTheFirstErrorEndsIt() throws {
    #expect {
      _ = try converse([.text("x = 1"), .text("x +"), .text("nothing"), .text("error('not reached')")], isAttended: false)
    } throws: { "\($0)".hasPrefix("(stdin):3: unknown global 'nothing'") }
    #expect { _ = try converse([.text("x = 1"), .text("for i = 1, 2 do")], isAttended: false) } throws: {
      "\($0)" == "(stdin):2: standard input ends inside a statement"
    }
  }
}

/// The program itself, with scripts that are in no file.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct GivenScriptTests {
  @Test func scriptsComeFromTheCommandAndFromAPipe() throws {
    try withTemporaryFolder { folder in
      let code = "local p = params { r = 8 }\nprint(p.r)\nreport.table { { r = p.r }, columns = { 'r' } }\nif p.r == 9 then error('nine') end"
      let line = try perigee(["run", "-e", code, "--set", "r=3", "--out", "r", "--quiet"], in: folder)
      #expect((line.code, line.error) == (0, "") && line.output.hasPrefix("3\n"))
      #expect(try readText(folder + "/r/code/command_line.lua") == code)
      // As with a file: the run is finished, and the same again is the same run.
      #expect(try perigee(["run", "--resume", "r", "--quiet"], in: folder).output == line.output)
      let failed = try perigee(["run", "-e", code, "--set", "r=9", "--quiet"], in: folder)
      #expect(failed.code == 1 && failed.error == "perigee: error: (command line):4: nine\n")
      try AtomicFile.write("print('piped')\nlocal x = = 1\n", to: folder + "/script")
      let piped = try perigee(["run", "-", "--quiet"], in: folder, shell: "\"$@\" <script")
      #expect(piped.code == 1 && piped.error.hasPrefix("perigee: error: (stdin):2: unexpected symbol near '='"))
      let both = try perigee(["check", "a.lua", "-e", "print(1)"], in: folder)
      #expect(both.code == 1 && both.error.contains("A file and -e exclude each other"))
    }
  }

  @Test func aPipeIsAConversationWithoutPrompt() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("local kept = 5\n", to: folder + "/s.lua")
      try AtomicFile.write("kept + 1\nlog.metrics { a = 1 }\nnone()\n'not reached'\n", to: folder + "/typed")
      let outcome = try perigee(["repl", "s.lua", "--quiet", "--out", "r"], in: folder, shell: "\"$@\" <typed")
      #expect(outcome.code == 1 && outcome.output == "6\n" && outcome.error.hasPrefix("perigee: error: (stdin):3: unknown global 'none'"))
      // What ran is a script, beside what it left.
      #expect(try readText(folder + "/r/code/s.lua") == "local kept = 5\nprint(kept + 1\n)\nlog.metrics { a = 1 }\n")
    }
  }
}

/// The prompt at a terminal: libedit, the tab key, Ctrl-C, the history.
@Suite(.enabled(if: perigeeExecutable != nil && hasTerminals, "perigee is not built, or there is no libedit.so.2 or no /dev/ptmx"))
struct TerminalTests {
  /// A process whose standard streams are a terminal.
  private final class Terminal {
    let process = Process()
    private let main: Int32
    private(set) var output = ""

    init(_ arguments: [String], in folder: String) throws {
      main = open("/dev/ptmx", O_RDWR | O_NOCTTY)
      // What unlockpt and ptsname do: TIOCSPTLCK, TIOCGPTN.
      var (lock, number) = (Int32(0), Int32(0))
      try #require(main >= 0 && ioctl(main, 0x4004_5431, &lock) == 0 && ioctl(main, 0x8004_5430, &number) == 0)
      let other = FileHandle(fileDescriptor: open("/dev/pts/\(number)", O_RDWR | O_NOCTTY), closeOnDealloc: true)
      process.executableURL = URL(fileURLWithPath: try #require(perigeeExecutable))
      process.arguments = arguments
      process.currentDirectoryURL = URL(fileURLWithPath: folder)
      process.environment = ["PATH": "/usr/bin:/bin", "HOME": folder, "TERM": "xterm", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": folder + "/state"]
      (process.standardInput, process.standardOutput, process.standardError) = (other, other, other)
      try process.run()
    }

    deinit {
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      close(main)
    }

    func type(_ text: String) { _ = Array(text.utf8).withUnsafeBytes { write(main, $0.baseAddress, $0.count) } }

    /// Types Ctrl-D until the process ends. False, and it is killed, where that takes too long. libedit shows a prompt before it takes the
    /// terminal over: a Ctrl-D in between is lost, for a person as well.
    func ends() -> Bool {
      let end = Date().addingTimeInterval(60)
      while process.isRunning, Date() < end {
        type("\u{04}")
        for _ in 0..<50 where process.isRunning { usleep(10_000) }
      }
      guard process.isRunning else { return true }
      kill(process.processIdentifier, SIGKILL)
      return false
    }

    /// Waits until the output since the last call has a text, which it then forgets.
    func expect(_ text: String) -> Bool {
      let end = Date().addingTimeInterval(60)
      while Date() < end {
        if let found = output.range(of: text) {
          output.removeSubrange(..<found.upperBound)
          return true
        }
        var input = pollfd(fd: main, events: Int16(POLLIN), revents: 0)
        guard poll(&input, 1, 1000) > 0 else { continue }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(main, &bytes, bytes.count)
        if count <= 0 { return false }
        output += String(decoding: bytes.prefix(count), as: UTF8.self)
      }
      return false
    }
  }

  @Test func linesAreEditedCompletedInterruptedAndKept() throws {
    try withTemporaryFolder { folder in
      let terminal = try Terminal(["repl", "--threads", "1", "--precision", "fp32"], in: folder)
      let process = terminal.process
      try #require(terminal.expect("> "), "\(terminal.output)")
      // Backspace, the tab key, letters beyond ASCII.
      terminal.type("local kex\u{7F}pt = 'gr\u{FC}n'\n")
      #expect(terminal.expect("\r\n> "), "\(terminal.output)")
      terminal.type("#ke\t, string.forma\t('%d', 41 + 1)\n")
      #expect(terminal.expect("\n5\r\n\"42\"\r\n> "), "\(terminal.output)")
      terminal.type("while true do end\n")
      #expect(terminal.expect("while true do end\r\n"))
      usleep(300_000)
      kill(process.processIdentifier, SIGINT)
      #expect(terminal.expect("interrupted\r\n> "), "\(terminal.output)")
      // At the prompt it gives up the line, and the session goes on.
      terminal.type("for i = 1, 2 do\n")
      #expect(terminal.expect(">> "))
      usleep(300_000)
      kill(process.processIdentifier, SIGINT)
      #expect(terminal.expect("> "))
      terminal.type("kept .. '!'\n")
      #expect(terminal.expect("\n\"gr\u{FC}n!\"\r\n> "), "\(terminal.output)")
      try #require(terminal.ends())
      #expect(process.terminationStatus == 0)
      #expect(try readText(folder + "/state/perigee/repl_history").contains("while"))
      #expect(try AtomicFolder.names(in: folder).contains("outputs") == false)
    }
  }
}

private let hasTerminals = dlopen("libedit.so.2", RTLD_LAZY) != nil && access("/dev/ptmx", R_OK | W_OK) == 0
