#!/usr/bin/env bash
# Shows what becomes of a joint training when something goes wrong in one of its processes: trains once alone, then by several processes for
# each fault, with the fault in the middle, and then goes on without it by another number of processes. Prints for each fault how long it
# took until all had ended, their exit codes, the message, and whether the weights are those of the training alone, bit for bit.
#
#   cluster-faults.sh [--faults A,B] [--processes N=3] [--steps N=1500] [--patience SECONDS=20] [--launcher mpirun.openmpi|mpiexec.mpich]
#                     [--seed S] [--perigee PATH]
#
#   --faults     which (default: all that this machine and its user can make)
#                  killed, killed-first   SIGKILL of a process, and of the first one
#                  hung, hung-first       SIGSTOP of a process, and of the first one
#                  signal                 SIGUSR1 to one process alone
#                  script-error           the script fails in one process
#                  other-files            one process reads another data file
#                  disk-full, out-full    no space for the saved state, and for the run directory (as root: a tmpfs each)
#                  frozen                 the file system of the cache does not answer (as root: a loop device and fsfreeze)
#                  network                all packets between two machines are dropped (as root: two network namespaces; mpirun.openmpi alone)
#   --processes  how many train together
#   --steps      updates of the training, from 1000 on
#   --patience   PERIGEE_HANG_SECONDS of the trainings
#   --launcher   what starts the processes
#   --seed S     seeds which process it is, and when (default 0)
#   --perigee    the program (default: the release build, built first)
#
# Exit code 1 if processes are left after 30 seconds (with the default patience), if there is not exactly one message of perigee's where one
# is due, or if weights differ; the folder is then kept.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "cluster-faults.sh: $1 (see --help)" >&2; exit 1; }

all=killed,killed-first,hung,hung-first,signal,script-error,other-files,disk-full,out-full,frozen,network
faults="" processes=3 steps=1500 patience=20 launcher=mpirun.openmpi seed=0 perigee=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --faults | --processes | --steps | --patience | --launcher | --seed | --perigee)
      [ $# -ge 2 ] || mistake "missing value for $1"
      declare "${1#--}=$2"; shift 2 ;;
    *) mistake "unknown option $1" ;;
  esac
done
for name in processes steps patience seed; do
  [[ ${!name} =~ ^[0-9]{1,6}$ ]] || mistake "--$name ${!name}: expected a number"
done
[ "$steps" -ge 1000 ] || mistake "--steps $steps: expected at least 1000"
[ "$processes" -ge 2 ] || mistake "--processes $processes: expected at least 2"
case $launcher in
  mpirun.openmpi) variable=OMPI_COMM_WORLD_RANK ;;
  mpiexec.mpich) variable=PMI_RANK ;;
  *) mistake "--launcher $launcher: expected mpirun.openmpi or mpiexec.mpich" ;;
esac
command -v "$launcher" >/dev/null || mistake "$launcher: no such program"
for fault in ${faults//,/ }; do [[ ,$all, == *,$fault,* ]] || mistake "--faults $fault: expected some of $all"; done
if [ -z "$perigee" ]; then
  swift build --package-path "$root" -c release --product perigee >&2
  perigee="$root/.build/release/perigee"
fi
[ -x "$perigee" ] || mistake "$perigee: no such program"
RANDOM=$seed
most=$((patience > 20 ? patience + 10 : 30))
export PERIGEE_HANG_SECONDS=$patience OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

work=$(mktemp -d) first=pgf$$a second=pgf$$b started=""
export work variable
cleanup() {
  local status=$?
  [ -z "$started" ] || kill -9 "$started" 2>/dev/null || true
  for file in "$work"/*/pid-*; do [ ! -e "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true; done
  fsfreeze -u "$work/frozen/cache" 2>/dev/null || true
  for mount in "$work"/*/cache "$work"/*/out; do if mountpoint -q "$mount"; then umount -l "$mount"; fi; done
  for space in "$first" "$second"; do
    if ip netns pids "$space" >"$work/pids" 2>/dev/null; then xargs -r kill -9 <"$work/pids" || true; ip netns del "$space" || true; fi
  done
  if [ "$status" = 0 ]; then rm -rf "$work"; else echo "kept: $work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

cat >"$work/bar.lua" <<'LUA'
local p = params { steps = 1500 }
local task = tasks.table { train_file = "train.tsv", validation_files = { "dev.tsv" }, text_column = "text", label_column = "label" }
local model = models.load("builtin:tiny"):classifier { task = task, seed = 1 }
model:add_adapter(adapters.lora { r = 4, lora_alpha = 8, lora_dropout = 0.1 })
stage("bar", function()
  trainer.fit {
    model = model, task = task, max_steps = p.steps, per_device_train_batch_size = 8, micro_batch_size = 2, learning_rate = 1e-3,
    eval_strategy = "steps", eval_steps = 500, save_seconds = 0.2, max_length = 32,
    on_step = function(t)
      if t.step == 700 and os.getenv and os.getenv "RANK_OF_FAULT" then error("only here") end
    end,
  }
end)
LUA
# What a launcher starts: leaves its number and its exit code in the fault's folder, and may begin somewhere else.
cat >"$work/process" <<'SH'
#!/usr/bin/env bash
rank=${!variable}
if [ -d "$folder/files-$rank" ]; then cd "$folder/files-$rank"; fi
if [ "$rank" = "${failing:-none}" ]; then export RANK_OF_FAULT=$rank; fi
"$@" &
echo $! >"$folder/pid-$rank"
code=0; wait $! || code=$?
echo $code >"$folder/code-$rank"
exit $code
SH
chmod +x "$work/process"

data() { # folder seed
  awk -v seed="$2" 'BEGIN {
    srand(seed); split("good bad fine film plot music the was very not", w, " "); print "text\tlabel"
    for (i = 0; i < 200; i++) { t = ""; n = 1 + int(6 * rand()); for (j = 0; j < n; j++) t = t w[1 + int(10 * rand())] " "; print t "\t" (rand() < 0.5 ? "yes" : "no") }
  }' >"$1/train.tsv"
  cp "$1/train.tsv" "$1/dev.tsv"
}
data "$work" 1

milliseconds() { date +%s%3N; }
digest() { sha256sum <"$1/stages/bar/weights.safetensors" | cut -c 1-16; }
options=(--set "steps=$steps" --threads 1 --precision fp32 --no-tensorboard)
cd "$work"
began=$(milliseconds)
PERIGEE_CACHE=$work/alone/cache "$perigee" run bar.lua --out "$work/alone/out" "${options[@]}" >"$work/alone.err" 2>&1 ||
  { cat "$work/alone.err"; exit 1; }
expected=$(digest "$work/alone/out")
echo "alone: $(($(milliseconds) - began)) ms, $steps steps, weights $expected"

is_root() { [ "$(id -u)" = 0 ]; }
# Whether this machine can make a fault; says why not.
can() {
  case $1 in
    disk-full | out-full | frozen | network) is_root || { echo "$1: left out: only root can make it"; return 1; } ;;&
    frozen) { command -v mkfs.ext4 && command -v fsfreeze; } >/dev/null || { echo "$1: left out: no mkfs.ext4 or fsfreeze"; return 1; } ;;
    network)
      command -v ip >/dev/null && command -v tc >/dev/null || { echo "$1: left out: no ip or tc"; return 1; }
      [ "$launcher" = mpirun.openmpi ] || { echo "$1: left out: only mpirun.openmpi can be told how to reach another machine here"; return 1; } ;;
  esac
}

settings=() start=()
prepare() {
  settings=() start=("$launcher" -n "$processes")
  case $1 in
    script-error) settings=(--allow-io); export failing=$((processes - 1)) ;;
    other-files)
      mkdir "$folder/files-1"
      data "$folder/files-1" 2
      cp "$work/bar.lua" "$folder/files-1" ;;
    disk-full) mount -t tmpfs -o size=16m tmpfs "$folder/cache" ;;
    out-full) mount -t tmpfs -o size=16m tmpfs "$folder/out" ;;
    frozen)
      truncate -s 64M "$folder/image"
      mkfs.ext4 -q "$folder/image"
      mount -o loop "$folder/image" "$folder/cache" ;;
    network)
      ip netns add "$first"; ip netns add "$second"
      ip link add eth-a netns "$first" type veth peer name eth-b netns "$second"
      ip -n "$first" addr add 10.77.0.1/24 dev eth-a; ip -n "$second" addr add 10.77.0.2/24 dev eth-b
      ip -n "$first" link set lo up; ip -n "$second" link set lo up
      ip -n "$first" link set eth-a up; ip -n "$second" link set eth-b up
      mkdir "$folder/a" "$folder/b"
      # What mpirun starts in the place of ssh, to live on another machine.
      printf '#!/bin/bash\nshift\nexec ip netns exec %s unshare --uts bash -c '\''hostname node-b; export TMPDIR=%s; exec bash -c "$*"'\'' bash "$@"\n' \
        "$second" "$folder/b" >"$folder/agent"
      chmod +x "$folder/agent"
      start=(env "TMPDIR=$folder/a" ip netns exec "$first" mpirun.openmpi --mca plm_rsh_agent "$folder/agent" --mca btl tcp,self
        --host "10.77.0.1:$((processes - 1)),10.77.0.2" -n "$processes" -x folder -x work -x variable -x PERIGEE_HANG_SECONDS -x PERIGEE_CACHE) ;;
  esac
}
strike() {
  local one=$((RANDOM % (processes - 1) + 1))
  case $1 in
    killed) kill -9 "$(cat "$folder/pid-$one")" ;;
    killed-first) kill -9 "$(cat "$folder/pid-0")" ;;
    hung) kill -STOP "$(cat "$folder/pid-$one")" ;;
    hung-first) kill -STOP "$(cat "$folder/pid-0")" ;;
    signal) kill -USR1 "$(cat "$folder/pid-$one")" ;;
    disk-full) dd if=/dev/zero of="$folder/cache/filler" bs=4k status=none 2>/dev/null || true ;;
    out-full) dd if=/dev/zero of="$folder/out/filler" bs=4k status=none 2>/dev/null || true ;;
    frozen) fsfreeze -f "$folder/cache" ;;
    network)
      ip netns exec "$first" tc qdisc add dev eth-a root pfifo limit 0
      ip netns exec "$second" tc qdisc add dev eth-b root pfifo limit 0 ;;
  esac
}
mend() {
  case $1 in
    disk-full) rm -f "$folder/cache/filler" ;;
    out-full) rm -f "$folder/out/filler" ;;
    frozen) fsfreeze -u "$folder/cache" ;;
    network)
      # mpirun's own process there does not notice for some minutes.
      ip netns pids "$second" | xargs -r kill -9
      ip netns del "$first"; ip netns del "$second" ;;
    other-files) rm -r "$folder/files-1" ;;
  esac
  unset failing
}
has_state() { compgen -G "$folder/cache/stages-*/*/state-*" >/dev/null; }
left() { for file in "$folder"/pid-*; do [ ! -e "$file" ] || { kill -0 "$(cat "$file")" 2>/dev/null && echo "${file##*-}"; }; done; true; }

bad=0
report() { # fault words: what is wrong, or nothing
  if [ -n "$2" ]; then bad=1; echo "$1: WRONG:$2"; tail -n 20 "$folder/err"; fi
}
try() {
  export folder=$work/$1 PERIGEE_CACHE=$work/$1/cache
  mkdir -p "$folder/cache" "$folder/out"
  prepare "$1"
  "${start[@]}" "$work/process" "$perigee" run bar.lua --out "$folder/out/run" --resume auto "${options[@]}" ${settings[@]+"${settings[@]}"} \
    >"$folder/err" 2>&1 </dev/null &
  started=$!
  local end=$((SECONDS + 120)) struck mended="" wrong=""
  until has_state || ! kill -0 "$started" 2>/dev/null || [ $SECONDS -ge $end ]; do sleep 0.05; done
  sleep "0.$((RANDOM % 9 + 1))"
  struck=$(milliseconds)
  strike "$1"
  end=$((SECONDS + most + 30))
  while kill -0 "$started" 2>/dev/null || [ -n "$(left)" ]; do
    [ $SECONDS -lt $end ] || break
    # Nothing ends a process that waits for a device. The others have ended by then.
    if [ "$1" = frozen ] && [ "$(left)" = 0 ] && [ -z "$mended" ]; then mended=$(($(milliseconds) - struck)); fsfreeze -u "$folder/cache"; fi
    sleep 0.05
  done
  local took=$(($(milliseconds) - struck)) code=0 codes=""
  [ -z "$(left)" ] || wrong+=" processes $(left) are left;"
  { wait "$started"; } 2>/dev/null || code=$?
  started=""
  for ((i = 0; i < processes; i++)); do codes+=" $(cat "$folder/code-$i" 2>/dev/null || echo killed)"; done
  local messages
  messages=$(grep -a '^perigee: ' "$folder/err" || true)
  [ "$took" -le $((most * 1000)) ] || wrong+=" took longer than $most s;"
  [ "$code" != 0 ] || [ "$1" = out-full ] || wrong+=" the launcher ended with 0;"
  # Of a process that is killed, the launcher tells.
  [[ $1 == killed* ]] || [ "$(wc -l <<<"$messages")" = 1 ] && [[ $1 == killed* || -n $messages ]] || wrong+=" expected one message of perigee's;"
  echo "$1: ended after $((took / 1000)).$((took % 1000 / 100)) s, launcher $code, processes$codes${mended:+, mended after $((mended / 1000)) s}"
  echo "    ${messages:-$(grep -a -m 1 -E 'signal|BAD TERMINATION|KILLED' "$folder/err" || echo "no message")}"
  if [ "$1" = frozen ] && [ -n "$mended" ]; then :; else mend "$1"; fi
  rm -f "$folder"/pid-* "$folder"/code-*
  local -a again=()
  [ "$((RANDOM % 2))" = 0 ] || again=("$launcher" -n 2 "$work/process")
  if ${again[@]+"${again[@]}"} "$perigee" run bar.lua --out "$folder/out/run" --resume auto "${options[@]}" >"$folder/again" 2>&1; then
    local found
    found=$(digest "$folder/out/run")
    [ "$found" = "$expected" ] || wrong+=" weights $found;"
    echo "    went on by ${again[2]:-1} process(es)$(grep -a -o -m 1 'resumed at step [0-9]*' "$folder/again" | sed 's/^/, /' || true): weights $found"
  else
    wrong+=" cannot go on: $(tail -n 1 "$folder/again");"
  fi
  report "$1" "$wrong"
  for mount in "$folder/cache" "$folder/out"; do if mountpoint -q "$mount"; then umount "$mount"; fi; done
}

for fault in ${faults:-$all}; do for fault in ${fault//,/ }; do if can "$fault"; then try "$fault"; fi; done; done
exit "$bad"
