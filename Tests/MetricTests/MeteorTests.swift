import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Metrics

/// METEOR's stages that need files, with a small WordNet and a small table of paraphrases.
struct MeteorTests {
  private static let hypotheses = [
    "The quick cars walked in order to see many birds.", "A big dog strolls as soon as possible, a lot of geese fly.",
    "Goose and automobile and car.", "we go quickly to the big dog",
  ]
  private static let references = [
    "The fast automobile strolled to see a lot of geese.", "A large hound walks quickly; many birds flew.",
    "Bird or car or automobile!", "as soon as possible we went in order to find a large hound",
  ]
  private static let nouns = """
      1 The licence stands here.
    automobile n 2 0 2 0 00000100 00000200
    bird n 1 1 @ 1 0 00000400
    car n 1 0 1 0 00000100
    fast n 1 0 1 0 00000300
    goose n 1 0 1 0 00000400
    quick n 1 0 1 0 00000300

    """
  private static let paraphrases = """
    0.5
    in order to
    to
    0.2
    a lot of
    many
    0.9
    as soon as possible
    quickly
    0.1
    big dog
    large hound

    """

  private func score(_ settings: [(String, String)], files: [String: String] = [:]) throws -> TextReport {
    try withTemporaryFolder { folder in
      var all = [
        "index.noun": Self.nouns, "index.verb": "stroll v 1 0 1 0 00000500\nwalk v 1 0 1 0 00000500\n", "index.adj": "", "index.adv": "",
        "noun.exc": "geese goose\n", "verb.exc": "", "adj.exc": "", "adv.exc": "", "table": Self.paraphrases,
      ]
      all.merge(files) { $1 }
      for (name, text) in all { try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8) }
      let texts = try ScoredTexts(hypotheses: Self.hypotheses, references: Self.references.map { [$0] })
      return try Metric.meteor.score(texts, settings: settings.map { ($0.0, $0.1.replacing("FOLDER", with: folder)) })
    }
  }

  /// Scores of `meteor-1.5.jar -l en -norm -d FOLDER -a table.gz -m '...'` with the same synsets and paraphrases.
  @Test(arguments: [
    ([("wordnet", "FOLDER")], 0.16238644525742488, "stages: exact, stem, synonym ("),
    ([("wordnet", "FOLDER"), ("paraphrases", "FOLDER/table")], 0.28919684186313926, "stages: exact, stem, synonym ("),
  ])
  func stages(settings: [(String, String)], expected: Double, remark: String) throws {
    let report = try score(settings)
    #expect(abs(report.score.value - expected) < 1e-15, "\(report.score.value)")
    #expect(report.remarks[0].hasPrefix(remark) && report.remarks[0].contains("paraphrase (") == (settings.count == 2))
    #expect(report.remarks.count == (settings.count == 2 ? 1 : 2))
  }

  @Test(
    arguments: [
      ([("wordnet", "/no/such/folder")], [:], "meteor: /no/such/folder/index.noun: no such file"),
      (
        [("wordnet", "FOLDER")], ["index.adj": "good a 2 0\n"],
        "index.adj:1: expected a lemma, its part of speech, and the offsets of its synsets"
      ),
      ([("wordnet", "FOLDER")], ["index.adj": "good a 2 0 2 0 00000001\n"], "index.adj:1: expected the offset of a synset"),
      ([("wordnet", "FOLDER"), ("synonyms", "false")], [:], "meteor options: 'wordnet' says nothing without synonyms"),
      (
        [("synonyms", "false"), ("paraphrases", "FOLDER/table")], ["table": "to\nin order to\n"],
        "table:1: expected a probability, got 'to'; METEOR's tables have a probability, a phrase and a paraphrase, each on a line"
      ),
      (
        [("synonyms", "false"), ("paraphrases", "FOLDER/table")], ["table": ""],
        "table: the file is empty; expected METEOR's table of paraphrases, unpacked"
      ),
    ] as [([(String, String)], [String: String], String)])
  func refuses(settings: [(String, String)], files: [String: String], message: String) throws {
    let error = #expect(throws: EngineError.self) { try score(settings, files: files) }
    #expect(error?.description.hasSuffix(message) == true, "\(error?.description ?? "")")
  }

  /// Without WordNet, the report says what is missing.
  @Test func saysWhichStagesDidNotRun() throws {
    let report = try score([("synonyms", "false")])
    #expect(report.remarks == ["stages: exact, stem", "no paraphrases: METEOR's table is given as paraphrases"])
  }
}
