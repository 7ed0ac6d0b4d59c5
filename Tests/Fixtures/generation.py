"""Continuations of tiny random decoders, and what tiny random encoder-decoders write: Transformers' `generate` in fp32, sampling with
given draws, and the LoRA authors' beam search, written here from their paper's code. Run: `python generation.py`; writes
`generation.json`, `generation_encoder_decoders.json`, `generation_adapters.json` and `generation_rules.json`.

A case: the model's folder, the options as Perigee has them, the prompts' tokens, and for each prompt the new tokens of each result
with its score (of beam searches) or none. `draws[i][s]` is the draw of prompt i in step s. Prompts of an encoder-decoder are what the
encoder reads; `factors` are what its decoder's parameters are multiplied by, by a part of their names, since random weights alone
write one token again and again. `adapter` is a folder of PEFT's.
"""

import json
import os

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.generation import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

HERE = os.path.dirname(os.path.abspath(__file__))
PAD = 0


def load(name, factors={}):
    auto = AutoModelForSeq2SeqLM if factors else AutoModelForCausalLM
    model = auto.from_pretrained(os.path.join(HERE, "models", name), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for part, factor in factors.items():
                if "decoder" in name and part in name:
                    parameter.mul_(factor)
    return model


def prompts(count, seed, shortest=2, longest=9):
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (count,), generator=g).tolist()
    return [torch.randint(3, 120, (n,), generator=g).tolist() for n in lengths]


@torch.no_grad()
def transformers_results(model, prompts, options, batch_size):
    """New tokens without padding, and scores of beam searches, for each prompt."""
    ends = options["eos_token_id"]
    # An empty list is none.
    options = {key: None if value == [] else value for key, value in options.items()}
    writes = model.config.is_encoder_decoder
    if getattr(model.config, "num_decoder_layers", 0) > model.config.num_hidden_layers:
        # Transformers' cache for T5 has as many layers as its encoder.
        options["use_cache"] = False
    results = []
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        longest = max(map(len, part))
        pads = [longest - len(p) for p in part]
        ids = torch.tensor([p + [PAD] * n if writes else [PAD] * n + p for n, p in zip(pads, part)])
        mask = torch.tensor([[1] * len(p) + [0] * n if writes else [0] * n + [1] * len(p) for n, p in zip(pads, part)])
        out = model.generate(
            input_ids=ids, attention_mask=mask, return_dict_in_generate=True, output_scores=True, pad_token_id=PAD, **options
        )
        each = len(out.sequences) // len(part)
        for i in range(len(part)):
            rows = []
            for j in range(i * each, (i + 1) * each):
                tokens = out.sequences[j, 1 if writes else longest :].tolist()
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
        if model.config.is_encoder_decoder:
            read = torch.tensor([prompt])
            start = [model.generation_config.decoder_start_token_id]
            logits = lambda ids: model(input_ids=read, decoder_input_ids=ids).logits[:, -1]
        else:
            start = prompt
            logits = lambda ids: model(ids).logits[:, -1]
        ids = torch.tensor([start])
        for step in range(options["max_new_tokens"]):
            scores = rules(ids, logits(ids))
            sums = scores.double().softmax(-1).cumsum(-1)[0]
            token = int((sums > own[step]).nonzero()[0])
            ids = torch.cat([ids, torch.tensor([[token]])], 1)
            if token in options["eos_token_id"]:
                break
        results.append([[ids[0, len(start) :].tolist(), None]])
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


WRITERS = {
    "tiny-bart": {"attn.out_proj": 0.3, "fc2": -4.0, "embed_positions": 4.0},
    "tiny-t5": {"SelfAttention.o": -6.0, "wo": -8.0},
    "tiny-t5v11": {"wo": 3.0},
}


def write_encoder_decoders():
    cases = []
    for name, factors in WRITERS.items():
        model = load(name, factors)
        end = model.config.eos_token_id
        few, many = ([p + [end] for p in prompts(*each)] for each in [(4, 5, 1, 9), (16, 6, 1, 14)])
        # Tokens that it writes in the middle of texts, so that these end at different places.
        free = transformers_results(model, many, dict(eos_token_id=[end], forced_eos_token_id=[], max_new_tokens=10), 16)
        written = [token for [[tokens, _]] in free for token in tokens[3:8]]
        first = {tokens[0] for [[tokens, _]] in free}
        ends = [end] + sorted(set(written) - first, key=lambda token: (-written.count(token), token))[:4]

        def add(inputs, batch_size=1, **options):
            options = dict(dict(eos_token_id=ends, max_new_tokens=10), **options)
            options = {key: value for key, value in options.items() if value is not None}
            results = transformers_results(model, inputs, options, batch_size)
            cases.append(dict(model=name, factors=factors, options=options, batch_size=batch_size, prompts=inputs, results=results))

        add(many, 16)
        add(many, 1)
        # 20 new tokens, where nothing says how many.
        add(few, max_new_tokens=None, eos_token_id=[end])
        add(few, max_new_tokens=None, max_length=7)
        add(few, repetition_penalty=1.7, eos_token_id=[end])
        add(few, no_repeat_ngram_size=2, eos_token_id=[end])
        add(few, min_new_tokens=6)
        add(few, min_length=6)
        add(few, decoder_start_token_id=40)
        # The start token counts as written: one that the model likes to write.
        liked = [token for [[tokens, _]] in free for token in tokens[:-1]]
        start = max(sorted(set(liked)), key=liked.count)
        add(few, decoder_start_token_id=start, repetition_penalty=3.0)
        add(few, decoder_start_token_id=start, no_repeat_ngram_size=1, eos_token_id=[end])
        add(few, forced_bos_token_id=30, forced_eos_token_id=end)
        add(few, forced_eos_token_id=[], num_beams=3)
        add(few, forced_bos_token_id=30, forced_eos_token_id=31, num_beams=3, num_return_sequences=2, max_new_tokens=4)
        add(many, 16, num_beams=5, length_penalty=0.8)
        add(few, num_beams=5, length_penalty=1.0)
        for penalty in [0.8, 1.0]:
            add(few, 4, num_beams=10, length_penalty=penalty)
        for beams in [1, 5, 10]:
            add(few, num_beams=beams, no_repeat_ngram_size=4, eos_token_id=[end], max_new_tokens=14)
        add(few, num_beams=5, early_stopping=True)
        add(few, num_beams=5, early_stopping="never", length_penalty=2.0)
        add(few, num_beams=5, repetition_penalty=1.3, min_new_tokens=4, num_return_sequences=3)
        add(few, num_beams=3, length_penalty=-0.5, early_stopping="never")
        g = torch.Generator().manual_seed(9)
        for options in [dict(), dict(top_k=7, temperature=0.7), dict(top_k=0, top_p=0.6), dict(temperature=1.5, min_p=0.1)]:
            options = dict(eos_token_id=ends, max_new_tokens=10, do_sample=True, forced_eos_token_id=[], **options)
            draws = torch.rand(len(few), 10, generator=g, dtype=torch.float64).tolist()
            results = sampled_results(model, few, options, draws)
            cases.append(dict(model=name, factors=factors, options=options, batch_size=4, prompts=few, draws=draws, results=results))
    write("generation_encoder_decoders.json", cases)


def write_adapters():
    cases = []
    for name in ["tiny-gpt2", "tiny-llama", "tiny-bart", "tiny-t5"]:
        for method in ["lora", "prefix"]:
            model = load(name, WRITERS.get(name, {}))
            end = model.config.eos_token_id
            adapter = f"peft/{name}-{method}/adapter"
            inputs = [p + [end] for p in prompts(4, 5, 1, 9)] if name in WRITERS else prompts(3, 5)
            model = PeftModel.from_pretrained(model, os.path.join(HERE, adapter)).eval()
            for options in [dict(), dict(num_beams=4, length_penalty=0.8)]:
                options = dict(eos_token_id=[end, 11, 35], max_new_tokens=10, **options)
                results = transformers_results(model, inputs, options, 1)
                case = dict(model=name, adapter=adapter, options=options, batch_size=1, prompts=inputs, results=results)
                cases.append(dict(case, factors=WRITERS[name]) if name in WRITERS else case)
    write("generation_adapters.json", cases)


def write_rules():
    """Rules and defaults that the other files lack: forced and suppressed tokens, no repetition without beams, the default length."""
    cases = []
    for name in ["tiny-gpt2", "tiny-llama", "tiny-bart", "tiny-t5"]:
        model = load(name, WRITERS.get(name, {}))
        end = model.config.eos_token_id
        writes = name in WRITERS
        inputs = [p + [end] for p in prompts(4, 5, 1, 9)] if writes else prompts(3, 5)
        base = dict(eos_token_id=[end], max_new_tokens=12)
        [[tokens, _]] = transformers_results(model, inputs[:1], dict(base, forced_eos_token_id=[]), 1)[0]
        liked = sorted(set(tokens))[:3]

        def add(given=inputs, **options):
            options = {key: value for key, value in dict(base, **options).items() if value is not None}
            results = transformers_results(model, given, options, 1)
            case = dict(model=name, options=options, batch_size=1, prompts=given, results=results)
            cases.append(dict(case, factors=WRITERS[name]) if writes else case)

        add(suppress_tokens=liked)
        add(suppress_tokens=liked, num_beams=4)
        add(begin_suppress_tokens=[tokens[0], 5])
        add(begin_suppress_tokens=[tokens[0], 5], num_beams=4)
        add([p[:1] for p in inputs], forced_bos_token_id=30, begin_suppress_tokens=[tokens[1], 30])
        if not writes:
            add(no_repeat_ngram_size=4)
            # 20 new tokens, where nothing says how many.
            add(max_new_tokens=None)
            add(forced_eos_token_id=31, max_new_tokens=6)
            add(forced_eos_token_id=31, max_new_tokens=6, num_beams=3)
            add([p[:1] for p in inputs], forced_bos_token_id=30)
    write("generation_rules.json", cases)


def write(name, cases):
    for case in cases:
        lengths = [len(tokens) for rows in case["results"] for tokens, _ in rows]
        print(case["model"], {k: v for k, v in case["options"].items() if k != "eos_token_id"}, lengths)
    with open(os.path.join(HERE, name), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


def main():
    write_encoder_decoders()
    write_adapters()
    write_rules()
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
    write("generation.json", cases)


if __name__ == "__main__":
    main()
