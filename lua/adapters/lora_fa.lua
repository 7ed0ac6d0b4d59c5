-- LoRA-FA: LoRA whose A stays as it was drawn, y = W x + b + s B A dropout(x), s = lora_alpha / r. Of an input, only A x is
-- kept for the backward pass. Zhang et al. 2023, arXiv 2308.03303.
return adapters.define("lora_fa_lua", {
  doc = "LoRA with a frozen A: trains B alone.",
  config = {
    r = { 8, min = 1, doc = "rank" },
    lora_alpha = { 8.0, min = 0, doc = "numerator of the scale lora_alpha / r" },
    lora_dropout = { 0.0, min = 0, doc = "dropout on the adapter's input" },
  },
  dropout = "lora_dropout",
  build = function(layer, c)
    return {
      ["lora_A.weight"] = layer:kaiming_uniform("lora_A.weight", { c.r, layer.in_features }):freeze(),
      ["lora_B.weight"] = tensor.zeros { layer.out_features, c.r },
    }
  end,
  delta = function(x, w, c) return x:linear(w["lora_A.weight"]):linear(w["lora_B.weight"]) * (c.lora_alpha / c.r) end,
})
