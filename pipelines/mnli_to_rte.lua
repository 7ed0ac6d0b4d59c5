-- LoRA on MNLI, then RTE on top of that LoRA: once with the classifier alone, once with DeLoRA, which trains a small
-- matrix between the LoRA's frozen factors (Table 3 of the DeLoRA paper).
--
--   perigee run pipelines/mnli_to_rte.lua
--   perigee run pipelines/mnli_to_rte.lua --set model=models/roberta-base --set mnli=glue/MNLI --set rte=glue/RTE ...

local p = params {
  model           = { "builtin:tiny", doc = "model folder, hub name, or the built-in default" },
  mnli            = { "builtin:mnli", doc = "MNLI folder (GLUE layout)" },
  rte             = { "builtin:rte", doc = "RTE folder (GLUE layout)" },
  pretrain_steps  = { 1600, min = 1, doc = "updates of masked language modelling; the built-in model only" },
  r               = { 16, min = 1, doc = "rank of the LoRA; lora_alpha is twice that" },
  target_modules  = { { "query", "key", "value", "dense" }, doc = "linear layers that the LoRA adapts" },
  modules_to_save = { { "classifier" }, doc = "what trains beside the adapters: the head" },
  learning_rate   = { 2e-3, min = 0, doc = "of LoRA on MNLI" },
  epochs          = { 4, min = 0, doc = "on MNLI" },
  rte_learning_rate = { 1e-2, min = 0, doc = "of both RTE stages" },
  rte_head_learning_rate = { 0.0, min = 0, doc = "of the head beside DeLoRA; 0: rte_learning_rate, a tenth of it for the built-in model" },
  rte_epochs      = { 24, min = 0, doc = "of both RTE stages" },
  batch           = { 32, min = 1, doc = "examples in a batch" },
  micro_batch     = { 0, min = 0, doc = "examples of a batch that one of several processes computes at a time; 0: whole batches" },
  max_length      = { 128, min = 8, doc = "tokens of an example" },
  weight_decay    = { 0.01, min = 0, doc = "of matrices" },
  save_seconds    = { 5, min = 0, doc = "seconds between saved states, from which a killed run goes on" },
  mnli_limit      = { 0, min = 0, doc = "training rows of MNLI to use; 0: all" },
  rte_limit       = { 0, min = 0, doc = "training rows of RTE to use; 0: all" },
  mnli_dev_limit  = { 0, min = 0, doc = "evaluation rows of MNLI to use; 0: all" },
}

local function limit(n) return n > 0 and n or nil end

local function fit(model, task, learning_rate, epochs, parameter_groups)
  return trainer.fit {
    model = model, task = task, learning_rate = learning_rate, num_train_epochs = epochs, warmup_ratio = 0.06,
    parameter_groups = parameter_groups,
    weight_decay = p.weight_decay, per_device_train_batch_size = p.batch, micro_batch_size = limit(p.micro_batch), max_length = p.max_length,
    train_sampling_strategy = "group_by_length", load_best_model_at_end = true, save_seconds = p.save_seconds,
  }
end

local base = models.load(p.model)
local rows = {}

-- The built-in model starts from random weights: it learns its language first.
if p.model == "builtin:tiny" then
  local pretrained = stage("pretrain", function()
    return trainer.fit {
      model = base:masked_lm(), task = tasks.masked_lm { train_file = "builtin:corpus" },
      learning_rate = 3e-3, max_steps = p.pretrain_steps, warmup_ratio = 0.06, per_device_train_batch_size = 64, micro_batch_size = limit(p.micro_batch),
      mlm_probability = 0.25, eval_strategy = "no", save_seconds = p.save_seconds,
    }
  end)
  base = pretrained.model
  rows[#rows + 1] = pretrained
end

local mnli = stage("mnli-lora", function()
  local task = tasks.glue("mnli", p.mnli, {
    max_train_samples = limit(p.mnli_limit), max_eval_samples = limit(p.mnli_dev_limit),
  })
  local model = base:classifier { task = task }
  model:add_adapter(adapters.lora {
    r = p.r, lora_alpha = 2 * p.r, target_modules = p.target_modules, modules_to_save = p.modules_to_save,
  })
  return fit(model, task, p.learning_rate, p.epochs)
end)

local rte = tasks.glue("rte", p.rte, { max_train_samples = limit(p.rte_limit) })

local classifier = stage("rte-classifier", function()
  local model = mnli.model:new_head { task = rte } -- the LoRA stays, frozen
  model:add_adapter(adapters.classifier { adapter_name = "classifier", modules_to_save = p.modules_to_save })
  return fit(model, rte, p.rte_learning_rate, p.rte_epochs)
end)

-- A head that learns as fast as Sigma settles on what the frozen LoRA shows it before Sigma has found anything new.
local head_rate = p.rte_head_learning_rate
if head_rate == 0 and p.model == "builtin:tiny" then head_rate = p.rte_learning_rate / 10 end

local delora = stage("rte-delora", function()
  local model = mnli.model:new_head { task = rte }
  model:add_adapter(adapters.delora { over = "lora", modules_to_save = p.modules_to_save })
  return fit(model, rte, p.rte_learning_rate, p.rte_epochs,
    head_rate > 0 and #p.modules_to_save > 0 and { { params = p.modules_to_save, learning_rate = head_rate } } or nil)
end)

rows[#rows + 1] = mnli
rows[#rows + 1] = classifier
rows[#rows + 1] = delora
rows.columns = { "stage", "trainable", "accuracy", "loss", "seconds" }
report.table(rows)
