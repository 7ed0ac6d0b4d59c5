-- Decomposition-based LoRA: y = W x + b + s B Sigma A x with frozen A and B, s = lora_alpha / r. The native adapters.delora
-- with its defaults, bit for bit.
return adapters.define("delora_lua", {
  doc = "Decomposition-based LoRA: trains only Sigma between frozen A and B.",
  config = { r = { 8, min = 1, doc = "rank" }, lora_alpha = { 0.0, min = 0, doc = "numerator of the scale; 0: 2 r" } },
  build = function(layer, c)
    return {
      delora_A = layer:kaiming_uniform("delora_A", { c.r, layer.in_features }):freeze(),
      delora_B = layer:kaiming_uniform("delora_B", { layer.out_features, c.r }):freeze(),
      delora_sigma = tensor.zeros { c.r, c.r },
    }
  end,
  delta = function(x, w, c)
    local alpha = c.lora_alpha > 0 and c.lora_alpha or 2 * c.r
    return x:linear(w.delora_A):linear(w.delora_sigma):linear(w.delora_B) * (alpha / c.r)
  end,
})
