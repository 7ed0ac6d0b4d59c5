import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import Optimizers
import TensorCore
import TestSupport
import Testing
import TransformerModels

/// The reference implementations, where they are installed.
let hasPEFT = hasPython("torch", "peft")

/// Loads the reference implementations once for all tests: see `serve_checks.py`.
private struct CheckServer {
  private let requests = Pipe()
  private let answers = Pipe()
  private let process = pythonProcess(["serve_checks.py"])

  static let shared = Result { try CheckServer() }

  init() throws {
    (process.standardInput, process.standardOutput) = (requests, answers)
    try process.run()
  }

  /// The exit code of a check.
  func run(_ arguments: [String], output: String) throws -> Int32 {
    let request = try JSONSerialization.data(withJSONObject: [output] + arguments, options: .withoutEscapingSlashes)
    try requests.fileHandleForWriting.write(contentsOf: request + Data("\n".utf8))
    var answer = ""
    while !answer.hasSuffix("\n") {
      let part = answers.fileHandleForReading.availableData
      if part.isEmpty { break }
      answer += String(decoding: part, as: UTF8.self)
    }
    return try #require(Int32(answer.trimmingCharacters(in: .whitespacesAndNewlines)), "serve_checks.py answered '\(answer)'")
  }
}

/// Runs a check in Python; its exit code and output.
func check(_ arguments: [String]) throws -> (code: Int32, output: String) {
  try withTemporaryFolder { folder in
    let code = try CheckServer.shared.get().run(arguments, output: folder + "/output")
    return (code, try String(contentsOfFile: folder + "/output", encoding: .utf8))
  }
}

extension EngineTests {
  /// What is trained and saved here, read by the real PEFT and Transformers.
  @Suite(.enabled(if: hasPEFT, "python3 has no torch and peft"))
  struct InteropTests {
    @Test func peftComputesTheSameLogits() throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        for name in tinyModels {
          for (index, row) in AdapterCase.attached.enumerated() {
            let model = try tinyModel(name)
            let attached = try row.attach(to: model)
            let isPEFT = AdapterCase.peft.contains { $0.description == row.description }
            guard isPEFT || row.isLowRank else { continue }
            try train(model)
            let adapter = folder + "/\(name)-\(index)"
            try record(model, to: adapter + ".safetensors")
            if isPEFT {
              try attached.save(to: adapter, baseModelName: name)
              paths += [fixturesFolder + "/models/" + name, adapter, adapter + ".safetensors"]
            }
            if row.isLowRank, !(row.method is LoRA) || name == "tiny-bert" {
              try attached.exportAsLoRA(to: adapter + "-lora", baseModelName: name)
              paths += [fixturesFolder + "/models/" + name, adapter + "-lora", adapter + ".safetensors"]
            }
          }
        }
        let (code, output) = try check(["check_adapter.py"] + paths)
        #expect(code == 0, "\(output)")
        #expect(output.split(separator: "\n").filter { $0.contains("max difference") }.count == paths.count / 3)
      }
    }

    /// Ranks that training cut, in PEFT's format and as a LoRA; the folder of rank 2 r of weights that changed.
    @Test func peftReadsWhatTrainingChanged() throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        let methods: [any AdapterMethod] = [DeltaLoRA.quick] + AdaLoRA.quickOnes + [DyLoRA.quick]
        for (i, method) in methods.enumerated() {
          let model = try tinyModel("tiny-roberta")
          let attached = try model.attach(method)
          try perturb(attached)
          try ModelTests.train(model, attached, steps: 0..<10, of: 10)
          let adapter = folder + "/\(i)"
          try record(model, to: adapter + ".safetensors")
          if method is AdaLoRA {
            try attached.save(to: adapter, baseModelName: "tiny-roberta")
            paths += [fixturesFolder + "/models/tiny-roberta", adapter, adapter + ".safetensors"]
          }
          try attached.exportAsLoRA(to: adapter + "-lora", baseModelName: "tiny-roberta")
          paths += [fixturesFolder + "/models/tiny-roberta", adapter + "-lora", adapter + ".safetensors"]
        }
        let (code, output) = try check(["check_adapter.py"] + paths)
        #expect(code == 0, "\(output)")
      }
    }

    @Test func transformersComputesTheSameLogits() throws {
      let methods: [any AdapterMethod] = [FullFineTuning(), LoRA(), DeLoRA()]
      try withTemporaryFolder { folder in
        var paths: [String] = []
        for name in tinyModels {
          for method in methods {
            let model = try tinyModel(name)
            try model.attach(method)
            try train(model)
            try model.merge(probe: tinyBatch())
            let path = folder + "/\(name)-\(type(of: method).name)"
            try model.save(to: path)
            try record(model, to: path + ".safetensors")
            paths += [path, path + ".safetensors"]
          }
        }
        let (code, output) = try check(["check_model.py"] + paths)
        #expect(code == 0, "\(output)")
      }
    }

    @Test func transformersReadsLanguageModels() throws {
      try withTemporaryFolder { folder in
        var paths: [String] = []
        for name in tinyModels {
          let model = try PretrainedModel(name: fixturesFolder + "/models/" + name).make(
            .language, headSeed: 1)
          try perturb(model.attach(FullFineTuning()), std: 0.05)
          try model.save(to: folder + "/" + name)
          try record(model, to: folder + "/\(name).safetensors")
          paths += [folder + "/" + name, folder + "/\(name).safetensors"]
        }
        let (code, output) = try check(["check_model.py"] + paths)
        #expect(code == 0, "\(output)")
      }
    }

    @Test(arguments: [DeLoRA(), Houlsby(), BitFit()] as [any AdapterMethod])
    func peftRefusesOurOwnFormat(_ method: any AdapterMethod) throws {
      try withTemporaryFolder { folder in
        let model = try tinyModel("tiny-roberta")
        try model.attach(method).save(to: folder + "/adapter", baseModelName: "x")
        try record(model, to: folder + "/inputs.safetensors")
        let (code, output) = try check([
          "check_adapter.py", fixturesFolder + "/models/tiny-roberta", folder + "/adapter",
          folder + "/inputs.safetensors",
        ])
        #expect(code != 0 && output.contains("PERIGEE_\(type(of: method).name.uppercased())"), "\(output)")
      }
    }

    private func train(_ model: TransformerModel) throws {
      model.context.isTraining = true
      defer { model.context.isTraining = false }
      let optimizer = Optimizer(AdamW(), ParameterGroup.decaying(model, weightDecay: 0.01))
      for _ in 0..<5 {
        model.zeroGrad()
        try model.loss(tinyBatch()).backward()
        try optimizer.step(learningRate: 0.01)
      }
    }

  }
}

/// Writes the tiny batch, and what a model makes of it, for the checks in Python.
func record(_ model: TransformerModel, to path: String) throws {
  let batch = try tinyBatch(for: model)
  func ints(_ values: [Int32]) throws -> Tensor { try Tensor(values, [values.count]) }
  let targets = try batch.targets.map { [("labels", try ints($0.ids)), ("target_offsets", try ints($0.offsets.values))] } ?? []
  try SafetensorsFile.write(
    tensors: [
      ("input_ids", ints(batch.ids)), ("token_type_ids", ints(batch.tokenTypes)),
      ("offsets", ints(batch.offsets.values)),
      ("logits", model.predictInFloat32(batch)),
    ] + targets, to: path)
}
