import Files
import TestSupport
import Testing

/// What a script is told of the data of its tasks.
@Suite(.engine) struct TaskDataTests {
  /// Rows that a reader leaves out are told once, with their number and the first line.
  @Test func skippedRowsAreTold() throws {
    try withTemporaryFolder { folder in
      let header = "sentence1\tsentence2\tgold_label"
      try AtomicFile.write(
        [header, "a\tb\tneutral", "a\tb\t-", "c\td\tentailment", "e\tf\t-", ""].joined(separator: "\n"), to: folder + "/train.tsv")
      try AtomicFile.write([header, "a\tb\tneutral", ""].joined(separator: "\n"), to: folder + "/dev_matched.tsv")
      try ScriptHost.with { host, _ in
        _ = try host.printed("for _ = 1, 2 do tasks.glue('mnli', '\(folder)') end")
        #expect(host.notes.filter { $0.contains("left out") }.count == 1)
        #expect(host.notes.contains { $0.contains("\(folder)/train.tsv: 2 rows are left out, the first in line 3: label '-'") }, "\(host.notes)")
      }
    }
  }

  /// A table's columns are called as most files call them, unless the script says otherwise, and one file needs no list.
  @Test func tablesHaveUsualNames() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("text,label\ngood film,pos\nbad,neg\n", to: folder + "/data.csv")
      try AtomicFile.write("review,stars\ngood film,5\nbad,1\n", to: folder + "/other.csv")
      try ScriptHost.with { host, _ in
        let table = "tasks.table { train_file = '\(folder)/data.csv', validation_file = '\(folder)/data.csv'"
        #expect(try host.printed("local task = \(table) } print(task.num_labels, task.train_size, task:example(0).text)") == ["2\t2\tgood film"])
        for (script, part) in [
          ("\(table), validation_files = { 'x' } }", "both 'validation_file' and 'validation_files'; give all files in 'validation_files'"),
          ("tasks.table { train_file = '\(folder)/other.csv' }", "other.csv:1: no column 'text' (columns: review, stars)"),
        ] {
          let message = try host.failure(script)
          #expect(message?.contains(part) == true, "\(message ?? "")")
        }
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

  /// Texts and pairs of a prompt and a completion, from each kind of file.
  @Test func causalDataIsRead() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("one text\n\nanother\n", to: folder + "/a.txt")
      try AtomicFile.write("{\"p\": \"a\", \"c\": \" b\"}\n{\"p\": \"\", \"c\": \"d\"}\n", to: folder + "/b.jsonl")
      try AtomicFile.write("p,c\n\"a, b\", c\n", to: folder + "/c.csv")
      try AtomicFile.write("p\tc\na\tb\n", to: folder + "/d.tsv")
      try ScriptHost.with { host, _ in
        func show(_ options: String) throws -> [String] {
          try host.printed(
            """
            local task = tasks.causal_lm { \(options) }
            local e = task:example(0)
            print(task.train_size, e.text, tostring(e.completion), e.line, table.concat(task.metrics, ' '), task.num_labels)
            """)
        }
        #expect(try show("train_file = '\(folder)/a.txt'") == ["2\tone text\tnil\t1\tperplexity\t0"])
        for (file, expected) in [("b.jsonl", "2\ta\t b\t1"), ("c.csv", "1\ta, b\t c\t2"), ("d.tsv", "1\ta\tb\t2")] {
          let options = "train_file = '\(folder)/\(file)', prompt_column = 'p', completion_column = 'c'"
          #expect(try show(options) == [expected + "\tperplexity\t0"], "\(file)")
        }
        #expect(try show("train_file = '\(folder)/d.tsv', text_column = 'c'") == ["1\tb\tnil\t2\tperplexity\t0"])
        let half = try host.failure("tasks.causal_lm { train_file = '\(folder)/d.tsv', prompt_column = 'p' }")
        #expect(half?.contains("give text_column, or both prompt_column and completion_column") == true, "\(half ?? "none")")
      }
    }
  }

  /// Text files with the line ends and the mark of another system have the same lines.
  @Test func lineEndsAreNoText() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("\u{FEFF}one\r\n\r\ntwo\tpair\r\n", to: folder + "/a.txt")
      try ScriptHost.with { host, _ in
        let lines = try host.printed(
          """
          for _, kind in ipairs { 'causal_lm', 'masked_lm' } do
            local task = tasks[kind] { train_file = '\(folder)/a.txt' }
            local a, b = task:example(0), task:example(1)
            print(task.train_size, '<' .. a.text .. '>', a.line, '<' .. b.text .. '>', b.text_pair and '<' .. b.text_pair .. '>', b.line)
          end
          """)
        #expect(lines == ["2\t<one>\t1\t<two\tpair>\tnil\t3", "2\t<one>\t1\t<two>\t<pair>\t3"])
      }
    }
  }

  /// Rows whose completion, or whole text, is empty are left out, and told once; an empty prompt is none of them.
  @Test func emptyCompletionsAreLeftOut() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write("p\tc\na\tb\n\tc\nd\t\ne\t \n", to: folder + "/a.tsv")
      try AtomicFile.write("p\tc\na\t\n", to: folder + "/none.tsv")
      try ScriptHost.with { host, _ in
        func task(_ file: String) -> String {
          "local t = tasks.causal_lm { train_file = '\(folder)/\(file).tsv', prompt_column = 'p', completion_column = 'c' }"
        }
        let lines = try host.printed("for _ = 1, 2 do \(task("a")) print(t.train_size, t:example(1).text == '') end")
        #expect(lines == ["2\ttrue", "2\ttrue"])
        let told = host.notes.filter { $0.contains("left out") }
        #expect(
          told.count == 1 && told[0].contains("\(folder)/a.tsv: 2 rows are left out, the first in line 4: column 'c' is empty"), "\(told)")
        #expect(try host.failure(task("none"))?.contains("\(folder)/none.tsv: column 'c' is empty in all 1 rows") == true)
      }
    }
  }

  /// A data set of texts for inputs, as scripts see it: what a model reads, and what its texts are compared with.
  @Test func inputsAndReferences() throws {
    try ScriptHost.with { host, _ in
      let lines = try host.printed(
        """
        local t = tasks.e2e { folder = 'builtin:data_to_text', eval_split = 'test', max_eval_samples = 4, max_train_samples = 5 }
        local inputs, references = t:inputs(), t:references('test')
        print(t.train_size, #inputs, #references, #references[4], inputs[1]:match('<.*>$'), references[1][1]:find('^%s'), t:example(0).completion:find('^ %u'))
        print(tasks.e2e { folder = 'builtin:data_to_text', task_type = 'seq2seq_lm' }:inputs()[1]:find('<', 1, true))
        """)
      #expect(lines == ["5\t4\t4\t3\t<|endoftext|>\tnil\t1\t2", "nil"])
      for (script, message) in [
        ("tasks.e2e { folder = 'builtin:data_to_text' }:inputs('test')", "inputs: task e2e has no evaluation set 'test'"),
        ("tasks.e2e { folder = 'builtin:summary' }", "tasks.e2e: builtin:summary: no such built-in data"),
        ("tasks.xsum { folder = 'builtin:summary', separator = 'x' }", "xsum options: separator is for task_type = \"causal_lm\""),
        ("tasks.xsum { folder = 'builtin:summary', train_files = { 'a' } }", "tasks.xsum: builtin:summary has no files; leave train_files"),
        ("tasks.webnlg { folder = 'builtin:data_to_text', categories = 'sene' }", "did you mean 'seen'?"),
        ("tasks.wmt16_en_ro { folder = '/no/such' }", "/no/such: no such folder; expected the folder of wmt16_en_ro"),
        ("tasks.glue('rte', 'builtin:rte'):references('x')", "references: task builtin:rte has no evaluation set 'x'"),
        ("tasks.e2e { folder = 'f', validation_file = 'x' }", "unknown field 'validation_file'; use 'eval_files'"),
      ] {
        let text = try host.failure(script) ?? "none"
        #expect(text.contains(message), "\(text)")
      }
    }
  }

  /// An encoder's tokens see what stands behind them: it cannot learn to continue a text.
  @Test func anEncoderIsNoCausalModel() throws {
    try ScriptHost.with { host, _ in
      let message = try host.failure("models.load('builtin:tiny'):causal_lm()")
      #expect(
        message?.contains("causal_lm: in builtin:tiny (roberta) a token sees what stands behind it too; call base:masked_lm()") == true,
        "\(message ?? "none")")
    }
  }
}
