#!/usr/bin/env bash
# Shows that weights do not depend on how many processes train together: runs the quickstart's MNLI and RTE stages and a LoRA on MiniLM by
# one process and by several, under OpenMPI and MPICH, in fp32 and bf16, and once more with a process that is killed (SIGKILL) and a run
# that goes on with another number of them; compares the weights of every stage bit for bit, and prints a line for each.
#
#   cluster-bars.sh [--processes "1 2 4 8"] [--launchers "mpirun.openmpi mpiexec.mpich"] [--precisions "fp32 bf16"]
#                   [--trainings "quickstart minilm"] [--kills N=1] [--seed S] [--model DIR] [--quick] [--perigee PATH]
#
#   --processes   numbers of processes
#   --launchers   programs that start them; one that is not installed is an error
#   --precisions  what products with frozen weights compute in
#   --trainings   quickstart: pipelines/mnli_to_rte.lua, shortened; minilm: a LoRA on the model of --model, 200 steps
#   --kills       how often a process of a run is killed, for each launcher, precision and training
#   --seed S      seeds who is killed, and when (default 0)
#   --model       the folder of minilm's model (default models/minilm)
#   --quick       a few steps of each stage
#   --perigee     the program (default: the release build, built first)
#
# Exit code 1 if a weight differs or a run fails; the folder is then kept.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "cluster-bars.sh: $1 (see --help)" >&2; exit 1; }

processes="1 2 4 8" launchers="mpirun.openmpi mpiexec.mpich" precisions="fp32 bf16" trainings="quickstart minilm"
kills=1 seed=0 model=$root/models/minilm quick="" perigee=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --quick) quick=yes; shift ;;
    --processes | --launchers | --precisions | --trainings | --kills | --seed | --model | --perigee)
      [ $# -ge 2 ] || mistake "missing value for $1"
      declare "${1#--}=$2"; shift 2 ;;
    *) mistake "unknown option $1" ;;
  esac
done
for name in kills seed; do [[ ${!name} =~ ^[0-9]{1,6}$ ]] || mistake "--$name ${!name}: expected a number"; done
[[ $processes =~ ^[1-9][0-9]{0,2}(\ [1-9][0-9]{0,2})*$ ]] || mistake "--processes $processes: expected numbers"
for launcher in $launchers; do command -v "$launcher" >/dev/null || mistake "--launchers: $launcher is not installed"; done
for precision in $precisions; do [[ $precision =~ ^(fp32|bf16)$ ]] || mistake "--precisions $precision: expected fp32 or bf16"; done
for training in $trainings; do
  [[ $training =~ ^(quickstart|minilm)$ ]] || mistake "--trainings $training: expected quickstart or minilm"
  [ "$training" = quickstart ] || [ -f "$model/config.json" ] || mistake "--model $model: there is no model"
done
if [ -z "$perigee" ]; then
  swift build --package-path "$root" -c release --product perigee >&2
  perigee="$root/.build/release/perigee"
fi
[ -x "$perigee" ] || mistake "$perigee: no such program"
RANDOM=$seed
# More processes than cores, and maybe a container's root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

work=$(mktemp -d)
cleanup() {
  local status=$?
  [ -z "${running:-}" ] || kill "$running" 2>/dev/null || true
  if [ "$status" = 0 ] || [ ! -e "$work/keep" ]; then rm -rf "$work"; else echo "kept: $work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM
failure() { touch "$work/keep"; echo "$1"; exit 1; }

cat >"$work/minilm.lua" <<'LUA'
local p = params { model = "models/minilm", steps = 200, save_seconds = 5.0 }
local task = tasks.glue("rte", "builtin:rte", { max_eval_samples = 64 })
local base = models.load(p.model)
stage("minilm-lora", function()
  local model = base:classifier { task = task, seed = 1 }
  model:add_adapter(adapters.lora { r = 8, lora_alpha = 16, lora_dropout = 0.1 })
  return trainer.fit {
    model = model, task = task, max_steps = p.steps, learning_rate = 1e-3, per_device_train_batch_size = 16, micro_batch_size = 2,
    gradient_accumulation_steps = 1, max_length = 64, eval_strategy = "no", save_seconds = p.save_seconds,
  }
end)
LUA

options=()
# Sets `options` to what a training's command line ends with.
choose() {
  local steps=200 pretraining=200 rows=2000 rte_rows=600 epochs=1 dev=500
  if [ -n "$quick" ]; then steps=12 pretraining=12 rows=256 rte_rows=96 dev=64; fi
  if [ "$1" = quickstart ]; then
    options=("$root/pipelines/mnli_to_rte.lua" --set micro_batch=4 --set "pretrain_steps=$pretraining" --set "mnli_limit=$rows"
      --set "mnli_dev_limit=$dev" --set "rte_limit=$rte_rows" --set "epochs=$epochs" --set "rte_epochs=$epochs")
  else
    options=("$work/minilm.lua" --set "model=$model" --set "steps=$steps")
  fi
}

# train NAME PRECISION COMMAND...: a run with a store of its own, COMMAND before it.
train() {
  local name=$1 precision=$2
  shift 2
  PERIGEE_CACHE=$work/$name-cache "$@" "$perigee" run "${options[@]}" --out "$work/$name" --precision "$precision" --threads 1 \
    >"$work/$name.out" 2>>"$work/$name.err" </dev/null
}
weights() { (cd "$work/$1/stages" && sha256sum -- */weights.safetensors); }
# compare NAME EXPECTED WORDS: one line about a run.
compare() {
  weights "$1" >"$work/$1.weights"
  cmp -s "$work/$1.weights" "$work/$2.weights" || failure "$3: WEIGHTS DIFFER: $(diff "$work/$2.weights" "$work/$1.weights" | head -n 4)"
  echo "$3: $(wc -l <"$work/$1.weights") stages, weights equal those of one process, bit for bit"
  rm -rf "${work:?}/$1" "${work:?}/$1-cache"
}

# kill_and_resume NAME PRECISION LAUNCHER: kills one of some processes once there is a saved state; the run goes on with another number.
kill_and_resume() {
  local name=$1 precision=$2 launcher=$3 before=$((RANDOM % 3 + 2)) after=$((RANDOM % 3 + 1)) victim status=0
  [ "$after" -lt "$before" ] || after=$((after + 1))
  victim=$((RANDOM % before))
  options+=(--set save_seconds=0)
  train "$name" "$precision" "$launcher" -n "$before" \
    bash -c 'echo $$ >"$0-${OMPI_COMM_WORLD_RANK:-$PMI_RANK}"; exec "$@"' "$work/$name-pid" &
  running=$!
  until compgen -G "$work/$name-cache/stages-*/*/state-*" >/dev/null || ! kill -0 "$running" 2>/dev/null; do sleep 0.02; done
  sleep "0.$((RANDOM % 5))"
  kill -9 "$(cat "$work/$name-pid-$victim")" 2>/dev/null || failure "$name: ended before a process could be killed: $(tail -n 3 "$work/$name.err")"
  wait "$running" || status=$?
  running=""
  [ "$status" != 0 ] || failure "$name: a process was killed, and the run ended with code 0"
  train "$name" "$precision" "$launcher" -n "$after" || failure "$name: $(tail -n 3 "$work/$name.err")"
  grep -q 'resumed at' "$work/$name.err" || failure "$name: the run did not go on from a saved state: $(tail -n 3 "$work/$name.err")"
  compare "$name" "$4" "$5, process $((victim + 1)) of $before killed, resumed with $after"
}

for training in $trainings; do
  for precision in $precisions; do
    choose "$training"
    expected=$training-$precision
    began=$SECONDS
    train "$expected" "$precision" || failure "$expected: $(tail -n 3 "$work/$expected.err")"
    weights "$expected" >"$work/$expected.weights"
    echo "$training, $precision, one process: $((SECONDS - began)) s"
    for launcher in $launchers; do
      for count in $processes; do
        began=$SECONDS
        train "$expected-$launcher-$count" "$precision" "$launcher" -n "$count" || failure "$launcher -n $count: $(tail -n 3 "$work/$expected-$launcher-$count.err")"
        compare "$expected-$launcher-$count" "$expected" "$training, $precision, $launcher -n $count: $((SECONDS - began)) s"
      done
      for kill in $(seq "$kills"); do
        choose "$training"
        kill_and_resume "$expected-$launcher-kill-$kill" "$precision" "$launcher" "$expected" "$training, $precision, $launcher"
      done
    done
  done
done
