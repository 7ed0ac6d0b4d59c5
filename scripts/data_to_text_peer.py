#!/usr/bin/env python3
"""The peer of pipelines/data_to_text.lua: both trainings of a finished run once more, with PyTorch, Transformers and PEFT.

    perigee run pipelines/data_to_text.lua --precision fp32 --out run
    python3 scripts/data_to_text_peer.py run

Reads the parameters, the initial weights and the tokenizer from the run directory, and the data from the files that the run read;
takes the examples in the run's order (a permutation by Philox from seed and epoch). The second training starts from the peer's own
first one, or with --steps from the run's, and with the run's initial LoRA. Prints both curves, and exits with 1 where a loss differs by
more than --tolerance. Reads CSV files with a header; paths are those of the run, so start it in the same folder. Needs the packages of
scripts/requirements-bench.txt.
"""
import argparse, csv, json, math, os, sys, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", help="directory of a finished run, in fp32")
parser.add_argument("--tolerance", type=float, default=0.02, help="largest relative difference of losses")
parser.add_argument("--steps", type=int, help="compare so many updates of the first training, not all of them")
parser.add_argument("--threads", type=int, default=os.cpu_count())
a = parser.parse_args()

import torch
from peft import PeftModel
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast, get_linear_schedule_with_warmup, logging

logging.set_verbosity_error()
torch.set_num_threads(a.threads)


def load(name):
    with open(os.path.join(a.run, name), encoding="utf-8") as file:
        return json.load(file) if name.endswith(".json") else [json.loads(line) for line in file]


p, log = load("params.json"), load("metrics.jsonl")
seed = load("command.json")["invocations"][0]["seed"]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(a.run, "initial/model/tokenizer.json"))
START, END = tokenizer.convert_tokens_to_ids("<s>"), tokenizer.convert_tokens_to_ids("</s>")


def philox(block, stream, step):
    """Four 32-bit draws: Philox 4x32 with ten rounds."""
    c, key = [block & 0xFFFFFFFF, block >> 32, stream ^ (step >> 32 << 20), step & 0xFFFFFFFF], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        x, y = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [y >> 32 ^ c[1] ^ key[0], y & 0xFFFFFFFF, x >> 32 ^ c[3] ^ key[1], x & 0xFFFFFFFF]
        key = [key[0] + 0x9E3779B9 & 0xFFFFFFFF, key[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return c


def permutation(count, epoch):
    """The order of an epoch: Fisher and Yates, one draw for each exchange."""
    stream = 2166136261
    for byte in b"sampler":
        stream = (stream ^ byte) * 16777619 & 0xFFFFFFFF
    draws = [draw for block in range((count + 3) // 4) for draw in philox(block, stream, epoch)]
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = draws[i] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def encode(prompt, completion):
    """Token ids, and how many of them are given. Of too many, those that begin the prompt go first, then those that end the completion."""
    prompt = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    text = tokenizer(completion, add_special_tokens=False)["input_ids"] + [END]
    excess = max(0, 1 + len(prompt) + len(text) - p["max_length"])
    cut = min(excess, len(prompt))
    text = text[: len(text) - (excess - cut)]
    return [START] + prompt[cut:] + text, 1 + len(prompt) - cut


def read(path):
    """Examples of a file: the known ones, and those that are held out."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [(row[p["prompt_column"]], row[p["completion_column"]]) for row in csv.DictReader(file)]
    parts = ([], [])
    for row in rows:
        parts[any(text in row[0] for text in p["held_out"])].append(encode(*row))
    return parts


def batch(rows):
    length = max(len(ids) for ids, _ in rows)
    pad = lambda values, filler: values + [filler] * (length - len(values))
    return {
        "input_ids": torch.tensor([pad(ids, END) for ids, _ in rows]),
        "attention_mask": torch.tensor([pad([1] * len(ids), 0) for ids, _ in rows]),
        "labels": torch.tensor([pad([-100] * given + ids[given:], -100) for ids, given in rows]),
    }


def evaluate(model, rows):
    """The mean loss of all tokens that count."""
    model.eval()
    total = count = 0
    rows = sorted(rows, key=lambda row: len(row[0]))
    with torch.no_grad():
        for first in range(0, len(rows), 32):
            tokens = sum(len(ids) - given for ids, given in rows[first : first + 32])
            total += model(**batch(rows[first : first + 32])).loss.item() * tokens
            count += tokens
    return total / count


def train(model, rows, learning_rate, steps, until):
    """Losses of the first updates of a training of so many steps."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    free = [parameter for name, parameter in named if name.endswith("bias") or ".ln_" in name]
    decayed = [parameter for name, parameter in named if not (name.endswith("bias") or ".ln_" in name)]
    groups = [{"params": decayed, "weight_decay": p["weight_decay"]}, {"params": free, "weight_decay": 0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(p["warmup_ratio"] * steps), steps)
    per_epoch = math.ceil(len(rows) / p["batch"])
    losses, order = [], []
    model.train()
    for step in range(until):
        if step % per_epoch == 0:
            order = permutation(len(rows), step // per_epoch)
        first = step % per_epoch * p["batch"]
        loss = model(**batch([rows[i] for i in order[first : first + p["batch"]]])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decayed + free, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 49:
            print("%d of %d updates, loss %.4f" % (step + 1, until, losses[-1]), file=sys.stderr, flush=True)
    return losses


def compare(stage, losses, final):
    """Prints the run's curve beside this one's; returns the largest relative difference."""
    rows = [row for row in log if row.get("stage") == stage]
    curve, last, done = [], 0, len(losses)
    for row in rows:
        if "loss" in row and row["step"] <= done:
            part = losses[last : row["step"]]
            last = row["step"]
            if part:
                curve.append((row["step"], row["loss"], sum(part) / len(part)))
    evaluation = [row["eval_loss"] for row in rows if "eval_loss" in row]
    if final is not None:
        curve.append(("evaluation", evaluation[-1], final))
    worst = max(abs(theirs - ours) / ours for _, ours, theirs in curve)
    print("\n%s\n%12s %12s %12s %12s" % (stage, "step", "perigee", "pytorch", "difference"))
    shown = max(1, len(curve) // 20)
    for i, (step, ours, theirs) in enumerate(curve):
        if i % shown == 0 or i >= len(curve) - 2:
            print("%12s %12.5f %12.5f %12.2e" % (step, ours, theirs, abs(theirs - ours) / ours))
    print("largest relative difference of %d: %.2e" % (len(curve), worst), flush=True)
    return worst


known, held_out = read(p["train"])
known_dev, held_out_dev = read(p["validation"])
print("known %d and %d examples, held out %d and %d" % (len(known), len(known_dev), len(held_out), len(held_out_dev)))
def run(stage, model, rows, evaluation, learning_rate, steps, until):
    """One training, and its comparison; nothing to evaluate where it is a part of one."""
    start = time.time()
    losses = train(model, rows, learning_rate, steps, until)
    seconds = time.time() - start
    worst = compare(stage, losses, evaluate(model, evaluation) if until == steps else None)
    print("%d updates in %.0f s" % (until, seconds), flush=True)
    return worst


def load_model(folder):
    return GPT2LMHeadModel.from_pretrained(os.path.join(a.run, folder), dtype=torch.float32)


model, until = load_model("initial/model"), min(a.steps or p["steps"], p["steps"])
worst = run("scratch", model, known, known_dev, p["learning_rate"], p["steps"], until)
if until < p["steps"]:
    model = load_model("stages/scratch/model")
model = PeftModel.from_pretrained(model, os.path.join(a.run, "initial/adapter"), is_trainable=True)
worst = max(worst, run("lora", model, held_out, held_out_dev, p["lora_learning_rate"], p["lora_steps"], p["lora_steps"]))
print("\nlargest relative difference of all: %.2e, allowed %.2e" % (worst, a.tolerance))
sys.exit(worst > a.tolerance)
