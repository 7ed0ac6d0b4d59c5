#!/usr/bin/env bash
# Shows that a killed run loses nothing: runs a pipeline once unbroken, then again and again in a fresh cache,
# each time killed (SIGKILL) at a random moment and resumed, and compares the weights of every stage bit for bit.
#
#   kill-and-resume.sh [N=20] [--signals] [--quick] [--seed S] [--perigee PATH] [--script FILE] [-- OPTIONS OF perigee run]
#
#   N           how many kills
#   --signals   each kill is one of SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGKILL, at random; --resume auto goes on
#   --quick     shorter training, for tests
#   --seed S    seeds the moments (default 0)
#   --perigee   the program (default: the release build, built first)
#   --script    the pipeline (default: pipelines/mnli_to_rte.lua)
#
# Prints one line per kill and a summary. Exit code 1 if any weights differ, a resumed run fails, or a signal does not end
# a run within a minute; the folder with everything is then kept.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the pipeline trains in --quick.
quick=(--set epochs=1 --set rte_epochs=1 --set mnli_limit=512 --set rte_limit=512 --set pretrain_steps=60 --set save_seconds=0)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "kill-and-resume.sh: $1 (see --help)" >&2; exit 1; }

signals=(KILL) go_on=()
kills=20 seed=0 perigee="" script="$root/pipelines/mnli_to_rte.lua" options=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --signals) signals=(INT TERM HUP USR1 USR2 KILL); go_on=(--resume auto); shift ;;
    --quick) options+=("${quick[@]}"); shift ;;
    --seed | --perigee | --script)
      [ $# -ge 2 ] || mistake "missing value for $1"
      declare "${1#--}=$2"; shift 2 ;;
    --) shift; options+=("$@"); break ;;
    -*) mistake "unknown option $1" ;;
    *) kills=$1; shift ;;
  esac
done
[[ $kills =~ ^[1-9][0-9]{0,3}$ ]] || mistake "'$kills' is no number of kills from 1 to 9999"
[[ $seed =~ ^[0-9]{1,9}$ ]] || mistake "'$seed' is no seed from 0 to 999999999"
[ -f "$script" ] || mistake "$script: no such file"
if [ -z "$perigee" ]; then
  swift build --package-path "$root" -c release --product perigee >&2
  perigee="$root/.build/release/perigee"
fi
[ -x "$perigee" ] || mistake "$perigee: no such program"
RANDOM=$seed

work=$(mktemp -d) running=""
cleanup() {
  local status=$?
  [ -z "$running" ] || kill -9 "$running" 2>/dev/null || true
  if [ "$status" = 0 ] || [ ! -e "$work/keep" ]; then rm -rf "$work"; else echo "kept: $work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

milliseconds() { date +%s%3N; }

# Starts the program with the cache and the run directory of attempt $1; further arguments are its own.
start() {
  local place=$work/$1
  shift
  mkdir -p "$place"
  PERIGEE_CACHE=$place/cache "$perigee" run "$@" --quiet >>"$place/log" 2>&1 </dev/null &
  running=$!
}

# Waits for the program and returns its exit code.
finish() {
  local status=0
  { wait "$running"; } 2>/dev/null || status=$?
  running=""
  return "$status"
}

# Kills the program if it runs on for a minute after a signal.
guarded_finish() {
  local status=0 pid=$running
  (for _ in $(seq 600); do sleep 0.1; kill -0 "$pid" 2>/dev/null || exit 0; done; kill -9 "$pid") 2>/dev/null &
  local guard=$!
  finish || status=$?
  kill "$guard" 2>/dev/null || true
  wait "$guard" 2>/dev/null || true
  return "$status"
}

# Name and SHA-256 of all weights of the stages of attempt $1.
digests() {
  (cd "$work/$1/out/stages" && find . -name '*.safetensors' -type f -print0 | sort -z | xargs -0 -r sha256sum)
}

fresh() { start "$1" "$script" --out "$work/$1/out" ${go_on[@]+"${go_on[@]}"} ${options[@]+"${options[@]}"}; }

failure() {
  touch "$work/keep"
  echo "$1"
  tail -n 5 "$2" | sed 's/^/    /'
}

began=$(milliseconds)
fresh unbroken
finish || { failure "the unbroken run failed:" "$work/unbroken/log"; exit 1; }
duration=$(($(milliseconds) - began))
digests unbroken >"$work/expected"
files=$(wc -l <"$work/expected")
[ "$files" -gt 0 ] || { failure "the unbroken run saved no weights:" "$work/unbroken/log"; exit 1; }
echo "unbroken: $duration ms, $files files of weights"

declare -A codes=([INT]=130 [TERM]=143 [HUP]=129 [USR1]=138 [USR2]=140 [KILL]=137)
done=0 early=0 differing=0
while [ "$done" -lt "$kills" ]; do
  # Two draws, because one has 15 bits.
  moment=$(((RANDOM * 32768 + RANDOM) * duration / (32768 * 32768)))
  name=kill-$((done + 1))
  signal=${signals[RANDOM % ${#signals[@]}]}
  fresh "$name"
  sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
  kill "-$signal" "$running" 2>/dev/null || true
  status=0
  guarded_finish || status=$?
  if [ "$status" = 137 ] && [ "$signal" != KILL ]; then
    failure "kill $((done + 1)): the run did not end within a minute of SIG$signal:" "$work/$name/log"
    exit 1
  fi
  if [ "$status" != "${codes[$signal]}" ]; then
    # It was done, or failed, before the kill came.
    early=$((early + 1))
    if [ "$status" != 0 ] || [ "$early" -gt $((2 * kills + 5)) ]; then
      failure "a run ended by itself, with code $status:" "$work/$name/log"
      exit 1
    fi
    rm -rf "${work:?}/$name"
    continue
  fi
  done=$((done + 1))
  if [ -f "$work/$name/out/command.json" ]; then
    how="resumed" state=$(find "$work/$name/out" -path '*/stages/*' -prune -type d | wc -l)
    if [ ${#go_on[@]} -gt 0 ]; then fresh "$name"; else start "$name" --resume "$work/$name/out"; fi
  else
    how="started again" state=0
    fresh "$name"
  fi
  result=identical
  if ! finish; then
    result="FAILED"
  elif ! digests "$name" | cmp -s - "$work/expected"; then
    result="DIFFERENT"
  fi
  printf 'kill %d of %d by SIG%s at %d ms, after %d stages, %s: %s\n' \
    "$done" "$kills" "$signal" "$moment" "$state" "$how" "$result"
  if [ "$result" = identical ]; then
    rm -rf "${work:?}/$name"
  else
    differing=$((differing + 1))
    digests "$name" 2>/dev/null | diff "$work/expected" - | sed 's/^/    /' || true
    failure "  its last words:" "$work/$name/log"
  fi
done
echo "$kills kills, $((kills - differing)) with weights identical to the unbroken run's, $differing not"
[ "$differing" = 0 ]
