import ArgumentParser
import Diagnostics
import Foundation

ProcessSetup.install()
Interrupt.install()

var showsTraceback = ErrorReport.isTracebackWanted()
do {
  let arguments = Array(CommandLine.arguments.dropFirst())
  try Perigee.checkCommandName(arguments)
  var command = try Perigee.parseAsRoot(arguments)
  if let script = command as? any ScriptCommand, script.options.traceback { showsTraceback = true }
  try command.run()
  try ProcessSetup.flushResults()
} catch {
  exit(ErrorReport.show(error, showsTraceback: showsTraceback))
}
