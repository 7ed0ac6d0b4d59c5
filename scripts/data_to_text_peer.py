#!/usr/bin/env python3
"""The peer of pipelines/data_to_text.lua: the trainings of a finished run once more, with PyTorch, Transformers and PEFT.

    perigee run pipelines/data_to_text.lua --precision fp32 --out run --set seeds=1,2,3
    python3 scripts/data_to_text_peer.py run

Reads the parameters, the initial weights and the tokenizer from the run directory, and the data from the files that the run read;
takes the examples in the run's order (a permutation by Philox from seed and epoch). The LoRAs start from the peer's own model from
scratch, or with --steps from the run's, each with its initial weights of the run. Prints the curves of both, and what the texts score that
both wrote, by `perigee score`; exits with 1 where a loss differs by more than --tolerance. Reads CSV and JSONL files; paths are those of
the run, so start it in the same folder. Needs the packages of scripts/requirements-bench.txt.
"""
import argparse, csv, json, math, os, subprocess, sys, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", help="directory of a finished run, in fp32")
parser.add_argument("--tolerance", type=float, default=0.02, help="largest relative difference of losses")
parser.add_argument("--steps", type=int, help="compare so many updates of the training from scratch, not all of them; 0: none")
parser.add_argument("--perigee", default="perigee", help="the program that scores texts")
parser.add_argument("--threads", type=int, default=os.cpu_count())
a = parser.parse_args()

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast, get_linear_schedule_with_warmup, logging

logging.set_verbosity_error()
torch.set_num_threads(a.threads)


def load(name):
    with open(os.path.join(a.run, name), encoding="utf-8") as file:
        return json.load(file) if name.endswith(".json") else [json.loads(line) for line in file]


p, log = load("params.json"), load("metrics.jsonl")
main_seed = load("command.json")["invocations"][0]["seed"]
is_t5 = p["family"] == "t5"
tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(a.run, "initial/model/tokenizer.json"))
START, END = tokenizer.convert_tokens_to_ids("<s>"), tokenizer.convert_tokens_to_ids("</s>")


def philox(seed, block, stream, step):
    """Four 32-bit draws: Philox 4x32 with ten rounds."""
    c, key = [block & 0xFFFFFFFF, block >> 32, stream ^ (step >> 32 << 20), step & 0xFFFFFFFF], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        x, y = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [y >> 32 ^ c[1] ^ key[0], y & 0xFFFFFFFF, x >> 32 ^ c[3] ^ key[1], x & 0xFFFFFFFF]
        key = [key[0] + 0x9E3779B9 & 0xFFFFFFFF, key[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return c


def permutation(seed, count, epoch):
    """The order of an epoch: Fisher and Yates, one draw for each exchange."""
    stream = 2166136261
    for byte in b"sampler":
        stream = (stream ^ byte) * 16777619 & 0xFFFFFFFF
    draws = [draw for block in range((count + 3) // 4) for draw in philox(seed, block, stream, epoch)]
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = draws[i] * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def encode(prompt, completion):
    """What the model reads, and labels: -100 where nothing is to be learnt."""
    if is_t5:
        whole = lambda text: [START] + tokenizer(text, add_special_tokens=False)["input_ids"][: p["max_length"] - 2] + [END]
        return whole(p["source_prefix"] + prompt), whole(completion)
    # Of too many tokens, those that begin the prompt go first, then those that end the completion.
    prompt = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    text = tokenizer(completion, add_special_tokens=False)["input_ids"] + [END]
    excess = max(0, 1 + len(prompt) + len(text) - p["max_length"])
    cut = min(excess, len(prompt))
    text = text[: len(text) - (excess - cut)]
    return [START] + prompt[cut:] + text, [-100] * (1 + len(prompt) - cut) + text


def read(path, keep=lambda prompt: True):
    """Prompts and completions of a file."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file) if path.endswith(".csv") else map(json.loads, file)
        rows = [(row[p["prompt_column"]], row[p["completion_column"]]) for row in table]
    return [row for row in rows if keep(row[0])]


def pad(lists, filler):
    length = max(map(len, lists))
    return torch.tensor([values + [filler] * (length - len(values)) for values in lists])


def batch(rows):
    ids = [ids for ids, _ in rows]
    return {"input_ids": pad(ids, END), "attention_mask": pad([[1] * len(row) for row in ids], 0), "labels": pad([labels for _, labels in rows], -100)}


def counted(labels):
    """Labels that count in a loss: the first of a causal model's has nothing before it."""
    return sum(label != -100 for label in (labels if is_t5 else labels[1:]))


def evaluate(model, rows):
    """The mean loss of all tokens that count."""
    model.eval()
    total = count = 0
    rows = sorted(rows, key=lambda row: len(row[0]))
    with torch.no_grad():
        for first in range(0, len(rows), 32):
            tokens = sum(counted(labels) for _, labels in rows[first : first + 32])
            total += model(**batch(rows[first : first + 32])).loss.item() * tokens
            count += tokens
    return total / count


def train(model, rows, learning_rate, steps, until, seed):
    """Losses of the first updates of a training of so many steps."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    is_free = lambda name: name.endswith("bias") or ".ln_" in name or "layer_norm" in name
    free = [parameter for name, parameter in named if is_free(name)]
    decayed = [parameter for name, parameter in named if not is_free(name)]
    groups = [{"params": decayed, "weight_decay": p["weight_decay"]}, {"params": free, "weight_decay": 0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(p["warmup_ratio"] * steps), steps)
    per_epoch = math.ceil(len(rows) / p["batch"])
    losses, order = [], []
    model.train()
    for step in range(until):
        if step % per_epoch == 0:
            order = permutation(seed, len(rows), step // per_epoch)
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


def run(stage, model, rows, evaluation, learning_rate, steps, until, seed):
    """One training, and its comparison; nothing to evaluate where it is a part of one."""
    start = time.time()
    losses = train(model, rows, learning_rate, steps, until, seed)
    seconds = time.time() - start
    worst = compare(stage, losses, evaluate(model, evaluation) if until == steps else None)
    print("%d updates in %.0f s" % (until, seconds), flush=True)
    return worst


def write(model, prompts):
    """What the model writes for each prompt, without special tokens. T5 reads several prompts at once, those of like length together."""
    model.eval()
    ids = [encode(prompt, "")[0] if is_t5 else [START] + tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    texts = [""] * len(ids)
    at_once = 40 if is_t5 else 1
    for first in range(0, len(order), at_once):
        chosen = order[first : first + at_once]
        rows = [ids[i] for i in chosen]
        with torch.no_grad():
            found = model.generate(
                input_ids=pad(rows, END), attention_mask=pad([[1] * len(row) for row in rows], 0), max_new_tokens=p["max_new_tokens"],
                num_beams=p["num_beams"], do_sample=False, eos_token_id=END, pad_token_id=END)
        for i, written in zip(chosen, found):
            text = tokenizer.decode(written[0 if is_t5 else len(ids[i]) :], skip_special_tokens=True)
            texts[i] = " ".join(text.split("\n")).strip()
    return texts


def score(stage, model, rows):
    """Scores of what the model writes, beside those of the run."""
    references = {}
    for prompt, completion in rows:
        references.setdefault(prompt, []).append(completion.strip())
    paths = [os.path.join(a.run, "peer-%s.%s" % (stage, ending)) for ending in ("txt", "references.txt")]
    start = time.time()
    texts = write(model, list(references))
    seconds = time.time() - start
    with open(paths[0], "w", encoding="utf-8") as file:
        file.write("\n".join(texts) + "\n")
    with open(paths[1], "w", encoding="utf-8") as file:
        file.write("\n\n".join("\n".join(texts) for texts in references.values()) + "\n")
    command = [a.perigee, "score"] + p["metrics"] + ["--hyp", paths[0], "--ref", paths[1], "--json"]
    scores = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["scores"]
    own = next(row for table in load("results.json")["tables"] for row in table["rows"] if row["stage"] == stage and p["metrics"][0] in row)
    print("%d texts in %.0f s" % (len(texts), seconds))
    for name in p["metrics"]:
        print("%12s: perigee %.4f, pytorch %.4f" % (name, own[name], scores[name]["score"]), flush=True)


def load_model(folder):
    kind = AutoModelForSeq2SeqLM if is_t5 else AutoModelForCausalLM
    return kind.from_pretrained(os.path.join(a.run, folder), dtype=torch.float32)


is_held_out = lambda prompt: any(text in prompt for text in p["held_out"])
if p["adapt_train"]:
    texts = [read(p[name]) for name in ("train", "validation", "adapt_train", "adapt_validation")]
    test = read(p["test"]) if p["test"] else texts[3]
else:
    known = lambda prompt: not is_held_out(prompt)
    texts = [read(p[name], keep) for keep in (known, is_held_out) for name in ("train", "validation")]
    test = read(p["test"], is_held_out) if p["test"] else texts[3]
known, known_dev, held_out, held_out_dev = [[encode(*row) for row in rows] for rows in texts]
print("known %d and %d examples, held out %d and %d" % (len(known), len(known_dev), len(held_out), len(held_out_dev)))
until = p["steps"] if a.steps is None else min(a.steps, p["steps"])
worst = 0
if until:
    model = load_model("initial/model")
    worst = run("scratch", model, known, known_dev, p["learning_rate"], p["steps"], until, main_seed)
for seed in p["seeds"] if "lora" in p["methods"] else []:
    stage = "lora-%d" % seed
    if until < p["steps"]:
        start = load_model("stages/scratch/model")
    else:
        start = load_model("initial/model")
        start.load_state_dict(model.state_dict())
    adapted = PeftModel.from_pretrained(start, os.path.join(a.run, "initial", stage), is_trainable=True)
    steps = p["adapter_steps"]
    worst = max(worst, run(stage, adapted, held_out, held_out_dev, p["adapter_learning_rate"], steps, steps, seed))
    score(stage, adapted, test)
print("\nlargest relative difference of all: %.2e, allowed %.2e" % (worst, a.tolerance))
sys.exit(worst > a.tolerance)
