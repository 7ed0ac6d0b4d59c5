-- Delta-LoRA on GLUE with RoBERTa-base: Zi et al. 2023 (arXiv 2309.02411), Table 13. start_step is K, update_ratio lambda;
-- ratios and steps are the values of the ablations.
local function task(learning_rate, batch, epochs, start_step, max_length)
  return {
    learning_rate = learning_rate, per_device_train_batch_size = batch, num_train_epochs = epochs, max_length = max_length or 256,
    adapter = { start_step = start_step },
  }
end

return {
  adapter = { r = 8, lora_alpha = 16, update_ratio = 0.5, target_modules = { "query", "value" } },
  ratios = { 0, 1, 2, 3, 4, 5 }, start_steps = { 0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000 },
  common = { weight_decay = 0.1, warmup_ratio = 0.06, lr_scheduler_type = "linear", load_best_model_at_end = true },
  tasks = {
    mnli = task(5e-4, 128, 30, 2000), sst2 = task(5e-4, 128, 60, 400), mrpc = task(4e-4, 128, 30, 10), cola = task(4e-4, 64, 80, 100),
    qnli = task(4e-4, 128, 25, 800), qqp = task(4e-4, 128, 25, 400), rte = task(4e-4, 128, 80, 200, 512), stsb = task(4e-4, 128, 40, 200),
  },
}
