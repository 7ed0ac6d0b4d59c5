import CLimits
import Diagnostics
@preconcurrency import Foundation

/// What the process needs before anything else runs, and after everything.
enum ProcessSetup {
  /// Makes failing writes ordinary errors, and keeps the standard streams' descriptors theirs.
  static func install() {
    // A reader that went away, or a file-size limit, must end in a message instead of a kill.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    cl_install_ends()
    // A stream that was closed at the start would give its number to the next file opened, and
    // messages would land in that file. A new descriptor is the lowest that is free.
    var descriptor: Int32
    repeat { descriptor = open("/dev/null", O_RDWR) } while (0...2).contains(descriptor)
    if descriptor > 2 { close(descriptor) }
    // Through a pipe (tee, a log), lines are to appear when they are printed.
    setvbuf(stdout, nil, Int32(_IOLBF), 0)
  }

  /// Ends the process at once, after writing what its streams hold.
  ///
  /// `exit` would run the handlers of libraries: OpenBLAS waits there for its threads, and for ever if one of them never
  /// started or is still at work.
  static func leave(_ code: Int32) -> Never {
    fflush(nil)
    _exit(code)
  }

  /// Writes what is left of the results.
  ///
  /// Throws `EngineError` (`.file`) if some could not be written. That the reader of a pipe went
  /// away, as `head` does, is no mistake.
  static func flushResults() throws {
    guard fflush(stdout) != 0 || ferror(stdout) != 0 else { return }
    var output = pollfd(fd: 1, events: Int16(POLLOUT), revents: 0)
    let hasNoReader = poll(&output, 1, 0) == 1 && output.revents & Int16(POLLERR) != 0
    if hasNoReader { return }
    throw EngineError(.file, "cannot write the results to standard output", hint: "is the disk full?")
  }
}
