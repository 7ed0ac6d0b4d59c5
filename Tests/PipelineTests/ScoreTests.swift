import Foundation
import LuaHost
import Metrics
import TestSupport
import Testing

/// `perigee score`, and the same metrics in a script.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct ScoreTests {
  private static let files = [
    "hyp.txt": "The cat sat.\nA dog ran fast.\n", "ref.txt": "The cat sat down.\nA dog ran very fast.\n",
    "second.txt": "\nThe dog ran fast.\n", "grouped.txt": "The cat sat down.\n\nA dog ran very fast.\nThe dog ran fast.\n",
    "windows.txt": "\u{FEFF}The cat sat down.\r\nA dog ran very fast.\r\n", "no_end.txt": "The cat sat down.\nA dog ran very fast.",
    "three.txt": "a\nb\nc\n", "empty.txt": "", "blank.txt": "\n\n", "nul.txt": "a\0b\n\u{2003}\u{85}\u{1C}\n",
  ]

  private func score(_ arguments: [String]) throws -> Outcome {
    try withTemporaryFolder { folder in
      for (name, text) in Self.files { try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8) }
      try Data([0x61, 0x0A, 0xFF, 0x0A]).write(to: URL(fileURLWithPath: folder + "/latin1.txt"))
      return try perigee(["score"] + arguments, in: folder)
    }
  }

  @Test func tellsScoresWithTheirParts() throws {
    let outcome = try score(["sacrebleu", "ter", "--hyp", "hyp.txt", "--ref", "ref.txt", "--set", "ter.normalized=true"])
    #expect((outcome.code, outcome.error) == (0, ""))
    #expect(
      outcome.output == """
        2 segments, references of each: 1
        sacrebleu  37.4055
                   precision_1 100  precision_2 71.4286  precision_3 40  precision_4 16.6667  brevity_penalty 0.8007  length 9  reference_length 11
                   tokenize=13a lowercase=false smooth_method=exp max_ngram_order=4 effective_order=false
        ter        18.1818
                   edits 2  reference_length 11
                   normalized=true no_punct=false asian_support=false case_sensitive=false

        """)
  }

  /// Options that need each other may come in any order, and JSON has all digits.
  @Test func tellsJSON() throws {
    let outcome = try score(
      [
        "sacrebleu", "--hyp", "hyp.txt", "--ref", "ref.txt", "--json", "--bootstrap", "200", "--set", "smooth_value=0.5", "--set",
        "smooth_method=floor",
      ])
    #expect((outcome.code, outcome.error) == (0, ""))
    struct Answer: Decodable {
      struct Score: Decodable {
        struct Bootstrap: Decodable { let low, mean, high: Double }
        let score: Double
        let parts: [String: Double]
        let options: [String: String]
        let bootstrap: Bootstrap
      }
      let segments: Int
      let scores: [String: Score]
    }
    let answer = try JSONDecoder().decode(Answer.self, from: Data(outcome.output.utf8))
    let score = try #require(answer.scores["sacrebleu"])
    #expect(answer.segments == 2 && abs(score.score - 37.405485108988884) < 1e-9 && score.options["smooth_value"] == "0.5")
    #expect(score.bootstrap.low < score.bootstrap.mean && score.bootstrap.mean < score.bootstrap.high)
  }

  /// Forms of the references: files, groups of lines, line ends of Windows, no end of the last line.
  @Test(arguments: [
    (["ref.txt"], "1", 0.8730), (["windows.txt"], "1", 0.8730), (["no_end.txt"], "1", 0.8730), (["grouped.txt"], "1 to 2", 0.8730),
    (["ref.txt", "second.txt"], "1 to 2", 0.8730), (["ref.txt", "ref.txt"], "2", 0.8730),
  ])
  func readsReferences(files: [String], counts: String, expected: Double) throws {
    let outcome = try score(["rougeL", "--hyp", "hyp.txt", "--ref"] + files)
    #expect((outcome.code, outcome.error) == (0, ""))
    let lines = outcome.output.split(separator: "\n")
    #expect(lines[0] == "2 segments, references of each: \(counts)")
    #expect(lines[1].hasPrefix("rougeL  0."))
    if counts == "1" { #expect(lines[1] == "rougeL  \(String(format: "%.4f", expected))") }
  }

  @Test(arguments: [
    (["bleu", "--hyp", "hyp.txt", "--ref", "ref.txt"], "no metric 'bleu'; take sacrebleu (WMT), e2e_bleu (E2E), multi_bleu_detok"),
    (["rougel", "--hyp", "hyp.txt", "--ref", "ref.txt"], "no metric 'rougel'; did you mean 'rougeL'?"),
    (["accuracy", "--hyp", "hyp.txt", "--ref", "ref.txt"], "metric 'accuracy' does not compare texts; metrics of texts: sacrebleu"),
    (["ter", "ter", "--hyp", "hyp.txt", "--ref", "ref.txt"], "metric 'ter' is given twice"),
    (["ter", "--hyp", "no.txt", "--ref", "ref.txt"], "no.txt: no such file"),
    (["ter", "--hyp", "hyp.txt", "--ref", "three.txt"], "three.txt: 3 lines for 2 hypotheses in hyp.txt; expected a line for each hypothesis, or"),
    (
      ["ter", "--hyp", "three.txt", "--ref", "grouped.txt"],
      "grouped.txt: 4 lines, 2 groups of lines between empty ones for 3 hypotheses in three.txt"
    ),
    (["ter", "--hyp", "hyp.txt", "--ref", "ref.txt", "three.txt"], "three.txt: 3 lines for 2 hypotheses in hyp.txt; expected a line for each"),
    (["ter", "--hyp", "empty.txt", "--ref", "ref.txt"], "empty.txt: the file is empty; expected one hypothesis a line"),
    (["ter", "--hyp", "hyp.txt", "--ref", "empty.txt"], "empty.txt: 0 lines, 0 groups"),
    (["ter", "--hyp", "hyp.txt", "--ref", "latin1.txt"], "latin1.txt:2: invalid UTF-8; save the file as UTF-8"),
    (
      ["ter", "--hyp", "hyp.txt", "--ref", "ref.txt", "--set", "normalize=true"],
      "ter options: unknown field 'normalize'; did you mean 'normalized'?"
    ),
    (["ter", "--hyp", "hyp.txt", "--ref", "ref.txt", "--set", "asian_support=true"], "ter options: 'asian_support' says nothing by itself"),
    (
      ["ter", "--hyp", "hyp.txt", "--ref", "ref.txt", "--set", "chrf.beta=1"],
      "--set chrf.beta=1: no option 'chrf.beta'; 'chrf' is not one of the metrics"
    ),
    (
      ["chrf", "--hyp", "hyp.txt", "--ref", "ref.txt", "--set", "char_order=0"],
      "chrf options: 'char_order' must be an integer from 1 to 20, got 0"
    ),
    (
      ["sacrebleu", "--hyp", "hyp.txt", "--ref", "ref.txt", "--set", "tokenize=13b"],
      "sacrebleu options: 'tokenize' must be one of '13a', 'intl', 'char', 'none', got '13b'"
    ),
    (["ter", "--hyp", "hyp.txt", "--ref", "ref.txt", "--bootstrap", "1"], "--bootstrap 1: expected a number from 2 to 1000000"),
    (["ter", "--ref", "ref.txt"], "Missing expected argument '--hyp <file>'"),
  ])
  func refuses(arguments: [String], message: String) throws {
    let outcome = try score(arguments)
    #expect(outcome.code == 1 && outcome.output == "")
    #expect(outcome.error.hasPrefix("perigee: error: " + message), "\(outcome.error)")
  }

  /// Texts without a word, with NUL and with spaces of all kinds: every metric has a finite value.
  @Test(arguments: [
    ("blank.txt", "hyp.txt"), ("hyp.txt", "blank.txt"), ("blank.txt", "blank.txt"), ("nul.txt", "hyp.txt"), ("hyp.txt", "nul.txt"),
    ("nul.txt", "nul.txt"),
  ])
  func scoresOddTexts(hypotheses: String, references: String) throws {
    let names = textMetrics
    let outcome = try score(names + ["--hyp", hypotheses, "--ref", references, "--bootstrap", "3"])
    #expect((outcome.code, outcome.error) == (0, ""))
    #expect(!outcome.output.contains("nan") && !outcome.output.contains("inf "))
    for name in names { #expect(outcome.output.contains("\n\(name) ")) }
  }

  @Test func scoresInScripts() throws {
    try ScriptHost.with { host, _ in
      let printed = try host.printed(
        """
        local hypotheses = { "The cat sat.", "A dog ran fast." }
        local one = { "The cat sat down.", "A dog ran very fast." }
        local many = { { "The cat sat down.", "The cat sat." }, "A dog ran very fast." }
        local bleu = metrics.sacrebleu(hypotheses, one, { lowercase = true, bootstrap = 100 })
        print(string.format("%.4f %.4f %s", bleu.score, bleu.parts.precision_2, bleu.low < bleu.mean and bleu.mean < bleu.high))
        for _, name in ipairs { "ter", "rougeL", "chrfpp" } do print(name, string.format("%.4f", metrics[name](hypotheses, many).score)) end
        print(metrics.greater_is_better("ter"), metrics.greater_is_better("eval_rougeL"), metrics.ter(hypotheses, one).low)
        """)
      #expect(printed == ["37.4055 71.4286 true", "ter\t11.7647", "rougeL\t0.9444", "chrfpp\t73.1961", "false\ttrue\tnil"])
    }
  }

  /// Every metric is the same in a script as in the catalogue, with and without options.
  @Test func scriptsAndTheCatalogueAgree() throws {
    let (hypothesis, reference) = ("There of City.\nIt dogs' hopping for £5?", "There priced City of.\nIt hopping dogs', for £15!")
    let texts = try ScoredTexts(hypotheses: [hypothesis], references: [[reference]])
    try ScriptHost.with { host, _ in
      for metric in MetricCatalogue.metrics where metric.readsTexts {
        let expected = try metric.score(texts).score.value
        for options in ["", ", {}", ", { bootstrap = 2 }"] {
          let call = "metrics.\(metric.name)({ hypothesis }, { reference }\(options)).score"
          let printed = try host.printed("local hypothesis, reference = [[\(hypothesis)]], [[\(reference)]]\nprint(string.format('%.17g', \(call)))")
          #expect(printed == [String(format: "%.17g", expected)], "\(call)")
        }
      }
    }
    #expect(try Set(["rouge1", "rouge2", "rougeL", "rougeLsum"].map { try MetricCatalogue.metric(named: $0).score(texts).score.value }).count >= 3)
  }

  @Test(arguments: [
    ("metrics.ter({ 'a' }, {})", "1 hypotheses for 0 segments with references; expected one hypothesis per segment"),
    ("metrics.ter({}, {})", "no hypotheses; expected at least one segment"),
    ("metrics.ter({ 'a' }, { {} })", "segment 1 has no reference; expected at least one reference for each hypothesis"),
    ("metrics.ter({ 'a' }, 'a')", "bad argument #2 'references' to 'ter' (expected a list of texts, or of lists of texts, got string)"),
    ("metrics.ter({ 'a' }, { 1 })", "bad argument #2 'references' to 'ter' (expected a list of texts, or of lists of texts, got number at [1])"),
    ("metrics.ter({ 'a' }, { 'a' }, { normalised = true })", "ter options: unknown field 'normalised'; did you mean 'normalized'?"),
    ("metrics.sacrebleu({ 'a' }, { 'a' }, { bootstrap = 1 })", "sacrebleu options: 'bootstrap' must be an integer from 2 to 1000000, got 1"),
  ])
  func refusesInScripts(script: String, message: String) throws {
    try ScriptHost.with { host, _ in
      let failure = try #require(try host.failure(script))
      #expect(failure.hasSuffix(message), "\(failure)")
    }
  }
}

/// The names of all metrics of texts, from the command's help.
private let textMetrics: [String] = {
  let help = (try? withTemporaryFolder { try perigee(["score", "--help"], in: $0).output }) ?? ""
  return help.split(separator: "\n").compactMap { line in
    guard line.hasPrefix("  "), let colon = line.firstIndex(of: ":"), !line.contains("--") else { return nil }
    let name = line[..<colon].drop { $0 == " " }
    return name.contains(" ") ? nil : String(name)
  }
}()
