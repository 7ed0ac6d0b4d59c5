import ArgumentParser
import Engine

/// `perigee init`
struct Init: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Write a pipeline for the data and the model in a folder.",
    discussion: """
      Looks at the folder's .csv, .tsv, .jsonl or .txt files and at a model's folder beside them, and writes pipeline.lua, \
      which runs as it stands and says in comments what it does. A file with 'train' in its name is learnt from, one with \
      'dev', 'val', 'eval' or 'test' is measured on.

        perigee init
        perigee init reviews && cd reviews && perigee run pipeline.lua
      """)

  @Argument(help: ArgumentHelp("The folder.", valueName: "folder"), completion: .directory)
  var folder = "."

  @Flag(help: "Replace a pipeline.lua that is there.")
  var overwrite = false

  func run() throws {
    var command = InitCommand()
    (command.folder, command.overwrites) = (folder, overwrite)
    print(try command.run())
  }
}
