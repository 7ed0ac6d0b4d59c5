import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Metrics

/// A corpus with the scores that the reference programs gave it, by metric and options: "chrf lowercase=true".
private struct ScoredCorpus: Decodable {
  let hypotheses: [String]
  let references: [[String]]
  let scores: [String: Double]
  /// Mean, and half the width, of sacreBLEU's confidence intervals of 200 resamples.
  let bootstrap: [String: [Double]]?
}

private let fixtures = packageRoot + "/Tests/MetricTests/Fixtures/"

private func rows<Row: Decodable>(_ path: String, as type: Row.Type = Row.self) -> [Row] {
  guard let data = FileManager.default.contents(atPath: path) else { return [] }
  return data.split(separator: UInt8(ascii: "\n")).compactMap { try? JSONDecoder().decode(Row.self, from: Data($0)) }
}

/// The corpora of `Generators/make_text_metrics.py`, or of another file that it has written; texts of several lines are apart.
private let corpora: [ScoredCorpus] =
  rows(ProcessInfo.processInfo.environment["PERIGEE_TEXT_METRICS"] ?? fixtures + "text_metrics.jsonl") + rows(fixtures + "text_metrics_lines.jsonl")

private let cases = Set(corpora.flatMap { $0.scores.keys }).sorted()

@Test func corporaOfTheReferencesAreThere() {
  #expect(corpora.count >= 47 && cases.count >= 35)
}

@Test(arguments: cases)
func equalsTheReferenceProgram(_ name: String) throws {
  let words = name.split(separator: " ").map(String.init)
  let metric = try MetricCatalogue.metric(named: words[0])
  let settings = words.dropFirst().map { $0.split(separator: "=").map(String.init) }
  for (place, corpus) in corpora.enumerated() {
    guard let expected = corpus.scores[name] else { continue }
    let texts = try ScoredTexts(hypotheses: corpus.hypotheses, references: corpus.references)
    let report = try metric.score(texts, settings: settings.map { (name: $0[0], value: $0[1]) })
    let difference = abs(report.score.value - expected)
    #expect(
      difference <= 1e-9 * max(1, abs(expected)),
      "corpus \(place), \(corpus.hypotheses[0].prefix(60)): \(report.score.value), expected \(expected)")
  }
}

/// Texts that meet the rarer rules of the captions' tokenizer.
@Test func wordsAreThoseOfTheCaptionsTokenizer() {
  struct Row: Decodable {
    let text: String
    let words: [String]
  }
  let texts = rows(fixtures + "coco_words.jsonl", as: Row.self)
  #expect(texts.count > 100)
  for row in texts {
    // By scalar: Swift takes texts that look alike for equal.
    #expect(cocoWords(Array(row.text.unicodeScalars)) == row.words.map { Array($0.unicodeScalars) }.filter { !$0.isEmpty }, "\(row.text)")
  }
}

/// The same corpora are drawn as by sacreBLEU, which adds counts in single precision.
@Test func intervalsEqualThoseOfSacreBLEU() throws {
  let drawn = corpora.compactMap { corpus in corpus.bootstrap.map { (corpus, $0) } }
  #expect(!drawn.isEmpty)
  for (corpus, expected) in drawn {
    let texts = try ScoredTexts(hypotheses: corpus.hypotheses, references: corpus.references)
    for (name, values) in expected {
      let report = try MetricCatalogue.metric(named: name).score(texts, bootstrap: BootstrapOptions(resamples: 200))
      let interval = try #require(report.interval)
      #expect(abs(interval.mean - values[0]) < 1e-4, "\(name): mean \(interval.mean), expected \(values[0])")
      #expect(abs((interval.high - interval.low) / 2 - values[1]) < 1e-4, "\(name): \(interval), expected \(values[1])")
    }
  }
}

/// The first numbers of `numpy.random.default_rng(12345)`, of `default_rng(2**40 + 1)`, and choices from ten.
@Test func drawsAreNumPys() {
  var random = PCG64(seed: 12345)
  #expect((0..<3).map { _ in random.next64() } == [0x3a32b18db2ffc19d, 0x51171315c9e4c4de, 0xcc2024823444efd9])
  random = PCG64(seed: (1 << 40) + 1)
  #expect((0..<3).map { _ in random.next64() } == [0x469620209a009a3, 0x3d6203d6aa1b61ad, 0x822c6868b8155212])
  random = PCG64(seed: 7)
  #expect((0..<12).map { _ in random.below(10) } == [9, 6, 6, 8, 5, 7, 8, 2, 0, 3, 2, 8])
}
