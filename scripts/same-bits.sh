#!/usr/bin/env bash
# Shows that a change of the code changed no result: trains the same with an older commit and with this tree, and compares
# the final weights bit for bit.
#
#   same-bits.sh OLD [--quick] [--model DIR] [--perigee NEW]
#
#   OLD         a commit, which is built beside this tree; or the path of a program that was built from it. One in TREE/.build
#               runs the scripts of TREE, another one those of this tree.
#   --quick     the methods' trainings only, in fp32 with one thread
#   --model     a model folder of BERT's kind, to train a LoRA over 4-bit weights too
#   --perigee   the program to compare (default: this tree's release build, built first)
#
# What is trained: the quickstart's three stages after pre-training, shortened, in fp32 and bf16, with one and two threads; 50
# updates of every method of pipelines/compare_methods.lua; and a run of this tree that is killed half-way and resumed.
# Prints one line per file of weights. Exit code 1 if any differs, or is not there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "same-bits.sh: $1 (see --help)" >&2; exit 1; }

old="" new="" model="" quick=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --quick) quick=1; shift ;;
    --model | --perigee)
      [ $# -ge 2 ] || mistake "missing value for $1"
      [ "$1" = --model ] && model=$2 || new=$2
      shift 2 ;;
    -*) mistake "unknown option $1" ;;
    *) [ -z "$old" ] || mistake "more than one OLD"; old=$1; shift ;;
  esac
done
[ -n "$old" ] || mistake "OLD is missing"

work=$(mktemp -d)
cleanup() {
  git -C "$root" worktree remove --force "$work/tree" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

old_root=$root
if [ ! -f "$old" ]; then
  git -C "$root" worktree add -q --detach "$work/tree" "$old" || mistake "'$old' is no program and no commit"
  swift build --package-path "$work/tree" -c release --product perigee >&2
  cp "$work/tree/.build/release/perigee" "$work/perigee-old"
  old=$work/perigee-old old_root=$work/tree
elif [[ $(realpath "$old") == */.build/* ]]; then
  old_root=$(realpath "$old")
  old_root=${old_root%%/.build/*}
fi
if [ -z "$new" ]; then
  swift build --package-path "$root" -c release --product perigee >&2
  new=$root/.build/release/perigee
fi
for program in "$old" "$new"; do [ -x "$program" ] || mistake "$program: no such program"; done

# train SIDE CASE PROGRAM ARGUMENTS...: trains in a fresh cache; the run directory is $work/SIDE/CASE.
train() {
  local side=$1 case=$2 program=$3
  shift 3
  if ! PERIGEE_CACHE=$work/cache-$side-$case "$program" run "$@" --out "$work/$side/$case" --quiet >"$work/log" 2>&1 </dev/null; then
    echo "$case failed with $program:"
    tail -n 5 "$work/log"
    return 1
  fi
  rm -rf "$work/cache-$side-$case"
}

digests() { (cd "$work/$1" && find . -path '*/stages/*' -name '*.safetensors' -type f -print0 | sort -z | xargs -0 -r sha256sum); }

# compare TITLE SIDE: weights of SIDE beside the old program's.
total=0 different=0
compare() {
  local title=$1 digest path other
  digests old >"$work/digests-old"
  digests new >"$work/digests-new"
  [ -s "$work/digests-old" ] || { echo "$title: the old program saved no weights"; exit 1; }
  while read -r digest path; do
    other=$(awk -v path="$path" '$2 == path { print $1 }' "$work/digests-new")
    total=$((total + 1))
    if [ "$digest" = "$other" ]; then
      echo "same       ${digest:0:16} $title ${path#./}"
    else
      different=$((different + 1))
      echo "DIFFERENT  ${digest:0:16} ${other:0:16} $title ${path#./}"
    fi
  done <"$work/digests-old"
  rm -rf "$work/old" "$work/new"
}

# both TITLE SCRIPT ARGUMENTS...
both() {
  local title=$1 script=$2
  shift 2
  mkdir -p "$work/old" "$work/new"
  train old "$title" "$old" "$old_root/$script" "$@"
  train new "$title" "$new" "$root/$script" "$@" || different=$((different + 1))
  compare "$title"
}

pipeline=pipelines/mnli_to_rte.lua
short=(--set epochs=1 --set rte_epochs=2 --set mnli_limit=1024 --set rte_limit=512 --set pretrain_steps=100)
all_methods=(--set pretrain_steps=50 --set steps=50 --set train_limit=1600 --set dev_limit=64)

both methods pipelines/compare_methods.lua --threads 1 --precision fp32 "${all_methods[@]}"
if [ -n "$model" ]; then
  both qlora pipelines/compare_methods.lua --threads 1 --precision fp32 "${all_methods[@]}" --set model="$model" \
    --set methods=qlora,lora --set train_limit=320 --set steps=5
fi
if [ -z "$quick" ]; then
  for precision in fp32 bf16; do
    for threads in 1 2; do
      both "$precision-$threads" "$pipeline" --threads "$threads" --precision "$precision" "${short[@]}"
    done
  done

  # Killed at half the time that the whole took, then resumed.
  mkdir -p "$work/old" "$work/new"
  began=$(date +%s%N)
  train old killed "$old" "$old_root/$pipeline" --threads 1 --precision fp32 "${short[@]}"
  half=$((($(date +%s%N) - began) / 2000000000))
  PERIGEE_CACHE=$work/cache-killed timeout -s KILL "$half" "$new" run "$root/$pipeline" --threads 1 --precision fp32 --out "$work/new/killed" \
    --quiet --set save_seconds=0 "${short[@]}" >/dev/null 2>&1 </dev/null && echo "it was done before the kill" || true
  PERIGEE_CACHE=$work/cache-killed "$new" run --resume "$work/new/killed" --quiet >"$work/log" 2>&1 </dev/null \
    || { tail -n 5 "$work/log"; different=$((different + 1)); }
  compare killed
fi
echo "$total files of weights, $different different"
[ "$different" = 0 ]
