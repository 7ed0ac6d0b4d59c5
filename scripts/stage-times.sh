#!/usr/bin/env bash
# Measures what stored stages cost: the start of a training with an empty and a full store, and a finished sweep run again.
#   scripts/stage-times.sh [STAGES] [POINTS]        (default: 500 200; PERIGEE: the program, default .build/release/perigee)
set -euo pipefail
perigee=$(realpath "${PERIGEE:-.build/release/perigee}") stages=${1:-500} points=${2:-200}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
options=(--threads 1 --precision fp32 --quiet)
cat > one.lua <<'LUA'
local p = params { learning_rate = 1e-3 }
local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 8, max_eval_samples = 4 })
local model = models.load("builtin:tiny"):classifier { task = task }:add_adapter(adapters.lora { r = 2 })
trainer.fit { model = model, task = task, max_steps = 1, eval_strategy = "no", learning_rate = p.learning_rate }
LUA
cat > many.lua <<'LUA'
local p = params { points = 1, same_name = false }
local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 8, max_eval_samples = 4 })
local base = models.load("builtin:tiny")
for i = 1, p.points do
  local function fit()
    local model = base:classifier { task = task }:add_adapter(adapters.lora { r = 2 })
    return trainer.fit { model = model, task = task, max_steps = 1, eval_strategy = "no", learning_rate = i * 1e-6 }
  end
  if p.same_name then fit() else stage("point " .. i, fit) end
end
LUA
ms() { local begin=$EPOCHREALTIME; "$@" >/dev/null 2>&1; local end=$EPOCHREALTIME; echo $(( (${end/./} - ${begin/./}) / 1000 )); }
# The least of seven trainings of one step, each with a learning rate of its own.
start() {
  local cache=$1 best=1000000 t
  for i in 1 2 3 4 5 6 7; do
    t=$(PERIGEE_CACHE=$cache ms "$perigee" run one.lua "${options[@]}" --set learning_rate=$i.5e-4 --out "run-$cache-$i")
    (( t < best )) && best=$t
  done
  echo "$best"
}
PERIGEE_CACHE=full "$perigee" run many.lua "${options[@]}" --set points="$stages" --out fill >/dev/null 2>&1
# The name that `one.lua` has is the name of as many stages again.
empty=$(start none) full=$(start full)
echo "one training, empty store: $empty ms; $stages stored stages: $full ms; difference $((full - empty)) ms"
PERIGEE_CACHE=sweep "$perigee" run many.lua "${options[@]}" --set points="$points" --out sweep-1 >/dev/null 2>&1
echo "$points finished points again: $(PERIGEE_CACHE=sweep ms "$perigee" run many.lua "${options[@]}" --set points="$points" --out sweep-2) ms in a new run directory"
