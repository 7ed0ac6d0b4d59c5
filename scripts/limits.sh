#!/usr/bin/env bash
# Runs two trainings with too little memory, and on a disk that fills up: every run must succeed, or end with one line and exit
# code 1, and the same command without the limit must then end as an undisturbed run does.
#
#   scripts/limits.sh [--memory COUNT] [--disk COUNT] [--seed N]     (default: 50 of each)
#
# PERIGEE: the program (default: .build/release/perigee). As root, disks are small tmpfs mounts, which are really full; else
# files meet a limit on their size (ulimit -f).
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
perigee=$(realpath "${PERIGEE:-.build/release/perigee}") || exit 1
memory=50 disk=50 seed=1
while [ $# -gt 0 ]; do
  case $1 in
    --memory) memory=$2 ;;
    --disk) disk=$2 ;;
    --seed) seed=$2 ;;
    *) echo "limits.sh: unknown option $1" >&2; exit 1 ;;
  esac
  shift 2
done
RANDOM=$seed
folder=$(mktemp -d)
mounted=
clean() { [ -n "$mounted" ] && umount "$mounted"; rm -rf "$folder"; }
trap clean EXIT
export HOME=$folder NO_COLOR=1
cat > "$folder/two.lua" <<'LUA'
local base = models.load("builtin:tiny")
local task = tasks.glue("rte", "builtin:rte", { max_train_samples = 60, max_eval_samples = 20 })
local options = { task = task, num_train_epochs = 1, learning_rate = 1e-3, save_seconds = 0, eval_strategy = "epoch" }
local function fit(model)
  options.model = model
  return trainer.fit(options)
end
local one = stage("one", function()
  return fit(base:classifier { task = task }:add_adapter(adapters.lora { r = 4, target_modules = { "query", "value" } }))
end)
local two = stage("two", function()
  local model = one.model:new_head { task = task }
  model:add_adapter(adapters.delora { over = "default", adapter_name = "d" })
  return fit(model)
end)
local p = two.model:predict { { "the red cat sat on a mat .", "a cat sat ." } }[1]
for _, label in ipairs { "entailment", "not_entailment" } do print(label, string.format("%.9g", p.probabilities[label])) end
LUA

# Runs the script in a folder, with a command of bash before it that sets a limit.
run() { # FOLDER LIMIT
  (cd "$1" && export PERIGEE_CACHE=$1/cache && timeout -s KILL 120 bash -c "$2; exec \"\$@\"" bash "$perigee" run "$folder/two.lua" \
    --threads 1 --precision fp32 --quiet --out out) > "$folder/output" 2> "$folder/error" < /dev/null
}
failures=0 refusals=0
failed() { failures=$((failures + 1)); echo "WRONG $1: exit code $2, $(wc -l < "$folder/error") lines: $(head -c 300 "$folder/error" | tr '\n' ' ')"; }
# What a run with that limit left is right, and so is what follows it without.
check() { # WHAT CODE FOLDER
  if [ "$2" = 1 ]; then
    refusals=$((refusals + 1))
    if [ "$(wc -l < "$folder/error")" -ne 1 ] || [ "$(wc -c < "$folder/error")" -gt 620 ]; then failed "$1" "$2"; return; fi
  elif [ "$2" != 0 ] || ! cmp -s "$folder/output" "$folder/expected"; then
    failed "$1" "$2"
    return
  fi
  [ "$2" = 0 ] && return
  [ -n "$mounted" ] && mount -o remount,size=1G "$mounted"
  run "$3" true
  local code=$?
  if [ $code != 0 ] || ! cmp -s "$folder/output" "$folder/expected"; then failed "after $1" $code; fi
}

mkdir "$folder/whole"
run "$folder/whole" true || { echo "limits.sh: the script fails without a limit: $(cat "$folder/error")" >&2; exit 1; }
cp "$folder/output" "$folder/expected"
needed=$(du -sb "$folder/whole" | cut -f1)

for ((i = 0; i < memory; i++)); do
  # From 150 MB to 4 GB.
  limit=$((153600 + i * (4194304 - 153600) / (memory > 1 ? memory - 1 : 1)))
  mkdir "$folder/m"
  run "$folder/m" "ulimit -v $limit"
  check "ulimit -v $limit" $? "$folder/m"
  rm -rf "$folder/m"
done

for ((i = 0; i < disk; i++)); do
  bytes=$((4096 + (RANDOM * 32768 + RANDOM) % needed))
  mkdir "$folder/d"
  if mount -t tmpfs -o "size=$bytes" tmpfs "$folder/d" 2> /dev/null; then
    mounted=$folder/d
    run "$folder/d" true
    check "a disk of $bytes bytes" $? "$folder/d"
    umount "$mounted"
    mounted=
  else
    run "$folder/d" "ulimit -f $((bytes / 1024))"
    check "ulimit -f $((bytes / 1024))" $? "$folder/d"
  fi
  rm -rf "$folder/d"
done
echo "$memory limits of memory, $disk full disks: $refusals runs refused in one line, $failures wrong"
exit $((failures > 0))
