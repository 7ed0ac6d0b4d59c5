import Files
import Foundation
import TestSupport
import Testing

@testable import Engine

@Suite struct ModelCardTests {
  @Test func yamlIsReadAsItIsMeant() {
    let value: JSONValue = [
      "a": "yes: no", "list": ["x", "1"], "nested": [["name": "n", "results": [["value": 1e-05], ["value": 0.5]]]], "n": 3,
    ]
    #expect(
      ModelCard.yaml(value) == """
        a: "yes: no"
        list:
        - "x"
        - "1"
        nested:
        - name: "n"
          results:
          - value: 1.0e-05
          - value: 0.5
        n: 3

        """)
  }

  @Test func keepsWhatAUserWrote() {
    let (marker, card) = (ModelCard.marker, "new\n" + ModelCard.marker + "\n")
    #expect(ModelCard.keeping(nil, in: card) == card)
    #expect(ModelCard.keeping("old\n\(marker)\n\n## Mine\n", in: card) == card + "## Mine\n")
    #expect(ModelCard.keeping("all mine\n", in: card) == "all mine\n")
  }

  /// A model from the hub's cache with a LoRA, then the whole model; the command again finds both, and keeps what a user wrote.
  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built")) func everySavedFolderHasItsCard() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let hub = folder + "/.cache/huggingface/hub/models--org--tiny"
      try createFolder(hub + "/refs")
      try AtomicFile.write("abc\n", to: hub + "/refs/main")
      try createFolder(hub + "/snapshots/abc")
      for file in ["config.json", "model.safetensors"] {
        try AtomicFolder.copy(packageRoot + "/Tests/Fixtures/models/tiny-bert/" + file, to: hub + "/snapshots/abc/" + file)
      }
      try AtomicFolder.copy(folder + "/vocab.txt", to: hub + "/snapshots/abc/vocab.txt")
      let script = """
        local base = models.load('org/tiny')
        local task = tasks.table { train_file = 'train.tsv', validation_files = { 'dev.tsv' }, text_column = 'text', label_column = 'label' }
        local function fit(model) return trainer.fit { model = model, task = task, max_length = 32, num_train_epochs = 2, logging_steps = 2, learning_rate = 1e-05 } end
        local lora = stage('a lora', function() return fit(base:classifier { task = task }:add_adapter(adapters.lora { r = 2, target_modules = { 'query' } })) end)
        lora.model:save_adapter('mine')
        lora.model:merge()
        lora.model:save('merged')
        lora.model:unmerge()
        for _, p in ipairs(lora.model:parameters()) do
          if p.name:find('lora_B') then tensor.no_grad(function() lora.model:parameter(p.name):mul_(2) end) end
        end
        lora.model:save_adapter('doubled')
        base:classifier { task = task }:save('fresh')
        stage('delora', function() return fit(base:classifier { task = task }:add_adapter(adapters.delora { r = 2, target_modules = { 'query' } })) end)
        stage('whole', function() return fit(base:classifier { task = task }:add_adapter(adapters.full {})) end)
        """
      try AtomicFile.write(script, to: folder + "/t.lua")
      func run() throws -> Outcome { try perigee(["run", "t.lua", "--out", "r", "--threads", "1", "--precision", "fp32"], in: folder) }
      let first = try run()
      #expect(first.code == 0, "\(first.error)")
      let stages = folder + "/r/stages"
      let cards = ["a_lora/adapter", "delora/adapter", "whole/model"].map { "\(stages)/\($0)/README.md" }
      let text = try readText(cards[0])
      for part in [
        "\nbase_model: \"org/tiny\"\nlibrary_name: \"peft\"\n",
        "This adapter was trained on [org/tiny](https://huggingface.co/org/tiny), with the data `train`",
        "    perigee run t.lua --out r --threads 1 --precision fp32\n", "- learning_rate: 1e-05\n", "- Training: `train`: 22 examples\n",
        "- Evaluation: `dev`: 6 examples\n", "| Training loss | Epoch | Step | Validation loss | accuracy |\n",
        "Labels, in the order of the outputs: `no`, `yes`",
        "- Format of PEFT ", "- Perigee ",
      ] { #expect(text.contains(part), "\(part) in\n\(text)") }
      #expect(!text.lowercased().contains("more information needed") && !text.contains("nil") && !text.contains("Optional"))
      #expect(try !readText(cards[1]).contains("library_name"))
      #expect(try readText(cards[2]).contains("library_name: \"transformers\""))
      // What the script saves has the card of the training, while its values are those of the training.
      #expect(try readText(folder + "/r/mine/README.md") == text)
      let merged = try readText(folder + "/r/merged/README.md")
      #expect(merged.contains("library_name: \"transformers\"") && merged.contains("This model was trained from [org/tiny]"))
      #expect(!fileExists(folder + "/r/doubled/README.md") && !fileExists(folder + "/r/fresh/README.md"))
      for place in ["mine", "fresh"] { try AtomicFile.write("all mine\n", to: folder + "/r/\(place)/README.md") }
      try AtomicFile.write(text + "\n## Mine\n", to: cards[0])
      try AtomicFile.write("all mine\n", to: cards[1])
      let again = try run()
      #expect(again.code == 0 && again.error.contains("a lora: reused"))
      #expect(try readText(cards[0]) == text + "## Mine\n")
      #expect(try readText(cards[1]) == "all mine\n")
      for place in ["mine", "fresh"] { #expect(try readText(folder + "/r/\(place)/README.md") == "all mine\n") }
      try readsInHub(cards[0], results: folder + "/r/results.json")
    }
  }

  private func readsInHub(_ card: String, results: String) throws {
    guard hasPython("huggingface_hub") else { return print("skipped: python3 has no huggingface_hub to read \(card)") }
    let check = python(["check_card.py", card])
    #expect(check.code == 0, "\(check.output)")
    let json = try JSONValue(parsing: check.output, source: "check_card.py")
    let metrics = try #require(JSONValue(file: results)["stages"]?.arrayValue?.first?["metrics"])
    #expect(json["library_name"]?.stringValue == "peft" && json["base_model"]?.stringValue == "org/tiny")
    #expect(json["tags"] == ["base_model:adapter:org/tiny", "lora", "perigee"])
    #expect(
      json["results"] == [
        [
          "dataset": "train", "metric": "accuracy", "split": "dev", "task": "text-classification",
          "value": try #require(metrics["eval_accuracy"]),
        ]
      ])
  }
}
