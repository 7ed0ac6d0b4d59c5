import Adapters
import Files
import Generation
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// A case of one of the files `generation*.json`, which `generation.py` recorded.
struct ReferenceCase: CustomTestStringConvertible, Sendable {
  let json: JSONObject

  static let all = ["generation.json", "generation_encoder_decoders.json", "generation_adapters.json", "generation_rules.json"].flatMap {
    name -> [ReferenceCase] in
    guard let file = try? JSONValue(file: fixtures + "/" + name) else { return [] }
    return (file.arrayValue ?? []).compactMap { $0.objectValue.map(ReferenceCase.init) }
  }

  var model: String { json["model"]?.stringValue ?? "" }
  var values: JSONObject { json["options"]?.objectValue ?? [:] }
  var prompts: [[Int32]] { (json["prompts"]?.arrayValue ?? []).map(Self.tokens) }
  var draws: [[Double]]? { json["draws"]?.arrayValue.map { $0.map { ($0.arrayValue ?? []).compactMap(\.doubleValue) } } }
  /// For each prompt the results' tokens and scores.
  var results: [[(tokens: [Int32], score: Double?)]] {
    (json["results"]?.arrayValue ?? []).map { rows in
      (rows.arrayValue ?? []).map { row in (Self.tokens(row.arrayValue?[0] ?? .null), row.arrayValue?[1].doubleValue) }
    }
  }

  private static func tokens(_ value: JSONValue) -> [Int32] { (value.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) } }

  var testDescription: String {
    let adapter = json["adapter"]?.stringValue.map { " with \($0)" } ?? ""
    let words = values.members.filter { $0.0 != "eos_token_id" && $0.0 != "max_new_tokens" }.map { "\($0) = \($1.encoded(.line))" }
    return "\(model)\(adapter), \(prompts.count) prompts, \(words.joined(separator: ", "))"
  }

  /// Tests run one after another, and those here change no model.
  nonisolated(unsafe) private static var last: (key: String, network: TransformerModel)?

  /// The model with its adapter: that of the case before where it is the same.
  private func network() throws -> TransformerModel {
    let factors = json["factors"]?.objectValue ?? [:]
    let key = [model, json["adapter"]?.stringValue ?? "", JSONValue.object(factors).encoded(.line)].joined(separator: " ")
    if let last = Self.last, last.key == key { return last.network }
    let network = try tinyModel(model, factors: factors)
    if let adapter = json["adapter"]?.stringValue {
      _ = try AttachedAdapter.load(folder: fixtures + "/" + adapter, into: network, headModules: network.headModules)
    }
    Self.last = (key, network)
    return network
  }

  func generate(_ changes: JSONObject = [:]) throws -> [[Hypothesis]] {
    var all = values
    for (key, value) in changes.members { all[key] = value }
    var draw: TokenGenerator.Draw?
    if let draws { draw = { sequence, step in draws[sequence][step] } }
    return try TokenGenerator(network(), options(all), draw: draw).generate(prompts)
  }
}

extension GenerationTests {
  @Suite struct ReferenceTests {
    @Test func theReferenceIsThere() { #expect(ReferenceCase.all.count == 54 + 3 * 29 + 16 + 2 * 10 + 2 * 5) }

    /// Token for token, with and without a cache, one prompt at a time and many.
    @Test(arguments: ReferenceCase.all)
    func textsAreTheReferences(_ row: ReferenceCase) throws {
      // What is shared in a batch of many is seen in smaller ones as well as in one of each, and costs a debug build less.
      let small = row.prompts.count > 4 && row.values["num_beams"] != nil ? 5 : 1
      for (batchSize, usesCache) in [(16, true), (small, true), (16, false)] {
        let results = try row.generate(["batch_size": .int(batchSize), "use_cache": .bool(usesCache)])
        for (i, (found, expected)) in zip(results, row.results).enumerated() {
          #expect(found.map(\.tokens) == expected.map(\.tokens), "prompt \(i), batch_size \(batchSize), cache \(usesCache)")
          for (hypothesis, result) in zip(found, expected) {
            guard let score = result.score else { continue }
            #expect(abs(hypothesis.score - score) < 1e-4 * max(1, abs(score)), "prompt \(i)")
          }
        }
        #expect(results.count == row.results.count)
      }
    }

    /// A text does not depend on the number of threads, to the last bit of its score; nor on what is written beside it. OpenBLAS rounds the
    /// last rows of a product otherwise than those before, so that there the scores have other last bits.
    @Test(arguments: ReferenceCase.all.filter { $0.prompts.count > 4 && $0.draws == nil && $0.values["num_beams"]?.intValue != 10 })
    func threadsAndBatchesChangeNoBit(_ row: ReferenceCase) throws {
      let before = Threads.count
      defer { Threads.count = before }
      Threads.count = 1
      let expected = try row.generate(["batch_size": 16])
      let apart = try row.generate(["batch_size": 5])
      if Precision.fp32.provider == "OpenBLAS" {
        #expect(apart.map { $0.map(\.tokens) } == expected.map { $0.map(\.tokens) })
        for (one, other) in zip(apart.joined(), expected.joined()) { #expect(abs(one.score - other.score) < 1e-5 * max(1, abs(other.score))) }
      } else {
        #expect(apart == expected)
      }
      Threads.count = 3
      #expect(try row.generate(["batch_size": 16]) == expected)
    }
  }
}
