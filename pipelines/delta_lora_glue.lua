-- Delta-LoRA on GLUE (its Table 4) beside LoRA; the ablations over lambda and K; and how far the weights have moved, as data of
-- the paper's figure: the cosine between each adapted weight before and after.
--
--   perigee run pipelines/delta_lora_glue.lua
--   perigee run pipelines/delta_lora_glue.lua --set model=FacebookAI/roberta-base --set data=glue_data --set tasks=rte,mrpc --set seeds=1,2,3
local experiment, sweep = require "experiment", require "sweep"
local recipe = require "recipes.delta_lora"

local p = experiment.params {
  ratios = { { 0, 0.5, 1, 2 }, min = 0, doc = "values of lambda, update_ratio" },
  start_steps = { { 0, 50, 200 }, min = 0, doc = "values of K, start_step" },
  start_step = { 50, min = 0, doc = "K on built-in data; on GLUE the paper's" },
}
local base = experiment.base(p)

local function run(name, method, own)
  return function(point, seed)
    local options = experiment.adapter(p, recipe, name, experiment.merged(own, point))
    if method == "lora" then options.update_ratio, options.start_step = nil, nil end
    return experiment.fit(p, recipe, base, name, seed, method, options)
  end
end

--- The cosine between each adapted weight and the base model's.
local function cosines(result)
  return experiment.cosines(base:classifier { num_labels = #result.model.labels }, result.model, function(name, weight)
    if name:find("query%.weight$") or name:find("value%.weight$") then return { [name] = weight } end
  end)
end

for _, name in ipairs(p.tasks) do
  local metric = experiment.metric(p, name)
  local K = experiment.is_builtin(p) and { start_step = p.start_step } or {}
  local function swept(label, method, own, grid, keep_models)
    return sweep.run {
      name = name .. " " .. label, grid = grid, seeds = p.seeds, metric = metric, keep_models = keep_models, run = run(name, method, own),
    }
  end
  local rows, figure = { names = { "method" }, metric = metric }, { title = name .. ", cosine with the base weight", columns = { "weight", "lora", "delta_lora" } }
  local points = {}
  for _, method in ipairs { "lora", "delta_lora" } do
    rows[#rows + 1] = swept(method, method, method == "lora" and {} or K, nil, true)[1]
    rows[#rows].method = method
    for i, entry in ipairs(cosines(rows[#rows].results[1])) do
      figure[i] = figure[i] or { weight = entry.name }
      figure[i][method] = entry.cosine
      log.metrics { figure = "cosine", task = name, method = method, weight = entry.name, cosine = entry.cosine }
      points[#points + 1] = { layer = entry.layer, cosine = entry.cosine, series = method .. ", " .. entry.part }
    end
  end
  sweep.report(rows, { title = name .. " (Table 4)" })
  report.table(figure)
  report.plot { line = points, x = "layer", y = "cosine", by = "series", title = figure.title }
  sweep.report(swept("lambda", "delta_lora", K, { update_ratio = p.ratios }), { title = name .. ", by lambda" })
  sweep.report(swept("K", "delta_lora", {}, { start_step = p.start_steps }), { title = name .. ", by K" })
end
