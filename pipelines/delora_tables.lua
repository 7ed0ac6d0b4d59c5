-- DeLoRA's Tables 1 to 3 on GLUE: against LoRA and the classifier alone, by rank and with a diagonal Sigma, and over a frozen
-- LoRA that was trained on MNLI.
--
--   perigee run pipelines/delora_tables.lua
--   perigee run pipelines/delora_tables.lua --set model=FacebookAI/roberta-base --set data=glue_data --set tasks=cola,rte --set seeds=1,2,3
local experiment, sweep = require "experiment", require "sweep"
local lora, recipe = require "recipes.lora", require "recipes.delora"

local p = experiment.params {
  ranks = { recipe.ranks, doc = "ranks of Table 2" },
  transfer = { { "rte" }, doc = "tasks of Table 3, trained over the MNLI LoRA" },
  lora_r = { 8, min = 1, doc = "rank of the LoRA in Tables 1 and 3" },
}
local base = experiment.base(p)
local modules = recipe.adapter.target_modules

local function run(name, method, options, from)
  return function(point, seed)
    return experiment.fit(p, recipe, from or base, name, seed, method, experiment.merged(options, point))
  end
end

for _, name in ipairs(p.tasks) do
  local metric = experiment.metric(p, name)
  local by_rank = sweep.run {
    name = name .. " delora", grid = { r = p.ranks, sigma = { "full", "diagonal" } }, order = { "sigma", "r" }, seeds = p.seeds,
    metric = metric, run = run(name, "delora", { target_modules = modules }),
  }
  sweep.report(by_rank, { title = name .. ", by rank (Table 2)" })
  report.plot { line = by_rank, x = "r", y = metric, by = "sigma", spread = "spread", x_scale = "log", title = name .. ", by rank" }

  local rows = { names = { "method" }, metric = metric }
  for _, method in ipairs { "classifier", "lora" } do
    local options = method == "lora" and { r = p.lora_r, lora_alpha = 2 * p.lora_r, target_modules = modules } or {}
    rows[#rows + 1] = sweep.run { name = name .. " " .. method, seeds = p.seeds, metric = metric, run = run(name, method, options) }[1]
    rows[#rows].method = method
  end
  rows[#rows + 1] = sweep.best(by_rank)
  rows[#rows].method = ("delora r=%d %s"):format(rows[#rows].r, rows[#rows].sigma)
  sweep.report(rows, { title = name .. ", best rank (Table 1)" })
end

-- Table 3. The LoRA stays, frozen; Sigma starts at the identity between its factors.
local mnli = sweep.run {
  name = "mnli lora", seeds = p.seeds, metric = "accuracy", keep_models = true,
  run = run("mnli", "lora", { r = p.lora_r, lora_alpha = lora.adapter.lora_alpha, target_modules = modules }),
}[1]
for _, name in ipairs(p.transfer) do
  local metric, rows = experiment.metric(p, name), { names = { "method" } }
  for _, arm in ipairs { { "classifier", { adapter_name = "head" } }, { "delora", { over = "lora" } } } do
    local of_seed = {}
    for i, seed in ipairs(p.seeds) do of_seed[seed] = mnli.results[i].model end
    rows[#rows + 1] = sweep.run {
      name = name .. " over mnli, " .. arm[1], seeds = p.seeds, metric = metric,
      run = function(point, seed) return run(name, arm[1], arm[2], of_seed[seed])(point, seed) end,
    }[1]
    rows[#rows].method, rows.metric = arm[1] == "delora" and "classifier + delora" or arm[1], metric
  end
  sweep.report(rows, { title = name .. " over MNLI's LoRA (Table 3)" })
end
