#!/usr/bin/env python3
"""The peer of `perigee predict` and `perigee serve`: PyTorch, Transformers and PEFT doing the same work on this CPU.

    scripts/predict_peer.py compare runs/x/stages/a runs/x/stages/b --texts sentences.txt
    scripts/predict_peer.py serve runs/x/stages/a runs/x/stages/b --port 0

`compare` classifies every text with `perigee predict` and with PEFT, both in fp32, and prints how many labels are equal, the largest difference
of a probability, and tokens per second without what loading takes. Exit code 1 where a label differs. `serve` is FastAPI with one process of
uvicorn; its POST /predict takes and gives what Perigee's does, so that `scripts/serve-load.py --server` can ask both. An adapter is merged into
its own copy of the model first, the fastest form that the peer has. Needs the packages of requirements-bench.txt; `serve` also fastapi and uvicorn.
"""
import argparse, json, os, re, socket, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["compare", "serve"])
parser.add_argument("stages", nargs="+", help="folders of trained stages")
parser.add_argument("--texts", help="file with a text in a line")
parser.add_argument("--perigee", default=".build/release/perigee")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--max-length", type=int, default=128)
parser.add_argument("--rounds", type=int, default=5, help="the two take turns so often")
parser.add_argument("--sorted", action="store_true", help="the peer takes texts by their length, which saves it padding")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--precision", default="fp32", choices=["fp32"], help="as of 'perigee serve'")
a = parser.parse_args()

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(a.threads)


def load(stage):
    """Model, tokenizer and labels of a stage, its adapter merged."""
    folder = os.path.join(stage, "adapter")
    with open(os.path.join(folder, "adapter_config.json")) as file:
        base = json.load(file)["base_model_name_or_path"]
    with open(os.path.join(folder, "perigee.json")) as file:
        labels = json.load(file)["labels"]
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(labels), dtype=torch.float32)
    return PeftModel.from_pretrained(model, folder).merge_and_unload().eval(), AutoTokenizer.from_pretrained(base), labels


def probabilities(model, tokenizer, texts):
    inputs = tokenizer(texts, truncation=True, max_length=a.max_length, padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits.softmax(-1).tolist(), int(inputs["attention_mask"].sum())


def peer(model, tokenizer, texts):
    """What PEFT says, and tokens and seconds."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i])) if a.sorted else list(range(len(texts)))
    rows, tokens, start = [None] * len(texts), 0, time.perf_counter()
    for place in range(0, len(order), a.batch):
        chosen = order[place:place + a.batch]
        values, count = probabilities(model, tokenizer, [texts[i] for i in chosen])
        tokens += count
        for i, value in zip(chosen, values):
            rows[i] = value
    return rows, tokens, time.perf_counter() - start


def perigee(stage, texts):
    """What `perigee predict` says, and its rows per second."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "texts.jsonl")
        with open(path, "w") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        run = subprocess.run([a.perigee, "predict", stage, path, "--precision", "fp32"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()], float(re.search(r"([\d.]+) rows/s", run.stderr).group(1))


def compare():
    with open(a.texts) as file:
        texts = [line.rstrip("\n") for line in file if line.strip()]
    differing = 0
    for stage in a.stages:
        model, tokenizer, labels = load(stage)
        probabilities(model, tokenizer, texts[:a.batch])  # warms up
        ours, rows, tokens, seconds = [], [], [], [[], []]
        # In turns, so that whatever else the machine does meets both.
        share = -(-len(texts) // a.rounds)
        for part in (texts[place:place + share] for place in range(0, len(texts), share)):
            mine, rate = perigee(stage, part)
            theirs, count, time_taken = peer(model, tokenizer, part)
            ours, rows, tokens = ours + mine, rows + theirs, tokens + [count]
            seconds[0].append(len(part) / rate)
            seconds[1].append(time_taken)
        other = sum(labels[max(range(len(labels)), key=row.__getitem__)] != our["prediction"] for row, our in zip(rows, ours))
        worst = max(abs(our["probabilities"][label] - row[i]) for row, our in zip(rows, ours) for i, label in enumerate(labels))
        mine, theirs = sum(tokens) / sum(seconds[0]), sum(tokens) / sum(seconds[1])
        ratios = sorted(b / a for a, b in zip(*seconds))
        counts = {label: sum(our["prediction"] == label for our in ours) for label in labels}
        print(f"{stage}: {len(texts) - other} of {len(texts)} labels equal ({counts}), largest difference of a probability {worst:.1e}; "
              f"{sum(tokens)} tokens: perigee {mine:.0f} tokens/s, PEFT {theirs:.0f}: {mine / theirs:.2f} times "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} rounds)", flush=True)
        differing += other
    return 1 if differing else 0


def serve():
    import fastapi, uvicorn

    models = {os.path.basename(stage.rstrip("/")): load(stage) for stage in a.stages}
    app = fastapi.FastAPI()

    @app.post("/predict")
    def predict(request: dict = fastapi.Body()):
        model, tokenizer, labels = models[request["model"]]
        rows, _ = probabilities(model, tokenizer, [text[0] for text in request["inputs"]])
        return [[{"label": label, "score": row[i]} for i, label in sorted(enumerate(labels), key=lambda x: -row[x[0]])] for row in rows]

    listener = socket.create_server(("127.0.0.1", a.port))
    print(f"http://127.0.0.1:{listener.getsockname()[1]} serves {', '.join(models)}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
    return 0


sys.exit(compare() if a.what == "compare" else serve())
