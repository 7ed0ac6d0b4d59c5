-- Delta-LoRA on generated texts: its Tables 1 (E2E, GPT-2), 2 (WebNLG, GPT-2) and 3 (XSum, BART). Every method trains on the same
-- examples, writes a text for every input of the test set, and is scored as the papers do it; columns that end in _s, _u and _a are
-- of WebNLG's seen and unseen categories, and of all.
--
--   perigee run pipelines/delta_lora_text.lua --set tasks=e2e,webnlg,xsum
--   perigee run pipelines/delta_lora_text.lua --set tasks=e2e,webnlg --set model=openai-community/gpt2-medium --set data=nlg
--   perigee run pipelines/delta_lora_text.lua --set tasks=xsum --set model=facebook/bart-large --set data=nlg
local text, sweep = require "text_experiment", require "sweep"
local recipe = require "recipes.delta_lora_text"

local p = text.params {
  tasks = { { "e2e" }, doc = "some of e2e, webnlg, xsum; a model is for the first two, or for the last" },
  methods = { {}, doc = "which rows: full, frozen_embeddings, selective, lora, dylora, adalora, delta_lora; default: all" },
}
local tables = { e2e = "E2E (Table 1)", webnlg = "WebNLG (Table 2)", xsum = "XSum (Table 3)" }

local all = { "full", "frozen_embeddings", "selective", "lora", "dylora", "adalora", "delta_lora" }

for _, name in ipairs(p.tasks) do
  local methods = text.choose(recipe.methods(name), #p.methods > 0 and p.methods or all)
  sweep.report(text.rows(p, recipe, text.base(p, name), name, methods), { title = tables[name] })
end
