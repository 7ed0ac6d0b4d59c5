-- Delta-LoRA: LoRA whose frozen weight follows the update's changes, W += ratio * s * (B' A' - B A) after every update past
-- start_step. What W gained is ratio * s * (B A - B0 A0), with B0 A0 the product when that began, so W itself stays as it is
-- and the gain is a second branch through which A and B get no gradient. Zi et al. 2023, arXiv 2309.02411.
return adapters.define("delta_lora_lua", {
  doc = "LoRA whose weight follows the update's changes.", exact_gradient = false,
  config = { r = { 8, min = 1, doc = "rank" }, lora_alpha = { 16.0, min = 0, doc = "numerator of the scale" },
    start_step = { 0, min = 0, doc = "updates before the weight begins to follow" }, update_ratio = { 2.0, doc = "lambda" } },
  build = function(layer, c)
    local A = layer:kaiming_uniform("lora_A.weight", { c.r, layer.in_features })
    local B = tensor.zeros { layer.out_features, c.r }
    return { ["lora_A.weight"] = A, ["lora_B.weight"] = B, A0 = A:clone():freeze(), B0 = B:clone():freeze() }
  end,
  delta = function(x, w, c)
    local A, B, s = w["lora_A.weight"], w["lora_B.weight"], c.lora_alpha / c.r
    local gained = x:linear(A:detach()):linear(B:detach()) - x:linear(w.A0):linear(w.B0)
    return x:linear(A):linear(B) * s + gained * (s * c.update_ratio)
  end,
  after_step = function(w, c, step)
    if step <= c.start_step then w.A0:copy_(w["lora_A.weight"]); w.B0:copy_(w["lora_B.weight"]) end
  end,
})
