import ArgumentParser
import Diagnostics
import Engine
import Files
import Foundation
import Pipelines
import TensorCore

ProcessSetup.install()
Interrupt.install()

var showsTraceback = ErrorReport.isTracebackWanted()
do {
  try Products.checkEnvironment()
  EngineSetup.cacheFolder = StageStore.defaultRoot()
  let arguments = Array(CommandLine.arguments.dropFirst())
  try Perigee.checkCommandName(arguments)
  try Perigee.checkSettings(arguments)
  if let name = Perigee.luaHelpName(arguments) {
    print(try Perigee.luaHelp(name))
  } else if let help = try ScriptHelp.text(for: arguments) {
    print(help)
  } else {
    // What the user names is the user's to read; `run` and `check` are more exact.
    ReadPolicy.current = ReadPolicy(named: ["."] + arguments)
    var command = try Perigee.parseAsRoot(arguments)
    if let script = command as? any ScriptCommand, script.options.traceback { showsTraceback = true }
    if !(command is Run || command is BenchReduce) { try MPIProcessGroup.requireAlone("perigee \(arguments.first ?? "")") }
    try AddressSpace.requireEnoughToStart()
    try command.run()
  }
  try ProcessSetup.flushResults()
} catch {
  ProcessSetup.leave(ErrorReport.show(error, showsTraceback: showsTraceback))
}
ProcessSetup.leave(0)
