---@meta
-- Written by `perigee stubs` from the declarations.

---Options of sweep.run.
---@class SweepRunOptions
---@field name string what the stages are called, in front of the point
---@field run fun(point: table, seed: integer, pause_after: integer?): Result trains a point and gives the result of trainer.fit
---@field grid? table<string, any[]> lists of values by name: every combination is a point
---@field order? string[] the names of the grid, the last of which changes fastest; default: in alphabetical order
---@field random? table<string, table> ranges by name, in place of a grid: sweep.uniform, log_uniform, int, choice
---@field trials? integer how many different points are drawn from the ranges; more of them are the same ones and further ones (from 1 to 1000000)
---@field search_seed? integer seeds the points that are drawn; default: 42
---@field seeds? integer[] every point is trained once for each (default {42})
---@field metric? string which metric the rows have, without eval_ (default "accuracy")
---@field metrics? string[] several of them, the one that decides first; default: metric alone
---@field greater_is_better? boolean which mean is the best, for a metric of the script's own; default: as the metric says
---@field halving? integer successive halving: where trainings have got to first_rung evaluations, the best one of so many points goes on, until so many times as many; run hands its third argument on to trainer.fit as pause_after; default: all points train to their end (from 2 to 1000)
---@field asha? table asynchronous successive halving, where nobody waits for a whole rung: { factor = 3, first_rung = 1 }, the best one of factor points that have reached a rung goes on to factor times as many evaluations; which ones these are depends on the order in which results come in
---@field first_rung? integer evaluations after which halving compares for the first time; default: 1 (from 1 to 1000000)
---@field keep_models? boolean whether results have their models, which then stay in memory as long as the rows do (default false)

---Grids, random search and seeds: every point is a stage, and results come back as means with their spread.
---@class sweeplib
sweep = {}

---Trains every point with every seed, each in a stage of its own: what is finished is not trained again. One row for each point has its values, the mean of each metric, spread (of the first metric), n, trainable, seconds (in all), peak_tensor_mb (the highest), results (one for each seed), and stopped where halving ended it early.
---@param options SweepRunOptions see the fields
---@return table[] # the rows, for sweep.report and sweep.best
function sweep.run(options) end

---Prints the rows of sweep.run: the points' values, parameters, means, spread, seconds, memory.
---@param rows table[] of one or more runs, joined
---@param options? table title, and columns: names of more of them, in front
function sweep.report(rows, options) end

---The row with the best mean: the least of a loss, the highest of an accuracy. Points that were stopped early, and means that are no numbers, come last.
---@param rows table[] of sweep.run
---@param options? table greater_is_better: for a metric of the script's own, where sweep.run was not told (default {})
---@return table # one of the rows
function sweep.best(rows, options) end

---Prints the rows of several runs as one table: for each value of key the means of all runs with their spread, the sum of their seconds, and the largest memory.
---@param runs table[] rows of sweep.run, each with a title
---@param key string the name of a field of the rows
function sweep.summary(runs, key) end

---A range of numbers, all of them as likely. Values have six digits.
---@param low number the lowest
---@param high number the highest
---@return table # a range for random
function sweep.uniform(low, high) end

---A range of numbers whose logarithms are all as likely, for learning rates. Values have six digits.
---@param low number the lowest, above 0
---@param high number the highest
---@return table # a range for random
function sweep.log_uniform(low, high) end

---A range of integers, all of them as likely.
---@param low integer the lowest
---@param high integer the highest
---@return table # a range for random
function sweep.int(low, high) end

---One of some values, all of them as likely.
---@param values any[] numbers, strings, true or false
---@return table # a range for random
function sweep.choice(values) end

---The points of a random search: different ones, which depend on the ranges, the seed and their place alone.
---@param ranges table<string, table> by name
---@param trials integer how many (from 1 to 1000000)
---@param seed? integer seeds the draws (default 42)
---@return table[] # the points: tables of names and values
function sweep.draw(ranges, trials, seed) end

---All points of a grid: tables with one value of each list, and the names in their order.
---@param grid table<string, any[]> lists of values by name
---@param order? string[] the names; the last one changes fastest; default: in alphabetical order
---@return table[] # the points; then the names
function sweep.points(grid, order) end

---A result's numbers, without its model.
---@param result any of trainer.fit
---@return table # stage, metrics, trainable, total, steps, tokens, seconds, ...
function sweep.numbers(result) end

---The mean of a list.
---@param values number[] the list
---@return number # the mean
function sweep.mean(values) end

---The sample standard deviation of a list: divided by n - 1.
---@param values number[] the list
---@return number? # the deviation; nil for fewer than two values
function sweep.spread(values) end

return sweep
