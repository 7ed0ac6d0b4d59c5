-- LoRA-Mini's Tables 1 and 2 - dense layers ("D") or attention too ("D+A"), by rank, beside LoRA - and the grid of its appendix
-- over the widths a and b. Table 1 is RoBERTa, Table 2 BERT: give the model.
--
--   perigee run pipelines/lora_mini_tables.lua
--   perigee run pipelines/lora_mini_tables.lua --set model=google-bert/bert-base-uncased --set data=glue_data --set tasks=stsb,cola,mrpc,rte
local experiment, sweep = require "experiment", require "sweep"
local recipe = require "recipes.lora_mini"

local p = experiment.params {
  ranks = { { 8, 16 }, min = 1, doc = "ranks; the paper's are 8,16,32" },
  width = { 32, min = 1, doc = "a and b of the tables; the paper's is 64" },
  widths = { { "16x16", "16x32" }, doc = "a x b of the grid; the paper's are 16x16,16x32,16x64,32x32,32x64,64x64" },
  init = { "zero_up", choices = { "zero_up", "kaiming_all" }, doc = "how the factors start; the paper's is kaiming_all" },
}
local base = experiment.base(p)

for _, name in ipairs(p.tasks) do
  local metric = experiment.metric(p, name)
  local function swept(label, grid, order, options_of)
    return sweep.run {
      name = name .. " " .. label, grid = grid, order = order, seeds = p.seeds, metric = metric,
      run = function(point, seed)
        local method, options = options_of(point)
        return experiment.fit(p, recipe, base, name, seed, method, options)
      end,
    }
  end
  local lora = swept("lora", { r = p.ranks }, nil, function(point)
    return "lora", { r = point.r, lora_alpha = 2 * point.r, target_modules = { "dense" } }
  end)
  sweep.report(lora, { title = name .. ", LoRA on dense layers" })
  local mini = swept("lora_mini", { targets = recipe.targets, r = p.ranks }, { "targets", "r" }, function(point)
    return "lora_mini", { r = point.r, a = p.width, b = p.width, targets = point.targets, init = p.init }
  end)
  sweep.report(mini, { title = name .. ", LoRA-Mini (Tables 1 and 2)" })
  local points = table.move(mini, 1, #mini, #lora + 1, table.move(lora, 1, #lora, 1, {}))
  for _, row in ipairs(points) do row.method = row.targets and "LoRA-Mini, " .. row.targets or "LoRA" end
  report.plot { line = points, x = "r", y = metric, by = "method", spread = "spread", x_scale = "log", title = name .. ", rank against " .. metric }
  sweep.report(swept("lora_mini", { widths = p.widths, r = p.ranks }, { "r", "widths" }, function(point)
    local a, b = point.widths:match("^(%d+)x(%d+)$")
    if not a then error(("widths: '%s' is not like 16x32"):format(point.widths)) end
    return "lora_mini", { r = point.r, a = math.tointeger(a), b = math.tointeger(b), targets = "D", init = p.init }
  end), { title = name .. ", grid of the appendix" })
end
