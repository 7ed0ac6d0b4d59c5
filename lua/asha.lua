-- Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2) over one cache.
-- Nobody waits for a rung to be full: whoever is free takes up the best point that may go on, else a new one. What the points have reached
-- is read from the saved states, so that processes need to tell each other nothing, and a run that is repeated finds all of it.

local sharing = require "sharing"
local attempt, key_of, look, shard, wait = stage.attempt, stage.key, stage.look, stage.shard, stage.wait

local function evaluations_of(search, rung)
  local count = search.first_rung
  for _ = 2, rung do count = math.min(count * search.factor, 1 << 40) end
  return count
end

--- Reads how far a point is: evaluations of the seed that is least far, whether all seeds are finished, and who works at one.
local function refresh(search, point)
  local least, finished, holder = math.huge, true, nil
  for i, key in ipairs(point.keys) do
    local found = look(key)
    point.found[i] = found.evaluations
    if not found.finished then finished, least, holder = false, math.min(least, #found.evaluations), holder or found.holder end
  end
  point.evaluations, point.finished, point.holder = least, finished, holder
end

local function has_reached(search, point, rung) return point.evaluations >= evaluations_of(search, rung) end

--- The mean of the seeds at a rung; higher is better.
local function score(search, point, rung)
  local sum, count = 0, evaluations_of(search, rung)
  for _, evaluations in ipairs(point.found) do
    local metrics = evaluations[math.min(count, #evaluations)] or {}
    sum = sum + (metrics["eval_" .. search.metric] or 0 / 0)
  end
  return sum ~= sum and -math.huge or search.greater and sum or -sum
end

--- The points that have reached a rung, the best first.
local function ranked(search, points, rung)
  local list = {}
  for _, point in ipairs(points) do
    if has_reached(search, point, rung) then list[#list + 1] = { point = point, score = score(search, point, rung) } end
  end
  table.sort(list, function(a, b) return a.score > b.score or a.score == b.score and a.point.number < b.point.number end)
  return list
end

--- The next thing to do: a point, and the rung that it should reach. nil: nothing that nobody does already.
local function job(search, points, order)
  -- Those that are finished have reached all rungs, and are the last one.
  local highest, any_finished = 1, false
  for _, point in ipairs(points) do
    any_finished = any_finished or point.finished
    while not point.finished and has_reached(search, point, highest + 1) do highest = highest + 1 end
  end
  if any_finished then highest = highest + 1 end
  for rung = highest, 1, -1 do
    local list = ranked(search, points, rung)
    for i = 1, #list // search.factor do
      local point = list[i].point
      if not has_reached(search, point, rung + 1) and not point.holder then return point, rung + 1 end
    end
  end
  for _, point in ipairs(order) do
    if not has_reached(search, point, 1) and not point.holder then return point, 1 end
  end
  return nil, highest
end

--- Trains a point's seeds up to a rung; nil: to their end. What another process works at is left to it.
local function advance(search, point, rung)
  local count = rung and evaluations_of(search, rung)
  for i = 1, #point.keys do
    local done = attempt(search.name(point.number, i), function() return search.run(point.number, i, count) end)
    if not done then return end
  end
end

--- The key of a point's training, which may have others before it; nil where it does not pause, as in a check, with its result, if there is one.
local function training_key(name, body)
  while true do
    local key, pauses = key_of(name, body)
    if pauses or not key then return key end
    local done, result = attempt(name, body)
    if not done then
      wait { result.key }
    elseif not result.paused then
      return nil, result
    end
  end
end

--- search: count, the number of points; seeds, of each; name(p, i), the stage's; run(p, i, pause_after), which gives a result; keep(p, i, result);
--- metric, greater, factor, first_rung. False where nothing pauses, and a result that shows it.
local function run(search)
  local points = {}
  for p = 1, search.count do
    local point = { number = p, keys = {}, found = {} }
    for i = 1, search.seeds do
      local key, unpaused = training_key(search.name(p, i), function() return search.run(p, i, search.first_rung) end)
      if not key then return false, unpaused end
      point.keys[i] = key
    end
    points[p] = point
  end
  local number, count = shard()
  local order, calm, said = sharing.in_turn(points, number or 1, count or 1), 0, nil
  while true do
    local held
    for _, point in ipairs(points) do
      refresh(search, point)
      if point.holder then held = held or point end
    end
    local point, rung = job(search, points, order)
    if point then
      advance(search, point, rung)
      calm = 0
    elseif held then
      local text = ("waiting for '%s', which %s trains"):format(search.name(held.number, 1), held.holder)
      if text ~= said then log.info(text) end
      said, calm = text, 0
      wait(held.keys, 1)
    else
      -- Another process may have begun something while this one looked: it looks twice.
      calm = calm + 1
      if calm == 2 then
        local best = ranked(search, points, rung)[1].point
        if best.finished then break end
        advance(search, best)
        calm = 0
      end
    end
  end
  for p, point in ipairs(points) do
    local rung = 1
    while not point.finished and has_reached(search, point, rung + 1) do rung = rung + 1 end
    for i = 1, search.seeds do
      -- What is there is given without training.
      local name, body = search.name(p, i), function() return search.run(p, i, not point.finished and evaluations_of(search, rung) or nil) end
      local done, result = attempt(name, body)
      search.keep(p, i, done and result or stage(name, body))
    end
  end
  return true
end

return { run = run }
