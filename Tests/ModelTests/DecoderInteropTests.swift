import Adapters
import Foundation
import NN
import Optimizers
import Tasks
import TensorCore
import TestSupport
import Testing
import TransformerModels

private let decoders = ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "tiny-smollm2"]

private func decoder(_ name: String, _ head: HeadKind = .language) throws -> TransformerModel {
  try PretrainedModel(name: fixturesFolder + "/models/" + name).make(head, headSeed: 1)
}

private let classes = HeadKind.sequence(labels: ["a", "b", "c"])

/// The tiny batch with every token named from those before it.
private func textBatch() throws -> Batch {
  var batch = try tinyBatch()
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
    let loss = try model.head.isSequence ? model.loss(tinyBatch()).loss : CausalLM().loss(model, textBatch()).loss
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

    @Test(arguments: ["tiny-gpt2", "tiny-llama"]) func peftComputesTheSameLogits(_ name: String) throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        func add(_ row: AdapterCase, _ head: HeadKind) throws {
          let model = try decoder(name, head)
          let attached = try row.attach(to: model)
          try perturb(attached, std: 0.1)
          let adapter = folder + "/\(paths.count)"
          try attached.save(to: adapter, baseModelName: name, taskType: head.isSequence ? "SEQ_CLS" : "CAUSAL_LM")
          try record(model, to: adapter + ".safetensors")
          paths += [fixturesFolder + "/models/" + name, adapter, adapter + ".safetensors"]
        }
        for row in AdapterCase.peft + (name == "tiny-gpt2" ? AdapterCase.ofFusedLayers : []) where row.refusals.isEmpty {
          if name == "tiny-gpt2", Self.isRefused(onConv1D: row.method) { continue }
          try add(row, .language)
          if ["lora", "dora", "ia3", "prefix tuning", "prompt tuning"].contains(row.description) { try add(row, classes) }
        }
        // A matrix of the body that trains whole: GPT-2's lie in files as [in, out].
        var whole = AdapterCase(description: "lora beside a whole matrix", method: LoRA())
        whole.targets.modulesToSave = name == "tiny-gpt2" ? ["0.mlp.c_fc", "score"] : ["0.mlp.up_proj", "score"]
        try add(whole, classes)
        // GPT-2's is tied to the head, Llama's is not.
        for method in [LoRA(), IA3()] as [any AdapterMethod] {
          var words = AdapterCase(description: "beside the word embeddings", method: method)
          words.targets.modulesToSave = [name == "tiny-gpt2" ? "wte" : "embed_tokens"]
          try add(words, .language)
        }
        var head = AdapterCase(description: "lora of the language head", method: LoRA())
        head.targets.targetModules = .suffixes(["lm_head"])
        try add(head, .language)
        let (code, output) = python(["check_adapter.py"] + paths)
        #expect(code == 0, "\(output)")
        #expect(output.split(separator: "\n").filter { $0.contains("max difference") }.count == paths.count / 3)
      }
    }

    /// Whole models, trained in both precisions, and with an adapter merged.
    @Test(arguments: [HeadKind.language, classes]) func transformersComputesTheSameLogits(_ head: HeadKind) throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        for name in decoders {
          for (method, precision) in [(FullFineTuning(), .fp32), (FullFineTuning(), .bf16), (LoRA(), .bf16)] as [(any AdapterMethod, Precision)] {
            let before = Precision.current
            Precision.current = precision
            defer { Precision.current = before }
            let model = try decoder(name, head)
            let attached = try model.attach(method)
            let losses = try train(model)
            #expect(losses.last ?? .infinity < losses[0], "\(name): \(losses)")
            try model.merge(probe: tinyBatch(), tolerance: attached.mergeTolerance)
            let path = folder + "/\(paths.count)"
            try model.save(to: path)
            try record(model, to: path + ".safetensors")
            paths += [path, path + ".safetensors"]
          }
        }
        let (code, output) = python(["check_model.py"] + (head.isSequence ? [] : ["--causal-lm"]) + paths)
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
