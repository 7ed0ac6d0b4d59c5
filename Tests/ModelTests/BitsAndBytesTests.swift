import Adapters
import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore
import TestSupport
import Testing
import TransformerModels

private let quantizedFolder = fixturesFolder + "/quantized"

extension EngineTests {
  /// Checkpoints in 4 bits that Transformers and bitsandbytes wrote.
  @Suite struct BitsAndBytesTests {
    private static let task = HeadKind.sequence(labels: ["a", "b", "c"])

    private static let configs = [
      "nf4": QuantizationConfig(.nf4, useDoubleQuant: true), "fp4": QuantizationConfig(.fp4),
    ]

    @Test(arguments: ["nf4", "fp4"]) func holdsTheirCodes(_ name: String) throws {
      let base = try PretrainedModel(name: quantizedFolder + "/" + name)
      let before = Memory.liveBytes
      let model = try base.make(Self.task, headSeed: 1)
      // Codes and float32 tensors stay in the file; the head is dequantised.
      #expect(Memory.liveBytes - before < 40_000, "\(Memory.liveBytes - before)")
      #expect(base.lastReport.unused.isEmpty && base.lastReport.missing.isEmpty, "\(base.lastReport)")
      #expect(model.quantizedWeights.count == 7)
      #expect(model.quantizedWeights.allSatisfy { $0.matrix.config == Self.configs[name] })
      let expected = try SafetensorsFile(quantizedFolder + "/\(name).safetensors")
      let parameters = Dictionary(uniqueKeysWithValues: model.namedParameters())
      let recorded = expected.names.filter { $0.hasPrefix("weight.") }
      #expect(recorded.count == 4)
      for key in recorded {
        let own = try #require(parameters[String(key.dropFirst(7))])
        #expect(try own.values == expected.tensor(key).values, "\(key)")
        own.storage.giveBack()
      }
      func ints(_ name: String) throws -> [Int32] { try expected.tensor(name).values.map { Int32($0) } }
      let batch = try Batch(
        ids: ints("input_ids"), tokenTypes: ints("token_type_ids"), offsets: Offsets(values: ints("offsets")))
      #expect(try compare("logits", model.predict(batch), expected.tensor("logits"), absolute: 1e-4))
    }

    @Test func theirHeadTrains() throws {
      let base = try PretrainedModel(name: quantizedFolder + "/nf4")
      let model = try base.make(Self.task, headSeed: 1)
      try model.attach(LoRA())
      #expect(model.trainableParameters().contains { $0.name == "classifier.weight" })
      let again = try base.make(Self.task, headSeed: 1)
      #expect(again.quantizedWeights.count == 7)
      for (one, other) in zip(model.quantizedWeights, again.quantizedWeights) { #expect(one.matrix === other.matrix) }
    }

    /// The same settings change nothing, others are refused; and what is saved is plain.
    @Test func isNotQuantisedTwice() throws {
      func load(_ config: QuantizationConfig) throws -> TransformerModel {
        try PretrainedModel(name: quantizedFolder + "/nf4", quantization: WeightQuantization(config)).make(Self.task, headSeed: 1)
      }
      let model = try load(QuantizationConfig(.nf4, useDoubleQuant: true))
      #expect(model.quantizedWeights.count == 7)
      #expect(message { _ = try load(QuantizationConfig(.nf4)) }?.contains("is held in nf4, blocks of 64, double quantization already") == true)
      try withTemporaryFolder { folder in
        try model.save(to: folder + "/model")
        let config = try HuggingFaceConfig(folder: folder + "/model")
        #expect(config["quantization_config"] == nil)
        let plain = try PretrainedModel(name: folder + "/model").make(Self.task, headSeed: 1)
        #expect(plain.quantizedWeights.isEmpty)
        #expect(try plain.predict(tinyBatch(below: 30)).values == model.predict(tinyBatch(below: 30)).values)
      }
    }

    private func tinyBatch(below limit: Int32) throws -> Batch {
      try Batch(ids: (0..<9).map { $0 * 7 % limit }, offsets: Offsets(values: [0, 4, 9]))
    }

    // MARK: Damage

    private static let weight = "bert.encoder.layer.0.attention.self.query.weight"
    private static let state = weight + ".quant_state.bitsandbytes__nf4"

    /// The model folder with other tensors in the place of some; nil leaves one out.
    private func damaged(_ folder: String, _ changes: [String: (ScalarType, [Int], Data)?]) throws -> String {
      let file = try SafetensorsFile(quantizedFolder + "/nf4/model.safetensors")
      let tensors = try file.entries.compactMap { entry -> TensorToSave? in
        if let change = changes[entry.name] {
          return change.map { TensorToSave(entry.name, dtype: $0.0, shape: $0.1, data: $0.2) }
        }
        return TensorToSave(entry.name, dtype: entry.dtype, shape: entry.shape, data: try file.withBytes(of: entry) { Data($0) })
      }
      try? FileManager.default.removeItem(atPath: folder + "/x")
      try FileManager.default.createDirectory(atPath: folder + "/x", withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: quantizedFolder + "/nf4/config.json", toPath: folder + "/x/config.json")
      try SafetensorsFile.write(tensors, to: folder + "/x/model.safetensors")
      return folder + "/x"
    }

    private func json(_ text: String) -> (ScalarType, [Int], Data) { (.uint8, [text.utf8.count], Data(text.utf8)) }

    private func state(_ changes: JSONObject) -> (ScalarType, [Int], Data) {
      var values: JSONObject = [
        "quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [64, 64], "nested_blocksize": 256, "nested_dtype": "float32",
        "nested_offset": 0.7,
      ]
      for (key, value) in changes.members { values[key] = value == .null ? nil : value }
      return json(JSONValue.object(values).encoded(.canonical))
    }

    private func floats(_ values: [Float]) -> (ScalarType, [Int], Data) { (.float32, [values.count], values.withUnsafeBytes { Data($0) }) }

    @Test func saysWhatDoesNotFit() throws {
      let (weight, state) = (Self.weight, Self.state)
      let cases: [(changes: [String: (ScalarType, [Int], Data)?], message: String)] = [
        ([state: json("{")], "invalid JSON"), ([state: json("[]")], "expected the bytes of a JSON object"),
        ([state: floats([1])], "expected the bytes of a JSON object"),
        ([state: self.state(["quant_type": "fp4"])], "'quant_type' must be one of 'nf4', got \"fp4\""),
        ([state: self.state(["blocksize": 48])], "bnb_4bit_blocksize = 48"),
        ([state: self.state(["blocksize": 0])], "'blocksize' must be an integer at least 1, got 0"),
        ([state: self.state(["blocksize": 128])], "absmax has 64 bytes, shape [64, 64] in nf4, blocks of 128, double quantization needs 32"),
        ([state: self.state(["shape": [64, 66]])], "codes has 2048 bytes, shape [64, 66]"),
        ([state: self.state(["shape": [64, -64]])], "negative size"),
        ([state: self.state(["shape": [4_611_686_018_427_387_904, 64]])], "too many elements"),
        ([state: self.state(["shape": [32, 128]])], "the checkpoint has shape [32, 128], the model expects [64, 64]"),
        ([state: self.state(["shape": "64"])], "shape: expected a list of integers, given \"64\""),
        ([state: self.state(["nested_offset": .null])], "missing key 'nested_offset'"),
        ([state: self.state(["nested_offset": 1e300])], "the statistic of block 0 of 64 is not finite"),
        ([state: self.state(["nested_blocksize": 0])], "'nested_blocksize' must be an integer at least 1, got 0"),
        ([state: self.state(["nested_blocksize": 16])], "nested_absmax has 4 bytes"),
        ([weight + ".absmax": nil], "no tensor '\(weight).absmax'"),
        ([weight + ".absmax": floats([Float](repeating: 1, count: 64))], "has type F32, expected U8"),
        ([weight + ".nested_absmax": nil], "has type U8, expected F32"),
        ([weight + ".nested_absmax": floats([.nan])], "the statistic of block 0 of 64 is not finite"),
        ([weight + ".nested_quant_map": floats([1, 2])], "nested_quant_map has 2 values"),
        ([weight + ".quant_map": floats([Float](repeating: 0, count: 16))], "quant_map: its values are not those of nf4"),
        ([weight: (.uint8, [3], Data([1, 2, 3]))], "codes has 3 bytes"), ([state: nil], "has type U8, expected a floating-point type"),
      ]
      try withTemporaryFolder { folder in
        for (changes, expected) in cases {
          let path = try damaged(folder, changes)
          let given = message { _ = try PretrainedModel(name: path).make(Self.task, headSeed: 1) } ?? "no error"
          #expect(given.contains(expected) && given.contains("query"), "\(given), not \(expected)")
        }
        let same = try damaged(folder, [state: self.state([:])])
        #expect(message { _ = try PretrainedModel(name: same).make(Self.task, headSeed: 1) } == nil)
      }
    }
  }
}
