-- AdaLoRA against LoRA at equal budget: the rank that AdaLoRA is left with on average is LoRA's rank everywhere (its Table 1).
--
--   perigee run pipelines/adalora_vs_lora.lua
--   perigee run pipelines/adalora_vs_lora.lua --set model=FacebookAI/roberta-base --set data=glue_data --set tasks=rte,cola --set seeds=1,2,3
local experiment, sweep = require "experiment", require "sweep"
local recipe = require "recipes.adalora"

local p = experiment.params {
  budgets = { { "2/4", "4/6" }, doc = "target and initial rank; the paper's are 2/4,4/6,8/12" },
  orth_reg_weight = { 0.1, min = 0, doc = "on built-in data; on GLUE the paper's" },
}
local base = experiment.base(p)

--- The schedule of the budget: the paper's for the task, or the same shape over the steps that there are.
local function schedule(name)
  local own = experiment.arguments(p, recipe, name)
  if not experiment.is_builtin(p) and not own.max_steps then return {} end
  local total = experiment.total_steps(own, experiment.task(p, name))
  return { tinit = total // 6, tfinal = total // 3, deltaT = math.max(1, total // 100), orth_reg_weight = p.orth_reg_weight }
end

for _, name in ipairs(p.tasks) do
  local metric = experiment.metric(p, name)
  local rows = sweep.run {
    name = name, grid = { budget = p.budgets, method = { "lora", "adalora" } }, order = { "budget", "method" }, seeds = p.seeds,
    metric = metric,
    run = function(point, seed)
      local target, init = point.budget:match("^(%d+)/(%d+)$")
      if not target then error(("budgets: '%s' is not like 4/6"):format(point.budget)) end
      local modules = recipe.adapter.target_modules
      local options = point.method == "lora" and { r = math.tointeger(target), lora_alpha = recipe.adapter.lora_alpha, target_modules = modules }
        or experiment.adapter(p, recipe, name, experiment.merged(schedule(name), { target_r = math.tointeger(target), init_r = math.tointeger(init) }))
      return experiment.fit(p, recipe, base, name, seed, point.method, options)
    end,
  }
  sweep.report(rows, { title = name .. ", at equal budget" })
end
