import Checkpoints
import Files
import NN
import TensorCore
import TestSupport
import Testing

/// Whose head a model takes from a folder: the saved one, a new one, or none.
@Suite(.engine) struct HeadChoiceTests {
  private static func rewrite(_ path: String, _ change: (String, Tensor) throws -> Tensor?) throws {
    let file = try SafetensorsFile(path)
    let tensors = try file.names.compactMap { name in try change(name, try file.tensor(name).copy()).map { (name, $0) } }
    try SafetensorsFile.write(tensors: tensors, to: path)
  }

  /// A checkpoint of two classes becomes one of three, or of a score, and back.
  @Test func aHeadOfAnotherKindGivesWay() throws {
    try LabelTests.run { host, folder in
      let scores = folder + "/scores.tsv"
      try AtomicFile.write("text\tlabel\n" + (0..<12).map { "good film \($0 % 3)\t\(Double($0 % 3) / 2)\n" }.joined(), to: scores)
      let classes = folder + "/three.tsv"
      try AtomicFile.write("text\tlabel\n" + (0..<12).map { "good film \($0 % 3)\t\(["a", "b", "c"][$0 % 3])\n" }.joined(), to: classes)
      let lines = try host.printed(
        LabelTests.script(folder) + """
          local function scores()
            return tasks.table { train_file = '\(scores)', validation_files = { '\(scores)' }, text_column = 'text', label_column = 'label',
              problem_type = 'regression', metrics = { 'mse' } }
          end
          local function fit(model, task)
            model:add_adapter(adapters.full {})
            return trainer.fit { model = model, task = task, max_steps = 2, max_length = 32, learning_rate = 1e-3 }.model
          end
          fit(base:classifier { task = task }, task):save('two')
          fit(models.load('two'):classifier { task = tableTask(nil, '\(classes)') }, tableTask(nil, '\(classes)')):save('three')
          fit(models.load('two'):classifier { task = scores() }, scores()):save('score')
          for _, name in ipairs { 'two', 'three', 'score' } do
            local model = models.load(name):classifier()
            print(table.concat(model.labels, ' '), model:predict({ 'good' })[1].score ~= nil)
          end
          local again = models.load('score'):classifier { task = scores() }
          print(again:predict({ 'good' })[1].score == models.load('score'):classifier():predict({ 'good' })[1].score)
          print(table.concat(models.load('score'):classifier { task = task }.labels, ' '))
          -- A new head on the body of a model that has one.
          print(#models.load('two'):classifier():new_head { num_labels = 5 }.labels)
          """)
      #expect(lines == ["no yes\tfalse", "a b c\tfalse", "score\ttrue", "true", "no yes", "5"], "\(lines)")
      for note in [
        "its head is for 2 classes ('no', 'yes'), what is wanted is a score", "its head is taken, which gives a score",
        "its head is for a score, what is wanted is 2 classes ('no', 'yes')",
      ] { #expect(host.notes.contains { $0.contains(note) }, "\(host.notes)") }
    }
  }

  /// Heads that are none for this, and folders that contradict themselves.
  @Test func otherHeadsAreNotTaken() throws {
    let rows: [(changes: [(String, JSONValue?)], message: String, isUsable: Bool)] = [
      (
        [("architectures", ["BertForTokenClassification"])], "its head is that of a BertForTokenClassification, which is no classifier of texts", true
      ),
      ([("architectures", ["BertForMultipleChoice"])], "its head is that of a BertForMultipleChoice, which is no classifier of texts", true),
      ([("problem_type", "multi_label_classification")], "its head gives several labels to one text (problem_type multi_label_classification)", true),
      ([("problem_type", "regression")], "its head gives 2 scores to one text", true),
      (
        [("id2label", ["0": "a", "1": "b", "2": "c"]), ("label2id", nil), ("num_labels", nil)],
        "its head has 2 outputs, but config.json names 3 labels: 'a', 'b', 'c'", true
      ),
      ([("label2id", ["no": 1, "yes": 0])], "id2label names no, yes, label2id yes, no", false),
      ([("num_labels", 3)], "num_labels is 3, but 2 labels are named: no, yes", false),
      ([("id2label", ["0": "no", "1": "no"])], "id2label: two ids have the label 'no'", false),
      ([("id2label", ["0": "no", "2": "yes"])], "'id2label' must be an object of labels for \"0\", \"1\", ...", false),
      (
        [("problem_type", "clasification")],
        "'problem_type' must be one of 'single_label_classification', 'regression', 'multi_label_classification'", false
      ),
    ]
    try LabelTests.run { host, folder in
      _ = try host.printed(LabelTests.script(folder) + "base:classifier { task = task }:save('m')")
      let model = host.runFolder + "/m"
      let original = try JSONValue(file: model + "/config.json")
      for (i, row) in rows.enumerated() {
        try AtomicFile.write(original, to: model + "/config.json")
        try LabelTests.change(model, row.changes)
        // Another name for the same folder: an opened one is kept.
        let name = model + String(repeating: "/.", count: i + 1)
        for options in ["{}", "{ task = task, head = 'saved' }"] {
          let error = try host.failure(LabelTests.script(folder) + "models.load('\(name)'):classifier \(options)")
          #expect(error?.contains(row.message) == true && error?.contains("head = \"new\"") == true, "\(options): \(error ?? "nothing")")
        }
        let error = try host.failure(LabelTests.script(folder) + "models.load('\(name)'):classifier { task = task }")
        #expect((error == nil) == row.isUsable, "\(row.message): \(error ?? "nothing")")
        #expect(
          !row.isUsable || host.notes.contains { $0.contains("a new head is made, \(row.message)".replacing("its head", with: "its own")) },
          "\(host.notes)")
        #expect(try host.failure(LabelTests.script(folder) + "models.load('\(name)'):classifier { task = task, head = 'new' }") == nil)
      }
    }
  }

  /// An adapter's folder that holds no head leaves the model's labels alone, and says so where that head means nothing.
  @Test func aFolderWithoutAHeadKeepsLabelsAndWarns() throws {
    try LabelTests.run { host, folder in
      _ = try host.printed(
        LabelTests.script(folder) + """
          local model = make()
          trainer.fit(options(model))
          model:save_adapter('a')
          """)
      let path = host.runFolder + "/a"
      // As PEFT saves it without a task type.
      try Self.rewrite(path + "/adapter_model.safetensors") { name, tensor in name.contains("classifier") ? nil : tensor }
      var config = try #require(JSONValue(file: path + "/adapter_config.json").objectValue)
      (config["modules_to_save"], config["task_type"]) = (.null, .null)
      try AtomicFile.write(.object(config), to: path + "/adapter_config.json")
      let lines = try host.printed(
        LabelTests.script(folder) + """
          local m = base:classifier { labels = { 'yes', 'no' } }
          m:load_adapter('a')
          print(table.concat(m.labels, ' '), m.trainable > 0)
          """)
      #expect(lines == ["yes no\ttrue"], "\(lines)")
      #expect(host.notes.contains { $0.contains("has no head, and that of the model is random and frozen") }, "\(host.notes)")
    }
  }

  /// A folder whose head lacks a tensor, or has one of another size, has none that can be taken.
  @Test func anIncompleteHeadIsNotTaken() throws {
    try LabelTests.run { host, folder in
      let changes: [(message: String, change: (String, Tensor) throws -> Tensor?)] = [
        ("is incomplete: classifier.bias missing", { name, tensor in name == "classifier.bias" ? nil : tensor }),
        ("has classifier.bias of shape [3], where the model needs [2]", { name, tensor in name == "classifier.bias" ? try .zeros([3]) : tensor }),
        (
          "has classifier.weight of shape [2, 16], where the model needs [2, 32]",
          { name, tensor in name == "classifier.weight" ? try .zeros([2, 16]) : tensor }
        ),
        (
          "has 3 outputs, but config.json names 2 labels: 'no', 'yes'",
          { name, tensor in
            name == "classifier.weight" ? try .zeros([3, 32]) : name == "classifier.bias" ? try .zeros([3]) : tensor
          }
        ),
      ]
      for (message, change) in changes {
        _ = try host.printed(LabelTests.script(folder) + "base:classifier { task = task }:save('m')")
        let path = host.runFolder + "/m/model.safetensors"
        try Self.rewrite(path, change)
        let error = try host.failure(LabelTests.script(folder) + "models.load('m'):classifier()")
        #expect(error?.contains("its head \(message); give the task, and head = \"new\"") == true, "\(error ?? "nothing")")
        let lines = try host.printed(LabelTests.script(folder) + "print(#models.load('m'):classifier { task = task }.labels)")
        #expect(lines == ["2"] && host.notes.contains { $0.contains("a new head is made, its own \(message)") }, "\(host.notes)")
      }
    }
  }

  /// What a script saved again is not what it opened before.
  @Test func aFolderThatWasWrittenAgainIsReadAgain() throws {
    try LabelTests.run { host, folder in
      let lines = try host.printed(
        LabelTests.script(folder) + """
          local old
          for i, labels in ipairs { { 'a', 'b' }, { 'c', 'd', 'e' } } do
            base:classifier { labels = labels, seed = i }:save('m')
            local model = models.load('m'):classifier()
            print(table.concat(model.labels, ' '), old == models.load('m'))
            old = models.load('m')
          end
          """)
      #expect(lines == ["a b\tfalse", "c d e\tfalse"], "\(lines)")
    }
  }

  /// Embeddings that the language head has of its own would be left out.
  @Test func anUntiedLanguageHeadIsRefused() throws {
    try LabelTests.run { host, folder in
      _ = try host.printed(LabelTests.script(folder) + "base:masked_lm():save('m')")
      let path = host.runFolder + "/m/model.safetensors"
      let file = try SafetensorsFile(path)
      let all = try file.names.map { ($0, try file.tensor($0).copy()) }
      let own = try file.tensor("bert.embeddings.word_embeddings.weight").copy()
      try SafetensorsFile.write(tensors: all + [("cls.predictions.decoder.weight", own)], to: path)
      let load = LabelTests.script(folder) + "models.load('m'):masked_lm()"
      #expect(try host.failure(load) == nil)
      try LabelTests.change(host.runFolder + "/m", [("tie_word_embeddings", false)])
      let error = try host.failure(load)
      #expect(
        error?.contains("a language head with embeddings of its own, 'cls.predictions.decoder.weight', is not supported") == true,
        "\(error ?? "nothing")")
      #expect(try host.failure(LabelTests.script(folder) + "models.load('m'):classifier { task = task }") == nil)
    }
  }
}
