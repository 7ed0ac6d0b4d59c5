import Adapters
import Checkpoints
import Files
import Foundation
import Tasks
import TestSupport
import Testing
import TransformerModels

@testable import Engine

/// A family that all methods are tried on: a column of the table in `docs/methods.md`.
private struct FamilyColumn {
  let name: String
  /// Its model in the folder of fixtures.
  let model: String
  let task: any TaskType

  private static let classification = SequenceClassification(labels: ["LABEL_0", "LABEL_1"])

  /// One line for each family.
  static let all = [
    FamilyColumn(name: "BERT", model: "tiny-bert", task: classification),
    FamilyColumn(name: "RoBERTa", model: "tiny-roberta", task: classification),
    FamilyColumn(name: "GPT-2", model: "tiny-gpt2", task: CausalLM()),
    FamilyColumn(name: "Llama", model: "tiny-llama", task: CausalLM()),
    FamilyColumn(name: "BART", model: "tiny-bart", task: Seq2SeqLM()),
    FamilyColumn(name: "T5", model: "tiny-t5", task: Seq2SeqLM()),
  ]

  /// Tests run one after another, see `EngineTests`.
  nonisolated(unsafe) private static var made: [String: ConformanceFamily] = [:]

  static func family(_ name: String) throws -> ConformanceFamily {
    if let found = made[name] { return found }
    let tokenizer = try BuiltInModel.make(BuiltInModel.name, seed: 1).tokenizer
    for column in all {
      let config = try HuggingFaceConfig(folder: fixturesFolder + "/models/" + column.model)
      made[column.name] = try ConformanceFamily(config, for: column.task, tokenizer, seed: 1)
    }
    return try #require(made[name])
  }

  /// The cells of the table: by method, then by family.
  static let table = Result { try readTable() }

  private static func readTable() throws -> [String: [String: String]] {
    let lines = try readText(packageRoot + "/docs/methods.md").split(separator: "\n")
    func cells(_ line: Substring) -> [String] {
      line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    let head = try #require(lines.firstIndex { cells($0) == ["Method"] + all.map(\.name) }, "docs/methods.md has no table of these families")
    let rows = lines[(head + 2)...].prefix { $0.hasPrefix("|") }.map(cells)
    return Dictionary(
      rows.map { row in
        (row[0].replacingOccurrences(of: "`", with: ""), Dictionary(zip(all.map(\.name), row.dropFirst()), uniquingKeysWith: { $1 }))
      }, uniquingKeysWith: { $1 })
  }
}

extension EngineTests {
  /// The battery of `perigee test-adapter`, for every method on every family.
  @Suite struct MethodConformanceTests {
    @Test func tableHasEveryMethod() throws {
      let (told, methods) = (try FamilyColumn.table.get().keys.sorted(), AdapterCatalogue.methods.map { $0.name }.sorted())
      #expect(told == methods)
    }

    /// What `docs/methods.md` says is what happens.
    @Test(arguments: FamilyColumn.all.map(\.name), AdapterCase.all + AdapterCase.ofFusedLayers)
    func everyMethodPassesOrSaysWhyNot(_ family: String, _ row: AdapterCase) throws {
      // Gradients are compared with PyTorch's elsewhere.
      let test = try AdapterConformance(
        row.method, targets: row.targets, over: row.base, on: FamilyColumn.family(family), exactGradient: false)
      let cell = try #require(FamilyColumn.table.get()[type(of: row.method).name]?[family])
      if let expected = row.refusals[family] ?? (cell == "passes" ? nil : cell.replacingOccurrences(of: "refused: ", with: "")) {
        let why = try #require(try test.refusal(), "the model takes it, and should refuse it: \(expected)")
        #expect(why.contains(expected))
        return
      }
      for check in AdapterConformance.checks {
        if case .failed(let why) = try test.outcome(check.run) { Issue.record("\(check.name): \(why)") }
      }
    }
  }
}
