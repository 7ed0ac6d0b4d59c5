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
}

/// The corpora of `Generators/make_text_metrics.py`, or of another file that it has written.
private let corpora: [ScoredCorpus] = {
  let path = ProcessInfo.processInfo.environment["PERIGEE_TEXT_METRICS"] ?? packageRoot + "/Tests/MetricTests/Fixtures/text_metrics.jsonl"
  guard let data = FileManager.default.contents(atPath: path) else { return [] }
  return data.split(separator: UInt8(ascii: "\n")).compactMap { try? JSONDecoder().decode(ScoredCorpus.self, from: Data($0)) }
}()

private let cases = Set(corpora.flatMap { $0.scores.keys }).sorted()

@Test func corporaOfTheReferencesAreThere() {
  #expect(corpora.count >= 32 && cases.count >= 35)
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
