-- Every method on the same tasks with the same rows, steps and batches: what pipelines/compare_methods.lua runs. Options are the
-- methods' usual ones; adapters sit on query and value where a method leaves the choice. `learning_rate` is for pre-trained
-- models of BERT's kind (docs/results.md says how they were chosen), `builtin_learning_rate` for the built-in tasks, where it is
-- not theirs; `trains_model`: the model's own parameters train.
local q_v = { "query", "value" }

local function lora(options)
  local all = { r = 8, lora_alpha = 16, target_modules = q_v }
  for name, value in pairs(options or {}) do all[name] = value end
  return all
end

local task = { num_train_epochs = 3, per_device_train_batch_size = 16 }

return {
  common = { weight_decay = 0.0, warmup_ratio = 0.06, lr_scheduler_type = "linear", max_grad_norm = 1.0, max_length = 128, eval_strategy = "no" },
  tasks = { cola = task, sst2 = task, mrpc = task, stsb = task, qqp = task, mnli = task, qnli = task, rte = task, wnli = task },
  methods = {
    { label = "classifier", method = "classifier", learning_rate = 1e-2 },
    { label = "full", method = "full", learning_rate = 1e-4, builtin_learning_rate = 1e-3, trains_model = true },
    { label = "selective", method = "selective", learning_rate = 1e-3, builtin_learning_rate = 1e-3, trains_model = true },
    { label = "bitfit", method = "bitfit", learning_rate = 3e-3 },
    { label = "lora", method = "lora", options = lora(), learning_rate = 3e-3 },
    { label = "lora+", method = "lora", options = lora(), learning_rate = 2e-4, builtin_learning_rate = 3e-4, loraplus_lr_ratio = 16 },
    { label = "rslora", method = "lora", options = lora { use_rslora = true }, learning_rate = 1e-3 },
    { label = "dora", method = "lora", options = lora { use_dora = true }, learning_rate = 3e-3 },
    { label = "pissa", method = "lora", options = lora { init_lora_weights = "pissa" }, learning_rate = 3e-3 },
    { label = "olora", method = "lora", options = lora { init_lora_weights = "olora" }, learning_rate = 3e-3 },
    {
      label = "qlora", method = "lora", options = lora(), learning_rate = 3e-3,
      quantization_config = { load_in_4bit = true, bnb_4bit_quant_type = "nf4", bnb_4bit_use_double_quant = true },
    },
    { label = "lora_fa", method = "lora_fa", options = lora(), learning_rate = 1e-2 },
    { label = "vera", method = "vera", options = { r = 256, target_modules = q_v }, learning_rate = 3e-2 },
    { label = "delora", method = "delora", options = { r = 8, target_modules = q_v }, learning_rate = 1e-2 },
    { label = "delora r=32", method = "delora", options = { r = 32, target_modules = q_v }, learning_rate = 1e-2 },
    { label = "lora_mini", method = "lora_mini", options = { r = 8, a = 64, b = 64, init = "zero_up" }, learning_rate = 1e-2 },
    { label = "adalora", method = "adalora", options = { init_r = 12, target_r = 8, lora_alpha = 16, target_modules = q_v }, learning_rate = 3e-2, has_schedule = true },
    { label = "dylora", method = "dylora", options = lora(), learning_rate = 3e-3 },
    { label = "glora", method = "glora", options = { r = 8, target_modules = q_v }, learning_rate = 3e-3 },
    { label = "delta_lora", method = "delta_lora", options = lora { update_ratio = 0.5, start_step = 100 }, learning_rate = 3e-3 },
    { label = "loha", method = "loha", options = { r = 8, target_modules = q_v }, learning_rate = 1e-2 },
    { label = "lokr", method = "lokr", options = { r = 8, target_modules = q_v }, learning_rate = 1e-2 },
    { label = "ia3", method = "ia3", learning_rate = 3e-2 },
    { label = "houlsby", method = "houlsby", learning_rate = 1e-3 },
    { label = "pfeiffer", method = "pfeiffer", learning_rate = 1e-3 },
    { label = "prefix_tuning", method = "prefix_tuning", learning_rate = 1e-2 },
    { label = "prompt_tuning", method = "prompt_tuning", learning_rate = 3e-2 },
    { label = "p_tuning", method = "p_tuning", learning_rate = 1e-2 },
  },
}
