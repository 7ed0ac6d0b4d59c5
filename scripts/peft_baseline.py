#!/usr/bin/env python3
"""The peer of `perigee bench step`: PyTorch + Transformers + PEFT doing the same fine-tuning work on this CPU.

Prints one JSON object: tokens per second (real tokens, padding not counted), seconds per step and epoch, start-up
seconds (process start to first finished step), peak resident MB, and the losses. The names are those of
`perigee bench step --json`; scripts/bench-vs-peft.sh runs both.

    python3 scripts/peft_baseline.py --model DIR --train train.tsv --columns sentence1,sentence2 \
        --method lora --rank 8 --precision bf16 --batch 32 --max-length 128 --epochs 1

--model random:roberta-base, or a config.json, builds the architecture with random weights (speed only);
--synthetic N,T feeds N sequences of exactly T tokens (no padding anywhere).
Needs the packages of scripts/requirements-bench.txt.
"""
import argparse, csv, importlib.util, json, os, resource, sys, time

START = time.time()
p = argparse.ArgumentParser()
p.add_argument("--model", default="random:roberta-base")
p.add_argument("--tokenizer", help="folder of the tokenizer; default: the model's")
p.add_argument("--train")
p.add_argument("--columns", default="sentence1,sentence2")
p.add_argument("--label", default="label")
p.add_argument("--limit", type=int, default=0)
p.add_argument("--synthetic")
p.add_argument("--method", default="lora", choices=["lora", "full", "classifier", "none"])
p.add_argument("--rank", type=int, default=8)
p.add_argument("--targets", default="query,value")
p.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "autocast"])
p.add_argument("--dropout", type=float, default=0.1)
p.add_argument("--batch", type=int, default=32)
p.add_argument("--max-length", type=int, default=128)
p.add_argument("--pad", default="longest", choices=["longest", "max_length"])
p.add_argument("--group-by-length", action="store_true")
p.add_argument("--epochs", type=float, default=1)
p.add_argument("--max-steps", type=int, default=0)
p.add_argument("--lr", type=float, default=5e-4)
p.add_argument("--threads", type=int, default=os.cpu_count())
a = p.parse_args()
if not a.train and not a.synthetic: p.error("no data: give --train FILE or --synthetic N,T")

missing = [m for m in ("torch", "transformers", "peft", "safetensors", "numpy") if importlib.util.find_spec(m) is None]
if missing:
    sys.exit("peft_baseline.py: missing Python packages: %s; install them: %s -m pip install -r %s" % (
        ", ".join(missing), sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements-bench.txt")))

import torch
from transformers import (AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast,
    RobertaConfig)
torch.manual_seed(0)
torch.set_num_threads(a.threads)

drop = dict(hidden_dropout_prob=a.dropout, attention_probs_dropout_prob=a.dropout)
sequences = labels = None
if a.synthetic:
    n, t = map(int, a.synthetic.split(","))
    g = torch.Generator().manual_seed(1)
    high = 30000
    if a.model != "random:roberta-base":
        folder = os.path.dirname(a.model) or "." if a.model.endswith(".json") else a.model
        high = min(high, AutoConfig.from_pretrained(folder).vocab_size)
    sequences = [torch.randint(5, high, (t,), generator=g) for _ in range(n)]
    labels = [int(x) for x in torch.randint(0, 2, (n,), generator=g)]
    names = ["0", "1"]
else:
    csv.field_size_limit(1 << 30)
    rows = list(csv.DictReader(open(a.train, encoding="utf-8", newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = [r for r in rows if all(r.get(c) for c in a.columns.split(","))]
    if a.limit: rows = rows[: a.limit]
    names = sorted({r[a.label] for r in rows})
    labels = [names.index(r[a.label]) for r in rows]

if a.model == "random:roberta-base":
    cfg = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, num_labels=len(names), **drop)
    model = AutoModelForSequenceClassification.from_config(cfg)
elif a.model.endswith(".json"):
    cfg = AutoConfig.from_pretrained(os.path.dirname(a.model) or ".", num_labels=len(names), **drop)
    model = AutoModelForSequenceClassification.from_config(cfg)
else:
    cfg = AutoConfig.from_pretrained(a.model, num_labels=len(names), **drop)
    model = AutoModelForSequenceClassification.from_pretrained(a.model, config=cfg)
if sequences is None:
    # A bare tokenizer.json has no configuration that says which class reads it.
    bare = os.path.join(a.tokenizer or "", "tokenizer.json")
    tok = PreTrainedTokenizerFast(tokenizer_file=bare) if a.tokenizer and os.path.exists(bare) else \
        AutoTokenizer.from_pretrained(a.tokenizer or a.model)
    cols = a.columns.split(",")
    t0 = time.time()
    enc = tok(*[[r[c] for r in rows] for c in cols], truncation=True, max_length=a.max_length)
    tokenise_s = time.time() - t0
    sequences = [torch.tensor(x) for x in enc["input_ids"]]
    types = [torch.tensor(x) for x in enc["token_type_ids"]] if "token_type_ids" in enc else None
else:
    tokenise_s, types = 0.0, None
if a.precision == "bf16": model = model.to(torch.bfloat16)
if a.method == "lora":
    import peft
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules=a.targets.split(","),
        r=a.rank, lora_alpha=2 * a.rank, lora_dropout=0.0))
elif a.method == "classifier":
    for n, q in model.named_parameters(): q.requires_grad = "classifier" in n
elif a.method == "none":
    for q in model.parameters(): q.requires_grad = False
model.train()
params = [q for q in model.parameters() if q.requires_grad]
opt = torch.optim.AdamW(params, lr=a.lr) if params else None
pad = cfg.pad_token_id or 0
order = list(range(len(sequences)))
if a.group_by_length: order.sort(key=lambda i: -len(sequences[i]))
batches = [order[i : i + a.batch] for i in range(0, len(order), a.batch)]
total = max(1, round(a.epochs * len(batches)))
if a.max_steps: total = min(total, a.max_steps)
losses, tokens, padded, first, t0 = [], 0, 0, None, None
for step in range(total + 1):                                  # one warm-up step, not counted
    ids = batches[max(0, step - 1) % len(batches)]
    T = a.max_length if a.pad == "max_length" else max(len(sequences[i]) for i in ids)
    x = torch.full((len(ids), T), pad); am = torch.zeros_like(x); tt = torch.zeros_like(x)
    for k, i in enumerate(ids):
        x[k, : len(sequences[i])] = sequences[i]; am[k, : len(sequences[i])] = 1
        if types: tt[k, : len(types[i])] = types[i]
    y = torch.tensor([labels[i] for i in ids])
    kw = dict(input_ids=x, attention_mask=am, labels=y)
    if types: kw["token_type_ids"] = tt
    if a.precision == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16): loss = model(**kw).loss
    else: loss = model(**kw).loss
    if opt: loss.backward(); opt.step(); opt.zero_grad()
    if step == 0: first = time.time() - START; t0 = time.time(); continue
    losses.append(round(float(loss), 5)); tokens += sum(len(sequences[i]) for i in ids); padded += x.numel()
s = time.time() - t0
print(json.dumps(dict(peer="torch %s" % torch.__version__, method=a.method, precision=a.precision, batch=a.batch, steps=total,
    trainable=sum(q.numel() for q in params), tokens_per_s=round(tokens / s, 1), padded_tokens_per_s=round(padded / s, 1),
    s_per_step=round(s / total, 4), s_per_epoch=round(s / total * len(batches), 2), tokenise_s=round(tokenise_s, 3),
    startup_s=round(first, 2), peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    loss_first=losses[0], loss_last=losses[-1])))
