-- A GPT-2 from scratch that says in a sentence what a prompt lists, then a LoRA for things that it has never seen: of the E2E
-- challenge's restaurants some are held out. scripts/data_to_text_peer.py trains the same with PyTorch, and compares the losses.
--
--   perigee run pipelines/data_to_text.lua
--   perigee run pipelines/data_to_text.lua --set train=e2e/trainset.csv --set validation=e2e/devset.csv \
--     --set prompt_column=mr --set completion_column=ref --set 'held_out=name[Cotto],name[Giraffe]' --set layers=6 --set width=256 ...

local p = params {
  train             = { "builtin:corpus", doc = "table of prompts and completions (.csv, .tsv, .jsonl)" },
  validation        = { "", doc = "table to evaluate on; the built-in corpus has its own" },
  prompt_column     = { "text", doc = "column with what is given" },
  completion_column = { "text_pair", doc = "column with what should follow" },
  held_out          = { { "nurse" }, doc = "texts; examples whose prompt has one of them are for the LoRA alone" },
  vocab_size        = { 512, min = 261, doc = "tokens of the tokenizer, which is trained on the known examples" },
  layers            = { 2, min = 1, doc = "of the GPT-2" },
  width             = { 64, min = 1, doc = "of its hidden states" },
  heads             = { 4, min = 1, doc = "of its attention" },
  max_length        = { 64, min = 8, doc = "tokens of an example, and positions of the model" },
  batch             = { 16, min = 1, doc = "examples in a batch" },
  warmup_ratio      = { 0.06, min = 0, max = 1, doc = "share of updates in which the learning rate rises" },
  weight_decay      = { 0.01, min = 0, doc = "of matrices" },
  steps             = { 300, min = 1, doc = "updates from scratch" },
  learning_rate     = { 3e-3, min = 0, doc = "from scratch" },
  lora_steps        = { 100, min = 1, doc = "updates of the LoRA" },
  lora_learning_rate = { 5e-3, min = 0, doc = "of the LoRA" },
  r                 = { 8, min = 1, doc = "rank of the LoRA; lora_alpha is twice that" },
  target_modules    = { { "c_attn" }, doc = "linear layers that the LoRA adapts" },
}

local function is_held_out(example)
  for _, text in ipairs(p.held_out) do
    if example.text:find(text, 1, true) then return true end
  end
  return false
end

local data = tasks.causal_lm {
  train_file = p.train, validation_file = p.validation ~= "" and p.validation or nil,
  prompt_column = p.prompt_column, completion_column = p.completion_column,
}
local known = data:filter(function(example) return not is_held_out(example) end)
local unknown = data:filter(is_held_out)

local function fit(model, task, learning_rate, steps)
  return trainer.fit {
    model = model, task = task, learning_rate = learning_rate, max_steps = steps, warmup_ratio = p.warmup_ratio,
    weight_decay = p.weight_decay, per_device_train_batch_size = p.batch, max_length = p.max_length, eval_strategy = "no",
  }
end

local model = models.from_config {
  config = {
    model_type = "gpt2", n_layer = p.layers, n_embd = p.width, n_head = p.heads, n_positions = p.max_length,
    resid_pdrop = 0, embd_pdrop = 0, attn_pdrop = 0,
  },
  tokenizer = tokenizers.train(known, { vocab_size = p.vocab_size }),
}:causal_lm()
model:save("initial/model") -- what the peer starts from, too

local scratch = stage("scratch", function() return fit(model, known, p.learning_rate, p.steps) end)
local before = trainer.evaluate { model = scratch.model, task = unknown, max_length = p.max_length }

local lora = stage("lora", function()
  model = scratch.model:causal_lm():add_adapter(adapters.lora { r = p.r, lora_alpha = 2 * p.r, target_modules = p.target_modules })
  model:save_adapter("initial/adapter")
  return fit(model, unknown, p.lora_learning_rate, p.lora_steps)
end)

local function row(examples, result, metrics)
  return {
    stage = result.stage, examples = examples, trainable = result.trainable, seconds = result.seconds,
    loss = metrics.eval_loss, perplexity = metrics.eval_perplexity,
  }
end
report.table {
  columns = { "stage", "examples", "trainable", "loss", "perplexity", "seconds" },
  row("known", scratch, scratch.metrics), row("held out", scratch, before), row("held out", lora, lora.metrics),
}
