#!/usr/bin/env bash
# Shows that a sweep may be shared out among processes that die: trains all points by one process, then by several over one cache, each
# killed (SIGKILL) at random and started again, and compares tables and weights bit for bit, and how often each stage was trained.
#
#   shard-bars.sh [--workers N=6] [--points N=24] [--kills N=40] [--steps N=900] [--mode grid|halving|asha] [--seed S]
#                 [--mounts A,B] [--perigee PATH]
#
#   --workers   processes over one cache
#   --points    stages of the sweep, a multiple of 4
#   --kills     how many times a process is killed and started again; once, one that works is stopped (SIGSTOP) instead, and woken when
#               its work was taken over
#   --steps     updates of each stage
#   --mode      how the sweep chooses (default grid); of asha, which depends on the order of results, the numbers of each stage are compared
#   --seed S    seeds the moments (default 0)
#   --mounts    two mounts of one empty folder, such as two NFS clients have: the cache. Every second process works in B, under another
#               machine's name and with a list of processes of its own, so that nobody sees of the others more than the folder (as root)
#   --perigee   the program (default: the release build, built first)
#
# Exit code 1 if a table or a weight differs, a stage was trained twice to its end, or a process fails; the folder is then kept.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "shard-bars.sh: $1 (see --help)" >&2; exit 1; }

workers=6 points=24 kills=40 steps=900 seed=0 mode=grid mounts="" perigee=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --workers | --points | --kills | --steps | --seed | --mode | --mounts | --perigee)
      [ $# -ge 2 ] || mistake "missing value for $1"
      declare "${1#--}=$2"; shift 2 ;;
    *) mistake "unknown option $1" ;;
  esac
done
for name in workers points kills steps seed; do
  [[ ${!name} =~ ^[0-9]{1,6}$ ]] || mistake "--$name ${!name}: expected a number"
done
[ "$workers" -ge 1 ] || mistake "--workers 0: expected at least 1"
[ $((points % 4)) = 0 ] && [ "$points" -gt 0 ] || mistake "--points $points: expected a multiple of 4"
[[ $mode =~ ^(grid|halving|asha)$ ]] || mistake "--mode $mode: expected grid, halving or asha"
if [ -z "$perigee" ]; then
  swift build --package-path "$root" -c release --product perigee >&2
  perigee="$root/.build/release/perigee"
fi
[ -x "$perigee" ] || mistake "$perigee: no such program"
RANDOM=$seed
export PERIGEE_LEASE_SECONDS=2

work=$(mktemp -d)
first=$work/all second=$work/all elsewhere=()
if [ -n "$mounts" ]; then
  first=${mounts%%,*} second=${mounts##*,}
  [ "$(id -u)" = 0 ] || mistake "--mounts: only root gives processes another machine's name"
  [ -d "$first" ] && [ -d "$second" ] && [ -z "$(ls -A "$first" "$second" | grep -v ':$' || true)" ] || mistake "--mounts $mounts: expected two empty folders"
  elsewhere=(unshare --uts --pid --fork --kill-child=KILL --mount-proc sh -c 'hostname node-b && exec "$@"' sh)
fi
declare -a process=()
cleanup() {
  local status=$?
  for pid in ${process[@]+"${process[@]}"}; do kill -9 "$pid" 2>/dev/null || true; done
  if [ "$status" = 0 ] || [ ! -e "$work/keep" ]; then rm -rf "$work"; else echo "kept: $work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM
failure() { touch "$work/keep"; echo "$1"; exit 1; }

# Every number of a result with all its digits, and nothing that is measured.
cat >"$work/sweep.lua" <<'LUA'
local p = params { points = 24, steps = 900, mode = "grid" }
local sweep = require "sweep"
local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 64, max_eval_samples = 32 })
local base = models.load("builtin:tiny")
local seeds = {}
for i = 1, p.points // 4 do seeds[i] = i end
local grid, points = { r = { 2, 4 }, learning_rate = { 1e-3, 5e-3 } }, nil
-- Where the sweep compares points, each stage is one.
if p.mode ~= "grid" then grid, seeds = { r = { 2, 4 }, learning_rate = { 1e-3, 5e-3 }, number = seeds }, { 1 } end
local rows = sweep.run {
  name = "bar", grid = grid, seeds = seeds, metric = "loss", metrics = { "loss", "accuracy" },
  halving = p.mode == "halving" and 2 or nil, asha = p.mode == "asha" and { factor = 2 } or nil,
  run = function(point, seed, pause_after)
    local model = base:classifier { task = task, seed = seed }
    model:add_adapter(adapters.lora { r = point.r, lora_alpha = 2 * point.r, lora_dropout = 0.1 })
    return trainer.fit {
      model = model, task = task, max_steps = p.steps, learning_rate = point.learning_rate, seed = (point.number or 0) * 100 + seed,
      eval_strategy = "steps", eval_steps = math.max(1, p.steps // 6), save_seconds = 0.2, max_length = 64, pause_after = pause_after,
    }
  end,
}
for _, row in ipairs(rows) do
  for i, result in ipairs(row.results) do
    print(("TABLE r=%d learning_rate=%g number=%s seed=%d loss=%.17g accuracy=%.17g steps=%d key=%s %s"):format(
      row.r, row.learning_rate, row.number or "-", seeds[i], result.metrics.eval_loss, result.metrics.eval_accuracy, result.steps, result.key,
      row.stopped and "stopped" or ""))
  end
end
LUA

milliseconds() { date +%s%3N; }
options=(--set "points=$points" --set "steps=$steps" --set "mode=$mode" --threads 1 --precision fp32)

began=$(milliseconds)
PERIGEE_CACHE=$work/one "$perigee" run "$work/sweep.lua" --out "$work/alone" "${options[@]}" >"$work/alone.out" 2>"$work/alone.err" ||
  failure "one process failed: $(tail -n 3 "$work/alone.err")"
grep '^TABLE' "$work/alone.out" >"$work/expected"
[ "$(wc -l <"$work/expected")" = "$points" ] || failure "expected $points rows, found $(wc -l <"$work/expected")"
alone=$(($(milliseconds) - began))
echo "one process: $alone ms, $points stages"

start() {
  local cache=$first
  local -a prefix=()
  if [ -n "$mounts" ] && [ $(($1 % 2)) = 0 ]; then cache=$second prefix=("${elsewhere[@]}"); fi
  PERIGEE_CACHE=$cache ${prefix[@]+"${prefix[@]}"} "$perigee" run "$work/sweep.lua" --shard "$1/$workers" --out "$work/runs" --resume auto "${options[@]}" \
    >"$work/worker-$1.out" 2>>"$work/worker-$1.err" </dev/null &
  process[$1]=$!
}
# Whether a process holds a stage.
works() { [ -n "$(find "$first/stages-3" -name "lease-*-$1-*" -print -quit 2>/dev/null)" ]; }
# Which finished results there are, and as which folders: one that was replaced has another number.
note_results() { find "$first/stages-3" -maxdepth 1 -name '[0-9a-f]*' ! -name '*.partial' -printf '%i %f\n' >>"$work/seen" 2>/dev/null || true; }

began=$(milliseconds)
for i in $(seq "$workers"); do start "$i"; done
killed=0 stopped="" waited=0
while [ "$killed" -lt "$kills" ]; do
  sleep "0.$((RANDOM % 5 + 1))"
  note_results
  i=$((RANDOM % workers + 1))
  if ! kill -0 "${process[$i]}" 2>/dev/null; then
    # It was done; once all of them are, there is nothing left to kill.
    waited=$((waited + 1))
    [ "$waited" -gt $((4 * workers)) ] && break
    continue
  fi
  killed=$((killed + 1))
  if [ "$killed" = 2 ]; then
    # In the middle of its work, so that the others have something to wait for.
    for attempt in $(seq 60); do
      i=$((attempt % workers + 1))
      if works "${process[$i]}" && kill -STOP "${process[$i]}" 2>/dev/null; then
        stopped=$i
        break
      fi
      sleep 0.05
    done
    continue
  fi
  [ "$i" = "$stopped" ] && continue
  kill -9 "${process[$i]}" 2>/dev/null || true
  { wait "${process[$i]}"; } 2>/dev/null || true
  start "$i"
done
if [ -n "$stopped" ]; then
  for _ in $(seq 1200); do works "${process[$stopped]}" || break; sleep 0.1; done
  kill -CONT "${process[$stopped]}" 2>/dev/null || true
fi
for i in $(seq "$workers"); do
  status=0
  { wait "${process[$i]}"; } 2>/dev/null || status=$?
  note_results
  [ "$status" = 0 ] || failure "worker $i ended with code $status: $(tail -n 3 "$work/worker-$i.err")"
done
process=()
echo "$workers processes: $(($(milliseconds) - began)) ms, $killed times one was killed and started again, $([ -z "$stopped" ] && echo none || echo one) of them stopped and woken"

tables=0
for i in $(seq "$workers"); do
  grep '^TABLE' "$work/worker-$i.out" >"$work/table-$i" || true
  if [ "$mode" = asha ]; then
    # Whoever went on is another; what was reached is the same.
    cmp -s "$work/table-$i" "$work/table-1" || failure "the tables of workers 1 and $i differ: $(diff "$work/table-1" "$work/table-$i" | head -n 4)"
  else
    cmp -s "$work/table-$i" "$work/expected" || failure "worker $i's table differs: $(diff "$work/expected" "$work/table-$i" | head -n 4)"
  fi
  tables=$((tables + 1))
done
if [ "$mode" = asha ]; then
  shared=$(grep -vc stopped "$work/table-1")
  echo "$tables tables are equal, bit for bit; $shared points went to their end"
else
  echo "$tables tables equal that of one process, bit for bit"
fi

digests() { (cd "$1/stages-3" && sha256sum [0-9a-f]*/weights.safetensors | grep -v partial | sort -k2); }
digests "$first" >"$work/weights"
digests "$work/one" >"$work/weights-alone"
if [ "$mode" = asha ]; then
  join -1 2 -2 2 "$work/weights" "$work/weights-alone" | awk '$2 != $3 { bad = 1 } END { exit bad }' || failure "weights differ"
else
  cmp -s "$work/weights" "$work/weights-alone" || failure "weights differ: $(diff "$work/weights" "$work/weights-alone" | head -n 4)"
fi
results=$(wc -l <"$work/weights")
folders=$(sort -u "$work/seen" | wc -l)
[ "$folders" = "$results" ] || failure "$results results, but $folders folders held them: one was stored twice"
twice=$(cat "$work"/worker-*.err | grep -E '^bar .*: (loss|accuracy) .*\([0-9.]+ [a-z]+\)$' | grep -v ' paused at ' | sed 's/: .*//' | sort | uniq -d)
[ -z "$twice" ] || failure "trained twice to the end: $twice"
echo "$results results, each stored once and trained once to its end; weights equal those of one process"
echo "went on from a saved state: $(cat "$work"/worker-*.err | grep -c ', resumed at ' || true); taken over from a silent process: $(cat "$work"/worker-*.err | grep -c 'shows no sign of life' || true); waits: $(cat "$work"/worker-*.err | grep -c "^waiting for" || true)"
left=$(find "$first/stages-3" -maxdepth 1 -name '*.partial' | wc -l)
[ "$mode" != grid ] || [ "$left" = 0 ] || failure "$left unfinished stages are left"
