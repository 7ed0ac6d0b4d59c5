import Diagnostics

extension AdapterTargets {
  /// What PEFT's configurations have, or are taken to have, and the methods here call otherwise or do without.
  public static let foreignNames: [String: ForeignName] = [
    "rank": .isCalled("r", "init_r"), "lora_r": .isCalled("r", "init_r"), "lora_rank": .isCalled("r", "init_r"), "dim": .isCalled("r"),
    "bottleneck_size": .isCalled("r"), "bottleneck_dim": .isCalled("r"), "adapter_size": .isCalled("r"),
    "alpha": .isCalled("lora_alpha", "alpha"), "scaling": .isCalled("lora_alpha", reason: "the scale is lora_alpha / r"),
    "scale": .isCalled("lora_alpha", reason: "the scale is lora_alpha / r"),
    "dropout": .isCalled("lora_dropout", "vera_dropout", "prefix_dropout"), "p": .isCalled("lora_dropout", "vera_dropout", "prefix_dropout"),
    "modules": .isCalled("target_modules"), "targets": .isCalled("target_modules"), "target_module": .isCalled("target_modules"),
    "lora_target": .isCalled("target_modules"), "target": .isCalled("target_modules"),
    "layers": .isCalled("layers_to_transform"), "target_layers": .isCalled("layers_to_transform"),
    "name": .isCalled("adapter_name"), "rslora": .isCalled("use_rslora"), "dora": .isCalled("use_dora"),
    "init_weights": .isCalled("init_lora_weights"), "init": .isCalled("init_lora_weights"),
    "num_tokens": .isCalled("num_virtual_tokens"), "prompt_length": .isCalled("num_virtual_tokens"), "prefix_length": .isCalled("num_virtual_tokens"),
    "task_type": .isLeftOut("leave it out: the model's head says what the task is, base:classifier { task = ... } or base:masked_lm()"),
    "peft_type": .isLeftOut("leave it out: the function says the method, adapters.lora, adapters.ia3, ..."),
    "inference_mode": .isLeftOut("leave it out: a new adapter trains; model:freeze(\"lora_\") freezes it"),
    "fan_in_fan_out": .isLeftOut("leave it out: the model knows which of its weights files have as [in, out]"),
    "enable_lora": .isLeftOut("adapters.lora_fused adapts parts of a layer: parts = { \"query\", \"value\" }"),
    "base_model_name_or_path": .isLeftOut("leave it out: the model that the adapter is attached to is its base"),
    "revision": .isLeftOut("leave it out: the model that the adapter is attached to is its base"),
    "auto_mapping": .isLeftOut("leave it out: the model that the adapter is attached to is its base"),
    "loftq_config": .isLeftOut("LoftQ is not supported; init_lora_weights = \"pissa\" or \"olora\" start from the weight"),
    "trainable_token_indices": .isLeftOut("single tokens cannot train; modules_to_save = { \"word_embeddings\" } trains all"),
    "learning_rate": .isLeftOut("that is an option of trainer.fit; parameter_groups gives adapters a rate of their own"),
    "lr": .isLeftOut("that is 'learning_rate' of trainer.fit; parameter_groups gives adapters a rate of their own"),
  ]
}
