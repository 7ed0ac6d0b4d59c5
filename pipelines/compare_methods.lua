-- All methods on one task, with the same data, steps and seeds: trainable parameters, score with its spread, seconds.
--
--   perigee run pipelines/compare_methods.lua
--   perigee run pipelines/compare_methods.lua --set model=FacebookAI/roberta-base --set data=glue_data --set tasks=rte,mrpc --set seeds=1,2,3 \
--     --set max_length=256    # prompts take some of the model's positions
local experiment, sweep = require "experiment", require "sweep"
local recipe = require "recipes.lora"

local p = experiment.params {
  methods = { {}, doc = "which of them; default: all" },
  full_learning_rate = { 0.0, min = 0, doc = "of methods that train base parameters; 0: 2e-5 on real data, 1e-3 on built-in data" },
}
local base = experiment.base(p)
local q_v = { "query", "value" }

-- In the order of the table. What a method trains at a rate of its own says so.
local methods = {
  { "classifier", {} }, { "full", {}, is_full = true }, { "selective", {}, is_full = true }, { "bitfit", {} }, { "lora", { r = 8, lora_alpha = 16, target_modules = q_v } },
  { "lora", { r = 8, lora_alpha = 16, use_rslora = true, target_modules = q_v }, label = "rslora" },
  { "lora", { r = 8, lora_alpha = 16, use_dora = true, target_modules = q_v }, label = "dora" },
  { "lora", { r = 8, lora_alpha = 16, init_lora_weights = "pissa", target_modules = q_v }, label = "pissa" },
  { "lora_fa", { r = 8, lora_alpha = 16, target_modules = q_v } }, { "vera", { r = 256, target_modules = q_v } },
  { "delora", { r = 8, target_modules = q_v } }, { "delora", { r = 32, target_modules = q_v }, label = "delora r=32" },
  { "lora_mini", { r = 8, a = 64, b = 64, init = "zero_up" } }, { "adalora", { init_r = 12, target_r = 8, lora_alpha = 16, target_modules = q_v }, has_schedule = true },
  { "dylora", { r = 8, lora_alpha = 16, target_modules = q_v } }, { "glora", { r = 8, target_modules = q_v } },
  { "delta_lora", { r = 8, lora_alpha = 16, update_ratio = 0.5, start_step = 100, target_modules = q_v } },
  { "loha", { r = 8, target_modules = q_v } }, { "lokr", { r = 8, target_modules = q_v } }, { "ia3", {} }, { "houlsby", {} }, { "pfeiffer", {} }, { "prefix_tuning", {} }, { "prompt_tuning", {} }, { "p_tuning", {} },
}

local function is_wanted(label)
  for _, name in ipairs(p.methods) do
    if name == label then return true end
  end
  return #p.methods == 0
end

for _, name in ipairs(p.tasks) do
  local metric, rows = experiment.metric(p, name), { names = { "method" } }
  for _, entry in ipairs(methods) do
    local method, options, label = entry[1], entry[2], entry.label or entry[1]
    -- Leaves out what this engine does not have, visibly.
    local is_known, problem = pcall(function() return adapters[method](options) end)
    if is_wanted(label) and not is_known then log.warn(("%s is left out: %s"):format(label, tostring(problem))) end
    if is_wanted(label) and is_known then
      rows[#rows + 1] = sweep.run {
        name = name .. " " .. label, seeds = p.seeds, metric = metric,
        run = function(_, seed)
          if entry.has_schedule then
            local total = experiment.total_steps(experiment.arguments(p, recipe, name), experiment.task(p, name))
            options = experiment.merged(options, { tinit = total // 6, tfinal = total // 3, deltaT = math.max(1, total // 100) })
          end
          return experiment.fit(p, recipe, base, name, seed, method, options, entry.is_full and {
            learning_rate = p.full_learning_rate > 0 and p.full_learning_rate or experiment.is_builtin(p) and 1e-3 or 2e-5 } or nil)
        end,
      }[1]
      rows[#rows].method, rows.metric = label, metric
    end
  end
  if #rows > 0 then sweep.report(rows, { title = name .. ", all methods" }) end
end
