-- Delta-LoRA on E2E and WebNLG with GPT-2 medium, and on XSum with BART-large: Zi et al. 2023 (arXiv 2309.02411), Tables 9 to 12, and
-- the methods of its Tables 1 to 3. start_step is K, update_ratio lambda. The dropouts of the model itself are what its config.json
-- says; the paper's are 0, and for WebNLG resid_pdrop = attn_pdrop = 0.09.
--
-- Queries and values train. GPT-2 has them in one matrix with the keys, c_attn: there LoRA is that of its authors, for the two thirds
-- alone, and the other methods change all three. The number of trained parameters is the same: 393,216 for GPT-2 medium.
local r, lora_alpha = 4, 32

local function task(arguments, update_ratio, start_step)
  local result = { learning_rate = 2e-4, adapter = { update_ratio = update_ratio, start_step = start_step } }
  for name, value in pairs(arguments) do result[name] = value end
  return result
end

local gpt2 = {
  per_device_train_batch_size = 8, num_train_epochs = 5, weight_decay = 0.01, warmup_steps = 500, max_length = 512, adam_epsilon = 1e-6,
  max_grad_norm = 0,
}

--- The rows of a task's tables.
local function methods(name)
  local targets = name == "xsum" and { "q_proj", "v_proj" } or { "c_attn" }
  local lora = { method = "lora", options = { r = r, lora_alpha = lora_alpha, lora_dropout = 0.1, target_modules = targets } }
  if name ~= "xsum" then lora = { method = "lora_fused", options = { r = r, lora_alpha = lora_alpha, lora_dropout = 0.1 } } end
  return {
    { label = "full", method = "full", trains_model = true },
    { label = "frozen_embeddings", method = "full", options = { freeze_embeddings = true }, trains_model = true },
    { label = "selective", method = "selective", trains_model = true },
    { label = "lora", method = lora.method, options = lora.options },
    { label = "dylora", method = "dylora", options = { r = r, lora_alpha = lora_alpha, target_modules = targets } },
    { label = "adalora", method = "adalora", options = { init_r = r, target_r = r - 1, lora_alpha = lora_alpha, target_modules = targets }, has_schedule = true },
    { label = "delta_lora", method = "delta_lora", options = { target_modules = targets }, has_recipe = true },
    -- Tables 5 and 6 alone.
    { label = "delta_lora, dropout", method = "delta_lora", options = { target_modules = targets, lora_dropout = 0.1 }, has_recipe = true },
    { label = "lora, 3 x rate", method = lora.method, options = lora.options, rate_factor = 3 },
  }
end

return {
  methods = methods,
  adapter = { r = r, lora_alpha = lora_alpha, update_ratio = 2, start_step = 50 },
  common = { lr_scheduler_type = "linear", optim = "adamw_hf" },
  tasks = {
    e2e = task(gpt2, 2, 500), webnlg = task(gpt2, 5, 500),
    xsum = task({ per_device_train_batch_size = 64, num_train_epochs = 25, weight_decay = 0, warmup_steps = 3000, max_length = 768, max_target_length = 64 }, 0.5, 1000),
  },
  builtin = {
    learning_rate = 5e-3, max_steps = 150, per_device_train_batch_size = 16, warmup_ratio = 0.06, lr_scheduler_type = "linear", max_length = 192,
  },
  builtin_full_learning_rate = 1e-3,
  generation = {
    e2e = { beam_search = "lora", num_beams = 10, length_penalty = 0.8, no_repeat_ngram_size = 4 },
    webnlg = { beam_search = "lora", num_beams = 5, length_penalty = 1.0, no_repeat_ngram_size = 4 },
    xsum = { num_beams = 8, length_penalty = 1.0, no_repeat_ngram_size = 4 },
  },
}
