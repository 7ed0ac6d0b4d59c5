import Adapters
import Foundation
import NN
import Optimizers
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// Models with an encoder beside the decoder.
private let pairs = ["tiny-bart", "tiny-t5", "tiny-t5v11"]
private let decoders = ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "tiny-smollm2"]

private func decoder(_ name: String, _ head: HeadKind = .language) throws -> TransformerModel {
  try PretrainedModel(name: fixturesFolder + "/models/" + name).make(head, headSeed: 1)
}

private let classes = HeadKind.sequence(labels: ["a", "b", "c"])

/// The tiny batch with every token named from those before it, or with targets.
private func textBatch(_ model: TransformerModel) throws -> Batch {
  var batch = try tinyBatch(for: model)
  guard batch.targets == nil else { return batch }
  let rows = batch.offsets.starts.indices.flatMap { i in batch.offsets.values[i]..<batch.offsets.values[i + 1] - 1 }
  batch.rows = .some(rows)
  batch.labels = try Tensor(rows.map { batch.ids[Int($0) + 1] }, [rows.count])
  return batch
}

/// The losses of a few updates.
@discardableResult
private func train(_ model: TransformerModel, steps: Int = 5, learningRate: Double = 0.01) throws -> [Double] {
  model.context.isTraining = true
  defer { model.context.isTraining = false }
  let optimizer = Optimizer(AdamW(), ParameterGroup.decaying(model, weightDecay: 0.01))
  return try (0..<steps).map { _ in
    model.zeroGrad()
    let loss = try model.head.isSequence ? model.loss(tinyBatch(for: model)) : CausalLM().loss(model, textBatch(model))
    try loss.backward()
    try optimizer.step(learningRate: learningRate)
    return try loss.item()
  }
}

extension EngineTests {
  /// Decoders that are trained and saved here, read by the real PEFT and Transformers.
  @Suite(.enabled(if: hasPEFT, "python3 has no torch and peft"))
  struct DecoderInteropTests {
    /// Whether PEFT cannot do this to GPT-2's Conv1D: it has no such layer for the methods, and OLoRA takes the weight the wrong way round.
    private static func isRefused(onConv1D method: any AdapterMethod) -> Bool {
      method is LoHa || method is LoKr || method is GLoRA || (method as? LoRA)?.initLoraWeights == .olora
    }

    /// What trains whole beside an adapter: a matrix and the classifier's head, and the word embeddings.
    private static let modules: [String: (matrix: [String], words: String)] = [
      "tiny-gpt2": (["0.mlp.c_fc", "score"], "wte"), "tiny-llama": (["0.mlp.up_proj", "score"], "embed_tokens"),
      "tiny-bart": (["decoder.layers.0.fc1", "classification_head"], "shared"),
      "tiny-t5": (["0.layer.1.EncDecAttention.k", "classification_head"], "shared"), "tiny-t5v11": ([], "shared"),
    ]

    /// What PEFT does to BART and T5 in other ways than to decoders. The others are linear layers like theirs.
    private static let ofPairs = [
      "lora, all-linear, all biases", "dora", "vera", "ia3", "lokr", "adalora", "prefix tuning", "prefix tuning, projection", "prompt tuning",
      "p-tuning",
    ]

    @Test func peftComputesTheSameLogits() throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        func add(_ row: AdapterCase, _ name: String, _ head: HeadKind) throws {
          let model = try decoder(name, head)
          let attached = try row.attach(to: model)
          try perturb(attached, std: 0.1)
          let adapter = folder + "/\(name)-\(paths.count)"
          let writing = pairs.contains(name) ? "SEQ_2_SEQ_LM" : "CAUSAL_LM"
          try attached.save(to: adapter, baseModelName: name, taskType: head.isSequence ? "SEQ_CLS" : writing)
          try record(model, to: adapter + ".safetensors")
          paths += [fixturesFolder + "/models/" + name, adapter, adapter + ".safetensors"]
        }
        for (name, modules) in Self.modules.sorted(by: { $0.key < $1.key }) {
          for row in AdapterCase.peft + (name == "tiny-gpt2" ? AdapterCase.ofFusedLayers : []) where row.refusals.isEmpty {
            if name == "tiny-gpt2", Self.isRefused(onConv1D: row.method) { continue }
            if pairs.contains(name), !Self.ofPairs.contains(row.description) { continue }
            try add(row, name, .language)
            let withClasses = ["lora", "dora", "ia3"] + (pairs.contains(name) ? [] : ["prefix tuning", "prompt tuning"])
            // PEFT's classifiers with an encoder cannot run with virtual tokens, and there is none for T5 v1.1.
            if !modules.matrix.isEmpty, withClasses.contains(row.description) { try add(row, name, classes) }
          }
          // A matrix of the body that trains whole: GPT-2's lie in files as [in, out].
          if !modules.matrix.isEmpty {
            var whole = AdapterCase(description: "lora beside a whole matrix", method: LoRA())
            whole.targets.modulesToSave = modules.matrix
            try add(whole, name, classes)
          }
          // GPT-2's, BART's and T5's are tied to the head, and the latter two's stacks share them; Llama's are for themselves.
          for method in [LoRA(), IA3()] as [any AdapterMethod] {
            var words = AdapterCase(description: "beside the word embeddings", method: method)
            words.targets.modulesToSave = [modules.words]
            try add(words, name, .language)
          }
          var head = AdapterCase(description: "lora of the language head", method: LoRA())
          head.targets.targetModules = .suffixes(["lm_head"])
          try add(head, name, .language)
        }
        let (code, output) = try check(["check_adapter.py"] + paths)
        #expect(code == 0, "\(output)")
        #expect(output.split(separator: "\n").filter { $0.contains("max difference") }.count == paths.count / 3)
      }
    }

    /// Whole models, trained in both precisions, and with an adapter merged.
    @Test func transformersComputesTheSameLogits() throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        let rows = (decoders + pairs).map { ($0, HeadKind.language) } + (decoders + pairs.prefix(2)).map { ($0, classes) }
        for (name, head) in rows {
          for (method, precision) in [(FullFineTuning(), .fp32), (FullFineTuning(), .bf16), (LoRA(), .bf16)] as [(any AdapterMethod, Precision)] {
            let before = Precision.current
            Precision.current = precision
            defer { Precision.current = before }
            let model = try decoder(name, head)
            let attached = try model.attach(method)
            let losses = try train(model)
            #expect(losses.last ?? .infinity < losses[0], "\(name): \(losses)")
            try model.merge(probe: tinyBatch(for: model), tolerance: attached.mergeTolerance)
            let path = folder + "/\(paths.count)"
            try model.save(to: path)
            try record(model, to: path + ".safetensors")
            paths += [path, path + ".safetensors"]
          }
        }
        let (code, output) = try check(["check_model.py"] + paths)
        #expect(code == 0, "\(output)")
        #expect(output.split(separator: "\n").filter { $0.contains("max difference") }.count == paths.count / 2)
      }
    }

    /// A training in bfloat16 goes where one in float32 goes.
    @Test(arguments: decoders, [FullFineTuning(), LoRA()] as [any AdapterMethod])
    func narrowTrainingFollowsTheWideOne(_ name: String, _ method: any AdapterMethod) throws {
      func losses(_ precision: Precision) throws -> [Double] {
        let before = Precision.current
        Precision.current = precision
        defer { Precision.current = before }
        let model = try decoder(name)
        try model.attach(method)
        return try train(model, steps: 8, learningRate: 1e-3)
      }
      for (narrow, wide) in zip(try losses(.bf16), try losses(.fp32)) { #expect(abs(narrow - wide) <= 0.05 * wide, "\(narrow), \(wide)") }
    }
  }
}
