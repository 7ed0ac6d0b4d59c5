-- DeLoRA on GLUE with RoBERTa-base: the settings of LoRA's authors, lora_alpha = 2 r (which is the method's default), and the
-- ranks of Table 2. The head trains beside Sigma, and is not in the paper's counts.
local lora = require "recipes.lora"

return {
  adapter = { r = 64, target_modules = { "query", "value" } }, ranks = { 8, 16, 32, 64 }, common = lora.common, tasks = lora.tasks,
}
