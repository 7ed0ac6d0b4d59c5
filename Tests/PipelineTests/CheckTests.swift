import Files
import TestSupport
import Testing

/// `perigee check`, and the help of a script.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct CheckTests {
  private static let options = ["--threads", "1", "--precision", "fp32", "--quiet"]

  private static let script = """
    print('at the top')
    local p = params {
      lr = { 1e-3, min = 0, doc = 'the learning rate' }, kind = { 'lora', choices = { 'lora', 'full' } }, sizes = { 1, 2 }, second = true,
    }
    print('below')
    local task = tasks.glue('rte', 'builtin:rte', { max_train_samples = 8, max_eval_samples = 4 })
    local function fit(name, model, lr)
      return stage(name, function()
        return trainer.fit { model = model, task = task, max_steps = 2, max_length = 24, learning_rate = lr, per_device_train_batch_size = 4 }
      end)
    end
    local model = models.load('builtin:tiny'):classifier { task = task }
    model:add_adapter(adapters.lora { r = 2 })
    local one = fit('one', model, p.lr)
    if p.second then fit('two', one.model:new_head { task = task }, 1e-3) end
    """

  private func run(_ arguments: String..., in folder: String) throws -> Outcome {
    try perigee(arguments + Self.options, in: folder)
  }

  /// The words of the table's row that begins with a word.
  private func row(_ name: String, _ outcome: Outcome) -> [String] {
    let line = outcome.output.split(separator: "\n").first { $0.hasPrefix(name + " ") } ?? ""
    return line.split(separator: " ").map(String.init)
  }

  @Test func helpShowsTheScriptsParameters() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.script, to: folder + "/t.lua")
      let table = """
        PARAMETERS of t.lua, each given by --set name=value:

        parameter  default  type                               what
        ---------  -------  ---------------------------------  -----------------
        kind       lora     a string, one of 'lora', 'full'
        lr         0.001    a number at least 0                the learning rate
        second     true     true or false
        sizes      1,2      a list of integers

        """
      for (arguments, name) in [
        (["run", "t.lua", "--help"], "run"), (["run", "-h", "t.lua", "--set", "lr=x"], "run"), (["check", "t.lua", "--help"], "check"),
      ] {
        let outcome = try perigee(arguments, in: folder)
        #expect((outcome.code, outcome.error) == (0, ""))
        let words = { (text: String) in text.split { " -\n".contains($0) } }
        #expect(words(outcome.output) == words(table + "'perigee \(name) --help' has the options of the command itself."))
      }
      #expect(try AtomicFolder.names(in: folder).filter { !$0.hasPrefix("out-") && !$0.hasPrefix("err-") } == ["t.lua"])
      let cases: [(String, Int32, String)] = [
        ("print(1)", 0, "n.lua declares no parameters\n"), ("pcall(params, { n = 1 }) error('no')", 0, "n          1        an integer"),
        ("models.load('none') params { n = 1 }", 0, "n.lua declares no parameters"), ("error('broken')", 1, "perigee: error: n.lua:1: broken"),
        ("params { n = {} , m = nil, [1] = 2 }", 1, "value without a name"),
      ]
      for (text, code, message) in cases {
        try AtomicFile.write(text, to: folder + "/n.lua")
        let outcome = try perigee(["run", "n.lua", "--help"], in: folder)
        #expect(outcome.code == code)
        #expect((outcome.output + outcome.error).contains(message), "\(outcome.output)\(outcome.error)")
      }
    }
  }

  @Test func checkSaysWhatIsStored() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.script, to: folder + "/t.lua")
      let before = try run("check", "t.lua", in: folder)
      #expect(before.code == 0, "\(before.error)")
      #expect(row("lr", before) == ["lr", "0.001", "0.001", "a", "number", "at", "least", "0", "the", "learning", "rate"])
      #expect(row("one", before)[1] == "no" && row("two", before)[1] == "unknown")
      #expect(try run("run", "t.lua", "--set", "second=false", in: folder).code == 0)
      let between = try run("check", "t.lua", in: folder)
      #expect(row("one", between)[1] == "yes" && row("two", between)[1] == "no")
      #expect(try run("run", "t.lua", in: folder).code == 0)
      let after = try run("check", "t.lua", in: folder)
      #expect(row("one", after)[1] == "yes" && row("two", after)[1] == "yes")
      // All but that word is as before.
      #expect(["one", "two"].allSatisfy { row($0, before).dropFirst(2) == row($0, after).dropFirst(2) })
      let changed = try run("check", "t.lua", "--set", "lr=2e-3", in: folder)
      #expect(row("lr", changed)[1...2] == ["0.002", "0.001"] && row("one", changed)[1] == "no" && row("two", changed)[1] == "unknown")
    }
  }
}
