-- LoRA-Mini's Tables 3 (T5-small) and 4 (T5-base): English to Romanian, beside full fine-tuning and LoRA by rank; and the grid of its
-- appendix over rank and widths. The paper's "BLEU" is bleu2, up to pairs of words; sacrebleu is what others report.
--
--   perigee run pipelines/lora_mini_translation.lua
--   perigee run pipelines/lora_mini_translation.lua --set model=google-t5/t5-small --set data=nlg --set ranks=8,16,32 --set width=64 \
--     --set lora_ranks=1,2,4,8,16 --set grid=8:16x16,8:16x32,8:16x64,8:32x16,8:32x32,8:32x64,8:64x16,8:64x32,8:64x64,16:32x32,16:32x64,16:64x32
--   perigee check pipelines/lora_mini_translation.lua --set model=t5-small/config.json --set tokenizer=t5-small ...    # the counts alone
local text, sweep = require "text_experiment", require "sweep"
local recipe = require "recipes.lora_mini_text"

local p = text.params {
  lora_ranks = { { 2, 8 }, min = 1, doc = "ranks of LoRA; the paper's are 1,2,4,8,16" },
  ranks = { { 8, 16 }, min = 1, doc = "ranks of LoRA-Mini; the paper's are 8,16,32" },
  width = { 32, min = 1, doc = "a and b of the table; the paper's is 64" },
  grid = { { "8:16x16", "8:16x32" }, doc = "r:axb of the appendix" },
  init = { "zero_up", choices = { "zero_up", "kaiming_all" }, doc = "how the factors start; the paper's is kaiming_all" },
}
local name = "wmt16_en_ro"
local base = text.base(p, name)

local methods, grid, by_label = { recipe.full }, {}, {}
for _, r in ipairs(p.lora_ranks) do methods[#methods + 1] = recipe.lora(r) end
for _, r in ipairs(p.ranks) do methods[#methods + 1] = recipe.lora_mini(r, p.width, p.width, p.init) end
local rows = text.rows(p, recipe, base, name, methods)
for _, row in ipairs(rows) do by_label[row.method] = row end
for i, point in ipairs(p.grid) do
  local r, a, b = point:match("^(%d+):(%d+)x(%d+)$")
  if not r then error(("grid: '%s' is not like 8:16x32"):format(point), 0) end
  local entry = recipe.lora_mini(math.tointeger(r), math.tointeger(a), math.tointeger(b), p.init)
  by_label[entry.label] = by_label[entry.label] or text.rows(p, recipe, base, name, { entry })[1]
  grid[i] = by_label[entry.label]
end
sweep.report(rows, { title = "English to Romanian (Tables 3 and 4)" })
grid.names, grid.metric, grid.metrics = rows.names, rows.metric, rows.metrics
sweep.report(grid, { title = "LoRA-Mini by rank and widths" })
