-- LoRA-Mini on WMT16 English-Romanian with T5-small and T5-base: Singh et al. 2024 (arXiv 2411.15804), Tables 3 and 4 and the grids of
-- its appendix. The paper gives ranks, widths and targets. Learning rate, epochs, batch and decoding are not in it: those here are
-- usual ones for T5. All matrices but attention's output are adapted, and the tied head: 79 of T5-small and 157 of T5-base, of which
-- each trains r (a + b) numbers, 20,224 to 643,072 in all.
local targets = { "q", "k", "v", "wi", "wo", "lm_head" }

return {
  full = { label = "full", method = "full", trains_model = true },
  lora = function(r) return { label = "lora r=" .. r, method = "lora", options = { r = r, lora_alpha = 2 * r, target_modules = targets } } end,
  lora_mini = function(r, a, b, init)
    return {
      label = ("lora_mini r=%d %dx%d"):format(r, a, b), method = "lora_mini",
      options = { r = r, a = a, b = b, init = init, target_modules = targets },
    }
  end,
  common = { lr_scheduler_type = "linear", max_length = 128 },
  tasks = { wmt16_en_ro = { learning_rate = 1e-3, num_train_epochs = 3, per_device_train_batch_size = 32 } },
  full_learning_rate = 1e-4,
  builtin = { learning_rate = 5e-3, max_steps = 100, per_device_train_batch_size = 32, warmup_ratio = 0.06, lr_scheduler_type = "linear", max_length = 64 },
  builtin_full_learning_rate = 1e-3,
  generation = { wmt16_en_ro = { num_beams = 4, length_penalty = 1.0 } },
}
