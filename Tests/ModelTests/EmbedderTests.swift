import Checkpoints
import Diagnostics
import Engine
import Files
import Foundation
import Tasks
import TensorCore
import TestSupport
import Testing
import Tokenizers
import Training
import TransformerModels

extension EngineTests {
  /// Hidden states and vectors of texts, against Transformers and the pooling of sentence-transformers.
  @Suite struct EmbedderTests {
    private static func file() throws -> ParityFixture { try ParityFixture(fixturesFolder + "/embeddings.safetensors") }

    @Test(arguments: ["tiny-bert", "tiny-roberta", "tiny-gpt2", "tiny-llama", "tiny-bart", "tiny-t5"])
    func statesOfEveryLayer(_ name: String) throws {
      let fixture = try Self.file()
      let base = try PretrainedModel(name: fixturesFolder + "/models/" + name)
      let model = try base.make(.language, headSeed: 1)
      let ids = try fixture.tensor(name + ".input_ids").values.map { Int32($0) }
      let batch = try Batch(ids: ids, offsets: Offsets(values: fixture.tensor(name + ".offsets").values.map { Int32($0) }))
      for depth in 0...model.layerCount {
        let expected = try fixture.tensor("\(name).layer\(depth)")
        try expectClose("layer \(depth)", model.hiddenStates(batch, depth: depth).values, expected.values, absolute: 2e-5)
        let rows = try model.hiddenStates(batch, depth: depth, rows: .some(batch.offsets.starts))
        try expectClose("first rows of layer \(depth)", rows.values, expected.gatherRows(batch.offsets.starts).values, absolute: 2e-5)
      }
      #expect(fixture.file["\(name).layer\(model.layerCount + 1)"] == nil)
    }

    private func model(_ folder: String) throws -> TrainableModel {
      let base = try PretrainedModel(name: folder)
      return TrainableModel(MaskedLM(), network: try base.make(.language, headSeed: 1), base: base, tokenizer: try Tokenizer.load(folder: folder))
    }

    @Test func textsBecomeTheVectorsOfSentenceTransformers() throws {
      let fixture = try Self.file()
      let texts = (fixture.config["texts"]?.arrayValue ?? []).compactMap(\.stringValue)
      let model = try model(fixturesFolder + "/labels/mnli")
      // More texts than one batch holds.
      let many = (0..<40).map { texts[$0 % texts.count] }
      for pooling in Pooling.allCases {
        for layer in [-2, -1, 0, 1] {
          for isNormalized in [false, true] {
            var options = EmbeddingOptions()
            (options.pooling, options.layer, options.normalize) = (pooling, layer, isNormalized)
            let name = "texts.\(pooling.rawValue).layer\(layer < 0 ? layer + 2 : layer)" + (isNormalized ? ".normalized" : "")
            let expected = try fixture.tensor(name)
            let result = try Embedder(model, options).embeddings(of: many)
            #expect(result.vectors.shape == [40, expected.columns] && result.truncated == 0)
            for i in many.indices {
              let row = i % texts.count
              expectClose(
                name, result.vector(i).map(Double.init), Array(expected.values[row * expected.columns..<(row + 1) * expected.columns]), relative: 1e-4
              )
            }
          }
        }
      }
      let states = try Embedder(model).hiddenStates(of: texts)
      let result = try Embedder(model).embeddings(of: texts)
      #expect(states.map(\.rows) == result.tokens)
      #expect(try Embedder(model).embeddings(of: []).vectors.shape == [0, 32])
    }

    @Test func aFolderOfSentenceTransformersSaysHow() throws {
      try withTemporaryFolder { folder in
        for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"] {
          try FileManager.default.copyItem(atPath: "\(fixturesFolder)/labels/mnli/\(name)", toPath: "\(folder)/\(name)")
        }
        let fixture = try Self.file()
        let text = fixture.config["texts"]?[2]?.stringValue ?? ""
        func vector(_ options: EmbeddingOptions = EmbeddingOptions()) throws -> [Double] {
          try Embedder(model(folder), options).embeddings(of: [text]).vector(0).map(Double.init)
        }
        func expected(_ name: String) throws -> [Double] { Array(try fixture.tensor("texts." + name).values[64..<96]) }
        func write(_ name: String, _ content: String) throws {
          try createFolder(FilePath.folder(of: "\(folder)/\(name)"))
          try AtomicFile.write(content, to: "\(folder)/\(name)")
        }
        let modules = ["Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"]
        func list(_ names: [String]) -> String {
          "[" + names.map { "{\"path\": \"\(modules[$0] ?? "x")\", \"type\": \"sentence_transformers.models.\($0)\"}" }.joined(separator: ",") + "]"
        }
        try write("modules.json", list(["Transformer", "Pooling", "Normalize"]))
        try write("1_Pooling/config.json", "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}")
        try expectClose("folder's", vector(), expected("cls.layer1.normalized"), absolute: 2e-5)
        var options = EmbeddingOptions()
        options.normalize = false
        try expectClose("not normalized", vector(options), expected("cls.layer1"), absolute: 2e-5)
        try write("1_Pooling/config.json", "{\"pooling_mode\": \"mean\"}")
        try write("modules.json", list(["Transformer", "Pooling"]))
        try expectClose("mean", vector(), expected("mean.layer1"), absolute: 2e-5)
        try write("sentence_bert_config.json", "{\"max_seq_length\": 6, \"do_lower_case\": false}")
        let cut = try Embedder(model(folder)).embeddings(of: [text, "a dog"])
        #expect(cut.tokens == [6, 4] && cut.truncated == 1)
        for (name, content, message) in [
          ("1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}", "pooling is max_tokens"),
          ("modules.json", list(["Transformer", "Pooling", "Dense"]), "a module 'Dense'"),
          ("sentence_bert_config.json", "{\"do_lower_case\": true}", "small letters"),
        ] {
          let before = try readText("\(folder)/\(name)")
          try write(name, content)
          let error = #expect(throws: EngineError.self) { try vector() }
          #expect("\(error.map { "\($0)" } ?? "")".contains(message), "\(error.map { "\($0)" } ?? "")")
          options.pooling = .mean
          try expectClose("said", vector(options), expected("mean.layer1"), absolute: 2e-5)
          try write(name, before)
        }
      }
    }

    @Test func whatHasNoVectorIsRefused() throws {
      let model = try model(fixturesFolder + "/labels/mnli")
      var options = EmbeddingOptions()
      options.layer = 2
      #expect { try Embedder(model, options) } throws: { "\($0)".contains("layer 2, but the model has 1") }
      options.layer = -3
      #expect(throws: EngineError.self) { try Embedder(model, options) }
    }
  }
}
