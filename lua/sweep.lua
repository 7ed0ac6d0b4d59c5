-- Grids, random search and seeds as stages: every point is trained once for each seed, a finished one is not trained again, and the
-- results come back as means with their spread. `perigee help sweep.run` explains the options.
--
--   local sweep = require "sweep"
--   local rows = sweep.run {
--     name = "lora", grid = { r = { 8, 16 }, learning_rate = { 1e-3, 5e-3 } }, seeds = { 1, 2, 3 },
--     run = function(point, seed) ... return trainer.fit { ..., seed = seed } end,
--   }
--   sweep.report(rows, { title = "LoRA" })

local asha, sharing = require "asha", require "sharing"
local shard = stage.shard

--- Mistakes of the caller are raised without a place: that of the caller is added.
local function mistake(text, ...) error(text:format(...), 0) end

local function mean(values)
  local sum = 0
  for _, value in ipairs(values) do sum = sum + value end
  return sum / #values
end

local function spread(values)
  if #values < 2 then return nil end
  local center, sum = mean(values), 0
  for _, value in ipairs(values) do sum = sum + (value - center) ^ 2 end
  return math.sqrt(sum / (#values - 1))
end

local function sorted_names(by_name)
  local names = {}
  for name in pairs(by_name) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function points(grid, order)
  local names = order or sorted_names(grid)
  local all = { {} }
  for _, name in ipairs(names) do
    if not grid[name] or #grid[name] == 0 then mistake("sweep: grid has no values for '%s'", name) end
    local longer = {}
    for _, point in ipairs(all) do
      for _, value in ipairs(grid[name]) do
        local copy = { [name] = value }
        for key, old in pairs(point) do copy[key] = old end
        longer[#longer + 1] = copy
      end
    end
    all = longer
  end
  return all, names
end

--- A point in words, for a stage's name: "r=8 sigma=full".
local function label(point, names)
  local words = {}
  for _, name in ipairs(names) do words[#words + 1] = name .. "=" .. tostring(point[name]) end
  return table.concat(words, " ")
end

-- Random search.

--- A number from 0 up to 1 that depends on the text alone: FNV-1a, then the last steps of SplitMix64.
local function share(text)
  local bits = 0xCBF29CE484222325
  for i = 1, #text do bits = (bits ~ text:byte(i)) * 0x100000001B3 end
  bits = (bits ~ bits >> 30) * 0xBF58476D1CE4E5B9
  bits = (bits ~ bits >> 27) * 0x94D049BB133111EB
  return ((bits ~ bits >> 31) >> 11) * 2.0 ^ -53
end

--- Six digits: what a stage is called is the value itself, and a logarithm that another machine rounds otherwise is the same value.
local function rounded(value, range) return math.max(range.low, math.min(range.high, tonumber(("%.6g"):format(value)) + 0.0)) end

local draws = {
  uniform = function(range, u) return rounded(range.low + u * (range.high - range.low), range) end,
  log_uniform = function(range, u) return rounded(range.low * math.exp(u * math.log(range.high / range.low)), range) end,
  int = function(range, u) return math.min(range.high, range.low + math.floor(u * range.count)) end,
  choice = function(range, u) return range.values[1 + math.floor(u * #range.values)] end,
}

local function uniform(low, high)
  if not (low < high and high - low < math.huge) then mistake("sweep.uniform: expected finite bounds, the lower one first, got %s and %s", low, high) end
  return { kind = "uniform", low = low, high = high }
end

local function log_uniform(low, high)
  if not (0 < low and low < high and high < math.huge) then
    mistake("sweep.log_uniform: expected finite bounds above 0, the lower one first, got %s and %s", low, high)
  end
  return { kind = "log_uniform", low = low, high = high }
end

local function int(low, high)
  if low > high or high - low < 0 then mistake("sweep.int: expected the lower bound first, got %s and %s", low, high) end
  return { kind = "int", low = math.tointeger(low), high = math.tointeger(high), count = high - low + 1.0 }
end

local function choice(values)
  if #values == 0 then mistake("sweep.choice: the list is empty") end
  local known = {}
  for _, value in ipairs(values) do
    if type(value) == "table" or type(value) == "function" or type(value) == "userdata" then
      mistake("sweep.choice: expected numbers, strings, true or false, got a %s: choose a name for it, and look it up", type(value))
    end
    if known[tostring(value)] then mistake("sweep.choice: '%s' is there twice", tostring(value)) end
    known[tostring(value)] = true
  end
  return { kind = "choice", values = values, count = #values }
end

local function draw(ranges, trials, seed)
  local names, different = sorted_names(ranges), 1.0
  for _, name in ipairs(names) do
    local range = ranges[name]
    if type(range) ~= "table" or not draws[range.kind] then
      mistake("sweep: '%s' must be sweep.uniform, log_uniform, int or choice", name)
    end
    different = different * (range.count or math.huge)
  end
  if #names == 0 then mistake("sweep: random has no ranges") end
  if different < trials then log.info(("sweep: the ranges have %d different points, fewer than trials = %d"):format(different, trials)) end
  local all, known, number = {}, {}, 0
  while #all < math.min(trials, different) do
    number = number + 1
    local point = {}
    for _, name in ipairs(names) do point[name] = draws[ranges[name].kind](ranges[name], share(("%d %d %s"):format(seed, number, name))) end
    local words = label(point, names)
    if not known[words] then all[#all + 1], known[words] = point, true end
  end
  return all, names
end

-- Training.

local function numbers(result)
  local copy = {}
  for _, name in ipairs { "stage", "metrics", "trainable", "total", "steps", "tokens", "seconds", "peak_tensor_mb", "best_step", "endings", "warnings", "paused", "reused", "key" } do
    copy[name] = result[name]
  end
  return copy
end

local function is_greater_better(metric, choice, place)
  local greater = choice
  if greater == nil then greater = metrics.greater_is_better(metric) end
  if greater == nil then
    mistake("%s: whether more of '%s' is better is not known; give sweep.run greater_is_better = true or false", place, metric)
  end
  return greater
end

--- Of a result of `run`.
local function score(result, metric)
  return result.metrics["eval_" .. metric] or mistake("sweep.run: stage '%s' has no metric '%s'", result.stage, metric)
end

local function stage_name(options, point, names, seed)
  return (("%s %s seed=%d"):format(options.name, label(point, names), seed):gsub("  +", " "))
end

local function keep(options, results, i, result)
  for _, metric in ipairs(options.metrics) do score(result, metric) end
  results[i] = options.keep_models and not result.paused and result or numbers(result)
end

--- What is to be trained of some points: each with each seed, as far as it is not at its end.
local function trainings(options, all, names, results, chosen, pause_after)
  local list = {}
  for _, p in ipairs(chosen) do
    for i, seed in ipairs(options.seeds) do
      if not results[p][i] or results[p][i].paused then
        list[#list + 1] = {
          name = stage_name(options, all[p], names, seed), run = function() return options.run(all[p], seed, pause_after) end,
          keep = function(result) keep(options, results[p], i, result) end,
        }
      end
    end
  end
  return list
end

--- In the order of the points; or, where several processes share them out, each as soon as nobody works at it.
local function train(options, all, names, results, chosen, pause_after)
  local list = trainings(options, all, names, results, chosen, pause_after)
  local number, count = shard()
  if number then return sharing.train(list, number, count) end
  for _, training in ipairs(list) do training.keep(stage(training.name, training.run)) end
end

local function is_paused(results)
  for _, result in ipairs(results) do
    if result.paused then return true end
  end
  return false
end

local function mean_score(results, metric)
  local scores = {}
  for i, result in ipairs(results) do scores[i] = score(result, metric) end
  return mean(scores), scores
end

--- A check trains nothing, and has no keys.
local function refuse_unpaused(result, rung)
  if result.key == "" then return end
  mistake("sweep.run: halving: no training paused after %d evaluations: run has to hand its third argument on, trainer.fit { ..., pause_after = pause_after }", rung)
end

--- Successive halving: all points train up to the first rung, the best of them up to the next, and so on; the last ones go on to
--- their end. Who goes on depends on what all of a rung have reached, and not on who came first.
local function halve(options, all, names, results)
  local metric, factor = options.metrics[1], options.halving
  local greater = is_greater_better(metric, options.greater_is_better, "sweep.run")
  local left, rung = {}, options.first_rung
  for i in ipairs(all) do left[i] = i end
  while #left > 1 do
    local scores, paused = {}, false
    train(options, all, names, results, left, rung)
    for _, i in ipairs(left) do
      local value = mean_score(results[i], metric)
      scores[i] = value ~= value and -math.huge or greater and value or -value
      paused = paused or is_paused(results[i])
    end
    if not paused then
      if rung == options.first_rung then refuse_unpaused(results[left[1]][1], rung) end
      return
    end
    local ranked = table.move(left, 1, #left, 1, {})
    table.sort(ranked, function(a, b) return scores[a] > scores[b] or scores[a] == scores[b] and a < b end)
    local kept = math.max(1, #left // factor)
    log.info(("%s: after evaluation %d, %d of %d points go on"):format(options.name, rung, kept, #left))
    left = table.move(ranked, 1, kept, 1, {})
    table.sort(left)
    rung = rung * factor
  end
  train(options, all, names, results, left)
end

--- The same without waiting for all points of a rung. False in a check, and where no training pauses.
local function halve_asynchronously(options, all, names, results)
  local settings = { factor = 3, first_rung = 1 }
  for name, value in pairs(options.asha) do
    if not settings[name] then mistake("sweep.run: asha has no '%s': factor and first_rung", name) end
    if math.type(value) ~= "integer" or value < (name == "factor" and 2 or 1) or value > 1000000 then
      mistake("sweep.run: asha.%s must be an integer of at least %d, got %s", name, name == "factor" and 2 or 1, value)
    end
    settings[name] = value
  end
  options.first_rung = settings.first_rung
  return asha.run {
    count = #all, seeds = #options.seeds, metric = options.metrics[1], factor = settings.factor, first_rung = settings.first_rung,
    greater = is_greater_better(options.metrics[1], options.greater_is_better, "sweep.run"),
    name = function(p, i) return stage_name(options, all[p], names, options.seeds[i]) end,
    run = function(p, i, pause_after) return options.run(all[p], options.seeds[i], pause_after) end,
    keep = function(p, i, result) keep(options, results[p], i, result) end,
  }
end

local function run(options)
  if options.halving and options.asha then mistake("sweep.run: give either 'halving' or 'asha'") end
  if options.grid and options.random then mistake("sweep.run: give either 'grid' or 'random'") end
  if options.random and not options.trials then mistake("sweep.run: 'random' needs 'trials', the number of points") end
  for _, name in ipairs { "trials", "search_seed" } do
    if options[name] and not options.random then mistake("sweep.run: '%s' has no meaning without 'random'", name) end
  end
  if options.first_rung and not options.halving then mistake("sweep.run: 'first_rung' has no meaning without 'halving'") end
  if options.order and options.random then mistake("sweep.run: 'order' is that of a grid") end
  options.first_rung, options.metrics = options.first_rung or 1, options.metrics or { options.metric }
  local metric = options.metrics[1]
  local all, names
  if options.random then
    all, names = draw(options.random, options.trials, options.search_seed or 42)
  else
    all, names = points(options.grid or {}, options.order)
  end
  local results, chosen = {}, {}
  for i in ipairs(all) do results[i], chosen[i] = {}, i end
  if options.halving then
    halve(options, all, names, results)
  elseif not options.asha then
    train(options, all, names, results, chosen)
  else
    local complete, unpaused = halve_asynchronously(options, all, names, results)
    if unpaused then refuse_unpaused(unpaused, options.first_rung) end
    if not complete then
      train(options, all, names, results, chosen, options.first_rung)
      refuse_unpaused(results[1][1], options.first_rung)
    end
  end
  local rows = { names = names, metric = metric, metrics = options.metrics, greater_is_better = options.greater_is_better, asha = options.asha }
  for i, point in ipairs(all) do
    local row, peaks = { results = results[i], seconds = 0, n = #results[i] }, {}
    for name, value in pairs(point) do row[name] = value end
    for _, result in ipairs(results[i]) do
      row.trainable, row.seconds = result.trainable, row.seconds + result.seconds
      peaks[#peaks + 1] = result.peak_tensor_mb
      if result.paused then row.stopped = ("at step %d"):format(result.steps) end
    end
    row.peak_tensor_mb = #peaks == row.n and math.max(table.unpack(peaks)) or nil
    for _, name in ipairs(options.metrics) do row[name] = mean_score(results[i], name) end
    row.spread = spread(select(2, mean_score(results[i], metric)))
    rows[i] = row
  end
  return rows
end

-- Reports.

local function report_rows(rows, options)
  options = options or {}
  local columns = {}
  for _, name in ipairs(options.columns or {}) do columns[#columns + 1] = name end
  for _, name in ipairs(rows.names) do columns[#columns + 1] = name end
  columns[#columns + 1] = "trainable"
  for _, name in ipairs(rows.metrics or { rows.metric }) do columns[#columns + 1] = name end
  for _, name in ipairs { "spread", "n", "seconds", "peak_tensor_mb" } do columns[#columns + 1] = name end
  for _, row in ipairs(rows) do
    if row.stopped and columns[#columns] ~= "stopped" then columns[#columns + 1] = "stopped" end
  end
  local title = options.title
  if rows.asha then title = (title and title .. ", " or "") .. "by asha: which points went on depends on the order in which results came in" end
  local shown = { columns = columns, title = title }
  for i, row in ipairs(rows) do
    shown[i] = {}
    for _, name in ipairs(columns) do
      local value = row[name]
      shown[i][name] = value == nil and "" or value
    end
  end
  report.table(shown)
end

local function summary(runs, key)
  local shown, by_value = { columns = { key, "trainable" }, title = "all" }, {}
  for _, rows in ipairs(runs) do
    shown.columns[#shown.columns + 1] = rows.title .. " " .. rows.metric
    for _, row in ipairs(rows) do
      local line = by_value[row[key]]
      if not line then
        line = { [key] = row[key], trainable = row.trainable, seconds = 0, peak_tensor_mb = row.peak_tensor_mb }
        by_value[row[key]], shown[#shown + 1] = line, line
      end
      line[rows.title .. " " .. rows.metric] = report.number(row[rows.metric]) .. (row.spread and " ± " .. report.number(row.spread) or "")
      line.seconds = line.seconds + row.seconds
      line.peak_tensor_mb = line.peak_tensor_mb and row.peak_tensor_mb and math.max(line.peak_tensor_mb, row.peak_tensor_mb)
    end
  end
  for _, name in ipairs { "seconds", "peak_tensor_mb" } do shown.columns[#shown.columns + 1] = name end
  for _, line in ipairs(shown) do line.peak_tensor_mb = line.peak_tensor_mb or "" end
  report.table(shown)
end

local function best(rows, options)
  local greater = options.greater_is_better
  if greater == nil then greater = rows.greater_is_better end
  greater = is_greater_better(rows.metric, greater, "sweep.best")
  local found, highest
  -- A point that was stopped early has not shown what it can.
  for _, takes_stopped in ipairs { false, true } do
    for _, row in ipairs(rows) do
      local value = greater and row[rows.metric] or -row[rows.metric]
      if (takes_stopped or not row.stopped) and value == value and (not highest or value > highest) then found, highest = row, value end
    end
    if found then return found end
  end
  return rows[1]
end

return library {
  name = "sweep", doc = "Grids, random search and seeds: every point is a stage, and results come back as means with their spread.",
  {
    "run",
    "Trains every point with every seed, each in a stage of its own: what is finished is not trained again. One row for each point has its values, the mean of each metric, spread (of the first metric), n, trainable, seconds (in all), peak_tensor_mb (the highest), results (one for each seed), and stopped where halving ended it early.",
    run,
    options = {
      { "name", "string", "what the stages are called, in front of the point" },
      { "run", "fun(point: table, seed: integer, pause_after: integer?): Result", "trains a point and gives the result of trainer.fit" },
      { "grid?", "table<string, any[]>", "lists of values by name: every combination is a point" },
      { "order?", "string[]", "the names of the grid, the last of which changes fastest; default: in alphabetical order" },
      { "random?", "table<string, table>", "ranges by name, in place of a grid: sweep.uniform, log_uniform, int, choice" },
      { "trials?", "integer", "how many different points are drawn from the ranges; more of them are the same ones and further ones", min = 1, max = 1000000 },
      { "search_seed?", "integer", "seeds the points that are drawn; default: 42" },
      { "seeds", "integer[]", "every point is trained once for each", default = { 42 } },
      { "metric", "string", "which metric the rows have, without eval_", default = "accuracy" },
      { "metrics?", "string[]", "several of them, the one that decides first; default: metric alone" },
      { "greater_is_better?", "boolean", "which mean is the best, for a metric of the script's own; default: as the metric says" },
      {
        "halving?", "integer",
        "successive halving: where trainings have got to first_rung evaluations, the best one of so many points goes on, until so many times as many; run hands its third argument on to trainer.fit as pause_after; default: all points train to their end",
        min = 2, max = 1000,
      },
      {
        "asha?", "table",
        "asynchronous successive halving, where nobody waits for a whole rung: { factor = 3, first_rung = 1 }, the best one of factor points that have reached a rung goes on to factor times as many evaluations; which ones these are depends on the order in which results come in",
      },
      { "first_rung?", "integer", "evaluations after which halving compares for the first time; default: 1", min = 1, max = 1000000 },
      { "keep_models", "boolean", "whether results have their models, which then stay in memory as long as the rows do", default = false },
    },
    returns = { "table[]", "the rows, for sweep.report and sweep.best" },
  },
  {
    "report", "Prints the rows of sweep.run: the points' values, parameters, means, spread, seconds, memory.", report_rows,
    parameters = {
      { "rows", "table[]", "of one or more runs, joined" },
      { "options?", "table", "title, and columns: names of more of them, in front" },
    },
  },
  {
    "best", "The row with the best mean: the least of a loss, the highest of an accuracy. Points that were stopped early, and means that are no numbers, come last.", best,
    parameters = {
      { "rows", "table[]", "of sweep.run" },
      { "options", "table", "greater_is_better: for a metric of the script's own, where sweep.run was not told", default = {} },
    },
    returns = { "table", "one of the rows" },
  },
  {
    "summary", "Prints the rows of several runs as one table: for each value of key the means of all runs with their spread, the sum of their seconds, and the largest memory.", summary,
    parameters = { { "runs", "table[]", "rows of sweep.run, each with a title" }, { "key", "string", "the name of a field of the rows" } },
  },
  {
    "uniform", "A range of numbers, all of them as likely. Values have six digits.", uniform,
    parameters = { { "low", "number", "the lowest" }, { "high", "number", "the highest" } }, returns = { "table", "a range for random" },
  },
  {
    "log_uniform", "A range of numbers whose logarithms are all as likely, for learning rates. Values have six digits.", log_uniform,
    parameters = { { "low", "number", "the lowest, above 0" }, { "high", "number", "the highest" } }, returns = { "table", "a range for random" },
  },
  {
    "int", "A range of integers, all of them as likely.", int,
    parameters = { { "low", "integer", "the lowest" }, { "high", "integer", "the highest" } }, returns = { "table", "a range for random" },
  },
  {
    "choice", "One of some values, all of them as likely.", choice,
    parameters = { { "values", "any[]", "numbers, strings, true or false" } }, returns = { "table", "a range for random" },
  },
  {
    "draw", "The points of a random search: different ones, which depend on the ranges, the seed and their place alone.", draw,
    parameters = {
      { "ranges", "table<string, table>", "by name" }, { "trials", "integer", "how many", min = 1, max = 1000000 }, { "seed", "integer", "seeds the draws", default = 42 },
    },
    returns = { "table[]", "the points: tables of names and values" },
  },
  {
    "points", "All points of a grid: tables with one value of each list, and the names in their order.", points,
    parameters = {
      { "grid", "table<string, any[]>", "lists of values by name" }, { "order?", "string[]", "the names; the last one changes fastest; default: in alphabetical order" },
    },
    returns = { "table[]", "the points; then the names" },
  },
  {
    "numbers", "A result's numbers, without its model.", numbers,
    parameters = { { "result", "any", "of trainer.fit" } }, returns = { "table", "stage, metrics, trainable, total, steps, tokens, seconds, ..." },
  },
  {
    "mean", "The mean of a list.", mean, parameters = { { "values", "number[]", "the list" } }, returns = { "number", "the mean" },
  },
  {
    "spread", "The sample standard deviation of a list: divided by n - 1.", spread,
    parameters = { { "values", "number[]", "the list" } }, returns = { "number?", "the deviation; nil for fewer than two values" },
  },
}
