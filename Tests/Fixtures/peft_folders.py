"""Adapter folders written by the real PEFT, with the logits that they must give."""

import json
import os

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, TaskType, VeraConfig, get_peft_model

from cases import QUERY_VALUE, load, random_batches
from packed import write_fixture
from training import record

FOLDERS = {
    "tiny-bert-lora": ("tiny-bert", dict(QUERY_VALUE)),
    "tiny-roberta-lora": ("tiny-roberta", dict(QUERY_VALUE)),
    "tiny-roberta-rslora": (
        "tiny-roberta",
        dict(r=3, lora_alpha=6, target_modules=r".*layer\.1\..*\.(key|dense)", use_rslora=True),
    ),
    "tiny-roberta-all-linear": (
        "tiny-roberta",
        dict(r=2, lora_alpha=3, target_modules="all-linear", bias="all"),
    ),
    "tiny-bert-patterns": (
        "tiny-bert",
        dict(
            r=4,
            lora_alpha=8,
            target_modules=["query", "dense"],
            exclude_modules=r".*\.0\.output\.dense",
            modules_to_save=["pooler"],
            rank_pattern={"query": 2, r"layer\.1\.output\.dense": 3},
            alpha_pattern={r"layer\.0\..*": 5},
            bias="lora_only",
            init_lora_weights="gaussian",
        ),
    ),
    "tiny-roberta-dora": ("tiny-roberta", dict(r=3, use_dora=True, target_modules=["key", "dense"])),
    "tiny-bert-pissa": ("tiny-bert", dict(init_lora_weights="pissa", **QUERY_VALUE)),
    "tiny-roberta-olora": ("tiny-roberta", dict(init_lora_weights="olora", **QUERY_VALUE)),
    "tiny-roberta-layers-pattern": (
        "tiny-roberta",
        dict(r=2, target_modules=["key"], layers_to_transform=1, layers_pattern="layer"),
    ),
    "tiny-roberta-vera": (
        "tiny-roberta",
        dict(r=6, target_modules=["key", "dense"], bias="vera_only"),
    ),
    "tiny-bert-vera-drawn": (
        "tiny-bert",
        dict(r=40, save_projection=False, projection_prng_key=3, target_modules=["query", "dense"]),
    ),
    "tiny-roberta-loha": ("tiny-roberta", dict(r=2, alpha=3, target_modules=["key", "dense"])),
    "tiny-bert-lokr": (
        "tiny-bert",
        dict(r=2, alpha=3, target_modules=["query", "dense"], decompose_both=True),
    ),
}
KINDS = {"vera": VeraConfig, "loha": LoHaConfig, "lokr": LoKrConfig}


def config_of(name, options):
    kind = KINDS.get(name.split("-")[2], LoraConfig)
    return kind(task_type=TaskType.SEQ_CLS, **options)


def write_peft_folders(models, folder):
    """<name>/adapter holds PEFT's files, <name>/expected.safetensors a batch and its logits."""
    for index, (name, (base, options)) in enumerate(FOLDERS.items()):
        torch.manual_seed(300 + index)
        entry = dict(model=base, objective="classification", num_labels=3)
        model, _ = load(os.path.join(models, base), entry)
        model = get_peft_model(model, config_of(name, options))
        config = model.config
        first_id = max(config.pad_token_id, config.eos_token_id or 0) + 1
        batches = random_batches(entry, config.vocab_size, first_id, 400 + index)
        result = record(model, batches, 1e-2, base == "tiny-bert")
        adapter = os.path.join(folder, name, "adapter")
        model.save_pretrained(adapter)
        _tidy(adapter)
        tensors = batches[0].tensors("")
        tensors["logits"] = result["final_logits"]
        path = os.path.join(folder, name, "expected.safetensors")
        write_fixture(path, tensors, dict(model=base, num_labels=3, **options))


def _tidy(adapter):
    """Drops the model card, and sorts what PEFT writes in the order of a hash table."""
    card = os.path.join(adapter, "README.md")
    if os.path.exists(card):
        os.remove(card)
    path = os.path.join(adapter, "adapter_config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, sort_keys=True)
