#!/usr/bin/env bash
# A stranger's hour, without an editor: the quickstart, a CSV of one's own, a sweep, a kill and a resume, comparing, a report,
# predictions, a server under load, and folders for PEFT and llama.cpp, read back by their own packages.
#
#   tour.sh [--perigee PROGRAM] [--quick] [--out DIR]
#
#   --perigee   the program (default: the release build, which the quickstart makes)
#   --quick     without the quickstart, and with fewer requests
#   --out       a folder that keeps what the tour made (default: a temporary one, removed at the end)
#
# Prints each step with its seconds. Exit code 1 at the first step that fails. What reads the exported folders is skipped, and
# said, where Python or its packages peft and gguf are missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
mistake() { echo "tour.sh: $1 (see --help)" >&2; exit 1; }

program="" quick="" place=""
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --quick) quick=1; shift ;;
    --perigee | --out)
      [ $# -ge 2 ] || mistake "missing value for $1"
      [ "$1" = --perigee ] && program=$(realpath "$2") || place=$2
      shift 2 ;;
    *) mistake "unknown argument $1" ;;
  esac
done
server=""
if [ -n "$place" ]; then mkdir -p "$place"; else place=$(mktemp -d); temporary=$place; fi
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; [ -z "${temporary:-}" ] || rm -rf "$temporary"' EXIT
cd "$place"
export PERIGEE_CACHE=$PWD/cache XDG_DATA_HOME=$PWD/data CI=1

step() { printf '\n== %s (at %d s)\n' "$1" "$SECONDS"; }
perigee() { "${program:-$root/.build/release/perigee}" "$@"; }

if [ -z "$quick" ] && [ -z "$program" ]; then
  step "the quickstart"
  bash "$root/scripts/quickstart.sh" --out quickstart 2>&1 | tail -n 12
fi

step "a CSV of one's own"
for set in train dev; do
  {
    echo "review,stars"
    for dish in soup bread fish rice cake tea stew salad; do
      [ $set = train ] && times="today yesterday again" || times="once"
      for time in $times; do
        echo "\"The $dish was warm and fresh, $time.\",good"
        echo "\"The $dish was cold and stale, $time.\",bad"
      done
    done
  } >$set.csv
done
cat >reviews.lua <<'END'
local p = params {
  r = { 4, min = 1, doc = "rank" }, learning_rate = { 5e-3, min = 0 }, epochs = { 10, min = 1 }, seed = { 1, min = 0 },
}
local task = tasks.table { train_file = "train.csv", validation_file = "dev.csv", text_column = "review", label_column = "stars" }
local result = stage("reviews", function()
  local model = models.load("builtin:tiny"):classifier { task = task, seed = p.seed }
  model:add_adapter(adapters.lora { r = p.r, lora_alpha = 2 * p.r, target_modules = { "query", "value" }, modules_to_save = { "classifier" } })
  return trainer.fit { model = model, task = task, num_train_epochs = p.epochs, learning_rate = p.learning_rate, seed = p.seed }
end)
report.table { { accuracy = result.metrics.eval_accuracy, loss = result.metrics.eval_loss }, columns = { "accuracy", "loss" } }
END
perigee check reviews.lua
perigee run reviews.lua --out runs/reviews

step "a sweep"
for r in 2 8; do
  for seed in 1 2; do perigee run reviews.lua --set r=$r --set seed=$seed --out "runs/r$r-seed$seed" --quiet; done
done

step "kill -9, and resume"
perigee run reviews.lua --set epochs=1000 --out runs/whole --quiet
(PERIGEE_CACHE=$PWD/other exec "${program:-$root/.build/release/perigee}" run reviews.lua --set epochs=1000 --out runs/killed --quiet) & killed=$!
until [ -s runs/killed/metrics.jsonl ]; do sleep 0.05; done
kill -9 $killed
wait $killed || echo "killed: code $?"
PERIGEE_CACHE=$PWD/other perigee run reviews.lua --set epochs=1000 --out runs/killed --resume auto --quiet
for run in whole killed; do (cd "runs/$run/stages" && find . -name '*.safetensors' -print0 | sort -z | xargs -0 sha256sum) >$run.sums; done
cmp whole.sums killed.sums && echo "the weights are the same, bit for bit"

step "compare"
perigee runs --in runs
perigee runs compare runs/r2-seed1 runs/r8-seed1

step "a report"
perigee report runs/* --out report.html
ls -l report.html

step "predict and evaluate"
perigee predict runs/reviews dev.csv --text review --out answers.csv
head -n 3 answers.csv
perigee evaluate runs/reviews dev.csv --text review --label stars

step "serve"
perigee serve reviews=runs/reviews --port 0 >address 2>server.log & server=$!
until grep -qs http address; do kill -0 $server; sleep 0.1; done
url=$(grep -o 'http://[^ ]*' address)
if command -v python3 >/dev/null; then
  python3 - "$url" "${quick:+100}" <<'END'
import concurrent.futures, csv, json, sys, urllib.request

url, count = sys.argv[1], int(sys.argv[2] or 1000)
rows = list(csv.DictReader(open("answers.csv", newline="")))

def ask(i):
    row = rows[i % len(rows)]
    request = urllib.request.Request(url + "/predict", json.dumps({"inputs": row["review"]}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        best = json.load(answer)[0]
    return best["label"] == row["prediction"] and abs(best["score"] - float(row["score"])) < 1e-5

with concurrent.futures.ThreadPoolExecutor(count if count < 1000 else 1000) as pool:
    right = sum(pool.map(ask, range(count)))
print(f"{count} requests at once: {right} answers as in answers.csv")
sys.exit(right != count)
END
else
  echo "skipped: no python3 to send requests"
fi
kill -TERM $server
status=0
wait $server || status=$?
server=""
echo "the server ended with code $status"
[ $status = 143 ]

step "export"
perigee export runs/reviews --to peft --out peft
perigee export runs/reviews --to merged --out merged
cat >writer.lua <<'END'
local data = tasks.causal_lm { train_file = "facts.jsonl", validation_file = "facts.jsonl", prompt_column = "mr", completion_column = "ref" }
local base = models.from_config {
  config = { model_type = "gpt2", n_layer = 2, n_embd = 64, n_head = 2, n_positions = 128 }, tokenizer = tokenizers.train(data, { vocab_size = 300 }),
}
stage("writer", function()
  return trainer.fit { model = base:causal_lm(), task = data, max_steps = 30, learning_rate = 1e-2, eval_strategy = "no" }
end)
END
for food in Thai French Indian; do echo "{\"mr\": \"name[Alba], food[$food]\", \"ref\": \"Alba serves $food food.\"}"; done >facts.jsonl
perigee run writer.lua --out runs/writer --quiet
perigee generate runs/writer --prompt "name[Alba], food[Thai]" --set max_new_tokens=16
perigee export runs/writer --to gguf --out gguf
if python3 -c 'import peft, transformers' 2>/dev/null; then
  python3 - <<'END'
import csv, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model, tokenizer = AutoModelForSequenceClassification.from_pretrained("merged").eval(), AutoTokenizer.from_pretrained("merged")
rows = list(csv.DictReader(open("answers.csv", newline="")))
same = 0
for row in rows:
    with torch.no_grad():
        logits = model(**tokenizer(row["review"], return_tensors="pt")).logits
    same += model.config.id2label[int(logits.argmax())] == row["prediction"]
print(f"Transformers, with the merged folder: {same} of {len(rows)} labels the same")
sys.exit(same != len(rows))
END
  python3 -c 'from peft import PeftConfig; print("PEFT reads:", PeftConfig.from_pretrained("peft").peft_type)'
else
  echo "skipped: no Python with PEFT and Transformers"
fi
if python3 -c 'import gguf' 2>/dev/null; then
  python3 -c 'import glob, gguf; [print(name, len(gguf.GGUFReader(name).tensors), "tensors") for name in glob.glob("gguf/*.gguf")]'
else
  echo "skipped: no Python with gguf"
fi
step "done"
