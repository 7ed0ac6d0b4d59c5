import Adapters
import Datasets
import Foundation
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import TransformerModels

@testable import Training

/// Which tokens masked language modelling hides, as `DataCollatorForLanguageModeling`: of the tokens of the text a share is chosen;
/// of these 80 % become the mask, 10 % a random token, 10 % stay.
@Suite(.engine) struct MaskedLanguageTests {
  private static let words = ["good", "bad", "fine", "film", "plot", "music", "the", "was", "very", "not"]
  private static let split = Split(
    name: "train", path: "train.txt",
    examples: (0..<400).map { i in
      let text = (0..<(i % 40)).map { words[(3 * i + 7 * $0) % 10] }.joined(separator: " ")
      return Example([text] + (i % 3 == 0 ? ["the film was not bad"] : []), line: i + 1)
    })

  private struct Masked {
    let before: [Int32]
    let special: [Bool]
    let after: [Int32]
    let labels: [Int32]
    var chosen: [Int] { labels.indices.filter { labels[$0] != ignoredLabel } }
  }

  private func mask(_ examples: Range<Int> = 0..<400, probability: Double, step: UInt64 = 3, seed: UInt64 = 7) throws -> Masked {
    let task = maskedTask("mlm", train: Self.split, evaluation: [])
    let tokenizer = FrozenTask.tokenizer
    let data = try task.encoded(Self.split, tokenizer: tokenizer, maxLength: 64)
    let plain = try data.batch(Array(examples))
    let batch = try data.batch(
      Array(examples), for: task.type, Preparation(RandomSource(seed: seed, stream: 5, step: step), tokenizer, mlmProbability: probability))
    guard case .some(let rows) = batch.rows, let tokens = batch.labels?.int32s else { throw CocoaError(.featureUnsupported) }
    var labels = [Int32](repeating: ignoredLabel, count: batch.ids.count)
    for (row, token) in zip(rows, tokens) { labels[Int(row)] = token }
    return Masked(before: plain.ids, special: data.specialTokens(Array(examples)), after: batch.ids, labels: labels)
  }

  @Test(arguments: [0.15, 0.5, 1.0]) func shares(_ probability: Double) throws {
    let masked = try mask(probability: probability)
    let tokenizer = FrozenTask.tokenizer
    let mask = try #require(tokenizer.maskTokenId)
    let ordinary = masked.special.count { !$0 }
    #expect(ordinary > 7_000 && masked.special.count { $0 } > 800)
    let chosen = masked.chosen
    // Labels are what stood there; everything else is as it was.
    #expect(chosen.allSatisfy { masked.labels[$0] == masked.before[$0] && !masked.special[$0] })
    #expect(masked.after.indices.allSatisfy { masked.labels[$0] != ignoredLabel || masked.after[$0] == masked.before[$0] })
    func near(_ count: Int, _ share: Double, of total: Int, _ what: String) {
      let (expected, deviation) = (share * Double(total), (share * (1 - share) * Double(total)).squareRoot())
      #expect(abs(Double(count) - expected) <= 4.5 * deviation, "\(what): \(count) of \(total), expected a share of \(share)")
    }
    near(chosen.count, probability, of: ordinary, "chosen")
    near(chosen.count { masked.after[$0] == mask }, 0.8 + 0.1 / Double(tokenizer.vocabularySize), of: chosen.count, "masked")
    let same = chosen.count { masked.after[$0] == masked.before[$0] }
    near(same, 0.1 + 0.1 / Double(tokenizer.vocabularySize), of: chosen.count, "left as they are")
    let random = chosen.filter { masked.after[$0] != mask && masked.after[$0] != masked.before[$0] }.map { Int(masked.after[$0]) }
    let size = tokenizer.vocabularySize
    #expect(random.allSatisfy { (0..<size).contains($0) })
    // Of all tokens alike: each quarter of the vocabulary has a quarter of them.
    for quarter in 0..<4 {
      let range = quarter * size / 4..<(quarter + 1) * size / 4
      near(random.count { range.contains($0) }, Double(range.count) / Double(size), of: random.count, "random ones in quarter \(quarter)")
    }
  }

  @Test func everyStepAndSeedChoosesAnew() throws {
    let first = try mask(probability: 0.15)
    let again = try mask(probability: 0.15)
    #expect(first.after == again.after && first.labels == again.labels)
    for other in [try mask(probability: 0.15, step: 4), try mask(probability: 0.15, seed: 8)] {
      let common = Set(first.chosen).intersection(other.chosen)
      #expect(Double(common.count) < 0.25 * Double(first.chosen.count))
    }
  }

  /// A batch whose draws choose nothing has one label all the same, and one without text has none.
  @Test func everyTextHasALabel() throws {
    // The first example is empty, the second a word.
    let word = try mask(1..<2, probability: 1e-9)
    #expect(word.chosen.count == 1 && word.special[word.chosen[0]] == false)
    let empty = try mask(40..<41, probability: 0.9)
    #expect(empty.special.allSatisfy { $0 } && empty.chosen.isEmpty && empty.after == empty.before)
  }

  /// Masks differ from epoch to epoch, and from one batch of an update to the next.
  @Test func trainingDrawsMasksForEveryBatch() throws {
    let task = maskedTask("mlm", train: FrozenTask.train, evaluation: [FrozenTask.dev])
    let source = try FrozenCase(testDescription: "").model()
    let model = TrainableModel(MaskedLM(), network: try source.base.make(.language, headSeed: 1), base: source.base, tokenizer: source.tokenizer)
    try model.addAdapter(LoRA(), seed: 1)
    var arguments = FrozenCase(testDescription: "", sampling: .sequential, accumulation: 2).arguments
    (arguments.numTrainEpochs, arguments.mlmProbability, arguments.trainBatchSize) = (2, 0.3, 13)
    var updates: [[Batch]] = []
    var callbacks = TrainerCallbacks()
    callbacks.onBegin = { trainer, _, _ in updates.append(try trainer.nextBatches()) }
    callbacks.onStep = { if $0.state.step < $0.totalSteps { updates.append(try $0.nextBatches()) } }
    _ = try Trainer(model: model, task: task, arguments: arguments, callbacks: callbacks).run()
    #expect(updates.map(\.count) == [2, 2])
    #expect(updates[0].map(\.examples) == updates[1].map(\.examples))
    let places = updates.joined().map { batch -> [Int32] in
      if case .some(let rows) = batch.rows { rows } else { [] }
    }
    #expect(Set(places).count == 4 && places.allSatisfy { $0.count > 10 })
  }
}
