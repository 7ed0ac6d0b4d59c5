"""Continuations of tiny random decoders: Transformers' `generate` in fp32, sampling with given draws, and the LoRA authors' beam
search, written here from their paper's code. Run: `python generation.py`; writes `generation.json`.

A case: the model's folder, the options as Perigee has them, the prompts' tokens, and for each prompt the new tokens of each result
with its score (of beam searches) or none. `draws[i][s]` is the draw of prompt i in step s.
"""

import json
import os

import torch
from transformers import AutoModelForCausalLM
from transformers.generation import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

HERE = os.path.dirname(os.path.abspath(__file__))
PAD = 0


def load(name):
    return AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "models", name), dtype=torch.float32).eval()


def prompts(count, seed, shortest=2, longest=9):
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=g).tolist()
    return [torch.randint(3, 120, (n,), generator=g).tolist() for n in lengths]


@torch.no_grad()
def transformers_results(model, prompts, options, batch_size):
    """New tokens without padding, and scores of beam searches, for each prompt."""
    ends = options["eos_token_id"]
    results = []
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        longest = max(map(len, part))
        ids = torch.tensor([[PAD] * (longest - len(p)) + p for p in part])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in part])
        out = model.generate(
            ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, pad_token_id=PAD, **options
        )
        each = len(out.sequences) // len(part)
        for i in range(len(part)):
            rows = []
            for j in range(i * each, (i + 1) * each):
                tokens = out.sequences[j, longest:].tolist()
                end = next((k + 1 for k, t in enumerate(tokens) if t in ends), len(tokens))
                score = float(out.sequences_scores[j]) if options.get("num_beams", 1) > 1 else None
                rows.append([tokens[:end], score])
            results.append(rows)
    return results


@torch.no_grad()
def sampled_results(model, prompts, options, draws):
    """Each token is the first up to which the probabilities exceed the draw."""
    rules = LogitsProcessorList()
    if "temperature" in options:
        rules.append(TemperatureLogitsWarper(options["temperature"]))
    if options.get("top_k", 50):
        rules.append(TopKLogitsWarper(options.get("top_k", 50)))
    if "top_p" in options:
        rules.append(TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        rules.append(MinPLogitsWarper(options["min_p"]))
    results = []
    for prompt, own in zip(prompts, draws):
        ids = torch.tensor([prompt])
        for step in range(options["max_new_tokens"]):
            scores = rules(ids, model(ids).logits[:, -1])
            sums = scores.double().softmax(-1).cumsum(-1)[0]
            token = int((sums > own[step]).nonzero()[0])
            ids = torch.cat([ids, torch.tensor([[token]])], 1)
            if token in options["eos_token_id"]:
                break
        results.append([[ids[0, len(prompt) :].tolist(), None]])
    return results


@torch.no_grad()
def lora_search(model, prompt, beams, length, ends, penalty, ngram, repetition, least):
    """`gpt2_beam.py` of the LoRA authors, for one input, without a cache."""
    histories = [[]] * beams
    sums = torch.zeros(beams)
    best_score, best = None, None
    for step in range(length):
        logits = model(torch.tensor([prompt + h for h in histories])).logits[:, -1].clone()
        for row, history in zip(logits, histories):
            if repetition != 1:
                for token in set(history):
                    row[token] = row[token] * repetition if row[token] < 0 else row[token] / repetition
            if step < least:
                row[ends] = -float("inf")
            if ngram > 0 and step + 1 >= ngram:
                grams = {}
                for i in range(len(history) - ngram + 1):
                    grams.setdefault(tuple(history[i : i + ngram - 1]), []).append(history[i + ngram - 1])
                row[grams.get(tuple(history[step + 1 - ngram : step]), [])] = -float("inf")
        logs = torch.log(torch.softmax(logits, -1))
        total = logs[0] if step == 0 else (sums[:, None] + logs).flatten()
        sums, places = torch.topk(total, beams)
        histories = [histories[int(p) // logs.shape[1]] + [int(p) % logs.shape[1]] for p in places]
        for i, history in enumerate(histories):
            if history[-1] in ends:
                score = float(sums[i]) / len(history) ** penalty
                if best_score is None or best_score < score:
                    best_score, best = score, history
                sums[i] = -float("inf")
    for total, history in zip(sums, histories):
        score = float(total) / length**penalty
        if best_score is None or best_score < score:
            best_score, best = score, history
    return [[best, best_score]]


def main():
    cases = []
    for name in ["tiny-gpt2", "tiny-llama"]:
        model = load(name)
        few, many = prompts(3, 5), prompts(16, 6)
        ends = dict(eos_token_id=[2, 11, 23, 37, 51, 64, 78, 92])
        base = dict(max_new_tokens=20, **ends)

        def add(prompts, batch_size=1, **options):
            options = dict(base, **options)
            results = transformers_results(model, prompts, options, batch_size)
            cases.append(dict(model=name, options=options, batch_size=batch_size, prompts=prompts, results=results))

        add(many, 16)
        add(many, 1)
        add(few, repetition_penalty=1.7)
        add(few, no_repeat_ngram_size=2)
        add(few, min_new_tokens=8)
        add(few, min_length=12)
        for beams in [5, 10]:
            for penalty in [0.8, 1.0]:
                add(many, 16, num_beams=beams, length_penalty=penalty)
            add(few, num_beams=beams, no_repeat_ngram_size=4, eos_token_id=[2])
            add(few, num_beams=beams, early_stopping=True)
            add(few, num_beams=beams, early_stopping="never", length_penalty=2.0)
            add(few, num_beams=beams, repetition_penalty=1.3, min_new_tokens=6, num_return_sequences=3)
        add(few, num_beams=5, length_penalty=-0.5, early_stopping="never")
        g = torch.Generator().manual_seed(9)
        for options in [dict(), dict(top_k=0), dict(top_k=7, temperature=0.7), dict(top_k=0, top_p=0.6), dict(temperature=1.5, min_p=0.1)]:
            options = dict(base, do_sample=True, **options)
            draws = torch.rand(len(many), 20, generator=g, dtype=torch.float64).tolist()
            results = sampled_results(model, many, options, draws)
            cases.append(dict(model=name, options=options, batch_size=16, prompts=many, draws=draws, results=results))
        for options in [
            dict(num_beams=10, length_penalty=0.8, no_repeat_ngram_size=4),
            dict(num_beams=5, length_penalty=1.0, no_repeat_ngram_size=2, min_new_tokens=4),
            dict(num_beams=5, length_penalty=0.9, repetition_penalty=1.3),
        ]:
            results = [
                lora_search(
                    model, p, options["num_beams"], 20, ends["eos_token_id"], options["length_penalty"],
                    options.get("no_repeat_ngram_size", 0), options.get("repetition_penalty", 1), options.get("min_new_tokens", 0),
                )
                for p in many
            ]
            options = dict(base, beam_search="lora", **options)
            cases.append(dict(model=name, options=options, batch_size=16, prompts=many, results=results))
    for case in cases:
        lengths = [len(tokens) for rows in case["results"] for tokens, _ in rows]
        print(case["model"], {k: v for k, v in case["options"].items() if k != "eos_token_id"}, lengths)
    with open(os.path.join(HERE, "generation.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
