#!/usr/bin/env python3
"""The peer of pipelines/compare_methods.lua: the same methods, rows, steps and learning rates with PyTorch + PEFT.

    python3 scripts/compare_peft.py --model models/MiniLM --data glue_data --tasks rte,mrpc --seeds 1,2,3 > peft.jsonl

Prints one JSON object for every training (method, task, seed, the task's first metric, seconds), and to standard error a table of
means and spreads. A training that the file given with --done has is not run again. The settings are those of
lua/recipes/comparison.lua. Needs the packages of scripts/requirements-bench.txt.
"""
import argparse, json, math, os, random, statistics, sys, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True, help="folder of a model of BERT's kind")
parser.add_argument("--data", required=True, help="folder with GLUE's task folders")
parser.add_argument("--tasks", default="rte", help="of cola,mrpc,rte,stsb")
parser.add_argument("--methods", default="full,lora,vera,adalora,ia3")
parser.add_argument("--seeds", default="42")
parser.add_argument("--learning-rate", type=float, help="of all methods; default: those of lua/recipes/comparison.lua")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--max-length", type=int, default=128)
parser.add_argument("--modules-to-save", default="classifier", help="the head; with a pooler that was not pre-trained: pooler,classifier")
parser.add_argument("--precision", default="autocast", choices=["fp32", "autocast"])
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--done", help="output of an earlier run, to go on after it")
a = parser.parse_args()

import numpy, peft, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup, logging

logging.set_verbosity_error()  # that the head is new
logging.disable_progress_bar()
torch.set_num_threads(a.threads)
tokenizer = AutoTokenizer.from_pretrained(a.model)

# Folder, text columns, label column, classes in the order of their numbers; none: a score.
TASKS = {
    "cola": ("CoLA", [3], 1, ["0", "1"]), "mrpc": ("MRPC", ["#1 String", "#2 String"], "Quality", ["0", "1"]),
    "rte": ("RTE", ["sentence1", "sentence2"], "label", ["entailment", "not_entailment"]),
    "stsb": ("STS-B", ["sentence1", "sentence2"], "score", None),
}
LEARNING_RATES = {"full": 1e-4, "lora": 3e-3, "vera": 3e-2, "adalora": 3e-2, "ia3": 3e-2}


def read(task, split):
    """Rows as (token ids, token types, label). CoLA has no header, and columns by number."""
    folder, texts, label, classes = TASKS[task]
    with open(os.path.join(a.data, folder, split + ".tsv"), encoding="utf-8-sig", newline="\n") as file:
        rows = [line.rstrip("\r\n").split("\t") for line in file]
    if isinstance(label, str):
        header = rows.pop(0)
        texts, label = [header.index(name) for name in texts], header.index(label)
    encoded = tokenizer(*[[row[column] for row in rows] for column in texts], truncation=True, max_length=a.max_length)
    labels = [classes.index(row[label]) if classes else float(row[label]) for row in rows]
    return list(zip(encoded["input_ids"], encoded["token_type_ids"], labels))


def batch(rows):
    length = max(len(row[0]) for row in rows)
    pad = lambda values, filler: values + [filler] * (length - len(values))
    return {
        "input_ids": torch.tensor([pad(row[0], tokenizer.pad_token_id) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row[0]), 0) for row in rows]),
        "token_type_ids": torch.tensor([pad(row[1], 0) for row in rows]), "labels": torch.tensor([row[2] for row in rows]),
    }


def adapter(method, total):
    common = {"task_type": "SEQ_CLS", "modules_to_save": a.modules_to_save.split(",")}
    q_v = {"target_modules": ["query", "value"], **common}
    if method == "lora":
        return peft.LoraConfig(r=8, lora_alpha=16, **q_v)
    if method == "vera":
        return peft.VeraConfig(r=256, **q_v)
    if method == "adalora":
        return peft.AdaLoraConfig(
            init_r=12, target_r=8, lora_alpha=16, total_step=total, tinit=total // 6, tfinal=total // 3, deltaT=max(1, total // 100), **q_v)
    if method == "ia3":  # the paper's layers; PEFT's own default adds attention.output.dense
        layers = {"target_modules": r".*\.(key|value|\d+\.output\.dense)", "feedforward_modules": r".*\.\d+\.output\.dense"}
        return peft.IA3Config(**layers, **common)
    sys.exit("compare_peft.py: no method '%s': expected some of full, lora, vera, adalora, ia3" % method)


def cast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "autocast")


def score(model, task, rows):
    """The task's first metric: accuracy; Matthews' and Pearson's correlations are both numpy's for these outputs."""
    model.eval()
    outputs, labels = [], []
    with torch.no_grad(), cast():
        for start in range(0, len(rows), 64):
            fields = batch(rows[start : start + 64])
            labels += fields.pop("labels").tolist()
            outputs.append(model(**fields).logits.float())
    logits = torch.cat(outputs).numpy()
    predictions = logits[:, 0] if task == "stsb" else logits.argmax(-1)
    if task in ("rte", "mrpc"):
        return float((predictions == labels).mean())
    return float(numpy.corrcoef(predictions, labels)[0, 1]) if predictions.std() > 0 else 0.0


def train(method, task, seed, rows, evaluation):
    start = time.time()
    torch.manual_seed(seed)
    classes = TASKS[task][3]
    model = AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=len(classes) if classes else 1)
    total = math.ceil(len(rows) / a.batch) * a.epochs
    if method != "full":
        model = peft.get_peft_model(model, adapter(method, total))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=a.learning_rate or LEARNING_RATES[method], weight_decay=0)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(0.06 * total), total)
    order, step = random.Random(seed), 0
    for _ in range(a.epochs):
        model.train()
        indices = list(range(len(rows)))
        order.shuffle(indices)
        for first in range(0, len(rows), a.batch):
            with cast():
                loss = model(**batch([rows[i] for i in indices[first : first + a.batch]])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if method == "adalora":
                model.base_model.update_and_allocate(step)
            optimizer.zero_grad()
    return {
        "method": method, "task": task, "seed": seed, "score": score(model, task, evaluation), "steps": total,
        "trainable": sum(parameter.numel() for parameter in parameters), "seconds": round(time.time() - start, 1),
    }


results = [json.loads(line) for line in open(a.done)] if a.done and os.path.exists(a.done) else []
for task in a.tasks.split(","):
    rows, evaluation = read(task, "train"), read(task, "dev")
    for method in a.methods.split(","):
        for seed in map(int, a.seeds.split(",")):
            if any((r["method"], r["task"], r["seed"]) == (method, task, seed) for r in results):
                continue
            results.append(train(method, task, seed, rows, evaluation))
            print(json.dumps(results[-1]), flush=True)
for task in a.tasks.split(","):
    for method in a.methods.split(","):
        scores = [r["score"] for r in results if (r["method"], r["task"]) == (method, task)]
        spread = "%.4f" % statistics.stdev(scores) if len(scores) > 1 else ""
        print("%-6s %-10s %.4f  %s  n=%d" % (task, method, statistics.mean(scores), spread, len(scores)), file=sys.stderr)
