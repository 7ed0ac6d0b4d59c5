import ArgumentParser
import Diagnostics

/// `--memory`, of every command that computes.
struct MemoryOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What tensors may take together, such as 8G or 512M. (default: nine tenths of the machine's memory, or of the control group's)",
      valueName: "size"))
  var memory: MemorySize?
}

/// A number of bytes of at least 16 MB.
struct MemorySize: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    guard let bytes = parsedByteCount(argument), bytes >= 16 << 20 else { return nil }
    self.bytes = bytes
  }

  static var allValueStrings: [String] { [] }
}
