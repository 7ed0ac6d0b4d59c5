import ArgumentParser
import Diagnostics
import Foundation
import Serving

/// `perigee serve`
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Answer requests over HTTP with trained models.",
    discussion: """
      Classifiers and regressions answer POST /predict, /classify and /v1/decisions, models that write POST /v1/completions, all models \
      POST /v1/embeddings. GET /v1/models lists them, /health and /metrics are for those who watch. The first line on standard output \
      has the address; Ctrl-C answers what was asked and ends.

        perigee serve outputs/reviews
        perigee serve outputs/mnli-to-rte/stages/mnli outputs/mnli-to-rte/stages/rte-delora --port 8001
        perigee serve models/gpt2 --adapter e2e=outputs/e2e/stages/lora/adapter --adapter outputs/webnlg/stages/lora/adapter

      A model is called as its folder, or as NAME=FOLDER says; requests choose with 'model'. Those on one body share its weights. Other \
      machines reach it with --host 0.0.0.0 and a token, which requests send as 'Authorization: Bearer TOKEN'; it has no TLS.
      """)

  @Argument(
    help: ArgumentHelp(
      "Run directory, or a folder in its stages, for what was trained there; or model folder or hub name.", valueName: "model-or-run"),
    completion: .directory)
  var models: [String]

  @Option(help: ArgumentHelp("Folder of an adapter that is served as a model of its own; may be repeated.", valueName: "dir"), completion: .directory)
  var adapter: [String] = []

  @Option(parsing: .unconditional, help: ArgumentHelp("Port to listen at; 0 takes a free one.", valueName: "number"))
  var port = 8000

  @Option(help: ArgumentHelp("Address to listen at; any other than this machine's own needs a token.", valueName: "address"))
  var host = "127.0.0.1"

  @Option(help: ArgumentHelp("What requests have to show. (default: PERIGEE_SERVE_TOKEN, if it is set)", valueName: "token"))
  var token: String?

  @Option(help: ArgumentHelp("A request's body at most, such as 8M.", valueName: "size"))
  var maxBody: String = "8M"

  @Option(parsing: .unconditional, help: ArgumentHelp("Requests that wait at most; others get 503.", valueName: "count"))
  var maxQueue = 2048

  @Option(parsing: .unconditional, help: ArgumentHelp("Seconds until an answer at most; then a request gets 504.", valueName: "seconds"))
  var requestTimeout = 300.0

  @Option(parsing: .unconditional, help: ArgumentHelp("Tokens of a text at most, for a model that classifies.", valueName: "count"))
  var maxLength = 128

  @Option(parsing: .unconditional, help: ArgumentHelp("Seed of what is random, where a request has none.", valueName: "number"))
  var seed = 42

  @Flag(help: "Write a line about each request to standard error.")
  var verbose = false

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    try check("--port", port, in: 0...65_535)
    try check("--max-queue", maxQueue, in: 1...1_000_000)
    try check("--max-length", maxLength, in: 2...1_000_000)
    try check("--seed", seed, in: 0...Int.max)
    guard (0.1...86_400).contains(requestTimeout) else {
      throw ValidationError("--request-timeout \(requestTimeout): expected a number from 0.1 to 86400")
    }
  }

  func run() throws {
    var command = ServeCommand()
    (command.models, command.adapters) = (models, adapter)
    guard let bytes = parsedByteCount(maxBody), (1 << 10...1 << 30).contains(bytes) else {
      throw EngineError(.argument, "--max-body \(maxBody): expected a size from 1K to 1G")
    }
    command.options.maxBody = bytes
    (command.options.host, command.options.port) = (host, UInt16(port))
    command.options.token = token ?? ProcessInfo.processInfo.environment["PERIGEE_SERVE_TOKEN"]
    (command.options.maxQueue, command.options.requestTimeout) = (maxQueue, requestTimeout)
    (command.options.maxLength, command.options.seed) = (maxLength, seed)
    if verbose { command.options.log = { StandardError.write($0 + "\n") } }
    compute.configure()
    try command.run { line in
      print(line)
      fflush(nil)
    }
  }
}
