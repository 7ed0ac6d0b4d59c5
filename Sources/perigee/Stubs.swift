import ArgumentParser
import Bindings
import Diagnostics
import Files
import Foundation

/// `perigee stubs`
struct Stubs: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stubs",
    abstract: "Write the declarations of all Lua modules for editors.",
    discussion: """
      The Lua language server completes and checks scripts with them. They come from the same \
      declarations as the engine's own checks.
      """)

  @Argument(
    help: ArgumentHelp("Folder to write to.", valueName: "dir"), completion: .directory)
  var folder = "lua/meta"

  @Flag(help: "Write nothing; fail if the files in the folder are stale.")
  var check = false

  func run() throws {
    try FilePath.require(folder)
    let wanted = try Runner.stubs().map { (name: Self.fileName($0.name), text: $0.text) }
    let superfluous = try superfluousFiles(besides: Set(wanted.map(\.name)))
    if check {
      try compare(wanted, superfluous: superfluous)
      print("\(folder): \(wanted.count) files, up to date")
      return
    }
    try createFolder(folder)
    for file in wanted where !isCurrent(file) {
      try AtomicFile.write(file.text, to: folder + "/" + file.name)
    }
    for name in superfluous { removeTree(folder + "/" + name) }
    print("\(folder): \(wanted.count) files")
  }

  private func compare(_ wanted: [(name: String, text: String)], superfluous: [String]) throws {
    let stale = wanted.filter { !isCurrent($0) }.map(\.name) + superfluous
    if !stale.isEmpty {
      throw EngineError(
        .data, "\(folder): stale: \(stale.sorted().joined(separator: ", "))",
        hint: "run 'perigee stubs \(folder)'")
    }
  }

  private func isCurrent(_ file: (name: String, text: String)) -> Bool {
    (try? readFile(folder + "/" + file.name)) == Data(file.text.utf8)
  }

  /// Files of modules that are no more. Whatever people wrote themselves does not count.
  private func superfluousFiles(besides wanted: Set<String>) throws -> [String] {
    let names = (try? AtomicFolder.names(in: folder)) ?? []
    return names.filter { name in
      guard name.hasSuffix(".lua"), !wanted.contains(name) else { return false }
      let start = (try? readFile(folder + "/" + name))?.prefix(8)
      return start == Data("---@meta".utf8)
    }
  }

  private static func fileName(_ name: String) -> String {
    name.hasSuffix(".lua") ? name : name + ".lua"
  }
}
