-- AdaLoRA on GLUE with DeBERTa-v3-base, all six matrices: Zhang et al. 2023 (arXiv 2303.10512), Table 8. Budgets: target and
-- initial rank, of Table 1.
local function task(learning_rate, epochs, orth_reg_weight, tinit, deltaT, tfinal)
  return {
    learning_rate = learning_rate, num_train_epochs = epochs,
    adapter = { orth_reg_weight = orth_reg_weight, tinit = tinit, deltaT = deltaT, tfinal = tfinal },
  }
end

return {
  adapter = {
    init_r = 12, target_r = 8, lora_alpha = 16,
    target_modules = { "query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense" },
  },
  budgets = { { target_r = 2, init_r = 4 }, { target_r = 4, init_r = 6 }, { target_r = 8, init_r = 12 } },
  common = { per_device_train_batch_size = 32, lr_scheduler_type = "linear", load_best_model_at_end = true, max_length = 256 },
  tasks = {
    mnli = task(5e-4, 7, 0.1, 8000, 100, 50000), rte = task(1.2e-3, 50, 0.3, 600, 1, 1800), qnli = task(1.2e-3, 5, 0.1, 2000, 100, 8000),
    mrpc = task(1e-3, 30, 0.1, 600, 1, 1800), qqp = task(5e-4, 5, 0.1, 8000, 100, 25000), sst2 = task(8e-4, 24, 0.1, 6000, 100, 22000),
    cola = task(5e-4, 25, 0.5, 800, 10, 3500), stsb = task(2.2e-3, 25, 0.1, 800, 10, 2000),
  },
}
