import ArgumentParser
import Commands
import Diagnostics
import Engine
import Files
import Foundation
import Generation

/// `perigee generate`
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text with a language model.",
    discussion: """
      Writes what follows the prompt to standard output, and the speed to standard error. A text appears \
      word by word; those of a beam search, or several, when they are there, each on a line of its own. \
      Ctrl-C ends the writing: what stands there stays.

        perigee generate models/gpt2 --prompt 'name : The Vaults | food : Indian ||' --set num_beams=10
        perigee generate outputs/e2e --prompt - < prompt.txt
        perigee generate models/smollm2 --chat --prompt 'What is a dog?' --system 'Answer in one sentence.'
        perigee generate models/gpt2 --adapter outputs/e2e/stages/lora/adapter --prompt 'Once'

      Options of --set are those of model:generate; 'perigee help Model:generate' lists them.
      """)

  @Argument(
    help: ArgumentHelp(
      "Model folder or hub name; or a run directory, or a folder in its stages, for what was trained there.", valueName: "model-or-run"),
    completion: .directory)
  var model: String

  @Option(parsing: .unconditional, help: ArgumentHelp("What is continued; '-' reads it from standard input.", valueName: "text"))
  var prompt: String

  @Flag(help: "The prompt is a user's message: put it into the form of the model's chat template.")
  var chat = false

  @Option(parsing: .unconditional, help: ArgumentHelp("With --chat, a system message in front of it.", valueName: "text"))
  var system: String?

  @Option(help: ArgumentHelp("Folder of an adapter to load onto the model.", valueName: "dir"), completion: .directory)
  var adapter: String?

  @OptionGroup var generation: GenerationSettings

  @Option(help: ArgumentHelp("Seeds what do_sample draws.", valueName: "number"))
  var seed = 42

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    try check("--seed", seed, in: 0...Int.max)
    if system != nil, !chat { throw ValidationError("--system needs --chat: a text that goes on has no messages") }
  }

  func run() throws {
    compute.configure()
    let speed = try Runner.generate(
      model: model, adapter: adapter, prompt: prompt == "-" ? Self.standardInput() : prompt,
      chat: chat ? system.map { [["role": "system", "content": .string($0)]] } ?? [] : nil, settings: generation.settings, seed: seed
    ) { text in
      print(text, terminator: "")
      fflush(nil)
    }
    StandardError.write(speed + "\n")
  }

  /// All of standard input, without the last line's end.
  private static func standardInput() throws -> String {
    let text = try readStandardInput()
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }
}
