-- All methods on the same tasks, with the same rows, steps and seeds: trainable parameters, score with its spread, seconds and
-- memory. lua/recipes/comparison.lua has the methods with their options and learning rates.
--
--   perigee run pipelines/compare_methods.lua
--   perigee run pipelines/compare_methods.lua --set model=models/MiniLM --set modules_to_save=pooler,classifier --set data=glue_data \
--     --set tasks=rte,mrpc --set seeds=1,2,3
local experiment, sweep = require "experiment", require "sweep"
local recipe = require "recipes.comparison"

local p = experiment.params {
  methods = { {}, doc = "which of them, by their labels; default: all" },
  modules_to_save = { { "classifier" }, doc = "the head, which trains with every method; for BERT with a pooler that was not pre-trained: pooler,classifier" },
  full_learning_rate = { 0.0, min = 0, doc = "of methods that train the model's own parameters; 0: the recipe's" },
}
local base, is_builtin = experiment.base(p), experiment.is_builtin(p)
local known, wanted = {}, {}
for i, entry in ipairs(recipe.methods) do known[i], known[entry.label] = entry.label, true end
for _, label in ipairs(p.methods) do
  wanted[label] = known[label] or error(("no method '%s': expected some of %s"):format(label, table.concat(known, ", ")))
end

--- What an entry of the recipe changes in the training arguments. Built-in tasks have a learning rate of their own.
local function changes(entry)
  local given = entry.trains_model and p.full_learning_rate or p.learning_rate
  local own = is_builtin and "builtin_learning_rate" or "learning_rate"
  return { learning_rate = given > 0 and given or entry[own], loraplus_lr_ratio = entry.loraplus_lr_ratio }
end

local function train(entry, name, seed)
  local options, start = experiment.merged(entry.options or {}, { modules_to_save = p.modules_to_save }), base
  if entry.has_schedule then
    local total = experiment.total_steps(experiment.arguments(p, recipe, name), experiment.task(p, name))
    options = experiment.merged(options, { tinit = total // 6, tfinal = total // 3, deltaT = math.max(1, total // 100) })
  end
  if entry.quantization_config then
    start = models.load(p.model, { quantization_config = experiment.merged(entry.quantization_config, { llm_int8_skip_modules = p.modules_to_save }) })
  end
  return experiment.fit(p, recipe, start, name, seed, entry.method, options, changes(entry))
end

local runs = {}
for _, name in ipairs(p.tasks) do
  local rows = { title = name, names = { "method" }, metric = experiment.metric(p, name) }
  for _, entry in ipairs(recipe.methods) do
    local is_possible = not (entry.quantization_config and p.model == "builtin:tiny") -- 4 bits are for models from a folder
    if (wanted[entry.label] or #p.methods == 0) and is_possible then
      local run = function(_, seed) return train(entry, name, seed) end
      rows[#rows + 1] = sweep.run { name = name .. " " .. entry.label, seeds = p.seeds, metric = rows.metric, run = run }[1]
      rows[#rows].method = entry.label
    end
  end
  if #rows > 0 then sweep.report(rows, { title = name .. ", all methods" }) end
  runs[#runs + 1] = rows
end
if #runs > 1 then sweep.summary(runs, "method") end
