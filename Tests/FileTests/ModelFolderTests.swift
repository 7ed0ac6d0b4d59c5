import Checkpoints
import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@Suite struct ModelFolderTests {
  private func save(_ names: [String], to path: String) throws {
    try SafetensorsFile.write(
      names.map { TensorToSave($0, dtype: .uint8, shape: [1], data: Data([7])) }, to: path)
  }

  @Test func readsOneFileOrItsShardsAlike() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/one")
      try createFolder(folder + "/two")
      try save(["a", "b"], to: folder + "/one/model.safetensors")
      try save(["a"], to: folder + "/two/model-1.safetensors")
      try save(["b"], to: folder + "/two/model-2.safetensors")
      try AtomicFile.write(
        ["weight_map": ["a": "model-1.safetensors", "b": "model-2.safetensors"]],
        to: folder + "/two/model.safetensors.index.json")
      let one = try WeightsFolder(folder + "/one")
      let two = try WeightsFolder(folder + "/two")
      #expect(one.names == ["a", "b"] && two.names == ["a", "b"])
      #expect(try one.digest() == two.digest())
      #expect(try two.withBytes(of: "b") { $0.dtype == .uint8 && $1[0] == 7 })
      #expect(two["c"] == nil)
      #expect(throws: EngineError.self) { try two.entry("c") }
      #expect(try WeightsFolder(folder + "/one/model.safetensors").names == ["a", "b"])
    }
  }

  @Test(arguments: [
    ("{}", "no 'weight_map' object"),
    ("{\"weight_map\": {\"a\": \"gone.safetensors\"}}", "shard 'gone.safetensors' is missing"),
    ("{\"weight_map\": {\"c\": \"s.safetensors\"}}", "'c' is not in its shard 's.safetensors'"),
    ("{\"weight_map\": {\"a\": \"../s.safetensors\"}}", "expected the name of a file"),
    ("{\"weight_map\": {\"a\": 1}}", "expected the name of a file in the same folder, found 1"),
    ("{", "invalid JSON"),
  ])
  func rejectsABadIndex(text: String, message: String) throws {
    try withTemporaryFolder { folder in
      try save(["a"], to: folder + "/s.safetensors")
      try AtomicFile.write(text, to: folder + "/model.safetensors.index.json")
      #expect { try WeightsFolder(folder) } throws: {
        $0 is EngineError && "\($0)".contains(message) && "\($0)".contains("index.json")
      }
    }
  }

  @Test func saysWhatItExpects() throws {
    try withTemporaryFolder { folder in
      #expect { try WeightsFolder(folder) } throws: {
        "\($0)".hasSuffix(
          "no weights: expected model.safetensors or model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json")
      }
      try AtomicFile.write("", to: folder + "/pytorch_model.bin")
      #expect { try WeightsFolder(folder) } throws: { "\($0)".contains("pytorch_model.bin: not a file of torch.save") }
      #expect(throws: EngineError.self) { try WeightsFolder(folder + "/none") }
    }
  }

  @Test func findsModelsInTheHubCache() throws {
    try withTemporaryFolder { folder in
      let hub = folder + "/hf/hub"
      let snapshot = hub + "/models--org--tiny/snapshots/abc123"
      try createFolder(snapshot)
      try createFolder(hub + "/models--org--tiny/refs")
      try AtomicFile.write("abc123\n", to: hub + "/models--org--tiny/refs/main")
      try createFolder(hub + "/models--gpt2/snapshots")
      for environment in [
        ["HF_HUB_CACHE": hub, "HF_HOME": "/none"], ["HF_HOME": folder + "/hf"],
        ["HF_HOME": "~/hf", "HOME": folder, "HF_HUB_CACHE": ""],
      ] {
        #expect(try ModelLocation.folder(of: "org/tiny", environment: environment) == snapshot)
      }
      #expect(
        ModelLocation.hubCache(["XDG_CACHE_HOME": "/x"]) == "/x/huggingface/hub"
          && ModelLocation.hubCache(["HOME": "/h"]) == "/h/.cache/huggingface/hub")
      let environment = ["HF_HUB_CACHE": hub]
      #expect(try ModelLocation.folder(of: snapshot, environment: environment) == snapshot)
      #expect(
        try ModelLocation.folder(of: "org/tiny", revision: "abc123", environment: environment)
          == snapshot)
      let cases = [
        ("org/tinny", "did you mean 'org/tiny'?"), ("gpt2", "no complete revision 'main'"),
        ("nothing/like-it", "tried ./nothing/like-it and \(hub)/models--nothing--like-it"),
        ("/no/where", "no such model folder"), ("../x/y", "no such model folder"),
        ("", "the path is empty"), ("a\0b", "the character NUL"), ("a/../b", "no such model folder"),
        (hub + "/models--org--tiny/refs/main", "is a file"),
      ]
      for (name, message) in cases {
        #expect("\(name)") {
          try ModelLocation.folder(of: name, environment: environment)
        } throws: { "\($0)".contains(message) }
      }
      #expect(throws: EngineError.self) {
        try ModelLocation.folder(
          of: "org/tiny", revision: "../../../..", environment: environment)
      }
    }
  }

  @Test func readsTypedConfigValues() throws {
    let config = HuggingFaceConfig(
      [
        "hidden_size": 768, "dropout": 0.1, "rate": 1, "tie": true, "act": "gelu", "none": .null,
        "targets": ["q", "v"], "id2label": ["1": "no", "0": "yes"], "mixed": ["q", 1],
      ], path: "config.json")
    #expect(try config.int("hidden_size", in: 1...) == 768)
    #expect(try config.double("dropout", in: 0...1) == 0.1)
    #expect(try config.double("rate") == 1)
    #expect(try config.bool("tie"))
    #expect(try config.string("act", among: ["gelu", "relu"]) == "gelu")
    #expect(try config.int("none", default: 3) == 3)
    #expect(try config.strings("targets") == ["q", "v"])
    #expect(try config.labels() == ["yes", "no"])
    let cases: [(() throws -> Void, String)] = [
      (
        { _ = try config.int("hiden_size") },
        "config.json: missing key 'hiden_size', expected an integer; did you mean 'hidden_size'?"
      ),
      (
        { _ = try config.int("act", in: 1...) },
        "config.json: 'act' must be an integer at least 1, got \"gelu\""
      ),
      (
        { _ = try config.int("hidden_size", in: 1...64) },
        "config.json: 'hidden_size' must be an integer from 1 to 64, got 768"
      ),
      (
        { _ = try config.double("hidden_size", in: 0..<1) },
        "config.json: 'hidden_size' must be a number at least 0 and below 1, got 768"
      ),
      ({ _ = try config.bool("rate") }, "config.json: 'rate' must be true or false, got 1"),
      (
        { _ = try config.string("act", among: ["relu", "silu"]) },
        "config.json: 'act' must be one of 'relu', 'silu', got \"gelu\""
      ),
      (
        { _ = try config.strings("mixed") },
        "config.json: 'mixed' must be a list of strings, got [\"q\",1]"
      ),
      (
        { _ = try HuggingFaceConfig(["id2label": ["7": "x"]], path: "c").labels() },
        "c: 'id2label' must be an object of labels for \"0\", \"1\", ..., got {\"7\":\"x\"}"
      ),
    ]
    for (read, message) in cases { #expect { try read() } throws: { "\($0)" == message } }
  }

  @Test(.enabled(if: testData("configs") != nil)) func readsPublishedConfigs() throws {
    let folder = try #require(testData("configs"))
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isFolder)
      guard isFolder.boolValue else { continue }
      let config = try HuggingFaceConfig(folder: folder + "/" + name)
      #expect(try !config.string("model_type").isEmpty)
    }
  }
}
