-- Grids and seeds as stages: every point is trained once for each seed, a finished one is not trained again, and the results
-- come back as means with their spread.
--
--   local sweep = require "sweep"
--   local rows = sweep.run {
--     name = "lora", grid = { r = { 8, 16 }, learning_rate = { 1e-3, 5e-3 } }, seeds = { 1, 2, 3 },
--     run = function(point, seed) ... return trainer.fit { ..., seed = seed } end,
--   }
--   sweep.report(rows, { title = "LoRA" })
local sweep = {}

--- The mean of a list.
---@param values number[]
function sweep.mean(values)
  local sum = 0
  for _, value in ipairs(values) do sum = sum + value end
  return sum / #values
end

--- The sample standard deviation of a list: divided by n - 1; nil for fewer than two values.
---@param values number[]
function sweep.spread(values)
  if #values < 2 then return nil end
  local mean, sum = sweep.mean(values), 0
  for _, value in ipairs(values) do sum = sum + (value - mean) ^ 2 end
  return math.sqrt(sum / (#values - 1))
end

--- All points of a grid: tables with one value of each list. The last name of `order` changes fastest.
---@param grid table<string, any[]>
---@param order? string[] default: the names in alphabetical order
function sweep.points(grid, order)
  local names = order or {}
  if not order then
    for name in pairs(grid) do names[#names + 1] = name end
    table.sort(names)
  end
  local points = { {} }
  for _, name in ipairs(names) do
    if not grid[name] or #grid[name] == 0 then error(("sweep: grid has no values for '%s'"):format(name), 2) end
    local longer = {}
    for _, point in ipairs(points) do
      for _, value in ipairs(grid[name]) do
        local copy = { [name] = value }
        for key, old in pairs(point) do copy[key] = old end
        longer[#longer + 1] = copy
      end
    end
    points = longer
  end
  return points, names
end

--- A point in words, for a stage's name: "r=8 sigma=full".
local function label(point, names)
  local words = {}
  for _, name in ipairs(names) do words[#words + 1] = name .. "=" .. tostring(point[name]) end
  return table.concat(words, " ")
end

local known = {
  name = true, grid = true, order = true, seeds = true, metric = true, metrics = true, greater_is_better = true, run = true, keep_models = true,
}

--- A result's numbers, without its model.
---@return table
function sweep.numbers(result)
  local copy = {}
  for _, name in ipairs { "stage", "metrics", "trainable", "total", "steps", "tokens", "seconds", "peak_tensor_mb", "best_step", "endings", "warnings", "reused", "key" } do
    copy[name] = result[name]
  end
  return copy
end

--- Trains every point with every seed, each in a stage of its own, and returns one row for each point: its values, `metric`
--- (the mean), and those of `metrics` where there are several, `spread` (of the first), `n`, `trainable`, `seconds` (in all), `peak_tensor_mb` (the highest; nil where one is not known), and
--- `results`, one for each seed. `greater_is_better`: which mean `sweep.best` takes, for a metric of the script's own.
--- `keep_models`: the results have their models, which then stay in memory as long as the rows do.
---@param options { name: string, grid?: table<string, any[]>, order?: string[], seeds?: integer[], metric?: string, metrics?: string[], greater_is_better?: boolean, run: (fun(point: table, seed: integer): Result), keep_models?: boolean }
function sweep.run(options)
  for key in pairs(options) do
    if not known[key] then error(("sweep.run: unknown field '%s'"):format(key), 2) end
  end
  local points, names = sweep.points(options.grid or {}, options.order)
  local all = options.metrics or { options.metric or "accuracy" }
  local metric = all[1]
  local rows = { names = names, metric = metric, metrics = all, greater_is_better = options.greater_is_better }
  for _, point in ipairs(points) do
    local row, scores, peaks = { results = {}, seconds = 0 }, {}, {}
    for _, name in ipairs(all) do scores[name] = {} end
    for name, value in pairs(point) do row[name] = value end
    for _, seed in ipairs(options.seeds or { 42 }) do
      local stage_name = ("%s %s seed=%d"):format(options.name, label(point, names), seed):gsub("  +", " ")
      local result = stage(stage_name, function() return options.run(point, seed) end)
      for name, list in pairs(scores) do
        list[#list + 1] = result.metrics["eval_" .. name] or error(("sweep.run: stage '%s' has no metric '%s'"):format(stage_name, name), 2)
      end
      row.results[#row.results + 1] = options.keep_models and result or sweep.numbers(result)
      row.trainable, row.seconds = result.trainable, row.seconds + result.seconds
      peaks[#peaks + 1] = result.peak_tensor_mb
    end
    row.peak_tensor_mb = #peaks == #row.results and math.max(table.unpack(peaks)) or nil
    for name, list in pairs(scores) do row[name] = sweep.mean(list) end
    row.spread, row.n = sweep.spread(scores[metric]), #row.results
    rows[#rows + 1] = row
  end
  return rows
end

--- Prints the rows of `sweep.run`: the grid's names, parameters, means, spread, seconds, memory.
---@param rows table[] of one or more runs, joined
---@param options? { title?: string, columns?: string[] } columns: more of them, in front
function sweep.report(rows, options)
  options = options or {}
  local columns = {}
  for _, name in ipairs(options.columns or {}) do columns[#columns + 1] = name end
  for _, name in ipairs(rows.names) do columns[#columns + 1] = name end
  columns[#columns + 1] = "trainable"
  for _, name in ipairs(rows.metrics or { rows.metric }) do columns[#columns + 1] = name end
  for _, name in ipairs { "spread", "n", "seconds", "peak_tensor_mb" } do columns[#columns + 1] = name end
  local shown = { columns = columns, title = options.title }
  for i, row in ipairs(rows) do
    shown[i] = {}
    for _, name in ipairs(columns) do
      local value = row[name]
      shown[i][name] = value == nil and "" or value
    end
  end
  report.table(shown)
end

--- Prints the rows of several runs as one table: for each value of `key` the means of all runs with their spread, the sum of
--- their seconds, and the largest memory.
---@param runs table[] rows of `sweep.run`, joined, each with a `title`
---@param key string
function sweep.summary(runs, key)
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

--- The row with the best mean: the least of a loss, the highest of an accuracy. Rows whose mean is no number come last.
---@param rows table[] of `sweep.run`
---@param options? { greater_is_better?: boolean } for a metric of the script's own, where `sweep.run` was not told
function sweep.best(rows, options)
  local greater = options and options.greater_is_better
  if greater == nil then greater = rows.greater_is_better end
  if greater == nil then greater = metrics.greater_is_better(rows.metric) end
  if greater == nil then
    error(("sweep.best: whether more of '%s' is better is not known; give sweep.run greater_is_better = true or false"):format(rows.metric), 2)
  end
  local best, score = rows[1], nil
  for _, row in ipairs(rows) do
    local value = greater and row[rows.metric] or -row[rows.metric]
    if value == value and (not score or value > score) then best, score = row, value end
  end
  return best
end

return sweep
