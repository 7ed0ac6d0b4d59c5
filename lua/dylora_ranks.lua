-- Evaluates a DyLoRA at every rank that it was trained for.
--
--   local ranks = require "dylora_ranks"
--   local rows = ranks.evaluate { model = model, task = task, ranks = { 1, 2, 4, 8 }, options = { max_length = 128 } }
--   print(rows[4].eval_accuracy)

local M = {}

--- The metrics at each rank; the model then computes with the last of them.
---@param options { model: Model, task: Task, ranks: integer[], adapter_name: string?, options: table? } `ranks` are from 1 to
--- the adapter's r; `options` are further ones of trainer.evaluate
---@return table<integer, table> # by rank, what trainer.evaluate returns
function M.evaluate(options)
  local result = {}
  for _, rank in ipairs(options.ranks) do
    options.model:set_rank { r = rank, adapter_name = options.adapter_name }
    local evaluation = { model = options.model, task = options.task }
    for key, value in pairs(options.options or {}) do evaluation[key] = value end
    result[rank] = trainer.evaluate(evaluation)
  end
  return result
end

return M
