import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct CommandLineTests {
  @Test(arguments: [
    ([], "USAGE: perigee <subcommand>"),
    (["--help"], "SUBCOMMANDS:"),
    (["run", "--help"], "default: auto"),
    (["check", "--help"], "Writes nothing."),
    (["params", "--help"], "--adapter lora"),
    (["stubs", "--help"], "default: lua/meta"),
    (["bench"], "See 'perigee help bench <subcommand>'"),
    (["bench", "kernels", "--help"], "--filter <text>"),
    (["bench", "step", "--help"], "--group-by-length"),
    (["help", "run"], "--resume <dir>"),
    (["help", "trainer.fit"], "per_device_train_batch_size (integer): examples in a batch"),
    (["help", "trainer"], "trainer: Training"),
    (["help", "trainer.fit.warmup_ratio"], "warmup_ratio (number), an option of trainer.fit\n  the same as a share of all updates"),
    (["help", "Model:predict"], "returns Prediction|Prediction[]"),
    (["help", "Model.labels"], "Model.labels: string[]"),
    (["help", "stage"], "  name (string): unique in the pipeline"),
    (["--version"], "perigee "),
  ])
  func help(arguments: [String], text: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try perigee(arguments, in: folder)
      #expect(outcome.code == 0)
      #expect(outcome.output.contains(text))
      #expect(outcome.error == "")
    }
  }

  static let usageMistakes: [([String], String)] = [
    (["rnu"], "no command 'rnu'; did you mean 'run'?"),
    (["help", "trainer.fitt"], "help: nothing is called 'trainer.fitt'; did you mean 'trainer.fit'?"),
    (["help", "rnu"], "help: nothing is called 'rnu'; did you mean 'perigee help run'?"),
    (
      ["help", "warmup_ratio"],
      "help: nothing is called 'warmup_ratio'; did you mean 'trainer.fit.warmup_ratio', 'trainer.evaluate.warmup_ratio', 'trainer.loop.warmup_ratio'?"
    ),
    (["help", "fit"], "help: nothing is called 'fit'; did you mean 'trainer.fit'?"),
    (["train", "a.lua"], "no command 'train'; did you mean 'perigee run'?"),
    (["run", "a.lua", "--set", "lr", "5e-5"], "--set lr: expected name=value; write --set lr=5e-5"),
    (["run", "a.lua", "--lr", "5e-5"], "Unknown option '--lr'; parameters of the script are given as --set lr=VALUE (see 'perigee run --help')"),
    (["params", "builtin:tiny", "--adapter", "lora", "--set", "rank=8"], "--set rank=8: no option 'rank'; use 'r'"),
    (["a.lua"], "no command 'a.lua'; did you mean 'perigee run a.lua'?"),
    (["--quite"], "Unknown option '--quite' (see 'perigee --help')"),
    (["run"], "Missing expected argument '<script.lua>' (see 'perigee run --help')"),
    (["run", ""], "Missing expected argument '<script.lua>' (see 'perigee run --help')"),
    (
      ["run", "a.lua", "--thread", "3"],
      "Unknown option '--thread'. Did you mean '--threads'? (see 'perigee run --help')"
    ),
    (["run", "a.lua", "b.lua"], "Unexpected argument 'b.lua' (see 'perigee run --help')"),
    (
      ["run", "a.lua", "--threads", "0"],
      "--threads 0: expected a number from 1 to 1024 (see 'perigee run --help')"
    ),
    (
      ["run", "a.lua", "--threads", "two"],
      "The value 'two' is invalid for '--threads <count>' (see 'perigee run --help')"
    ),
    (
      ["run", "a.lua", "--seed", "-1"],
      "--seed -1: expected a number of at least 0 (see 'perigee run --help')"
    ),
    (
      ["run", "a.lua", "--precision", "fp16"],
      "The value 'fp16' is invalid for '--precision <type>'. "
        + "Please provide one of 'auto', 'bf16' or 'fp32'. (see 'perigee run --help')"
    ),
    (
      ["run", "a.lua", "--set"],
      "Missing value for '--set <name=value>' (see 'perigee run --help')"
    ),
    (
      ["run", "--out", "a", "--resume", "b"],
      "--out and --resume exclude each other: --resume names the directory "
        + "(see 'perigee run --help')"
    ),
    (["bench", "stpe"], "no benchmark 'stpe'; did you mean 'step'?"),
    (["bench", "step", "--step", "3"], "Unknown option '--step'. Did you mean '--steps'? (see 'perigee bench step --help')"),
    (
      ["bench", "step", "--batch", "0"],
      "--batch 0: expected a number from 1 to 1000000 (see 'perigee bench step --help')"
    ),
    (
      ["bench", "step", "--dropout", "1"],
      "--dropout 1.0: expected a number from 0 to below 1 (see 'perigee bench step --help')"
    ),
    (
      ["bench", "machine", "--repeat", "0"],
      "--repeat 0: expected a number from 1 to 1000 (see 'perigee bench machine --help')"
    ),
    (["bench", "step", "--task", "rte"], "real data needs both: --task NAME and --data DIR"),
    (["bench", "layer", "--adapter", "loraa"], "--adapter loraa: no such method; did you mean 'lora'?"),
    (["check"], "Missing expected argument '<script.lua>' (see 'perigee check --help')"),
    (
      ["params", "model"],
      "Missing expected argument '--adapter <name>' (see 'perigee params --help')"
    ),
  ]

  @Test(arguments: usageMistakes)
  func usage(arguments: [String], message: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try perigee(arguments, in: folder)
      #expect(outcome.code == 1)
      #expect(outcome.output == "")
      #expect(outcome.error == "perigee: error: \(message)\n")
    }
  }

  private let config = """
    {"model_type": "roberta", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
     "intermediate_size": 128, "max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1}
    """

  /// A method written in Lua counts what the native one does.
  @Test(arguments: [("lora_fa", ["r=3"]), ("vera", ["r=7"]), ("delora", ["r=3", "num_labels=3"]), ("delta_lora", [])])
  func countsOfMethodsInLua(_ name: String, settings: [String]) throws {
    try withTemporaryFolder { folder in
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let counts = try [name, packageRoot + "/lua/adapters/\(name).lua"].map { adapter in
        let settings = (settings + ["target_modules=query,dense"]).flatMap { ["--set", $0] }
        let outcome = try perigee(["params", "config.json", "--adapter", adapter] + settings, in: folder)
        #expect((outcome.code, outcome.error) == (0, ""))
        return outcome.output.split(separator: "\n").filter { !$0.hasPrefix("adapter  ") && !$0.hasPrefix("total") }
      }
      #expect(counts[0].count == 5)
      #expect(counts[0] == counts[1])
      let mistaken = try perigee(["params", "config.json", "--adapter", packageRoot + "/lua/adapters/\(name).lua", "--set", "rr=3"], in: folder)
      #expect(mistaken.code == 1)
      #expect(mistaken.error == "perigee: error: --set rr=3: no option 'rr'; did you mean 'r'?\n")
    }
  }

  /// The text and the data of a short benchmark.
  @Test func benchmark() throws {
    try withTemporaryFolder { folder in
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let command = ["bench", "step", "--model", "config.json", "--batch", "2", "--length", "8", "--set", "r=2", "--steps", "2"]
      let data = try perigee(command + ["--json", "--threads", "1"], in: folder)
      #expect((data.code, data.error) == (0, ""))
      let object = try JSONSerialization.jsonObject(with: Data(data.output.utf8)) as? [String: Any]
      #expect(object?["threads"] as? Int == 1)
      #expect(object?["steps"] as? Int == 2)
      #expect(object?["tokens"] as? Int == 32)
      // The process is younger than the test.
      let startup = try #require(object?["startup_s"] as? Double)
      #expect(startup > 0 && startup < 600)
      let text = try perigee(command, in: folder)
      #expect(text.code == 0)
      #expect(text.output.contains("kind of work"))
      #expect(text.output.contains("tokens_per_s"))
    }
  }

  @Test func stubsAreWrittenCheckedAndCleaned() throws {
    try withTemporaryFolder { folder in
      let missing = try perigee(["stubs", "meta", "--check"], in: folder)
      #expect(missing.code == 1)
      #expect(missing.error.hasPrefix("perigee: error: meta: stale: "))
      #expect(!FileManager.default.fileExists(atPath: folder + "/meta"))
      #expect(try perigee(["stubs", "meta"], in: folder).code == 0)
      #expect(try perigee(["stubs", "meta", "--check"], in: folder).code == 0)

      let old = folder + "/meta/old.lua"
      let own = folder + "/meta/own.lua"
      try "---@meta\n".write(toFile: old, atomically: true, encoding: .utf8)
      try "return 1\n".write(toFile: own, atomically: true, encoding: .utf8)
      let stale = try perigee(["stubs", "meta", "--check"], in: folder)
      #expect(stale.error == "perigee: error: meta: stale: old.lua; run 'perigee stubs meta'\n")
      #expect(try perigee(["stubs", "meta"], in: folder).code == 0)
      #expect(!FileManager.default.fileExists(atPath: old))
      #expect(FileManager.default.fileExists(atPath: own))

      let notAFolder = try perigee(["stubs", "meta/own.lua"], in: folder)
      #expect(notAFolder.code == 1)
      #expect(notAFolder.error.hasPrefix("perigee: error: meta/own.lua: is a file, expected a folder"))
    }
  }

  @Test(arguments: [
    // Results that cannot be written are an error, a reader that had enough is none.
    ("\"$@\" >/dev/full", ["--help"], Int32(1), "perigee: error: cannot write the results"),
    ("\"$@\" | true; exit ${PIPESTATUS[0]}", ["--help"], 0, ""),
    // Messages that nobody can read change nothing.
    ("\"$@\" 2>/dev/full", ["rnu"], 1, ""),
    ("\"$@\" 2>&-", ["rnu"], 1, ""),
    ("\"$@\" <&- >&- 2>&-", ["stubs", "meta"], 0, ""),
    // A file-size limit is an error like any other, and leaves no part of a file.
    ("ulimit -f 0; \"$@\"; code=$?; ls -A meta; exit $code", ["stubs", "meta"], 1, ""),
  ])
  func failingStreams(shell: String, arguments: [String], code: Int32, error: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try perigee(arguments, in: folder, shell: shell)
      #expect(outcome.code == code)
      #expect(outcome.error.hasPrefix(error))
      #expect(!outcome.output.contains(".lua"))
    }
  }
}
