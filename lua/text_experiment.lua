-- What the papers' experiments with generated texts share: tiny models trained from scratch, tasks, a training with a recipe's
-- settings, and the texts that the model then writes for the test set, compared with their references. Built on experiment.lua.
local experiment, sweep = require "experiment", require "sweep"
local text = {}

local merged = experiment.merged

local function percent(score) return 100 * score.score end

--- WebNLG's texts as its scripts compare them: in lower case, and parted at what is neither letter nor digit.
local function parted(list)
  local result = {}
  for i, item in ipairs(list) do
    result[i] = type(item) == "table" and parted(item) or item:lower():gsub("([^%w_\128-\255])", " %1 "):gsub("%s+", " "):match("^ ?(.-) ?$")
  end
  return result
end

local function webnlg(hypotheses, references)
  local h, r = parted(hypotheses), parted(references)
  return { metrics.multi_bleu_detok(h, r).score, metrics.meteor(h, r).score, metrics.pyter(h, r).score }
end

--- What is known of the tasks: what stands in for their data, which models they are for, which examples a tiny model does not
--- begin with, and how texts are scored: `scores` gets hypotheses and references, of each of `tests` where there are several.
local kinds = {
  e2e = {
    builtin = "builtin:data_to_text", type = "causal_lm", model_type = "gpt2", held_out = { "riverside", "Indian" },
    columns = { "bleu", "nist", "meteor", "rouge_l", "cider" },
    scores = function(h, r)
      return {
        bleu = percent(metrics.e2e_bleu(h, r)), nist = metrics.nist(h, r).score, meteor = percent(metrics.meteor(h, r, { tokenize = "coco" })),
        rouge_l = percent(metrics.coco_rouge_l(h, r)), cider = metrics.cider(h, r).score,
      }
    end,
  },
  webnlg = {
    builtin = "builtin:data_to_text", type = "causal_lm", model_type = "gpt2", held_out = { "riverside", "Indian" },
    tests = { { categories = "seen" }, { categories = "unseen" } },
    columns = { "bleu_s", "bleu_u", "bleu_a", "meteor_s", "meteor_u", "meteor_a", "ter_s", "ter_u", "ter_a" },
    scores = function(seen_h, seen_r, unseen_h, unseen_r)
      local result = {}
      local all_h, all_r = table.move(unseen_h, 1, #unseen_h, #seen_h + 1, { table.unpack(seen_h) }), table.move(unseen_r, 1, #unseen_r, #seen_r + 1, { table.unpack(seen_r) })
      for part, scores in pairs { s = webnlg(seen_h, seen_r), u = webnlg(unseen_h, unseen_r), a = webnlg(all_h, all_r) } do
        result["bleu_" .. part], result["meteor_" .. part], result["ter_" .. part] = table.unpack(scores)
      end
      return result
    end,
  },
  xsum = {
    builtin = "builtin:summary", type = "seq2seq_lm", model_type = "bart", held_out = { "plum", "nurse" },
    columns = { "rouge1", "rouge2", "rougeL", "rougeLsum" },
    scores = function(h, r)
      return {
        rouge1 = percent(metrics.rouge1(h, r)), rouge2 = percent(metrics.rouge2(h, r)), rougeL = percent(metrics.rougeL(h, r)),
        rougeLsum = percent(metrics.rougeLsum(h, r)),
      }
    end,
  },
  wmt16_en_ro = {
    builtin = "builtin:translation", type = "seq2seq_lm", model_type = "t5", held_out = { "plum", "nurse" },
    columns = { "sacrebleu", "bleu1", "bleu2", "bleu3", "rouge1", "rouge2", "rougeL" },
    scores = function(h, r)
      local function bleu(n) return metrics.sacrebleu(h, r, { max_ngram_order = n }).score end
      return {
        sacrebleu = bleu(4), bleu1 = bleu(1), bleu2 = bleu(2), bleu3 = bleu(3), rouge1 = percent(metrics.rouge1(h, r)),
        rouge2 = percent(metrics.rouge2(h, r)), rougeL = percent(metrics.rougeL(h, r)),
      }
    end,
  },
}

--- Declares a pipeline's own parameters and those of every experiment with texts.
---@param own table as for params
function text.params(own)
  return experiment.params(merged({
    model = { "builtin:tiny", doc = "model folder or hub name; a config.json, for random weights; or a tiny one, trained from scratch in the first stage" },
    tokenizer = { "", doc = "folder of the tokenizer of a config.json; default: its own folder" },
    data = { "builtin", doc = "folder with the folders e2e, webnlg, xsum, wmt16_en_ro; or the built-in data" },
    train_files = { {}, doc = "files of the task's folder to train on; default: the data set's own" },
    test_files = { {}, doc = "files of the task's folder to test on; default: the data set's own" },
    test_limit = { 0, min = 0, doc = "inputs to write texts for; 0: all, or 30 of the built-in data" },
    num_beams = { 0, min = 0, doc = "of the search; 0: the paper's" },
    max_new_tokens = { 64, min = 1, doc = "tokens of a text that is written" },
    full_learning_rate = { 0.0, min = 0, doc = "of methods that train the model's own parameters; 0: the recipe's" },
    -- The tiny model.
    held_out = { {}, doc = "texts; the tiny model begins without the examples that have one of them; default: two words of the built-in data" },
    vocab_size = { 512, min = 261, doc = "tokens of the tiny model" },
    layers = { 2, min = 1, doc = "of the tiny model; of its encoder and of its decoder, where it has both" },
    width = { 64, min = 1, doc = "of its hidden states" },
    heads = { 4, min = 1, doc = "of its attention" },
    positions = { 192, min = 8, doc = "the longest text, with what is written behind it" },
    pretrain_steps = { 400, min = 1, doc = "its updates from scratch" },
    pretrain_learning_rate = { 3e-3, min = 0, doc = "from scratch" },
    pretrain_batch = { 32, min = 1, doc = "examples in a batch from scratch" },
  }, own))
end

local function positive(number) return number > 0 and number or nil end

local function kind(name)
  return kinds[name] or error(("tasks: '%s' is none of e2e, webnlg, xsum, wmt16_en_ro"):format(name), 0)
end

--- The names of a task's scores, the one that counts first.
function text.columns(name) return kind(name).columns end

--- A task by its name; `options`: more of its options.
function text.task(p, name, options)
  local is_builtin = experiment.is_builtin(p)
  return tasks[name](merged({
    folder = is_builtin and kind(name).builtin or p.data .. "/" .. name, task_type = kind(name).type,
    max_train_samples = positive(p.train_limit), max_eval_samples = positive(p.dev_limit),
    train_files = not is_builtin and p.train_files or nil,
  }, options or {}))
end

local made = {}

--- What `make` gives, made once: files are read once for all methods.
local function once(key, make)
  made[key] = made[key] or make()
  return made[key]
end

--- The configuration of a tiny model.
local function config(p, model_type, tokenizer)
  if model_type == "gpt2" then
    return {
      model_type = "gpt2", n_layer = p.layers, n_embd = p.width, n_head = p.heads, n_positions = p.positions,
      resid_pdrop = 0, embd_pdrop = 0, attn_pdrop = 0,
    }
  elseif model_type == "bart" then
    return {
      model_type = "bart", d_model = p.width, encoder_layers = p.layers, decoder_layers = p.layers, encoder_attention_heads = p.heads,
      decoder_attention_heads = p.heads, encoder_ffn_dim = 4 * p.width, decoder_ffn_dim = 4 * p.width, max_position_embeddings = p.positions,
      init_std = 0.05, dropout = 0, attention_dropout = 0, activation_dropout = 0, decoder_start_token_id = tokenizer:token_to_id("</s>"),
    }
  end
  return {
    model_type = "t5", d_model = p.width, d_kv = p.width // p.heads, d_ff = 4 * p.width, num_layers = p.layers, num_decoder_layers = p.layers,
    num_heads = p.heads, dropout_rate = 0, decoder_start_token_id = tokenizer:token_to_id("<pad>"),
  }
end

--- What the methods start from: a folder's model, or a tiny one of the task's family that has learnt the examples without the
--- held-out words.
function text.base(p, name)
  if p.model:find("%.json$") then
    return models.from_config { config = p.model, tokenizer = p.tokenizer ~= "" and tokenizers.load(p.tokenizer) or nil }
  elseif p.model ~= "builtin:tiny" then
    return models.load(p.model)
  end
  local held_out = #p.held_out > 0 and p.held_out or kind(name).held_out
  local known = text.task(p, name):filter(function(example)
    for _, word in ipairs(held_out) do
      if example.text:find(word, 1, true) then return false end
    end
    return true
  end)
  local tokenizer = tokenizers.train(known, { vocab_size = p.vocab_size, special_tokens = { "<s>", "<pad>", "</s>", "<unk>", "<|endoftext|>" } })
  local fresh = models.from_config { config = config(p, kind(name).model_type, tokenizer), tokenizer = tokenizer }
  return stage(name .. " from scratch", function()
    return trainer.fit {
      model = text.model(fresh, name), task = known, learning_rate = p.pretrain_learning_rate, max_steps = p.pretrain_steps,
      warmup_ratio = 0.06, per_device_train_batch_size = p.pretrain_batch, max_length = p.positions, eval_strategy = "no",
    }
  end).model
end

--- A model of what `text.base` gave, for the task.
---@param start BaseModel|Model
function text.model(start, name) return start[kind(name).type](start) end

--- Writes a text for every input of a task's test set, as a stage's result, and compares the texts with their references.
---@return table<string, number>? # by the names that `text.columns` gives; nil in a check, which writes nothing
function text.score(p, recipe, name, model)
  local options = merged(recipe.generation[name], { max_new_tokens = p.max_new_tokens, num_beams = positive(p.num_beams) })
  local limit, lists = positive(p.test_limit) or experiment.is_builtin(p) and 30 or nil, {}
  local is_written = true
  for i, part in ipairs(kind(name).tests or { {} }) do
    local test = once(name .. " test " .. i, function()
      return text.task(p, name, merged({
        eval_split = "test", eval_files = not experiment.is_builtin(p) and p.test_files or nil, max_train_samples = 1, max_eval_samples = limit,
      }, part))
    end)
    local out = trainer.predict { model = model, task = test, generation = options, max_length = experiment.arguments(p, recipe, name).max_length }
    is_written = is_written and out.key ~= ""
    local written, hypotheses = {}, {}
    for j, prompt in ipairs(out.prompts) do written[prompt] = out.texts[j]:match("^%s*(.-)%s*$") end
    -- An input that a set has twice counts twice.
    for j, input in ipairs(test:inputs()) do hypotheses[j] = written[input] end
    lists[#lists + 1], lists[#lists + 2] = hypotheses, test:references()
  end
  return is_written and kind(name).scores(table.unpack(lists)) or nil
end

--- Trains a method of a recipe on a task, and scores what the model writes.
---@param start BaseModel|Model what `text.base` gave
---@param entry table method, options; trains_model: the model's own parameters train, at another learning rate; has_recipe: the
--- recipe's options for the task come before the entry's; has_schedule: AdaLoRA's budget falls over the steps that there are
---@param more? table options that come before all of these
---@return table # a result as of trainer.fit, with the scores among its metrics
function text.fit(p, recipe, start, name, seed, entry, more)
  local task, arguments = once(name, function() return text.task(p, name) end), experiment.arguments(p, recipe, name)
  local options = merged(entry.has_recipe and experiment.adapter(p, recipe, name) or {}, entry.options or {}, more or {}, { seed = seed })
  if entry.has_schedule then
    local total = experiment.total_steps(arguments, task)
    options = merged({ tinit = total // 6, tfinal = total // 3, deltaT = math.max(1, total // 100) }, options)
  end
  if entry.trains_model then
    arguments.learning_rate = positive(p.full_learning_rate) or (experiment.is_builtin(p) and recipe.builtin_full_learning_rate or recipe.full_learning_rate) or arguments.learning_rate
  end
  arguments.learning_rate = arguments.learning_rate * (entry.rate_factor or 1)
  local model = text.model(start, name)
  model:add_adapter(adapters[entry.method](options))
  local result = trainer.fit(merged(arguments, { eval_strategy = "no", model = model, task = task, seed = seed }))
  local copy = sweep.numbers(result)
  copy.model, copy.metrics = result.model, merged(result.metrics)
  -- A check has no numbers, and plans the texts; what diverged cannot write any.
  local writes = result.key == "" or result.metrics.eval_loss == result.metrics.eval_loss
  local scores = writes and text.score(p, recipe, name, result.model) or {}
  for _, column in ipairs(kind(name).columns) do copy.metrics["eval_" .. column] = scores[column] or 0 / 0 end
  return copy
end

--- Those of a list of methods that have the labels, in the labels' order.
function text.choose(methods, labels)
  local by_label, known, chosen = {}, {}, {}
  for i, entry in ipairs(methods) do by_label[entry.label], known[i] = entry, entry.label end
  for i, label in ipairs(labels) do
    chosen[i] = by_label[label] or error(("methods: '%s' is none of %s"):format(label, table.concat(known, ", ")), 0)
  end
  return chosen
end

--- Trains methods with every seed, and at every point of a grid of their options: rows for `sweep.report`.
---@param methods table[] entries as for `text.fit`, each with a label
---@param more? table grid, order and keep_models, as for sweep.run; label: what stages are called, where not as the method
function text.rows(p, recipe, start, name, methods, more)
  more = more or {}
  local all
  for _, entry in ipairs(methods) do
    local rows = sweep.run {
      name = name .. " " .. (more.label or entry.label), grid = more.grid, order = more.order, seeds = p.seeds, metrics = kind(name).columns,
      keep_models = more.keep_models, run = function(point, seed) return text.fit(p, recipe, start, name, seed, entry, point) end,
    }
    for _, row in ipairs(rows) do row.method = entry.label end
    if #rows.names == 0 then rows.names = { "method" } end
    all = all and table.move(rows, 1, #rows, #all + 1, all) or rows
  end
  return all
end

return text
