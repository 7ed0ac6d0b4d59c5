-- Delta-LoRA's ablations on E2E with GPT-2: with LoRA's dropout (Table 5), LoRA at three times the rate (Table 6), by lambda (Table 7)
-- and by K (Table 8); and its figure: the cosine between queries' and values' weights before and after.
--
--   perigee run pipelines/delta_lora_ablations.lua --set model=openai-community/gpt2-medium --set data=nlg --set ratios=0,1,2,3,4,5
local text, experiment, sweep = require "text_experiment", require "experiment", require "sweep"
local recipe = require "recipes.delta_lora_text"

local p = text.params {
  tasks = { { "e2e" }, doc = "some of e2e, webnlg, xsum" },
  ratios = { { 0, 2, 5 }, min = 0, doc = "values of lambda, update_ratio" },
  start_steps = { { 0, 50, 100 }, min = 0, doc = "values of K, start_step; the paper's are 0, 100, ..., 1000" },
}

--- Queries and values of a weight that gives both, or the whole weight; of weights that give neither, nothing.
local function parts(name, weight)
  if name:find("[qv]_proj%.weight$") then return { [name] = weight } end
  if not name:find("c_attn%.weight$") then return nil end
  local thirds = weight:chunk(3, weight:size(0) > weight:size(1) and 0 or 1)
  return { [name .. " queries"] = thirds[1], [name .. " values"] = thirds[3] }
end

for _, name in ipairs(p.tasks) do
  local base, methods = text.base(p, name), recipe.methods(name)
  local function rows(labels, more) return text.rows(p, recipe, base, name, text.choose(methods, labels), more) end
  local trained = rows({ "selective", "lora", "delta_lora" }, { keep_models = true })
  for _, table_of in ipairs { { "delta_lora, dropout", "dropout (Table 5)" }, { "lora, 3 x rate", "LoRA at a higher rate (Table 6)" } } do
    local shown = rows { table_of[1] }
    table.move({ trained[2], shown[1], trained[3] }, 1, 3, 1, shown)
    sweep.report(shown, { title = name .. ", " .. table_of[2] })
  end
  sweep.report(rows({ "delta_lora" }, { label = "lambda", grid = { update_ratio = p.ratios } }), { title = name .. ", by lambda (Table 7)" })
  sweep.report(rows({ "delta_lora" }, { label = "K", grid = { start_step = p.start_steps } }), { title = name .. ", by K (Table 8)" })
  local figure, row_of = { title = name .. ", cosine with the base weight", columns = { "weight", "selective", "lora", "delta_lora" } }, {}
  local points = {}
  for i, method in ipairs { "selective", "lora", "delta_lora" } do
    for _, entry in ipairs(experiment.cosines(text.model(base, name), trained[i].results[1].model, parts)) do
      row_of[entry.name] = row_of[entry.name] or { weight = entry.name }
      row_of[entry.name][method] = entry.cosine
      log.metrics { figure = "cosine", task = name, method = method, weight = entry.name, cosine = entry.cosine }
      points[#points + 1] = { layer = entry.layer, cosine = entry.cosine, series = method .. ", " .. entry.part }
    end
  end
  for _, row in pairs(row_of) do figure[#figure + 1] = row end
  table.sort(figure, function(x, y) return x.weight < y.weight end)
  report.table(figure)
  report.plot { line = points, x = "layer", y = "cosine", by = "series", title = figure.title }
end
