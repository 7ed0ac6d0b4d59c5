import ArgumentParser
import Commands

/// `perigee test`
struct Test: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test",
    abstract: "Run the tests in Lua files.",
    discussion: """
      A test is declared with test("name", function() ... end) and passes if it raises no error; assert_equal, assert_close and \
      assert_error say what is expected. Each test runs on its own: the file is run anew for it, with the same seed, an empty run \
      directory and no stored results, in fp32. What it prints is shown if it fails. Exit code 1 if one fails.

        perigee test tests/*.lua --filter rank
      """)

  @Argument(help: ArgumentHelp("The Lua files.", valueName: "file.lua"), completion: .file(extensions: ["lua"]))
  var files: [String]

  @Option(help: ArgumentHelp("Run only tests whose name contains this.", valueName: "text"))
  var filter: String?

  @Option(parsing: .unconditional, help: ArgumentHelp("Seed of everything random.", valueName: "number"))
  var seed = 42

  @Flag(help: "Let the tests read and write any file and start programs. Only for files you trust.")
  var allowIO = false

  @Flag(help: "After a failure, show the calls that led there.")
  var traceback = false

  func validate() throws { try check("--seed", seed, in: 0...Int.max) }

  func run() throws {
    var tests = TestRun()
    (tests.files, tests.filter, tests.seed, tests.allowIO) = (files, filter, seed, allowIO)
    tests.showsTraceback = traceback || ErrorReport.isTracebackWanted()
    guard try tests.run(print: { print($0) }) else { throw ExitCode(1) }
  }
}
