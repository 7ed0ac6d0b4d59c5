import Files
import Foundation
import TestSupport
import Testing

/// `perigee predict`, on what a run of several stages has trained.
@Suite(.serialized, .enabled(if: perigeeExecutable != nil, "perigee is not built")) struct PredictTests {
  private static let texts = ["The girl bought a pear.", "On Monday the boy lost a dog, in the forest.", "A \"worker\" sold a cat."]

  /// A language model, an adapter with a classifier on it, one with a regression, and what scripts print of both; then `body`.
  private func withRun(_ body: (_ folder: String, _ labels: [String], _ scores: [String]) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let rows = (0..<24).map { "text \($0)\t\($0 % 3 == 0 ? "yes" : "no, not")\t\($0)" }
      try AtomicFile.write("text\tkind\tsize\n" + rows.joined(separator: "\n") + "\n", to: folder + "/train.tsv")
      let script = """
        local base = models.load("builtin:tiny")
        local function fit(model, task) return trainer.fit {
          model = model, task = task, max_steps = 3, learning_rate = 1e-2, per_device_train_batch_size = 4, eval_strategy = "no" } end
        local language = stage("language", function() return fit(base:masked_lm(), tasks.masked_lm { train_file = "builtin:corpus" }) end)
        local texts = { \(Self.texts.map { "'\($0)'" }.joined(separator: ", ")) }
        for _, kind in ipairs { { "kind", "label_column = 'kind'" }, { "size", "label_column = 'size'" } } do
          local task = tasks.table { train_file = "train.tsv", validation_files = { "train.tsv" }, text_column = "text", label_column = kind[1],
            problem_type = kind[1] == "size" and "regression" or nil }
          local result = stage(kind[1], function()
            return fit(language.model:classifier { task = task }:add_adapter(adapters.lora { r = 2, modules_to_save = { "classifier" } }), task)
          end)
          for _, answer in ipairs(result.model:predict(texts)) do
            print(answer.label and answer.label .. "|" .. answer.probabilities[answer.label] or answer.score)
          end
        end
        """
      try AtomicFile.write(script, to: folder + "/run.lua")
      let run = try perigee(["run", "run.lua", "--out", "out", "--quiet", "--precision", "fp32", "--threads", "1"], in: folder)
      #expect(run.code == 0, "\(run.error)")
      let lines = run.output.split(separator: "\n").map(String.init).filter { !$0.isEmpty }
      #expect(lines.count == 6)
      try body(folder, Array(lines.prefix(3)), Array(lines.suffix(3)))
    }
  }

  private func predict(_ arguments: [String], in folder: String, shell: String = "\"$@\"") throws -> Outcome {
    try perigee(["predict"] + arguments + ["--precision", "fp32", "--threads", "1"], in: folder, shell: shell)
  }

  @Test func everyFormatKeepsItsRowsAndGetsTheScriptsAnswers() throws {
    try withRun { folder, labels, scores in
      let texts = Self.texts
      let answers = labels.map { $0.split(separator: "|").map(String.init) }
      func near(_ text: String, _ expected: String) -> Bool { abs((Double(text) ?? .nan) - (Double(expected) ?? .nan)) < 2e-6 }

      try AtomicFile.write("id\ttext\r\n" + texts.enumerated().map { "\($0)\t\($1)\r\n" }.joined() + "\r\n", to: folder + "/new.tsv")
      let tsv = try predict(["out/stages/kind", "new.tsv"], in: folder)
      #expect(tsv.code == 0 && tsv.error.contains("3 rows in"), "\(tsv.error)")
      let table = tsv.output.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
      #expect(table.first == ["id", "text", "prediction", "score", "probabilities"])
      for (i, row) in table.dropFirst().enumerated() {
        #expect(Array(row.prefix(3)) == ["\(i)", texts[i], answers[i][0]])
        #expect(near(row[3], answers[i][1]))
        let probabilities = try JSONValue(parsing: row[4], source: "row")
        #expect(
          near("\(probabilities[answers[i][0]]?.doubleValue ?? .nan)", answers[i][1])
            && probabilities.objectValue?.keys.sorted() == ["no, not", "yes"])
      }

      let quoted = texts.map { "\"" + $0.replacing("\"", with: "\"\"") + "\"" }
      try AtomicFile.write("\u{FEFF}review,n\n" + quoted.map { "\($0),\"a\nb\"\n" }.joined(), to: folder + "/new.csv")
      let csv = try predict(["out/stages/size", "new.csv", "--text", "review"], in: folder)
      let records = csv.output.replacing("\"a\nb\"", with: "ab").split(separator: "\n").map(String.init)
      #expect(records.first == "review,n,prediction" && records.count == 4, "\(csv.error)")
      for (record, (text, score)) in zip(records.dropFirst(), zip(quoted, scores)) {
        #expect(record.hasPrefix(text + ",ab,") && near(String(record.split(separator: ",").last ?? ""), score), "\(record)")
      }

      let object = "{ \"text\": \"\(texts[0])\", \"n\": 1.50 }"
      let json = try predict(["out/stages/kind", "-", "--format", "jsonl"], in: folder, shell: "echo '\(object)' | \"$@\"")
      #expect(json.output.hasPrefix(object.dropLast(1) + ",\"prediction\":\"\(answers[0][0])\",\"score\":"), "\(json.output)\(json.error)")
      let plain = try predict(["out/stages/kind", "-"], in: folder, shell: "printf '%s\\n' '\(texts[0])' '' | \"$@\"")
      let lines = plain.output.split(separator: "\n").map(String.init)
      #expect(
        lines.count == 2 && lines[0].hasPrefix("{\"text\":\"\(texts[0])\",\"prediction\":\"\(answers[0][0])\""), "\(plain.output)\(plain.error)")

      // The adapter's folder alone, and with the model that it belongs to.
      for arguments in [["out/stages/kind/adapter"], ["out/stages/language/model", "--adapter", "out/stages/kind/adapter"]] {
        let same = try predict(arguments + ["new.tsv"], in: folder)
        #expect(same.output == tsv.output, "\(same.error)")
      }
      let written = try predict(["out/stages/kind", "new.tsv", "--out", "answers.tsv"], in: folder)
      #expect(written.code == 0 && written.output.isEmpty)
      #expect(try readText(folder + "/answers.tsv") == tsv.output)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).allSatisfy { !$0.contains(".partial") })

      try AtomicFile.write("{\"text\":\"a\"}\n{\"text\":\"b\",\"score\":1}\n", to: folder + "/scored.jsonl")
      try AtomicFile.write("{\"text\":\"a\"}\n", to: folder + "/rows.txt")
      try FileManager.default.createSymbolicLink(atPath: folder + "/ou-1", withDestinationPath: "out")
      for (arguments, message) in [
        (["out", "new.tsv"], "a run with 3 trained stages"), (["out/stages/kind", "none.tsv"], "none.tsv"),
        (["out/stages/kind", "new.tsv", "--text", "txt"], "did you mean 'text'?"),
        (["out/stages/kind", "answers.tsv"], "has a column 'prediction' already"),
        (["out/stages/kind", "scored.jsonl"], "has a column 'score' already"),
        (["out/stages/kind", "new.csv"], "name it with --text"), (["out/stages/kind", "rows.txt"], "give --format jsonl, or --format text"),
        (["out/stages/kind", "new.tsv", "--format", "xls"], "expected one of tsv, csv, jsonl"),
        (["out/stages/language", "new.tsv"], "masked_lm"), (["out/stages/kind", "new.tsv", "--set", "num_beams=2"], "no options of generation"),
        (["out/stages/kind", "new.tsv", "--out", "answers.tsv"], "--overwrite"),
        (["builtin:tiny", "--adapter", "out/stages/kind/adapter", "new.tsv"], "has other weights"),
        (["nowhere", "new.tsv"], "nowhere"), (["out/stages/ki", "new.tsv"], "no such"), (["ou", "new.tsv"], "did you mean ou-1?"),
      ] {
        let outcome = try predict(arguments, in: folder)
        #expect(outcome.code == 1 && outcome.error.contains(message) && outcome.output.isEmpty, "\(arguments): \(outcome.error)")
      }
      try anEvaluationComparesWithLabels(folder)
      try aCommandThatWasCutOffGoesOn(folder)
    }
  }

  private func anEvaluationComparesWithLabels(_ folder: String) throws {
    func evaluate(_ arguments: [String]) throws -> Outcome {
      try perigee(["evaluate"] + arguments + ["--precision", "fp32", "--threads", "1"], in: folder)
    }
    let predicted = try predict(["out/stages/kind", "train.tsv"], in: folder).output.split(separator: "\n").dropFirst().map {
      $0.split(separator: "\t").map(String.init)
    }
    let right = predicted.count { $0[1] == $0[3] }
    let outcome = try evaluate(["out/stages/kind", "train.tsv", "--label", "kind", "--json"])
    #expect(outcome.code == 0, "\(outcome.error)")
    let json = try JSONValue(parsing: outcome.output, source: "evaluation")
    #expect(json["rows"] == .int(24))
    let accuracy = try #require(json["metrics"]?["accuracy"])
    #expect(accuracy["value"]?.doubleValue == Double(right) / 24)
    #expect((accuracy["low"]?.doubleValue ?? 2) <= Double(right) / 24 && (accuracy["high"]?.doubleValue ?? -1) >= Double(right) / 24)
    for (wanted, found) in [("yes", "yes"), ("yes", "no, not"), ("no, not", "yes"), ("no, not", "no, not")] {
      #expect(json["confusion"]?[wanted]?[found] == .int(predicted.count { $0[1] == wanted && $0[3] == found }))
    }
    let scores = try evaluate(["out/stages/size", "train.tsv", "--label", "size", "--bootstrap", "0"])
    #expect(
      scores.code == 0 && scores.output.contains("pearson") && !scores.output.contains("accuracy") && !scores.output.contains("97.5"),
      "\(scores.output)")
    for (arguments, message) in [
      (["out/stages/kind", "train.tsv", "--label", "size"], "train.tsv:2: '0' is none of the model's labels"),
      (["out/stages/size", "train.tsv", "--label", "kind"], "'yes' is no number"), (["out/stages/kind", "train.tsv"], "no column 'label'"),
      (["out/stages/language", "train.tsv", "--label", "kind"], "gives no labels"),
    ] {
      let wrong = try evaluate(arguments)
      #expect(wrong.code == 1 && wrong.error.contains(message) && wrong.output.isEmpty, "\(arguments): \(wrong.error)")
    }
  }

  private func aCommandThatWasCutOffGoesOn(_ folder: String) throws {
    let rows = (0..<700).map { "text number \($0) of a file\n" }.joined()
    try AtomicFile.write("text\n" + rows, to: folder + "/many.tsv")
    let whole = try predict(["out/stages/kind", "many.tsv"], in: folder)
    // Stops it when some rows are on the disk.
    let stop =
      "\"$@\" & until [ -s done.tsv.partial.json ] && grep -q '\"count\": *[1-9]' done.tsv.partial.json; do sleep 0.01; done; kill -KILL $!; wait $!; true"
    _ = try predict(["out/stages/kind", "many.tsv", "--out", "done.tsv"], in: folder, shell: stop)
    #expect(!FileManager.default.fileExists(atPath: folder + "/done.tsv"))
    // What stands behind the last counted piece does not count.
    let partial = try #require(FileHandle(forWritingAtPath: folder + "/done.tsv.partial"))
    try partial.seekToEnd()
    try partial.write(contentsOf: Data("half a r".utf8))
    try partial.close()
    let rest = try predict(["out/stages/kind", "many.tsv", "--out", "done.tsv"], in: folder)
    #expect(rest.code == 0 && rest.error.contains("were there already"), "\(rest.error)")
    #expect(try readText(folder + "/done.tsv") == whole.output)
  }
}
