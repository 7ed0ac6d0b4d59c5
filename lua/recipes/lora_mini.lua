-- LoRA-Mini on STS-B, CoLA, MRPC and RTE with BERT-base and RoBERTa-base: Singh et al. 2024 (arXiv 2411.15804). The paper gives
-- ranks, widths and targets, and no learning rate, epochs or batch: those here are LoRA's for the same tasks.
local lora = require "recipes.lora"

return {
  adapter = { a = 64, b = 64 }, ranks = { 8, 16, 32 }, targets = { "D", "D+A" },
  widths = { { 16, 16 }, { 16, 32 }, { 16, 64 }, { 32, 32 }, { 32, 64 }, { 64, 64 } },
  common = lora.common, tasks = { stsb = lora.tasks.stsb, cola = lora.tasks.cola, mrpc = lora.tasks.mrpc, rte = lora.tasks.rte },
}
