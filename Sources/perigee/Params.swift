import ArgumentParser
import Commands

/// `perigee params`
struct Params: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "params",
    abstract: "Count a model's trainable parameters with an adapter.",
    discussion: """
      Reads only config.json, no weights.

        perigee params models/roberta-base --adapter lora --set r=8 --set target_modules=query,value
        perigee params models/roberta-base --adapter lua/adapters/vera.lua
        perigee params models/t5-small --adapter lora_mini --set target_modules=q,k,v,wi,wo,lm_head

      Models of families that write text (GPT-2, Llama, BART, T5) are counted as such, without a head of their own, unless --task, a
      number of labels (--set num_labels=3) or their config.json makes them classifiers.
      """)

  @Argument(
    help: ArgumentHelp(
      "Folder with a config.json, that file, or a hub name in the local cache.", valueName: "model"),
    completion: .directory)
  var model: String

  @Option(help: ArgumentHelp("The adapter, such as lora or delora, or a Lua file that defines one.", valueName: "name"))
  var adapter: String

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Give one of the adapter's options a value; may be repeated.", valueName: "name=value"))
  var settings: [String] = []

  @Option(
    help: ArgumentHelp(
      "What the model is for: single_label_classification, regression, masked_lm, causal_lm or seq2seq_lm, as its family can.",
      valueName: "name"))
  var task: String?

  func run() throws {
    let counts = try Runner.parameterCounts(model: model, adapter: adapter, settings: settings, task: task)
    print(counts.hasSuffix("\n") ? String(counts.dropLast()) : counts)
  }
}
