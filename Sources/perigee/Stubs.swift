import ArgumentParser
import Commands
import Diagnostics
import Files
import Foundation
import LuaHost

/// `perigee stubs`
struct Stubs: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stubs",
    abstract: "Write the declarations of all Lua modules for editors, or the reference for people.",
    discussion: """
      The Lua language server completes and checks scripts with them. They come from the same \
      declarations as the engine's own checks, and so does the reference.
      """)

  @Argument(
    help: ArgumentHelp("Folder to write to. (default: lua/meta; of the reference: docs/api)", valueName: "dir"), completion: .directory)
  var chosen: String?

  @Flag(help: "Write the reference in Markdown, a page for each module.")
  var reference = false

  @Flag(help: "Write nothing; fail if the files in the folder are stale.")
  var check = false

  private var folder: String { chosen ?? (reference ? "docs/api" : "lua/meta") }
  /// How files begin that were written here.
  private var mark: String { reference ? Reference.mark : "---@meta" }

  func run() throws {
    try FilePath.require(folder)
    let wanted = try reference ? Runner.reference() : Runner.stubs()
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
        hint: "run 'perigee stubs \(reference ? "--reference " : "")\(folder)'")
    }
  }

  private func isCurrent(_ file: (name: String, text: String)) -> Bool {
    (try? readFile(folder + "/" + file.name)) == Data(file.text.utf8)
  }

  /// Files of modules that are no more. Whatever people wrote themselves does not count.
  private func superfluousFiles(besides wanted: Set<String>) throws -> [String] {
    let names = (try? AtomicFolder.names(in: folder)) ?? []
    return names.filter { name in
      guard !wanted.contains(name), fileKind(folder + "/" + name) == .file else { return false }
      return (try? readFile(folder + "/" + name))?.starts(with: mark.utf8) ?? false
    }
  }
}
