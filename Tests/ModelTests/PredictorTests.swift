import Diagnostics
import Engine
import Foundation
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import Training
import TransformerModels

extension EngineTests {
  /// What a model is asked, against its own logits of one input at a time.
  @Suite struct PredictorTests {
    private func model(_ type: any TaskType) throws -> TrainableModel {
      let (base, tokenizer) = try BuiltInModel.make(BuiltInModel.name, seed: 3)
      let network = try base.make(type.head, headSeed: 4)
      // Heads begin with weights so small that all classes are equally probable.
      let source = RandomSource(seed: 5, stream: RandomSource.stream(named: "head"))
      try Autograd.noGrad {
        for (_, tensor) in network.headParameters { try tensor.copyInPlace(Tensor.randn(tensor.shape, source).mul(0.5)) }
      }
      return TrainableModel(type, network: network, base: base, tokenizer: tokenizer)
    }

    private func logits(_ model: TrainableModel, _ input: Predictor.Input, maxLength: Int) throws -> [Double] {
      let ids = try model.tokenizer.encode(input.text, pair: input.pair, maxLength: maxLength).ids
      return try model.network.predict(Batch(ids: ids, offsets: Offsets(lengths: [ids.count]))).values
    }

    /// More inputs than one batch holds, of other lengths, single and in pairs.
    private static let inputs = (0..<70).map { i in
      Predictor.Input(
        String(repeating: "a dog sees the small house ", count: i % 4 + 1), pair: i % 3 == 0 ? String(repeating: "no ", count: i + 1) : nil)
    }

    @Test func classesHaveNamesPlacesAndProbabilities() throws {
      let model = try model(SequenceClassification(labels: ["x", "y", "z"]))
      // The mean logits out of the bias: every class is predicted for some input.
      let bias = try #require(model.network.headParameters.first { $0.name.hasSuffix("out_proj.bias") }).tensor
      let all = try Self.inputs.map { try self.logits(model, $0, maxLength: 24) }
      for label in 0..<3 { bias.set(bias.element(label) - all.reduce(0) { $0 + $1[label] } / Double(all.count), at: label) }
      let predictor = try Predictor(model, maxLength: 24)
      let predictions = try predictor.predictions(for: Self.inputs)
      #expect(predictions.count == Self.inputs.count && predictor.labels == ["x", "y", "z"])
      var seen: Set<String> = []
      for (input, prediction) in zip(Self.inputs, predictions) {
        guard case .label(let label, let index, let probabilities) = prediction else {
          Issue.record("\(prediction)")
          continue
        }
        let logits = try logits(model, input, maxLength: 24)
        let sum = logits.reduce(0) { $0 + exp($1) }
        expectClose("probabilities", probabilities, logits.map { exp($0) / sum }, relative: 1e-4)
        #expect(index == logits.firstIndex(of: logits.max() ?? .nan) && label == predictor.labels[index])
        seen.insert(label)
      }
      #expect(seen.count > 1)
      #expect(try predictor.predictions(for: []) == [])
    }

    @Test func scoresAreTheLogits() throws {
      let model = try model(Regression())
      let predictions = try Predictor(model, maxLength: 24).predictions(for: Self.inputs)
      for (input, prediction) in zip(Self.inputs, predictions) {
        guard case .score(let score) = prediction else {
          Issue.record("\(prediction)")
          continue
        }
        expectClose("score", [score], try logits(model, input, maxLength: 24), relative: 1e-4)
      }
    }

    @Test func languageModelsAreRefused() throws {
      let model = try model(MaskedLM())
      #expect { try Predictor(model) } throws: { "\($0)" == "predict: the model is masked_lm, expected a classification or regression" }
    }
  }
}
