import Files
import TestSupport
import Testing

/// What a script is told of the data of its tasks.
@Suite(.engine) struct TaskDataTests {
  /// Rows that a reader leaves out are told once, with their number and the first line.
  @Test func skippedRowsAreTold() throws {
    try withTemporaryFolder { folder in
      let header = "sentence1\tsentence2\tgold_label"
      try AtomicFile.write([header, "a\tb\tneutral", "a\tb\t-", "c\td\tentailment", "e\tf\t-", ""].joined(separator: "\n"), to: folder + "/train.tsv")
      try AtomicFile.write([header, "a\tb\tneutral", ""].joined(separator: "\n"), to: folder + "/dev_matched.tsv")
      try ScriptHost.with { host, _ in
        _ = try host.printed("for _ = 1, 2 do tasks.glue('mnli', '\(folder)') end")
        #expect(host.notes.filter { $0.contains("left out") }.count == 1)
        #expect(host.notes.contains { $0.contains("\(folder)/train.tsv: 2 rows are left out, the first in line 3: label '-'") }, "\(host.notes)")
      }
    }
  }

  /// MNLI's second set has its suffix from the data; other sets have their names.
  @Test func setsHaveTheirSuffixes() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let rows = "sentence1\tsentence2\tgold_label\ngood film\tbad\tneutral\nbad\tfine\tentailment\n"
      for name in ["train", "dev_matched", "dev_mismatched"] { try AtomicFile.write(rows, to: folder + "/\(name).tsv") }
      try ScriptHost.with { host, _ in
        let lines = try host.printed(
          """
          local task = tasks.glue('mnli', '\(folder)')
          local model = models.from_config { config = '\(folder)' }:classifier { task = task }
          local names = {}
          for name in pairs(trainer.evaluate { model = model, task = task, max_length = 16 }) do names[#names + 1] = name end
          table.sort(names)
          print(table.concat(names, ' '))
          """)
        #expect(lines == ["eval_accuracy eval_accuracy_mm eval_loss eval_loss_mm"])
      }
    }
  }
}
