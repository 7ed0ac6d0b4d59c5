import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@testable import Pipelines

@Suite struct TensorBoardTests {
  private typealias Scalar = EventFile.Scalar

  /// What a stage's event files show, as TensorBoard goes through them, read by this test's own rules.
  private func shown(_ folder: String) throws -> [String] {
    var shown: [(step: Int, text: String)] = []
    for file in try AtomicFolder.names(in: folder).sorted() where file.hasPrefix("events.out.tfevents.") {
      for event in try EventFile.events(inFile: folder + "/" + file) {
        switch event {
        case .start(let step): shown.removeAll { $0.step >= step }
        case .scalars(let scalars): shown += scalars.map { ($0.step, "\($0.tag) \($0.step) \(Float(bitPattern: $0.bits))") }
        default: break
        }
      }
    }
    return shown.map(\.text)
  }

  private func row(_ step: Int, _ loss: Double) -> JSONObject {
    ["stage": "a", "step": .int(step), "epoch": .double(Double(step) / 2), "loss": .double(loss)]
  }

  private func files(_ folder: String) throws -> Int { try AtomicFolder.names(in: folder).count }

  // MARK: - Bytes

  /// The vectors of RFC 3720, appendix B.4, and the usual one.
  @Test func checksumsAreCastagnolis() {
    let vectors: [([UInt8], UInt32)] = [
      (Array("123456789".utf8), 0xE306_9283), ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
      (Array(0..<32), 0x46DD_794E), ([], 0),
    ]
    for (bytes, checksum) in vectors { #expect(bytes.withUnsafeBytes { CRC32.castagnoli.checksum(of: $0) } == checksum) }
  }

  /// Records as the `tensorboard` package writes them, byte for byte (`EventFileWriter` of 2.21, wall times 1.5 and 2.5).
  @Test func recordsAreTensorBoards() {
    func hex(_ event: EventFile.Event, _ time: Double) -> String {
      EventFile.record(event, wallTime: time).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    #expect(hex(.version, 1.5) == Self.versionRecord)
    #expect(hex(.start(step: 300), 2.5) == Self.startRecord)
    #expect(hex(.scalars([Scalar("train/loss", step: 7, 0.25), Scalar("train/epoch", step: 7, -1)]), 2.5) == Self.scalarRecord)
    #expect(hex(.text(tag: "train/note", step: -1, "hé"), 2.5) == Self.textRecord)
  }

  private static let versionRecord = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
  private static let startRecord = "100000000000000095fbfe1809000000000000044010ac023a0208017d05b37d"
  private static let scalarRecord =
    "34000000000000005e33175c09000000000000044010072a270a110a0a747261696e2f6c6f7373150000803e0a120a0b747261696e2f65706f636815000080bf6d5f1336"
  private static let textRecord =
    "4a00000000000000af77dbb009000000000000044010ffffffffffffffffff012a340a320a17747261696e2f6e6f74652f746578745f73756d6d617279420d0807120412"
    + "020801420368c3a94a080a060a04746578740d1bc78e"

  @Test func readsWhatItWrote() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/f"
      let events: [EventFile.Event] = [
        .start(step: 0), .scalars([Scalar("a", step: -3, .nan), Scalar("b", step: -3, 1e300)]), .scalars([Scalar("a", step: .max, 5e-5)]),
      ]
      let bytes = EventFile.record(.version) + events.flatMap { EventFile.record($0) } + EventFile.record(.text(tag: "t", step: 1, "x"))
      try AtomicFile.write(Data(bytes), to: path)
      #expect(try EventFile.events(inFile: path) == events)
      // A file that was cut off anywhere, or damaged in any byte, gives what is before that place.
      for place in stride(from: 0, to: bytes.count, by: 13) {
        try AtomicFile.write(Data(bytes.prefix(place)), to: path)
        #expect(try EventFile.events(inFile: path).count <= events.count)
        var damaged = bytes
        damaged[place] ^= 0x10
        try AtomicFile.write(Data(damaged), to: path)
        let found = try EventFile.events(inFile: path)
        #expect(found == Array(events.prefix(found.count)))
      }
    }
  }

  // MARK: - The log of a run

  @Test func namesAreTransformers() {
    let row: JSONObject = [
      "stage": "a", "step": 3, "loss": 0.5, "eval_accuracy": 1, "test_f1": 0.25, "mine": true, "group_learning_rates": [0.5, 2],
    ]
    let expected = [
      ("train/loss", 0.5), ("eval/accuracy", 1), ("test/f1", 0.25), ("train/group_learning_rates/0", 0.5), ("train/group_learning_rates/1", 2),
    ]
    #expect(TensorBoardLog.scalars(row) == expected.map { Scalar($0.0, step: 3, $0.1) })
  }

  @Test func aResumedStageShowsNoStepTwice() throws {
    try withTemporaryFolder { folder in
      let place = folder + "/tensorboard/a"
      let first = TensorBoardLog(run: folder, environment: [:])
      try first.stageBegan("a", rows: [], step: 0, settings: nil)
      for step in 1...4 { try first.logged(row(step, 1 / Double(step)), isRepeatable: false) }
      try first.logged(["stage": "a", "step": 2, "mine": 7], isRepeatable: false)
      try first.logged(["stage": "a", "step": 4, "epoch": 2.0, "eval_loss": 0.5], isRepeatable: false)
      let all = ["train/epoch 1 0.5", "train/loss 1 1.0", "train/epoch 2 1.0", "train/loss 2 0.5"]
      #expect(try shown(place).prefix(4) == all[...])
      // An evaluation's epoch is that of the step, which is there.
      #expect(try shown(place).suffix(2) == ["train/mine 2 7.0", "eval/loss 4 0.5"])
      // The state was saved at step 2; the last record of the file is cut off.
      let file = try place + "/" + #require(AtomicFolder.names(in: place).first)
      try AtomicFile.write(Data(readFile(file).dropLast(5)), to: file)
      let second = TensorBoardLog(run: folder, environment: [:])
      try second.stageBegan("a", rows: [row(1, 1), row(2, 0.5)], step: 2, settings: nil)
      #expect(try shown(place) == all + ["train/mine 2 7.0"])
      for step in 3...4 { try second.logged(row(step, 3), isRepeatable: false) }
      try second.stageEnded(["stage": "a", "steps": 4, "seconds": 2.5], isReused: false)
      let end = ["train/epoch 3 1.5", "train/loss 3 3.0", "train/epoch 4 2.0", "train/loss 4 3.0", "train/train_runtime 4 2.5"]
      #expect(try shown(place) == all + ["train/mine 2 7.0"] + end)
      // Found finished, it is complete; nothing is added.
      let third = TensorBoardLog(run: folder, environment: [:])
      try third.stageBegan("a", rows: [row(1, 1), row(2, 0.5), row(3, 3), row(4, 3)], step: .max, settings: nil)
      try third.stageEnded(["stage": "a", "steps": 4, "seconds": 2.5], isReused: true)
      #expect(try files(place) == 2)
    }
  }

  /// Another run's folder went on with the stage, or the parameters have changed.
  @Test func aFolderThatLacksTheHistoryGetsIt() throws {
    try withTemporaryFolder { folder in
      let place = folder + "/tensorboard/a"
      let first = TensorBoardLog(run: folder, environment: [:])
      try first.stageBegan("a", rows: [], step: 0, settings: nil)
      try first.logged(row(1, 9), isRepeatable: false)
      try first.logged(["stage": "a", "step": 1, "mine": 7], isRepeatable: false)
      let second = TensorBoardLog(run: folder, environment: [:])
      try second.stageBegan("a", rows: [row(1, 1), row(2, 2)], step: 2, settings: nil)
      #expect(try shown(place) == ["train/mine 1 7.0", "train/epoch 1 0.5", "train/loss 1 1.0", "train/epoch 2 1.0", "train/loss 2 2.0"])
      let reused = TensorBoardLog(run: folder + "/other", environment: [:])
      try createFolder(folder + "/other")
      try reused.stageBegan("a", rows: [row(1, 1)], step: .max, settings: nil)
      #expect(try shown(folder + "/other/tensorboard/a") == ["train/epoch 1 0.5", "train/loss 1 1.0"])
    }
  }

  /// What a script logs outside of trainings it logs again when it is run again.
  @Test func whatAScriptLogsAgainIsThereOnce() throws {
    try withTemporaryFolder { folder in
      for _ in 1...3 {
        let log = TensorBoardLog(run: folder, environment: [:])
        for value in [1.0, 2, 2] { try log.logged(["step": 1, "score": .double(value)], isRepeatable: true) }
        try log.logged(["stage": "a", "note": "text alone"], isRepeatable: true)
      }
      #expect(try shown(folder + "/tensorboard") == ["train/score 1 1.0", "train/score 1 2.0"])
    }
  }

  @Test func obeysTheEnvironment() throws {
    try withTemporaryFolder { folder in
      try createFolder(folder + "/runs/r1")
      let log = TensorBoardLog(run: folder + "/runs/r1", environment: ["TENSORBOARD_LOGGING_DIR": "~/tb", "HOME": folder])
      try log.logged(["stage": "a/b", "step": 1, "x": 1], isRepeatable: false)
      let stage = RunDirectory.stageFolderName("a/b")
      #expect(try shown(folder + "/tb/r1/" + stage) == ["train/x 1 1.0"])
      #expect(!fileExists(folder + "/runs/r1/tensorboard"))
      try AtomicFile.write("", to: folder + "/file")
      #expect {
        try TensorBoardLog(run: folder + "/runs/r1", environment: ["TENSORBOARD_LOGGING_DIR": folder + "/file"])
          .logged(["x": 1], isRepeatable: false)
      } throws: { "\($0)".contains(folder + "/file") }
    }
  }
}

extension TensorBoardTests {
  /// The real package reads what a run left that was killed and resumed: the numbers of `metrics.jsonl`, each once.
  @Test(.enabled(if: perigeeExecutable != nil && hasPython("tensorboard"), "perigee is not built, or python3 has no tensorboard"))
  func tensorBoardShowsTheMetrics() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script =
        TinyTask.script(folder, "logging_steps = 1, save_seconds = 0, num_train_epochs = 8, eval_strategy = 'epoch'").replacing(
          "num_train_epochs = 2, ", with: "")
          + """
          local model = make()
          local settings = options(model)
          settings.on_step = function(t)
            if t.step % 5 == 0 then t:log { mine = t.step / 3 } end
            local from = os.clock()
            while os.clock() - from < 0.02 do end
          end
          local result = stage('tiny stage', function() return trainer.fit(settings) end)
          log.metrics { step = 1, score = result.metrics.eval_loss }
          """
      try AtomicFile.write(script, to: folder + "/t.lua")
      let options = "--threads 1 --precision fp32 --quiet"
      let outcome = try bash(
        [
          "-c",
          """
          P=\(#require(perigeeExecutable)); $P run t.lua \(options) --out r >log 2>&1 & pid=$!
          for i in $(seq 600); do [ "$(cat r/metrics.jsonl 2>/dev/null | wc -l)" -gt 12 ] && break; kill -0 $pid || break; sleep 0.05; done
          kill -9 $pid; wait $pid; $P run --resume r \(options)
          """,
        ], in: folder)
      #expect(outcome.code == 0, "\(outcome.error)")
      let statuses = try RunCommand(jsonFile: folder + "/r/command.json").invocations.map(\.status)
      #expect(statuses == [.interrupted, .finished])
      let check = python(["check_events.py", folder + "/r"])
      #expect(check.code == 0 && check.output.contains("2 folders"), "\(check.output)")
      try showsSettings(of: folder + "/r")
    }
  }

  /// The tab HPARAMS, and texts as Transformers writes them; each once, also after a kill.
  private func showsSettings(of run: String) throws {
    let answer = python(["check_hparams.py", run])
    #expect(answer.code == 0, "\(answer.output)")
    let shown = try JSONValue(parsing: answer.output, source: "check_hparams.py")
    let session = try #require(shown["sessions"]?["tensorboard/tiny_stage"], "\(answer.output)")
    let values = session["hparams"]
    #expect(
      values?["learning_rate"]?.doubleValue == 0.005 && values?["lora.r"]?.doubleValue == 4 && values?["lr_scheduler_type"] == "linear",
      "\(answer.output)")
    #expect(values?["load_best_model_at_end"] == false && session["status"] == "STATUS_SUCCESS")
    let results = try #require(JSONValue(file: run + "/results.json")["stages"]?.arrayValue?.first?["metrics"]?["eval_accuracy"]?.doubleValue)
    #expect(session["metrics"]?["eval/accuracy"]?.doubleValue.map { Float($0) } == Float(results))
    let texts = try #require(shown["texts"]?["tensorboard/tiny_stage"])
    #expect(texts["args/text_summary"]?.stringValue?.hasPrefix("{\n  \"adam_beta1\": 0.9,\n") == true)
    #expect(try JSONValue(parsing: texts["model_config/text_summary"]?.stringValue ?? "", source: "model_config")["hidden_size"] != nil)
    let tensors = shown["tensors"]?["tensorboard/tiny_stage"]?.arrayValue?.compactMap(\.stringValue)
    #expect(
      tensors?.filter { $0.hasPrefix("_hparams_") || $0.hasSuffix("/text_summary") }.sorted() == [
        "_hparams_/session_end_info", "_hparams_/session_start_info", "args/text_summary", "model_config/text_summary",
      ])
  }
}
