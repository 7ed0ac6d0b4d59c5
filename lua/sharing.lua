-- How several processes share out trainings over one cache; `sweep.run` does it for the processes of `perigee run --shard`.
--
-- A training is a table: name, of its stage; run, a function that gives its result; keep, which takes that.

local attempt, look, wait = stage.attempt, stage.look, stage.wait

--- The trainings of this process first; then those of the others, the last ones first, since everybody begins with the first of his own.
local function in_turn(list, number, count)
  local turn = {}
  for after = 0, count - 1 do
    local part = {}
    for i = (number - 1 + after) % count + 1, #list, count do part[#part + 1] = list[i] end
    for i in ipairs(part) do turn[#turn + 1] = part[after == 0 and i or #part + 1 - i] end
  end
  return turn
end

--- Takes up a training, unless another process works at it. Whether it is done.
local function try(training)
  -- To ask for the result, its model has to be made; whether somebody works at it is known without that.
  if training.key and not wait({ training.key }, 0) then return false end
  local done, result = attempt(training.name, training.run)
  if done then training.keep(result) else training.key, training.holder = result.key, result.holder end
  return done
end

--- Does all trainings, together with others that do the same. Those that others work at are waited for: they may end without a result.
local function train(list, number, count)
  local left, said = in_turn(list, number, count), nil
  while #left > 0 do
    local held = {}
    for _, training in ipairs(left) do
      if not try(training) then held[#held + 1] = training end
    end
    -- What was left aside at first may be done by now.
    if #held > 0 and #held == #left then
      local first = held[1]
      local text = ("waiting for '%s', which %s trains"):format(first.name, look(first.key).holder or first.holder)
      if text ~= said then log.info(#held == 1 and text or ("%s, and for %d more"):format(text, #held - 1)) end
      said = text
      local keys = {}
      for i, training in ipairs(held) do keys[i] = training.key end
      wait(keys)
    end
    left = held
  end
end

return { in_turn = in_turn, train = train }
