"""The same record for a real BERT, all-MiniLM-L6-v2, whose weights are not kept here."""

import os

import torch
from transformers import AutoTokenizer

from cases import STEPS, build, case, common_tensors, describe
from packed import Packed, write_fixture
from training import record_with_error

# Tensors beyond this are stored as their norm and a sample of their entries.
WHOLE = 1024
SAMPLE = 64

CASES = [
    case("minilm-lora", "lora", 1e-3, 2, r=8, lora_alpha=16, target_modules=["query", "value"]),
    case("minilm-full", "full", 5e-5, 2),
    case("minilm-classifier", "classifier", 1e-2, 2),
]

PAIRS = [
    ("The ferry left the harbour before sunrise.", "A boat departed early in the morning."),
    ("Nobody in the village owned a telescope.", "Several villagers watched the stars at home."),
    ("She repaired the old clock with a hairpin, a spring and a great deal of patience.", "The clock works."),
    ("Rain.", "It is dry outside."),
    ("The committee postponed its vote until the budget figures had been checked twice.", "The vote was delayed."),
    ("Two of the three bridges across the river are closed for repairs this summer.", "All bridges are open."),
    ("He speaks Finnish, Hungarian and a little Estonian.", "He knows more than one language."),
    ("The bakery sells bread, rolls and, on Fridays, cinnamon buns.", "Cinnamon buns are sold every day."),
    ("Copper conducts heat better than steel does.", "Steel is the better conductor of heat."),
    ("The cat slept.", "An animal was asleep on a chair by the window, and did not wake when we came in."),
    ("Twelve runners started; nine reached the finish.", "Three runners did not finish the race."),
    ("The museum's new wing opened in 1998 after four years of construction work.", "Building began in 1994."),
]


def write_minilm(source, folder, report):
    """Writes one file per case; labels are arbitrary, the numbers are what counts."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    for index, entry in enumerate(CASES):
        entry = dict(entry, model="all-MiniLM-L6-v2")
        model, initial = build(source, entry, seed=500 + index, spread=0.02)
        batches = _batches(tokenizer, seed=600 + index)
        result, noise = record_with_error(model, batches, entry["learning_rate"], True)
        tensors = common_tensors(batches, initial, result)
        generator = torch.Generator().manual_seed(700 + index)
        for name, gradient in sorted(result["grad"].items()):
            tensors.update(_summary(name, gradient, result["final"][name], generator))
        path = os.path.join(folder, entry["name"] + ".safetensors")
        write_fixture(path, tensors, describe(entry, model, noise))
        report(entry["name"], noise)


def _batches(tokenizer, seed):
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(STEPS):
        chosen = torch.randperm(len(PAIRS), generator=generator)[:4].tolist()
        encoded = tokenizer([PAIRS[i][0] for i in chosen], [PAIRS[i][1] for i in chosen])
        labels = [i % 2 for i in chosen]
        batches.append(Packed.of(encoded["input_ids"], encoded["token_type_ids"], labels))
    return batches


def _summary(name, gradient, final, generator):
    if gradient.numel() <= WHOLE:
        return {"grad." + name: gradient, "final." + name: final}
    # Entries without gradient (words that do not occur) say nothing; the norm covers them.
    candidates = gradient.flatten().nonzero().flatten()
    chosen = torch.randperm(len(candidates), generator=generator)[:SAMPLE]
    index = candidates[chosen].sort().values
    return {
        "gradnorm." + name: gradient.double().norm().float().reshape(1),
        "gradidx." + name: index.int(),
        "gradval." + name: gradient.flatten()[index],
        "finalnorm." + name: final.double().norm().float().reshape(1),
        "finalval." + name: final.flatten()[index],
    }
