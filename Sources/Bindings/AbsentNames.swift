/// What Transformers, PEFT and PyTorch call what is here called otherwise: for the errors about names that are not there.
enum AbsentNames {
  static let model: [String: String] = [
    "fit": "it is trainer.fit { model = ..., task = ... }", "evaluate": "it is trainer.evaluate { model = ..., task = ... }",
    "forward": "model:logits(batch) gives scores with gradients, model:predict(texts) answers",
    "save_pretrained": "it is model:save(folder), and model:save_adapter(folder)",
    "push_to_hub": "nothing is uploaded: model:save(folder) writes what the hub takes",
    "merge_and_unload": "model:merge() puts the adapters into the weights, model:save(folder) then writes them",
    "merge_adapter": "it is model:merge()",
    "unmerge_adapter": "it is model:unmerge()", "unload": "it is model:delete_adapter(name)", "disable_adapter": "it is model:enable_adapters(false)",
    "disable_adapters": "it is model:enable_adapters(false)", "print_trainable_parameters": "print(model), model.trainable and model.total tell",
    "num_parameters": "it is model.total", "get_nb_trainable_parameters": "it is model.trainable",
    "named_parameters": "model:parameters() lists them, model:parameter(name) gives one",
    "state_dict": "model:parameters() lists them, model:parameter(name) gives one",
    "load_state_dict": "model:parameter(name):copy_(values) sets one; models.load(folder) reads a folder",
    "requires_grad_": "it is model:freeze(name) and model:unfreeze(name)",
    "named_modules": "it is model:modules()", "to": "everything runs on the CPU", "cuda": "everything runs on the CPU",
    "cpu": "everything runs on the CPU",
    "half": "the precision is that of the process: perigee run --precision auto, bf16 or fp32",
    "num_labels": "it is #model.labels", "config": "it is base.config, of what models.load gave", "backward": "it is model:loss(batch):backward()",
  ]
  static let trainer: [String: String] = [
    "train": "it is trainer.fit { model = ..., task = ... }", "Trainer": "it is trainer.fit { model = ..., task = ... }",
    "TrainingArguments": "training arguments stand in the table of trainer.fit",
    "test": "it is trainer.evaluate { model = ..., task = ... }", "optimizer": "trainer.adamw { model = model, ... } and its like make one",
    "save_model": "it is model:save(folder), and model:save_adapter(folder)",
  ]
  static let models: [String: String] = [
    "from_pretrained": "it is models.load(name):classifier { task = task }", "AutoModel": "it is models.load(name)",
    "AutoModelForSequenceClassification": "it is models.load(name):classifier { task = task }",
    "BertForSequenceClassification": "it is models.load(name):classifier { task = task }",
    "AutoModelForMaskedLM": "it is models.load(name):masked_lm()", "AutoModelForCausalLM": "it is models.load(name):causal_lm()",
    "AutoModelForSeq2SeqLM": "it is models.load(name):seq2seq_lm()",
    "AutoTokenizer": "it is tokenizers.load(folder)", "classifier": "it is models.load(name):classifier { task = task }",
    "bert": "it is models.load(name)",
  ]
  static let tasks: [String: String] = [
    "load_dataset": "it is tasks.glue(name, folder), or tasks.table { train_file = ... } for files of your own",
    "load": "it is tasks.glue(name, folder), or tasks.table { train_file = ... } for files of your own",
    "csv": "it is tasks.table { train_file = \"x.csv\", ... }",
    "from_csv": "it is tasks.table { train_file = \"x.csv\", ... }", "json": "it is tasks.table { train_file = \"x.jsonl\", ... }",
    "mlm": "it is tasks.masked_lm { train_file = ... }", "classification": "it is tasks.table { ... }",
    "regression": "it is tasks.table { problem_type = \"regression\", ... }",
  ]
}
