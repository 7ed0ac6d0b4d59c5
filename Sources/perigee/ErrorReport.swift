import ArgumentParser
import Diagnostics
import Foundation
import LuaHost

/// What the user gets to see of an error: one line on standard error, and the exit code.
enum ErrorReport {
  static let failure: Int32 = 1

  /// Whether the environment asks for tracebacks.
  static func isTracebackWanted() -> Bool {
    let value = ProcessInfo.processInfo.environment["PERIGEE_TRACEBACK"] ?? ""
    return !["", "0"].contains(value)
  }

  /// Shows `error` and returns the exit code. Help and version arrive as errors too, with code 0.
  static func show(_ error: any Error, showsTraceback: Bool) -> Int32 {
    // Results printed so far come before the error, also where both streams are one file.
    fflush(nil)
    if isInterruption(error) {
      line("perigee: \("\(error)".inOneLine)")
      return Interrupt.exitCode
    }
    switch error {
    case let error as LuaError:
      line("perigee: error: \(error.message.inOneLine)")
      if showsTraceback, !error.traceback.isEmpty { StandardError.write(error.traceback + "\n") }
    case let error as EngineError:
      line("perigee: error: \("\(error)".inOneLine)")
    case let code as ExitCode:
      return code.rawValue
    default:
      return showOther(error)
    }
    return failure
  }

  private static func showOther(_ error: any Error) -> Int32 {
    // The parser has a code of its own for wrong usage; here every user's mistake has the same.
    if Perigee.exitCode(for: error).isSuccess {
      print(Perigee.fullMessage(for: error))
      do { try ProcessSetup.flushResults() } catch {
        return show(error, showsTraceback: false)
      }
      return 0
    }
    let text = Perigee.explained(Perigee.message(for: error), command: CommandLine.arguments.dropFirst().first).inOneLine
    let isUsage = Perigee.exitCode(for: error) == .validationFailure
    line("perigee: error: \(text)" + (isUsage ? " (see '\(helpCommand()) --help')" : ""))
    return failure
  }

  private static func helpCommand() -> String {
    guard let name = CommandLine.arguments.dropFirst().first, Perigee.commandNames.contains(name)
    else { return "perigee" }
    if name == Bench.configuration.commandName, let benchmark = CommandLine.arguments.dropFirst(2).first,
      Bench.commandNames.contains(benchmark)
    {
      return "perigee \(name) \(benchmark)"
    }
    return "perigee \(name)"
  }

  private static func line(_ text: String) { StandardError.write(text + "\n") }
}
