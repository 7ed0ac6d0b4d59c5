import Foundation
import TestSupport
import Testing

@testable import Metrics

private let hasWordNet = FileManager.default.fileExists(atPath: WordNet.installedFolder + "/index.noun")

/// Outputs of systems whose scores by the reference programs are known.
struct KnownScoreTests {
  private static func lines(_ path: String) throws -> [String] {
    // One file has a byte of another encoding.
    let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: try #require(testData(path)))), as: UTF8.self).replacing("\r\n", with: "\n")
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    return lines.last == "" ? lines.dropLast() : lines
  }

  private static func value(_ name: String, _ texts: ScoredTexts, _ settings: [(name: String, value: String)] = []) throws -> Double {
    try MetricCatalogue.metric(named: name).score(texts, settings: settings).score.value
  }

  private static let tgen = Result {
    let systems = try lines("metrics/e2e_systems/tgen.tsv").dropFirst().map { $0.split(separator: "\t").map(String.init) }
    var references: [String: [String]] = [:]
    for row in csvRows(try lines("nlg/e2e/testset_w_refs.csv").joined(separator: "\n")).dropFirst() {
      references[row[0], default: []].append(row[1])
    }
    return try ScoredTexts(
      hypotheses: systems.map { $0[1] }, references: systems.map { try #require(references[$0[0].replacing("\"", with: "")]) })
  }

  private static let webNLG = Result {
    let paths = try ["hypothesis", "reference0", "reference1", "reference2"].map { try #require(testData("metrics/webnlg/\($0).txt")) }
    return try ScoredTexts(hypothesisPath: paths[0], referencePaths: Array(paths.dropFirst()))
  }

  /// TGen's texts on the E2E test set, by e2e-metrics and sacreBLEU; the challenge's own ROUGE-L and CIDEr.
  @Test(
    .enabled(if: testData("metrics/e2e_systems/tgen.tsv") != nil),
    arguments: [
      ("e2e_bleu", 0.6593, 4.0), ("nist", 8.5923, 4), ("coco_rouge_l", 0.6850, 4),
      ("cider", 2.2338, 4),
    ])
  func ofTGen(metric: String, expected: Double, digits: Double) throws {
    let value = try Self.value(metric, Self.tgen.get())
    #expect(abs(value - expected) <= 0.5000001 * pow(10, -digits), "\(value)")
  }

  @Test(
    .enabled(if: testData("metrics/webnlg/hypothesis.txt") != nil),
    arguments: [
      ("sacrebleu", "", 39.626802325159844), ("sacrebleu", "lowercase", 40.799385847737334), ("chrf", "", 55.76656898916678),
      ("chrfpp", "", 54.312073228212235),
    ])
  func ofWebNLG(metric: String, option: String, expected: Double) throws {
    let value = try Self.value(metric, Self.webNLG.get(), option.isEmpty ? [] : [(option, "true")])
    #expect(abs(value - expected) < 1e-9, "\(value)")
  }

  /// Each of 1,000 segments by tercom, where rates above 1 are 1.
  @Test(.enabled(if: testData("metrics/ter_segments/mlqe_roen.tsv") != nil)) func ofTercomsSegments() throws {
    let rows = try Self.lines("metrics/ter_segments/mlqe_roen.tsv").dropFirst().map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    #expect(rows.count == 1000)
    for row in rows {
      let value = min(1, try Self.value("ter", ScoredTexts(hypotheses: [row[0]], references: [[row[1]]])) / 100)
      let expected = try #require(Double(row[2]))
      #expect(abs(value - expected) < 1e-6, "\(row[0]): \(value), expected \(expected)")
    }
  }

  /// tercom's own sample, four references each, by sacreBLEU; tercom finds one edit more, 1787.
  @Test(.enabled(if: testData("metrics/tercom/hyp.txt") != nil)) func ofTercomsSample() throws {
    func tagged(_ line: String) -> (text: String, tag: String)? {
      line.lastIndex(of: "(").map {
        (String(line[..<$0]).trimmingCharacters(in: .whitespaces), String(line[$0...]).trimmingCharacters(in: .whitespaces))
      }
    }
    let references = Dictionary(grouping: try Self.lines("metrics/tercom/ref.txt").compactMap(tagged), by: \.tag)
    let hypotheses = try Self.lines("metrics/tercom/hyp.txt").compactMap(tagged)
    let texts = try ScoredTexts(hypotheses: hypotheses.map(\.text), references: hypotheses.map { try #require(references[$0.tag]).map(\.text) })
    let report = try Metric.ter.score(texts)
    #expect(report.score.parts.map(\.value) == [1786, 3180.75])
  }

  /// METEOR's statistics of 2,489 segments, by its exact and stem stages.
  @Test(.enabled(if: testData("metrics/meteor/system1.txt") != nil)) func ofMeteorsSample() throws {
    let paths = try ["system1", "reference"].map { try #require(testData("metrics/meteor/\($0).txt")) }
    let texts = try ScoredTexts(hypothesisPath: paths[0], referencePaths: [paths[1]])
    let report = try Metric.meteor.score(texts, settings: [("synonyms", "false")])
    #expect(abs(report.score.value - 0.28462390372525265) < 1e-12, "\(report.score.value)")
    let parts = Dictionary(uniqueKeysWithValues: report.score.parts.map { ($0.name, $0.value) })
    #expect(parts["chunks"] == 20174 && parts["length"] == 61600 && parts["reference_length"] == 62469)
  }

  /// METEOR's scores of single segments by its exact, stem and synonym stages, with its own list of synsets written as WordNet's files.
  @Test(.enabled(if: testData("metrics/meteor/english_synsets.txt") != nil)) func ofMeteorsSynonyms() throws {
    try withTemporaryFolder { folder in
      for name in ["index.verb", "index.adj", "index.adv", "verb.exc", "adj.exc", "adv.exc"] {
        try "".write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
      }
      func pairs(_ name: String) throws -> [(String, [Substring])] {
        let lines = try Self.lines("metrics/meteor/english_\(name).txt")
        return stride(from: 0, to: lines.count - 1, by: 2).map { (lines[$0], lines[$0 + 1].split(separator: " ")) }
      }
      let index = try pairs("synsets").map { word, synsets in
        "\(word) n \(synsets.count) 0 \(synsets.count) 0 \(synsets.map { String(repeating: "0", count: 8 - $0.count) + $0 }.joined(separator: " "))"
      }
      try index.joined(separator: "\n").write(toFile: folder + "/index.noun", atomically: true, encoding: .utf8)
      let forms = try pairs("exceptions").flatMap { base, forms in forms.map { "\($0) \(base)" } }
      try forms.joined(separator: "\n").write(toFile: folder + "/noun.exc", atomically: true, encoding: .utf8)
      try Self.expectMeteorsSegments(wordnet: folder)
    }
  }

  /// The same with Debian's files.
  @Test(.enabled(if: hasWordNet && testData("metrics/meteor/system1.txt") != nil, "wordnet-base is not installed, or there is no test data"))
  func ofInstalledSynonyms() throws { try Self.expectMeteorsSegments(wordnet: nil) }

  private static func expectMeteorsSegments(wordnet: String?) throws {
    let count = 150
    let texts = try ["system1", "reference"].map { try lines("metrics/meteor/\($0).txt").prefix(count) }
    var scorer = METEOR()
    scorer.wordnet = wordnet
    #expect(try scorer.remarks()[0].contains("synonym ("))
    let rows = try scorer.statistics(of: ScoredTexts(hypotheses: Array(texts[0]), references: texts[1].map { [$0] }))
    let known = try lines("metrics/meteor/system1_segments.tsv").dropFirst().prefix(count).map { $0.split(separator: "\t").compactMap { Double($0) } }
    #expect(rows.count == count && known.count == count)
    for (segment, (row, expected)) in zip(rows, known).enumerated() {
      #expect(abs(scorer.score(row).value - expected[0]) < 1e-12, "segment \(segment + 1)")
    }
    // Synonyms are seen in some of them.
    #expect(known.contains { $0[0] != $0[1] })
  }
}

/// The fields of CSV with quotes, of which some have line breaks.
private func csvRows(_ text: String) -> [[String]] {
  var (rows, row, field, isQuoted) = ([[String]](), [String](), "", false)
  for character in text + "\n" {
    if character == "\"" {
      isQuoted.toggle()
    } else if !isQuoted, character == "," || character == "\n" || character == "\r\n" {
      row.append(field)
      field = ""
      if character != "," {
        rows.append(row)
        row = []
      }
    } else {
      field.append(character)
    }
  }
  return rows
}
