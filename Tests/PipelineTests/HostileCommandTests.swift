import Files
import Foundation
import TestSupport
import Testing

/// Inputs to `perigee generate` and `perigee score` that nothing can be made of: an error that says why, or a defined result.
@Suite(.engine, .enabled(if: perigeeExecutable != nil, "perigee is not built")) struct HostileCommandTests {
  private struct Row {
    let what: String
    /// `$P` is the program, `$G MODEL` its generation of four tokens; `stopped COMMAND` sends Ctrl-C to a command under way.
    let command: String
    let code: Int32
    /// All of the output, where that matters.
    var output: String?
    /// A part of what is told.
    var error: String?
  }

  private static let rows = [
    Row(what: "an empty prompt", command: "$G gpt --prompt ''", code: 0, error: "4 tokens in"),
    Row(what: "special tokens alone", command: "$G gpt --prompt '<s></s><pad>'", code: 0, error: "4 tokens in"),
    Row(
      what: "a stop string that is never met",
      command: "[ \"$($G gpt --prompt dog)\" = \"$($G gpt --prompt dog --set stop_strings=never)\" ] && echo same", code: 0, output: "same\n",
      error: "4 tokens in"),
    Row(
      what: "a prompt longer than the positions", command: "$G gpt --prompt \"$(printf 'dog %.0s' {1..4100})\"", code: 1, output: "",
      error: "but the model has positions for 4000; shorten the prompt"),
    Row(
      what: "one enormous line", command: "$G gpt --prompt - < long.txt", code: 1, output: "",
      error: "prompt 1 has 300001 tokens, but the model has positions for 4000"),
    Row(
      what: "a binary prompt", command: "$G gpt --prompt - < binary", code: 1, output: "",
      error: "standard input: invalid UTF-8; save the text as UTF-8"),
    Row(what: "a prompt with NUL", command: "printf 'a\\0b' | $G gpt --prompt -", code: 0, error: "4 tokens in"),
    Row(
      what: "weights that are not numbers", command: "$G nan --prompt dog", code: 1, output: "",
      error: "nan/model.safetensors: tensor 'transformer.wte.weight' has a value that is not finite"),
    Row(
      what: "weights whose scores are not numbers", command: "$G huge --prompt dog", code: 1, output: "",
      error: "generate: the model's scores are not finite (NaN or infinite)"),
    Row(
      what: "Ctrl-C while it writes", command: "stopped $G gpt --prompt dog --set max_new_tokens=3900 --set min_new_tokens=3900 >written", code: 130,
      error: "perigee: interrupted"),
    Row(
      what: "an empty file of texts", command: "$P score ter --hyp empty.txt --ref ref.txt", code: 1, output: "",
      error: "empty.txt: the file is empty; expected one hypothesis a line"),
    Row(
      what: "an empty file of references", command: "$P score ter --hyp ref.txt --ref empty.txt", code: 1, output: "",
      error: "empty.txt: 0 lines, 0 groups of lines between empty ones for 2 hypotheses in ref.txt"),
    Row(
      what: "differing numbers of lines", command: "$P score ter --hyp ref.txt --ref ref.txt long.txt", code: 1, output: "",
      error: "long.txt: 1 lines for 2 hypotheses in ref.txt"),
    Row(
      what: "a binary file of texts", command: "$P score ter --hyp binary --ref ref.txt", code: 1, output: "",
      error: "binary:1: invalid UTF-8; save the file as UTF-8"),
    Row(
      what: "one enormous word", command: "$P score ter rougeL chrf sacrebleu meteor --hyp long.txt --ref long.txt --json | grep -c '\"score\"'",
      code: 0,
      output: "5\n"),
    Row(
      what: "one line of many words", command: "$P score pyter --hyp words.txt --ref words.txt", code: 1, output: "",
      error: "pyter: segment 1: 9000000 pairs of equal words, at most 1000000 are searched for moves"),
    Row(
      what: "Ctrl-C while it scores", command: "stopped $P score chrf --hyp many.txt --ref many.txt --bootstrap 1000000", code: 130, output: "",
      error: "perigee: interrupted"),
  ]

  private func write(_ folder: String) throws {
    for (name, text) in [
      "long.txt": String(repeating: "a", count: 300_000) + "\n", "ref.txt": "A cat.\nA dog.\n", "empty.txt": "",
      "words.txt": String(repeating: "the ", count: 3000) + "\n", "many.txt": String(repeating: "A cat.\n", count: 2000),
    ] { try AtomicFile.write(text, to: folder + "/" + name) }
    try Data([0xFF, 0xFE, 0x00, 0x61, 0x0A, 0x80]).write(to: URL(fileURLWithPath: folder + "/binary"))
    let script = """
      local base = models.from_config { tokenizer = models.load('builtin:tiny').tokenizer, seed = 1,
        config = { model_type = 'gpt2', n_embd = 8, n_layer = 1, n_head = 2, n_positions = 4000, eos_token_id = 2 } }
      local model = base:causal_lm()
      model:save('gpt')
      model:save('nan')
      tensor.no_grad(function() model:parameter('transformer.ln_f.weight'):fill_(3e38) end)
      model:save('huge')
      """
    try ScriptHost.with(in: folder) { host, _ in
      _ = try host.printed(script)
      for name in ["gpt", "nan", "huge"] { try FileManager.default.moveItem(atPath: host.runFolder + "/" + name, toPath: folder + "/" + name) }
    }
    let weights = try #require(FileHandle(forUpdatingAtPath: folder + "/nan/model.safetensors"))
    try weights.seek(toOffset: weights.seekToEnd() - 4)
    try weights.write(contentsOf: withUnsafeBytes(of: Float.nan) { Data($0) })
    try weights.close()
  }

  @Test func everyCaseEndsInAnErrorOrAResult() throws {
    let functions = """
      P=$1; G="$P generate --set max_new_tokens=4 --set min_new_tokens=4 --precision fp32 --threads 1"
      stopped() {
        "$@" & local pid=$!
        for i in $(seq 20); do sleep 0.5; kill -INT $pid 2>/dev/null || break; done
        wait $pid
      }

      """
    try withTemporaryFolder { folder in
      try write(folder)
      for row in Self.rows {
        let outcome = try bash(["-c", functions + row.command, "bash", #require(perigeeExecutable)], in: folder)
        #expect(outcome.code == row.code && row.error.map(outcome.error.contains) != false, "\(row.what): \(outcome)")
        #expect(row.output == nil || outcome.output == row.output, "\(row.what): \(outcome.output)")
        #expect(!outcome.output.contains("nan"), "\(row.what): \(outcome.output)")
      }
      // What stood there when Ctrl-C came is a line of its own.
      #expect(try readText(folder + "/written").last == "\n")
    }
  }
}
