-- A model from scratch that writes a text for a prompt - a GPT-2 says in a sentence what the prompt lists, a T5 translates - and then
-- adapters, several seeds of each, for what it has never seen: of the E2E challenge's restaurants some are held out, or other files say it.
-- Each model is scored by its loss and by what it writes. scripts/data_to_text_peer.py trains the same with PyTorch, and compares.
--
--   perigee run pipelines/data_to_text.lua
--   perigee run pipelines/data_to_text.lua --set train=e2e/trainset.csv --set validation=e2e/devset.csv --set test=e2e/testset_w_refs.csv \
--     --set prompt_column=mr --set completion_column=ref --set 'held_out=name[Cotto],name[Giraffe]' --set layers=6 --set width=256 ...

local p = params {
  family            = { "gpt2", choices = { "gpt2", "t5" }, doc = "of the model; t5 has an encoder, and as many layers in it" },
  train             = { "builtin:corpus", doc = "table of prompts and completions (.csv, .tsv, .jsonl)" },
  validation        = { "", doc = "table for the loss; the built-in corpus has its own" },
  test              = { "", doc = "table for what the model writes: prompts with their references; default: that of the loss" },
  prompt_column     = { "text", doc = "column with what is given" },
  completion_column = { "text_pair", doc = "column with what should follow" },
  source_prefix     = { "", doc = "put in front of what T5's encoder reads" },
  held_out          = { { "nurse" }, doc = "texts; examples whose prompt has one of them are for the adapters alone" },
  adapt_train       = { "", doc = "table for the adapters, instead of held-out examples" },
  adapt_validation  = { "", doc = "table for the adapters' loss" },
  vocab_size        = { 512, min = 261, doc = "tokens of the tokenizer, which is trained on the known examples" },
  layers            = { 2, min = 1, doc = "of the model" },
  width             = { 64, min = 1, doc = "of its hidden states" },
  heads             = { 4, min = 1, doc = "of its attention" },
  max_length        = { 64, min = 8, doc = "tokens of an example, and positions of a GPT-2" },
  batch             = { 16, min = 1, doc = "examples in a batch" },
  warmup_ratio      = { 0.06, min = 0, max = 1, doc = "share of updates in which the learning rate rises" },
  weight_decay      = { 0.01, min = 0, doc = "of matrices" },
  steps             = { 300, min = 1, doc = "updates from scratch" },
  learning_rate     = { 3e-3, min = 0, doc = "from scratch" },
  methods           = { { "lora", "delta_lora" }, choices = { "lora", "delta_lora" }, doc = "adapters" },
  seeds             = { { 1 }, doc = "every adapter trains once for each" },
  adapter_steps     = { 100, min = 1, doc = "updates of an adapter" },
  adapter_learning_rate = { 5e-3, min = 0, doc = "of an adapter" },
  r                 = { 8, min = 1, doc = "rank; lora_alpha is twice that" },
  update_ratio      = { 0.5, min = 0, doc = "Delta-LoRA's lambda" },
  start_step        = { 20, min = 0, doc = "Delta-LoRA's K" },
  target_modules    = { { "c_attn" }, doc = "linear layers that adapters work on; T5's are q,v" },
  metrics           = { { "e2e_bleu" }, doc = "what compares texts with their references" },
  num_beams         = { 1, min = 1, doc = "of the beam search that writes; 1: the most probable token each time" },
  max_new_tokens    = { 24, min = 1, doc = "tokens of a text that the model writes" },
}
local is_t5 = p.family == "t5"

--- A task of two tables.
local function read(train, validation)
  local options = { train_file = train, validation_file = validation ~= "" and validation or nil, metrics = p.metrics }
  if is_t5 then
    options.input_column, options.target_column, options.source_prefix = p.prompt_column, p.completion_column, p.source_prefix
    return tasks.seq2seq_lm(options)
  end
  options.prompt_column, options.completion_column = p.prompt_column, p.completion_column
  return tasks.causal_lm(options)
end

local function is_held_out(example)
  for _, text in ipairs(p.held_out) do
    if example.text:find(text, 1, true) then return true end
  end
  return false
end
local function is_known(example) return not is_held_out(example) end

local known, unknown, written
if p.adapt_train ~= "" then
  known, unknown = read(p.train, p.validation), read(p.adapt_train, p.adapt_validation)
  written = p.test ~= "" and read(p.adapt_train, p.test) or unknown
else
  local data = read(p.train, p.validation)
  known, unknown = data:filter(is_known), data:filter(is_held_out)
  written = p.test ~= "" and read(p.train, p.test):filter(is_held_out) or unknown
end

local function fit(model, task, learning_rate, steps, seed)
  return trainer.fit {
    model = model, task = task, learning_rate = learning_rate, max_steps = steps, warmup_ratio = p.warmup_ratio,
    weight_decay = p.weight_decay, per_device_train_batch_size = p.batch, max_length = p.max_length, eval_strategy = "no", seed = seed,
  }
end

local config
if is_t5 then
  config = {
    model_type = "t5", num_layers = p.layers, d_model = p.width, num_heads = p.heads, d_kv = p.width // p.heads, d_ff = 2 * p.width, dropout_rate = 0,
  }
else
  config = {
    model_type = "gpt2", n_layer = p.layers, n_embd = p.width, n_head = p.heads, n_positions = p.max_length,
    resid_pdrop = 0, embd_pdrop = 0, attn_pdrop = 0,
  }
end
local base = models.from_config { config = config, tokenizer = tokenizers.train(known, { vocab_size = p.vocab_size }) }
local model = is_t5 and base:seq2seq_lm() or base:causal_lm()
model:save("initial/model") -- what the peer starts from, too

local rows = { columns = { "stage", "examples", "trainable", "loss", "perplexity" } }
for _, name in ipairs(p.metrics) do table.insert(rows.columns, name) end
table.insert(rows.columns, "seconds")

--- A row of the report: a model's loss, and how what it writes compares with the references.
local function add(examples, result, trained)
  local function evaluate(task, generation)
    return trainer.evaluate { model = trained, task = task, max_length = p.max_length, generation = generation }
  end
  local row = { stage = result.stage, examples = examples, trainable = result.trainable, seconds = result.seconds }
  local losses = evaluate(examples == "known" and known or unknown)
  row.loss, row.perplexity = losses.eval_loss, losses.eval_perplexity
  if examples ~= "known" then
    local found = evaluate(written, { num_beams = p.num_beams, max_new_tokens = p.max_new_tokens })
    for _, name in ipairs(p.metrics) do row[name] = found["eval_" .. name] end
  end
  table.insert(rows, row)
end

local scratch = stage("scratch", function() return fit(model, known, p.learning_rate, p.steps) end)
add("known", scratch, scratch.model)
add("held out", scratch, scratch.model)
for _, method in ipairs(p.methods) do
  for _, seed in ipairs(p.seeds) do
    local name = method .. "-" .. seed
    local result = stage(name, function()
      local options = { r = p.r, lora_alpha = 2 * p.r, target_modules = p.target_modules, seed = seed }
      if method == "delta_lora" then options.update_ratio, options.start_step = p.update_ratio, p.start_step end
      local adapted = (is_t5 and scratch.model:seq2seq_lm() or scratch.model:causal_lm()):add_adapter(adapters[method](options))
      if method == "lora" then adapted:save_adapter("initial/" .. name) end
      return fit(adapted, unknown, p.adapter_learning_rate, p.adapter_steps, seed)
    end)
    add("held out", result, result.model)
  end
end
report.table(rows)
