-- VeRA: y = W x + b + lambda_b * (B (lambda_d * (A dropout(x)))). A and B are drawn once for all layers and stay frozen; the
-- vectors train. A layer takes the first columns of A and rows of B. Kopiczko et al. 2023, arXiv 2310.11454.
local function first(matrix, dim, n) return matrix:size(dim) == n and matrix or matrix:slice(dim, 0, n) end

return adapters.define("vera_lua", {
  doc = "Vector-based random matrix adaptation: trains two vectors for each layer.",
  config = { r = { 256, min = 1, doc = "rank" }, d_initial = { 0.1, doc = "what lambda_d starts at" }, vera_dropout = { 0.0, min = 0 } },
  dropout = "vera_dropout",
  build = function(layer, c)
    local gain = math.sqrt(6) -- to both sides of 0, over the root of the fan in
    return {
      vera_A = layer:shared("vera_A", { c.r, layer.max_in_features }, { gain = gain }),
      vera_B = layer:shared("vera_B", { layer.max_out_features, c.r }, { gain = gain }),
      vera_lambda_d = tensor.full({ c.r }, c.d_initial), vera_lambda_b = tensor.zeros { layer.out_features },
    }
  end,
  delta = function(x, w, c)
    local A, B = first(w.vera_A, 1, x:size(-1)), first(w.vera_B, 0, w.vera_lambda_b.count)
    return (x:linear(A) * w.vera_lambda_d):linear(B) * w.vera_lambda_b
  end,
})
