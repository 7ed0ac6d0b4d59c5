-- Phase 2 of GLoRA: looks for the configurations of a trained supernet's layers by evolution. Nothing trains.
--
--   local search = require "glora_search"
--   local found = search.run { model = model, task = task, metric = "eval_accuracy", options = { max_length = 128 } }
--   print(found.score, found.parameters)        -- the model computes with it now; model:merge() makes it free of cost
--
-- The authors choose on the test split; the task's evaluation set should be a validation split.

local M = {}

--- The forms of each part.
M.forms = {
  A = { "lora", "vector", "constant", "none" }, B = { "lora", "vector", "constant", "none" }, C = { "lora", "vector", "none" },
  D = { "vector", "constant", "none" }, E = { "vector", "constant", "none" },
}
M.parts = { "A", "B", "C", "D", "E" }

--- Numbers that a part stores in a layer.
local function size(layer, part, form)
  if form == "none" then return 0 end
  if form == "constant" then return 1 end
  if part == "C" then return form == "lora" and layer.r * (layer.in_features + 1) or layer.in_features end
  return form == "lora" and layer.r * (layer.in_features + layer.out_features) or layer.out_features
end

--- Trainable numbers that the configurations of all layers have together.
---@param layers table[] of Model:glora_layers
---@param configurations table[] one for each layer: { A = form, B = form, C = form, D = form, E = form }
function M.parameters(layers, configurations)
  local sum = 0
  for i, layer in ipairs(layers) do
    for _, part in ipairs(M.parts) do
      if layer.has_bias or part == "A" or part == "B" then sum = sum + size(layer, part, configurations[i][part]) end
    end
  end
  return sum
end

--- Numbers from 0 to n - 1, and from 0 to 1, that depend on the seed alone (xorshift64*).
local function generator(seed)
  local state = (seed * 2 + 1) * 0x9E3779B97F4A7C15
  local function bits()
    state = state ~ (state >> 12)
    state = state ~ (state << 25)
    state = state ~ (state >> 27)
    return (state * 0x2545F4914F6CDD1D) >> 11
  end
  for _ = 1, 8 do bits() end
  return { below = function(n) return bits() % n end, unit = function() return bits() / (1 << 53) end }
end

local function key(configurations)
  local words = {}
  for _, forms in ipairs(configurations) do
    for _, part in ipairs(M.parts) do words[#words + 1] = forms[part] end
  end
  return table.concat(words, " ")
end

local function draw(random, part) return M.forms[part][random.below(#M.forms[part]) + 1] end

--- Each gene of `parent`, or with a probability of `rate` another draw.
local function mutated(random, parent, rate)
  local result = {}
  for i, forms in ipairs(parent) do
    result[i] = {}
    for _, part in ipairs(M.parts) do result[i][part] = random.unit() < rate and draw(random, part) or forms[part] end
  end
  return result
end

--- Each gene of either parent.
local function crossed(random, a, b)
  local result = {}
  for i in ipairs(a) do
    result[i] = {}
    for _, part in ipairs(M.parts) do result[i][part] = (random.below(2) == 0 and a or b)[i][part] end
  end
  return result
end

--- Candidates that are new and have a size within bounds.
local function pool(layers, low, high)
  local seen = {}
  local function add(candidates, configurations)
    local name = key(configurations)
    local count = M.parameters(layers, configurations)
    if seen[name] or count < low or count > high then return false end
    seen[name] = true
    candidates[#candidates + 1] = { configurations = configurations, parameters = count }
    return true
  end
  --- Up to `wanted` candidates from `make`, which gets ten attempts for each.
  return function(candidates, wanted, make)
    local added, attempts = 0, 0
    while added < wanted and attempts < 10 * wanted do
      attempts = attempts + 1
      if add(candidates, make()) then added = added + 1 end
    end
  end
end

--- The higher score first; one that is no number last; of equals the smaller, then the earlier.
local function is_better(a, b)
  local x, y = a.score == a.score and a.score or -math.huge, b.score == b.score and b.score or -math.huge
  if x ~= y then return x > y end
  if a.parameters ~= b.parameters then return a.parameters < b.parameters end
  return a.order < b.order
end

--- What `options` ask for as a score: a function of the model.
local function scoring(options)
  if options.evaluate then return options.evaluate end
  local metric = options.metric or "eval_accuracy"
  return function(model)
    local evaluation = { model = model, task = options.task }
    for field, value in pairs(options.options or {}) do evaluation[field] = value end
    return trainer.evaluate(evaluation)[metric] or error("glora_search: the task has no metric '" .. metric .. "'")
  end
end

---@class GLoRASearchOptions
---@field model Model
---@field task? Task what trainer.evaluate scores the candidates on
---@field metric? string which of its metrics is the score; higher is better (default "eval_accuracy")
---@field options? table further options of trainer.evaluate
---@field evaluate? fun(model: Model): number a score in place of `task`, `metric` and `options`
---@field adapter_name? string which adapter; default: the one that was attached last
---@field population? integer candidates of a generation (default 50, as all numbers here the paper's)
---@field generations? integer (default 20)
---@field keep? integer how many of the best so far are parents (default 10)
---@field mutants? integer candidates that are mutants of a parent (default 25)
---@field crossovers? integer candidates whose genes come from two parents; random ones fill the population up (default 25)
---@field mutation_rate? number probability with which a mutant's gene is drawn again (default 0.2)
---@field min_parameters? integer the fewest trainable numbers of a candidate (default 0)
---@field max_parameters? integer the most (default 1000000)
---@field seed? integer the search depends on it alone (default 0)

---@class GLoRASearchResult
---@field configurations table[] the best, one for each layer
---@field score number its score
---@field parameters integer its trainable numbers
---@field evaluated integer how many candidates were evaluated
---@field history number[] the best score after each generation

--- Finds configurations with a high score; the model computes with the best when this returns.
---@param options GLoRASearchOptions
---@return GLoRASearchResult
function M.run(options)
  local model, name = options.model, options.adapter_name
  local layers = model:glora_layers(name and { adapter_name = name } or nil)
  local low, high = options.min_parameters or 0, options.max_parameters or 1000000
  local population, keep = options.population or 50, math.max(options.keep or 10, 1)
  if low > high then error("glora_search: min_parameters = " .. low .. " is more than max_parameters = " .. high) end
  local random, fill, score = generator(options.seed or 0), pool(layers, low, high), scoring(options)

  local ranking, history, evaluated = {}, {}, 0
  local function parent() return ranking[random.below(#ranking) + 1].configurations end
  local function fresh() return mutated(random, layers, 1) end
  local function mutant() return mutated(random, parent(), options.mutation_rate or 0.2) end
  local function crossover() return crossed(random, parent(), parent()) end

  for generation = 1, options.generations or 20 do
    local candidates = {}
    if #ranking > 0 then
      fill(candidates, options.mutants or 25, mutant)
      fill(candidates, options.crossovers or 25, crossover)
    end
    fill(candidates, population - #candidates, fresh)
    if #candidates == 0 and #ranking == 0 then
      error("glora_search: none of " .. 10 * population .. " random candidates has " .. low .. " to " .. high .. " parameters")
    end
    for _, candidate in ipairs(candidates) do
      model:set_glora { configurations = candidate.configurations, adapter_name = name }
      evaluated = evaluated + 1
      candidate.score, candidate.order = score(model), evaluated
      ranking[#ranking + 1] = candidate
    end
    table.sort(ranking, is_better)
    for i = #ranking, keep + 1, -1 do ranking[i] = nil end
    history[generation] = ranking[1].score
  end

  local best = ranking[1] or error("glora_search: generations = 0 leaves nothing to choose from")
  model:set_glora { configurations = best.configurations, adapter_name = name }
  return {
    configurations = best.configurations, score = best.score, parameters = best.parameters, evaluated = evaluated, history = history,
  }
end

return M
