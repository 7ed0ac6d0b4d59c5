-- Methods in Lua beside their native twins: tokens per second of processor time, the best of all steps, in turn, and whether the
-- losses have the same bits.
--
--   perigee run scripts/lua-method-speed.lua --set config=models/roberta-base/config.json --precision fp32
local p = params {
  config = { "", doc = "config.json of the shape to measure; its vocabulary must hold 512 tokens" },
  steps = { 6, min = 1, doc = "updates of a round" }, rounds = { 3, min = 1, doc = "how often each is measured" },
  batch = { 16, min = 1, doc = "examples in a batch" },
}
if p.config == "" then error("give --set config=PATH") end
local base = models.from_config { config = p.config, tokenizer = models.load("builtin:tiny").tokenizer }
local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 8 * p.batch, max_eval_samples = 8 })
local pairs_of = {
  { adapters.delora { r = 8 }, require "adapters.delora" { r = 8 } }, { adapters.lora_fa { r = 8 }, require "adapters.lora_fa" { r = 8 } },
  { adapters.vera { r = 256 }, require "adapters.vera" { r = 256 } },
}

local function measure(spec, best, like)
  local model = base:classifier { task = task }
  model:add_adapter(spec)
  if spec.method == "vera_lua" then -- torch's draws
    for _, name in ipairs { "vera_A", "vera_B" } do model:parameter(name):copy_(like:parameter(name)) end
  end
  local t = trainer.loop { model = model, task = task, learning_rate = 1e-3, max_steps = p.steps, per_device_train_batch_size = p.batch }
  model:train(t.seed)
  local losses = {}
  while t.step < t.total_steps do
    local start, tokens = os.clock(), 0
    for _, batch in ipairs(t:batches()) do
      local loss = model:loss(batch)
      loss:backward()
      tokens, losses[#losses + 1] = tokens + batch.tokens, string.format("%a", loss:item())
    end
    t:update()
    best = math.max(best, tokens / (os.clock() - start))
  end
  return best, table.concat(losses, " "), model
end

local rows = { columns = { "method", "native", "lua", "ratio", "same_losses" } }
for _, pair in ipairs(pairs_of) do
  local native, own, same = 0, 0, true
  for round = 0, p.rounds do -- round 0 warms up: whatever runs first in a process is slower
    local a, b, model
    native, a, model = measure(pair[1], native)
    own, b = measure(pair[2], own, model)
    if round == 0 then native, own = 0, 0 end
    same = same and a == b
  end
  rows[#rows + 1] = { method = pair[1].method, native = native, lua = own, ratio = own / native, same_losses = same and "yes" or "no" }
end
report.table(rows)
