import Foundation
import TestSupport
import Testing

/// `scripts/bench-vs-peft.sh`, with programs that answer without measuring.
@Suite struct BenchmarkScriptTests {
  private static let script = packageRoot + "/scripts/bench-vs-peft.sh"

  @Test(arguments: [
    (["--pears", "1"], "unknown option --pears"), (["--pairs"], "missing value for --pairs"),
    (["--pairs", "0"], "--pairs 0: expected a number of at least 1"),
    (["--method", "vera"], "--method vera: expected lora, classifier, full or none"),
    (["--precision", "fp16"], "--precision fp16: expected auto, bf16 or fp32"),
    (["--task", "rte"], "real data needs --data DIR, the task's folder"),
    (["--data", "nowhere"], "nowhere/train.tsv: no such file"),
    (["--synthetic", "10"], "--synthetic 10: expected N,T"), (["--python", "nosnake"], "nosnake: no such program"),
  ])
  func mistakes(arguments: [String], message: String) throws {
    try withTemporaryFolder { folder in
      let outcome = try bash([Self.script] + arguments, in: folder)
      #expect(outcome.code == 1)
      #expect(outcome.output == "")
      #expect(outcome.error == "bench-vs-peft.sh: \(message) (see --help)\n")
    }
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/python3")))
  func ratiosOfPairs() throws {
    try withTemporaryFolder { folder in
      // Every run of a program is faster than the one before: 100, 200, 300 and 1000, 1600, 1800 tokens/s.
      func program(_ name: String, _ speeds: [Int], memory: Int) throws {
        let text = """
          #!/bin/bash
          [ "${1-}" = - ] && exec /usr/bin/python3 "$@"
          [ "${1-}" = -c ] && exec /usr/bin/python3 "$@"
          echo >>\(name).runs
          speeds=(0 \(speeds.map(String.init).joined(separator: " ")))
          echo "{\\"peer\\": \\"torch 1\\", \\"precision\\": \\"bf16\\", \\"steps\\": 5, \\"batch\\": 32, \\"trainable\\": 7," \\
            "\\"tokens_per_s\\": ${speeds[$(wc -l <\(name).runs)]}, \\"s_per_epoch\\": 1.0, \\"startup_s\\": 2.0," \\
            "\\"peak_rss_mb\\": \(memory), \\"loss_first\\": 0.7, \\"loss_last\\": 0.6}"
          echo "$@" >\(name).arguments

          """
        let path = folder + "/" + name
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      }
      try program("python", [100, 200, 300], memory: 1000)
      try program("perigee", [1000, 1600, 1800], memory: 250)
      // Packages of the real interpreter do not matter here.
      for name in ["torch", "transformers", "peft", "safetensors", "numpy"] {
        try "".write(toFile: folder + "/\(name).py", atomically: true, encoding: .utf8)
      }
      let outcome = try bash(
        [
          "-c", "PYTHONPATH=. bash \"$@\"", "bash", Self.script, "--pairs", "3", "--python", "./python", "--perigee", "./perigee",
          "--synthetic", "160,64", "--rank", "4",
        ], in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
      let line = outcome.output.split(separator: "\n").first { $0.hasPrefix("tokens/s ") } ?? ""
      #expect(line.contains("200.00") && line.contains("1600.00") && line.contains("8.00 x (6.00 to 10.00)"), "\(line)")
      #expect(outcome.output.contains("0.25 x (0.25 to 0.25)"))
      let perigee = try String(contentsOfFile: folder + "/perigee.arguments", encoding: .utf8)
      #expect(perigee.contains("bench step --json") && perigee.contains("--set r=4 --set lora_alpha=8"))
      #expect(perigee.contains("--sequences 160 --length 64"))
      let peft = try String(contentsOfFile: folder + "/python.arguments", encoding: .utf8)
      #expect(peft.contains("--rank 4") && peft.contains("--synthetic 160,64"))
    }
  }
}
