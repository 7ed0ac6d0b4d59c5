import Diagnostics
import LuaHost

/// A state with the example module, and what its script printed.
final class Host {
  let census = Census()
  let state: LuaState
  private final class Output {
    var lines: [String] = []
  }
  private let output = Output()

  var lines: [String] { output.lines }

  init(_ change: (inout LuaState.Options) -> Void = { _ in }) throws {
    let output = output
    var options = LuaState.Options()
    options.print = { output.lines.append($0) }
    options.isInterrupted = { false }
    change(&options)
    state = try LuaState(options)
    try state.register(vectorModule(census) { output.lines.append("log: " + $0) })
  }

  /// What the script printed, one line each.
  func printed(_ script: String) throws -> [String] {
    output.lines = []
    try state.run(text: script, name: "t.lua")
    return output.lines
  }

  /// The error that the script ends with, or nil.
  func failure(_ script: String) throws -> LuaError? {
    do {
      try state.run(text: script, name: "t.lua")
      return nil
    } catch let error as LuaError {
      return error
    }
  }
}
