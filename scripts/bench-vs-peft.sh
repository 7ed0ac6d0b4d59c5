#!/usr/bin/env bash
# Perigee beside PyTorch + Transformers + PEFT on this machine: the same training by both in turn (A B A B), each in a
# process of its own, and the ratios, as median with minimum and maximum over the pairs.
#
#   bench-vs-peft.sh [OPTIONS]
#
#   --pairs N             how often both run (default 5)
#   --model M             model folder or config.json for both (default random:roberta-base: random weights)
#   --method NAME         lora, classifier, full or none (default lora)
#   --rank R              rank of the LoRA, whose lora_alpha is twice that (default 8)
#   --targets NAMES       layers that the LoRA adapts (default query,value)
#   --batch B             sequences in a batch (default 32)
#   --dropout P           dropout in the model (default 0.1)
#   --precision P         Perigee's: auto, bf16, fp32 (default auto)
#   --peft-precision P    PEFT's: bf16, autocast, fp32 (default: fp32 beside fp32, else bf16)
#   --threads N           of both (default: one per core)
#
#   --synthetic N,T       N sequences of T random tokens (default 160,128); or real data, which PEFT pads:
#   --data DIR            folder of a GLUE task (train.tsv, dev.tsv)
#   --train FILE          the same training file, for PEFT (default DIR/train.tsv)
#   --task NAME           the task (default rte)
#   --columns NAMES       its text columns (default sentence1,sentence2)
#   --tokenizer DIR       for both (default: the model's)
#   --max-length N        tokens of an example (default 128)
#   --epochs N            passes over the data, of both (default 1)
#   --limit N             only the first N rows
#   --group-by-length     sort examples by length, in both
#
#   --python PATH         interpreter with the packages of scripts/requirements-bench.txt (default python3)
#   --perigee PATH        the program (default: the release build, built first)
#   --keep FILE           append every run's numbers to FILE, one JSON object a line
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "bench-vs-peft.sh: $1 (see --help)" >&2; exit 1; }

pairs=5 model=random:roberta-base method=lora rank=8 targets=query,value batch=32 dropout=0.1 precision=auto
peft_precision="" threads="" synthetic="" data="" train="" task="" columns=sentence1,sentence2 tokenizer=""
max_length=128 epochs=1 limit="" group="" python=python3 perigee="" keep=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --group-by-length) group=$1; shift ;;
    --pairs | --model | --method | --rank | --targets | --batch | --dropout | --precision | --peft-precision | --threads \
      | --synthetic | --data | --train | --task | --columns | --tokenizer | --max-length | --epochs | --limit | --python \
      | --perigee | --keep)
      [ $# -ge 2 ] || mistake "missing value for $1"
      name=${1#--}
      declare "${name//-/_}=$2"; shift 2 ;;
    *) mistake "unknown option $1" ;;
  esac
done
for number in pairs rank batch max_length limit threads; do
  [[ ${!number} =~ ^([1-9][0-9]{0,8})?$ ]] || mistake "--${number//_/-} ${!number}: expected a number of at least 1"
done
[ -n "$pairs" ] && [ -n "$rank" ] && [ -n "$batch" ] && [ -n "$max_length" ] || mistake "an option's value is empty"
case $method in lora | classifier | full | none) ;; *) mistake "--method $method: expected lora, classifier, full or none" ;; esac
case $precision in auto | bf16 | fp32) ;; *) mistake "--precision $precision: expected auto, bf16 or fp32" ;; esac
[ -n "$peft_precision" ] || { [ "$precision" = fp32 ] && peft_precision=fp32 || peft_precision=bf16; }
case $peft_precision in bf16 | autocast | fp32) ;; *) mistake "--peft-precision $peft_precision: expected bf16, autocast or fp32" ;; esac

peft_options=(--method "$method" --rank "$rank" --targets "$targets" --batch "$batch" --dropout "$dropout"
  --precision "$peft_precision" --model "$model" --epochs "$epochs" ${group:+"$group"} ${threads:+--threads "$threads"})
perigee_options=(--adapter "$method" --batch "$batch" --dropout "$dropout" --precision "$precision" --model "$model"
  --epochs "$epochs" ${group:+"$group"} ${threads:+--threads "$threads"})
[ "$method" != lora ] || perigee_options+=(--set "r=$rank" --set "lora_alpha=$((2 * rank))" --targets "$targets")
if [ -n "$data$train$task" ]; then
  [ -z "$synthetic" ] || mistake "--synthetic with real data: one of them"
  [ -n "$data" ] || mistake "real data needs --data DIR, the task's folder"
  train=${train:-$data/train.tsv}
  [ -f "$train" ] || mistake "$train: no such file"
  # Both must train on the same rows.
  cmp -s "$train" "$data/train.tsv" || mistake "$train is not the same file as $data/train.tsv"
  peft_options+=(--train "$train" --columns "$columns" --max-length "$max_length" ${limit:+--limit "$limit"}
    ${tokenizer:+--tokenizer "$tokenizer"})
  perigee_options+=(--task "${task:-rte}" --data "$data" --max-length "$max_length" ${limit:+--limit "$limit"}
    ${tokenizer:+--tokenizer "$tokenizer"})
else
  synthetic=${synthetic:-160,128}
  [[ $synthetic =~ ^[1-9][0-9]{0,7},[1-9][0-9]{0,4}$ ]] || mistake "--synthetic $synthetic: expected N,T"
  peft_options+=(--synthetic "$synthetic" --max-length "${synthetic#*,}")
  perigee_options+=(--sequences "${synthetic%,*}" --length "${synthetic#*,}")
fi

command -v "$python" >/dev/null || mistake "$python: no such program"
needs=(torch transformers peft safetensors numpy)
lacking=$("$python" - "${needs[@]}" <<'PYTHON'
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None], sep=", ")
PYTHON
)
[ -z "$lacking" ] || mistake "missing Python packages: $lacking; install them: $python -m pip install -r $here/requirements-bench.txt"
if [ -z "$perigee" ]; then
  swift build --package-path "$root" -c release --product perigee >&2
  perigee=$root/.build/release/perigee
fi
command -v "$perigee" >/dev/null || mistake "$perigee: no such program"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Runs a command and appends its JSON object to the results, with its name, its pair and its wall time.
measure() {
  local name=$1 pair=$2 start end
  shift 2
  start=$(date +%s%N)
  "$@" >"$work/output" 2>"$work/error" || { cat "$work/error" >&2; echo "bench-vs-peft.sh: $name failed" >&2; exit 1; }
  end=$(date +%s%N)
  "$python" - "$work/output" "$name" "$pair" "$((end - start))" >>"$work/results" <<'PYTHON'
import json, sys
path, name, pair, nanoseconds = sys.argv[1:]
result = json.loads(open(path).read().strip().splitlines()[-1])
print(json.dumps(dict(program=name, pair=int(pair), wall_s=int(nanoseconds) / 1e9, **result)))
PYTHON
  tail -1 "$work/results" | "$python" -c '
import json, sys
r = json.loads(sys.stdin.read())
print("%-8s pair %d: %8.1f tokens/s, %7.2f s in all, %5d MB, first step after %5.2f s, loss %.4f to %.4f" % (
    r["program"], r["pair"], r["tokens_per_s"], r["wall_s"], r["peak_rss_mb"], r["startup_s"], r["loss_first"], r["loss_last"]))'
}

for ((pair = 1; pair <= pairs; pair++)); do
  measure PEFT "$pair" "$python" "$here/peft_baseline.py" "${peft_options[@]}"
  measure Perigee "$pair" "$perigee" bench step --json "${perigee_options[@]}"
done
[ -z "$keep" ] || cat "$work/results" >>"$keep"

"$python" - "$work/results" <<'PYTHON'
import json, statistics, sys
runs = [json.loads(line) for line in open(sys.argv[1])]
sides = {name: [r for r in runs if r["program"] == name] for name in ("PEFT", "Perigee")}
peft, perigee = sides["PEFT"], sides["Perigee"]
for field in ("steps", "trainable"):
    counts = {r[field] for r in runs}
    if len(counts) > 1: print("warning: not the same work: %s differ: %s" % (field, sorted(counts)))
print("\nPEFT %s in %s, Perigee in %s; %d steps of %d sequences, %s trainable parameters, %d pairs" % (
    peft[0]["peer"], peft[0]["precision"], perigee[0]["precision"], peft[0]["steps"], peft[0]["batch"],
    format(peft[0]["trainable"], ","), len(peft)))
print("%-30s %12s %12s   %s" % ("medians", "PEFT", "Perigee", "ratio (min to max)"))
rows = [("tokens/s", "tokens_per_s", "Perigee / PEFT"), ("s per epoch", "s_per_epoch", "PEFT / Perigee"),
    ("s, whole process", "wall_s", "PEFT / Perigee"), ("s to the first finished step", "startup_s", "PEFT / Perigee"),
    ("MB resident at the peak", "peak_rss_mb", "Perigee / PEFT")]
for title, field, order in rows:
    a, b = [r[field] for r in peft], [r[field] for r in perigee]
    pairs = [(y / max(x, 1e-9) if order.startswith("Perigee") else x / max(y, 1e-9)) for x, y in zip(a, b)]
    print("%-30s %12.2f %12.2f   %.2f x (%.2f to %.2f)  %s" % (title, statistics.median(a), statistics.median(b),
        statistics.median(pairs), min(pairs), max(pairs), order))
PYTHON
