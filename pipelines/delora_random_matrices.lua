-- How much of a random matrix C can A Sigma B hold, with A and B random and Sigma alone trained? DeLoRA's section 3: Adam on
-- Sigma from 0, beside the optimum A+ C B+ and what to expect for independent Gaussians, sqrt(1 - (r/n)^2).
--
--   perigee run pipelines/delora_random_matrices.lua --set n=20,100,400 --set steps=20000
local p = params {
  n = { { 20, 100 }, doc = "sizes of C" },
  fractions = { { 0.08, 0.16, 0.32, 0.64, 0.9, 1.0 }, min = 0, max = 1, doc = "r / n" },
  steps = { 3000, min = 1, doc = "updates at most" },
  learning_rate = { 0.05, min = 0, doc = "of Adam; falls to 0 as a cosine" },
  flat = { 1e-9, min = 0, doc = "ends where a hundred updates change the error by less" },
  rank = { 0, min = 0, doc = "rank of C; 0: full" },
  seed = { 1, min = 0, doc = "of the matrices" },
}

local function randn(rows, columns, seed) return tensor.randn({ rows, columns }, { dtype = "float64", seed = seed }) end

--- Left inverse of a matrix of full column rank: (X^T X)^-1 X^T.
local function pinv(x) return x:t():matmul(x):solve(x:t()) end

local function experiment(n, r)
  local scale = 1 / math.sqrt(n)
  local A, B = randn(n, r, p.seed) * scale, randn(r, n, p.seed + 1) * scale
  local C = p.rank > 0 and randn(n, p.rank, p.seed + 2):matmul(randn(p.rank, n, p.seed + 3)) or randn(n, n, p.seed + 2)
  local norm = C:square():sum():sqrt():item()
  local function error_of(sigma) return (C - A:matmul(sigma):matmul(B)):square():sum():sqrt():item() / norm end
  local optimum = error_of(pinv(A):matmul(C):matmul(pinv(B:t()):t()))

  local sigma = tensor.zeros({ r, r }, { requires_grad = true })
  local optimizer = trainer.adamw { parameters = { sigma }, learning_rate = p.learning_rate, weight_decay = 0 }
  local A32, B32, C32 = A:float(), B:float(), (C / norm):float()
  local last, adam, done = 1, 1, 0
  for step = 1, p.steps do
    optimizer.learning_rate = p.learning_rate * (1 + math.cos(math.pi * (step - 1) / p.steps)) / 2
    optimizer:zero_grad()
    local loss = (C32 - A32:matmul(sigma):matmul(B32)):square():sum()
    loss:backward()
    optimizer:step()
    done = step
    if step % 100 == 0 or step == p.steps then
      adam = error_of(sigma:detach():double() * norm)
      if math.abs(last - adam) < p.flat then break end
      last = adam
    end
  end
  return { n = n, r = r, optimum = optimum, adam = adam, expected = math.sqrt(math.max(0, 1 - (r / n) ^ 2)), steps = done }
end

local rows = { title = "relative error of A Sigma B", columns = { "n", "r", "adam", "optimum", "expected", "steps" } }
for _, n in ipairs(p.n) do
  for _, fraction in ipairs(p.fractions) do
    rows[#rows + 1] = experiment(n, math.max(1, math.floor(fraction * n + 0.5)))
    log.info(("n = %d, r = %d: Adam %s, optimum %s"):format(n, rows[#rows].r, report.number(rows[#rows].adam), report.number(rows[#rows].optimum)))
  end
end
report.table(rows)
