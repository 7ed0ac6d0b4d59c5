import Files
import LuaMethods
import TestSupport
import Testing
import TransformerModels

@testable import Bindings

/// What a user of Transformers or PEFT types: each message says what to use instead, and why.
@Suite(.engine) struct HintTests {
  /// A script, and what its message must say after the place.
  static let names: [(script: String, message: String)] = [
    ("trainer.fit { lr = 5e-5 }", "trainer options: unknown field 'lr'; use 'learning_rate'"),
    ("trainer.fit { num_epochs = 3 }", "trainer options: unknown field 'num_epochs'; use 'num_train_epochs'"),
    (
      "trainer.fit { fp16 = true }",
      "trainer options: unknown field 'fp16'; the precision is that of the process: perigee run --precision auto, bf16 or fp32; what trains is always float32"
    ),
    (
      "trainer.fit { bf16 = true }",
      "trainer options: unknown field 'bf16'; the precision is that of the process: perigee run --precision bf16; by default it is taken where this CPU is faster at it"
    ),
    (
      "trainer.fit { report_to = 'none' }",
      "trainer options: unknown field 'report_to'; leave it out: nothing is sent anywhere; metrics.jsonl in the run directory has every logged step and evaluation"
    ),
    (
      "trainer.fit { save_strategy = 'epoch' }",
      "trainer options: unknown field 'save_strategy'; leave it out: states are saved every 'save_seconds' by themselves, and the result when the training ends"
    ),
    ("trainer.fit { per_gpu_train_batch_size = 8 }", "trainer options: unknown field 'per_gpu_train_batch_size'; use 'per_device_train_batch_size'"),
    ("trainer.fit { evaluation_strategy = 'epoch' }", "trainer options: unknown field 'evaluation_strategy'; use 'eval_strategy'"),
    (
      "trainer.fit { output_dir = 'x' }",
      "trainer options: unknown field 'output_dir'; leave it out: results go to the run directory (perigee run --out DIR)"
    ),
    (
      "trainer.fit { name = 'lora' }",
      "trainer options: unknown field 'name'; leave it out: stage(\"name\", function() return trainer.fit { ... } end) names a training"
    ),
    ("trainer.fit { learning_rat = 1 }", "trainer options: unknown field 'learning_rat'; did you mean 'learning_rate'?"),
    (
      "trainer.fit { lr = 1, epochs = 3, warmup_step = 2 }",
      "trainer options: unknown fields 'epochs' (use 'num_train_epochs'), 'lr' (use 'learning_rate'), 'warmup_step' (did you mean 'warmup_steps'?)"
    ),
    ("adapters.lora { rank = 8 }", "lora options: unknown field 'rank'; use 'r'"),
    ("adapters.lora { alpha = 16 }", "lora options: unknown field 'alpha'; use 'lora_alpha'"),
    ("adapters.lora { dropout = 0.1 }", "lora options: unknown field 'dropout'; use 'lora_dropout'"),
    ("adapters.vera { dropout = 0.1 }", "vera options: unknown field 'dropout'; use 'vera_dropout'"),
    ("adapters.adalora { rank = 8 }", "adalora options: unknown field 'rank'; use 'init_r'"),
    (
      "adapters.lora { task_type = 'SEQ_CLS' }",
      "lora options: unknown field 'task_type'; leave it out: the model's head says what the task is, base:classifier { task = ... } or base:masked_lm()"
    ),
    (
      "models.load('builtin:tiny', { quantization_config = { load_in_4bit = true, bnb_4bit_compute_dtype = 'bfloat16' } })",
      "load options: 'quantization_config': quantization_config: unknown field 'bnb_4bit_compute_dtype'; leave it out: products compute in the process's precision, perigee run --precision auto, bf16 or fp32"
    ),
    (
      "models.load('builtin:tiny', { quantization_config = { load_in_8bit = true } })",
      "load options: 'quantization_config': quantization_config: unknown field 'load_in_8bit'; 8 bits are not supported: load_in_4bit = true holds weights in 4"
    ),
    (
      "models.load('builtin:tiny', { load_in_8bit = true })",
      "load options: unknown field 'load_in_8bit'; use 'quantization_config': 8 bits are not supported; quantization_config = { load_in_4bit = true } holds weights in 4"
    ),
    (
      "models.load('builtin:tiny', { num_labels = 3 })",
      "load options: unknown field 'num_labels'; a base has no head: models.load(name):classifier { num_labels = ... }"
    ),
    ("tasks.table { test_file = 'x' }", "table options: unknown field 'test_file'; use 'validation_file'"),
    ("models.load('builtin:tiny'):classifier { num_classes = 3 }", "head options: unknown field 'num_classes'; use 'num_labels'"),
  ]

  static let members: [(script: String, message: String)] = [
    ("models.from_pretrained('x')", "module 'models' has no 'from_pretrained'; it is models.load(name):classifier { task = task }"),
    ("trainer.train {}", "module 'trainer' has no 'train'; it is trainer.fit { model = ..., task = ... }"),
    (
      "models.load('builtin:tiny'):classifier { num_labels = 2 }:evaluate()",
      "Model has no field or method 'evaluate'; it is trainer.evaluate { model = ..., task = ... }"
    ),
    ("adapters.LoraConfig {}", "module 'adapters' has no 'LoraConfig'; it is adapters.lora { r = 8, ... }"),
    (
      "tasks.load_dataset('rte')",
      "module 'tasks' has no 'load_dataset'; it is tasks.glue(name, folder), or tasks.table { train_file = ... } for files of your own"
    ),
    ("print(params.lr)", "module 'params' has no 'lr'; params is a function: params(declarations) gives the values, by name"),
    ("trainer:fit {}", "'fit' is a function of the module 'trainer', no method; write trainer.fit(...), with '.' instead of ':'"),
    ("trainer.fit(1, 2)", "bad argument #1 'options' to 'fit' (expected table { name = value, ... }, got number)"),
    (
      "models.load('builtin:tiny'):classifier { num_labels = 2 }:add_adapter('lora')",
      "bad argument #1 'adapter' to 'add_adapter' (expected an adapter, such as adapters.lora { r = 8 }, got string)"
    ),
    (
      "models.load('builtin:tiny'):classifier { num_labels = 2 }:add_adapter(adapters.lora { target_modules = 'query,value' })",
      "target_modules: pattern 'query,value' matches no linear layer; several names are a list: { \"query\", \"value\" }"
    ),
    (
      "models.load('builtin:tiny'):classifier { num_labels = 2 }:predict { text = 'a' }",
      "bad argument #1 'texts' to 'predict' (expected a text, or a list of texts and of pairs { \"a\", \"b\" }, got a table with other keys)"
    ),
  ]

  @Test(arguments: members.indices) func membersFromElsewhere(_ index: Int) throws {
    try ScriptHost.with(mode: .check) { host, _ in
      let text = try host.failure(Self.members[index].script)
      #expect(text == "t.lua:1: " + Self.members[index].message)
    }
  }

  /// What a hint says to write is there.
  @Test func hintsNameWhatIsThere() throws {
    try ScriptHost.with(mode: .check) { host, _ in
      let tables = [AbsentNames.model, AbsentNames.trainer, AbsentNames.models, absentAdapterNames, AbsentNames.tasks]
      let names = Set(
        tables.flatMap(\.values).flatMap { hint in
          hint.matches(of: #/(trainer|models|tasks|adapters|tokenizers)\.\w+|model[.:]\w+/#).map { String($0.output.0) }
        })
      #expect(names.count > 20)
      for name in names {
        let declared = name.hasPrefix("model:") || name.hasPrefix("model.") ? "Model" + name.dropFirst(5) : name
        #expect(throws: Never.self, "\(name)") { try host.state.helpText(for: declared) }
      }
    }
  }

  @Test(arguments: [
    ("csv", "a;b\nx;1\n", "no column 'a' (columns: a;b); the header has ';', which separates no columns: expected commas (csv) or tabs (tsv)"),
    ("csv", "a\tb\nx\t1\n", "the header has tabs: give format = \"tsv\", or call the file .tsv"),
    ("tsv", "a,b\nx,1\n", "no column 'a' (columns: a,b); the header has commas: give format = \"csv\", or call the file .csv"),
  ])
  func otherSeparators(ending: String, content: String, message: String) throws {
    try ScriptHost.with(mode: .check) { host, folder in
      try AtomicFile.write(content, to: folder + "/x." + ending)
      let text = try #require(try host.failure("tasks.table { train_file = '\(folder)/x.\(ending)', text_column = 'a', label_column = 'b' }"))
      #expect(text.hasSuffix(message), "\(text)")
    }
  }

  @Test(arguments: names.indices) func namesFromElsewhere(_ index: Int) throws {
    try ScriptHost.with(mode: .check) { host, _ in
      let text = try host.failure(Self.names[index].script)
      #expect(text == "t.lua:1: " + Self.names[index].message)
    }
  }

  /// However many there are, the message can be read.
  @Test func manyUnknownNamesAreCutShort() throws {
    try ScriptHost.with(mode: .check) { host, _ in
      let names = TrainingArgumentNames.foreign
      let text = try #require(try host.failure("trainer.fit { \(names.map { "\($0) = 1" }.joined(separator: ", ")) }"))
      #expect(names.count > 80 && text.count <= 600)
      #expect(text.hasPrefix("t.lua:1: trainer options: unknown fields 'accumulation_steps' (use 'gradient_accumulation_steps'), "))
      #expect(text.wholeMatch(of: #/.* and \d+ more/#) != nil, "\(text)")
    }
  }

  /// A table of hints is of use only while no name in it is an option, and what it points to is one.
  @Test func hintsPointToOptions() throws {
    for (name, remedy) in TrainingArgumentNames.remedies {
      #expect(!TrainingArgumentNames.options.contains(name), "\(name)")
      #expect(remedy.isEmpty == false && remedy.count <= 200, "\(name): \(remedy)")
    }
  }

  @Test(arguments: [
    ("adamw_torch_fused", "'adamw_torch' is the same rule, in native code"),
    ("adamw_bnb_8bit", "states in 8 bits are not supported, 'paged_adamw_32bit' keeps them where the system may write them out"),
    ("adamw_troch", "did you mean 'adamw_torch'?"),
  ])
  func optimizersFromElsewhere(name: String, hint: String) throws {
    try ScriptHost.with(mode: .check) { host, folder in
      try TinyTask.write(to: folder)
      let text = try #require(try host.failure(TinyTask.script(folder, "optim = '\(name)'") + "trainer.fit(options(make()))"))
      #expect(text.contains("'optim' must be one of 'adamw_torch', ") && text.hasSuffix(", got '\(name)'; \(hint)"), "\(text)")
    }
  }

  @Test func anotherFamilyIsNoMisspelling() throws {
    let known = ModelCatalogue.architectures.map { $0.modelType }
    try ScriptHost.with { host, folder in
      for (name, hint) in [
        ("albert", "ALBERT's layers share one set of weights, BERT's do not; supported are \(known.joined(separator: ", "))"),
        ("brt", "did you mean 'bert'?"),
        ("whatever", "expected one of \(known.sorted().joined(separator: ", "))"),
      ] {
        try AtomicFile.write(.object(["model_type": .string(name)]), to: folder + "/config.json")
        #expect(
          try host.failure("models.load('\(folder)')")
            == "t.lua:1: \(folder)/config.json: model_type '\(name)' is not supported; \(hint)")
      }
    }
  }

  @Test func oneTextOrAList() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let lines = try host.printed(
        TinyTask.script(folder, "") + """
          local model = make()
          local one, list = model:predict('good film'), model:predict { 'good film', { 'good', 'film' } }
          print(one.label == list[1].label, one.probabilities.yes == list[1].probabilities.yes, #list, #model:predict {})
          print(select(2, pcall(model.predict, model, 3)))
          """)
      #expect(lines[0] == "true\ttrue\t2\t0")
      #expect(
        lines[1].hasSuffix("bad argument #1 'texts' to 'predict' (expected a text, or a list of texts and of pairs { \"a\", \"b\" }, got number)"),
        "\(lines)")
    }
  }

  /// The same place is not told twice.
  @Test func placesStandOnce() throws {
    try ScriptHost.with { host, folder in
      try TinyTask.write(to: folder)
      let script = TinyTask.script(folder, "max_steps = 1").replacing("\n", with: " ")
      let text = try #require(try host.failure(script + "local o = options(make()) o.loss = function() return 1 end trainer.fit(o)"))
      #expect(
        text
          == "t.lua:1: the function 'loss' returned 1.0: expected a scalar float32 tensor with a gradient; return the tensor itself, without :item()")
    }
  }
}

/// The trainer's options, and the names that hints are about.
private enum TrainingArgumentNames {
  static let options = Set(FitOptions.fields.map(\.name))
  static let foreign = FitOptions.foreignNames.keys.sorted()
  static let remedies = foreign.map { ($0, FitOptions.remedy(for: $0) ?? "") }
}
