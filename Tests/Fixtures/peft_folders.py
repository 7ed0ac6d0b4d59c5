"""Adapter folders written by the real PEFT, with the logits that they must give."""

import json
import os

import torch
from peft import (
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    TaskType,
    VeraConfig,
    get_peft_model,
)

import decoders
import encoder_decoders
import language_cases
from cases import QUERY_VALUE, load, random_batches
from encoder_decoders import Pair
from methods import adalora, glora
from packed import Packed, write_fixture
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
        VeraConfig,
    ),
    "tiny-bert-vera-drawn": (
        "tiny-bert",
        dict(r=40, save_projection=False, projection_prng_key=3, target_modules=["query", "dense"]),
        VeraConfig,
    ),
    "tiny-roberta-loha": (
        "tiny-roberta",
        dict(r=2, alpha=3, target_modules=["key", "dense"]),
        LoHaConfig,
    ),
    "tiny-bert-lokr": (
        "tiny-bert",
        dict(r=2, alpha=3, target_modules=["query", "dense"], decompose_both=True),
        LoKrConfig,
    ),
    "tiny-bert-ia3": ("tiny-bert", dict(), IA3Config),
    "tiny-roberta-ia3": (
        "tiny-roberta",
        dict(
            target_modules=r".*\.(query|intermediate\.dense)",
            feedforward_modules=r".*layer\.0\.attention\.self\.query",
        ),
        IA3Config,
    ),
    "tiny-bert-prefix": ("tiny-bert", dict(num_virtual_tokens=3), PrefixTuningConfig),
    "tiny-roberta-prefix-projection": (
        "tiny-roberta",
        dict(num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=6),
        PrefixTuningConfig,
    ),
    "tiny-roberta-prompt": (
        "tiny-roberta",
        dict(num_virtual_tokens=3, prompt_tuning_init="SAMPLE_VOCAB"),
        PromptTuningConfig,
    ),
    "tiny-bert-p-tuning": (
        "tiny-bert",
        dict(num_virtual_tokens=4, encoder_reparameterization_type="LSTM", encoder_hidden_size=6),
        PromptEncoderConfig,
    ),
}

# Folders of other methods: their rows of `methods`.
METHODS = {
    "tiny-bert-adalora": (adalora, "bert-adalora"),
    "tiny-roberta-adalora": (adalora, "roberta-adalora"),
    "tiny-bert-glora": (glora, "bert-glora-vector"),
    "tiny-roberta-glora": (glora, "roberta-glora"),
    "tiny-bert-glora-none": (glora, "bert-glora-none"),
}

# Decoders: what they do, and the options. Where PEFT has defaults of its own for the family, they are taken.
WRITES, CLASSIFIES = TaskType.CAUSAL_LM, TaskType.SEQ_CLS
CONV1D = dict(target_modules=["c_attn"], fan_in_fan_out=True)
DECODERS = {
    "tiny-gpt2-lora": (WRITES, dict(r=4, lora_alpha=8, **CONV1D)),
    "tiny-gpt2-all-linear": (WRITES, dict(r=2, lora_alpha=3, target_modules="all-linear", bias="all", fan_in_fan_out=True)),
    "tiny-gpt2-dora": (WRITES, dict(r=3, use_dora=True, target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)),
    "tiny-gpt2-pissa": (WRITES, dict(r=3, init_lora_weights="pissa", **CONV1D)),
    "tiny-gpt2-vera": (WRITES, dict(r=5, fan_in_fan_out=True), VeraConfig),
    "tiny-gpt2-ia3": (WRITES, dict(), IA3Config),
    "tiny-gpt2-prefix": (WRITES, dict(num_virtual_tokens=3), PrefixTuningConfig),
    "tiny-gpt2-prompt": (WRITES, dict(num_virtual_tokens=3), PromptTuningConfig),
    "tiny-gpt2-classifier": (CLASSIFIES, dict(r=3, modules_to_save=["c_fc", "ln_f"], **CONV1D)),
    "tiny-gpt2-prefix-classifier": (CLASSIFIES, dict(num_virtual_tokens=3), PrefixTuningConfig),
    "tiny-gpt2-prompt-classifier": (CLASSIFIES, dict(num_virtual_tokens=3), PromptTuningConfig),
    "tiny-llama-lora": (WRITES, dict(r=4, lora_alpha=8)),
    "tiny-llama-head": (WRITES, dict(r=3, target_modules=["o_proj", "lm_head"])),
    "tiny-llama-vera": (WRITES, dict(r=5), VeraConfig),
    "tiny-llama-ia3": (WRITES, dict(), IA3Config),
    "tiny-llama-prefix": (WRITES, dict(num_virtual_tokens=3), PrefixTuningConfig),
    "tiny-llama-p-tuning": (WRITES, dict(num_virtual_tokens=4, encoder_hidden_size=6), PromptEncoderConfig),
    "tiny-llama-classifier": (CLASSIFIES, dict(r=3, target_modules="all-linear")),
    "tiny-llama-prompt-classifier": (CLASSIFIES, dict(num_virtual_tokens=3), PromptTuningConfig),
    "tiny-mistral-prefix": (WRITES, dict(num_virtual_tokens=2), PrefixTuningConfig),
    "tiny-qwen2-ia3": (WRITES, dict(), IA3Config),
    "tiny-qwen3-lora": (WRITES, dict(r=4)),
    # Its head is the table of word embeddings.
    "tiny-qwen2-head": (WRITES, dict(r=3, target_modules=["lm_head"])),
    "tiny-qwen2-embeddings": (WRITES, dict(r=2, modules_to_save=["model.embed_tokens"], ensure_weight_tying=True)),
    "tiny-llama-embeddings": (WRITES, dict(r=2, modules_to_save=["embed_tokens", "lm_head"])),
}


# Encoder-decoders. T5's classifier is no module that PEFT saves by itself.
ANSWERS = TaskType.SEQ_2_SEQ_LM
HEAD = dict(modules_to_save=["classification_head"])
ENCODER_DECODERS = {
    "tiny-bart-lora": (ANSWERS, dict(r=4, lora_alpha=8)),
    "tiny-bart-all-linear": (ANSWERS, dict(r=2, lora_alpha=3, target_modules="all-linear", bias="all")),
    "tiny-bart-dora": (ANSWERS, dict(r=3, use_dora=True, target_modules=["k_proj", "fc1"])),
    "tiny-bart-ia3": (ANSWERS, dict(), IA3Config),
    "tiny-bart-prefix": (ANSWERS, dict(num_virtual_tokens=3), PrefixTuningConfig),
    "tiny-bart-prompt": (ANSWERS, dict(num_virtual_tokens=3), PromptTuningConfig),
    "tiny-bart-p-tuning": (ANSWERS, dict(num_virtual_tokens=4, encoder_hidden_size=6), PromptEncoderConfig),
    "tiny-bart-classifier": (CLASSIFIES, dict(r=3, **HEAD)),
    "tiny-t5-lora": (ANSWERS, dict(r=4, lora_alpha=8)),
    "tiny-t5-head": (ANSWERS, dict(r=3, target_modules=["o", "lm_head"])),
    "tiny-t5-vera": (ANSWERS, dict(r=5, target_modules=["q", "wi"]), VeraConfig),
    "tiny-t5-ia3": (ANSWERS, dict(), IA3Config),
    "tiny-t5-prefix": (ANSWERS, dict(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=6), PrefixTuningConfig),
    "tiny-t5-prompt": (ANSWERS, dict(num_virtual_tokens=3, num_transformer_submodules=1), PromptTuningConfig),
    "tiny-t5-classifier": (CLASSIFIES, dict(r=3, **HEAD)),
    "tiny-t5v11-all-linear": (ANSWERS, dict(r=2, lora_alpha=3, target_modules="all-linear")),
    "tiny-t5v11-ia3": (ANSWERS, dict(), IA3Config),
    "tiny-t5v11-prompt": (ANSWERS, dict(num_virtual_tokens=3), PromptTuningConfig),
    # PEFT trains a copy of the table for each of its places; that of `shared` is never read.
    "tiny-t5v11-embeddings": (ANSWERS, dict(r=2, modules_to_save=["shared", "embed_tokens", "lm_head"])),
}


def write_language_folders(models, folder, table, seed):
    """The same for models of language: random values in everything that trains, and each sequence by itself."""
    for index, (name, (kind, options, *rest)) in enumerate(table.items()):
        torch.manual_seed(seed + index)
        base = "-".join(name.split("-")[:2])
        objective = {WRITES: "causal_lm", ANSWERS: "seq2seq_lm"}.get(kind, "classification")
        model, _ = language_cases.load(os.path.join(models, base), dict(objective=objective, num_labels=3))
        model = get_peft_model(model, (rest or [LoraConfig])[0](task_type=kind, **options)).eval()
        for parameter_name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn(parameter.shape) * (encoder_decoders.spread(parameter_name) if kind == ANSWERS else 0.2))
        copies = [p for n, p in model.named_parameters() if n.endswith(("shared.modules_to_save.default.weight", "embed_tokens.modules_to_save.default.weight"))]
        for parameter in copies:
            parameter.data.copy_(copies[0].data)
        adapter = os.path.join(folder, name, "adapter")
        model.save_pretrained(adapter)
        _tidy(adapter)
        rows = [torch.randint(3, 120, (length,)).tolist() for length in (5, 1, 8)]
        if kind == CLASSIFIES and table is ENCODER_DECODERS:
            # It reads the end token.
            rows = [row + [model.config.eos_token_id] for row in rows]
        if kind == ANSWERS:
            batch = Pair(rows, [torch.randint(3, 120, (length,)).tolist() for length in (4, 6, 1)])
        else:
            batch = Packed.of(rows, [[0] * len(row) for row in rows], [0, 0, 0])
        tensors = dict(batch.tensors(""), logits=decoders.logits_alone(model, batch))
        write_fixture(os.path.join(folder, name, "expected.safetensors"), tensors, dict(model=base, task_type=kind, **options))


def write_peft_folders(models, folder):
    """<name>/adapter holds PEFT's files, <name>/expected.safetensors a batch and its logits."""
    for index, (name, (base, options, *kind)) in enumerate(FOLDERS.items()):
        torch.manual_seed(300 + index)
        entry = dict(model=base, objective="classification", num_labels=3)
        model, _ = load(os.path.join(models, base), entry)
        config = (kind or [LoraConfig])[0](task_type=TaskType.SEQ_CLS, **options)
        model = get_peft_model(model, config)
        _write(model, entry, os.path.join(folder, name), 400 + index, options)
    for index, (name, (module, case)) in enumerate(METHODS.items()):
        torch.manual_seed(500 + index)
        entry = next(row for row in module.CASES if row["name"] == case)
        model, _ = load(os.path.join(models, entry["model"]), entry)
        options = entry["options"]
        model = module.attach(model, None, dict(options))
        training = getattr(module, "Training", None)
        hooks = training and (lambda model: training(model, options))
        _write(model, entry, os.path.join(folder, name), 600 + index, options, hooks)


def _write(model, entry, folder, seed, options, hooks=None):
    """Trains for ten steps, and writes the adapter and what it then computes."""
    base, config = entry["model"], model.config
    first_id = max(config.pad_token_id, config.eos_token_id or 0) + 1
    batches = random_batches(entry, config.vocab_size, first_id, seed)
    result = record(model, batches, 1e-2, base == "tiny-bert", hooks)
    adapter = os.path.join(folder, "adapter")
    model.save_pretrained(adapter)
    _tidy(adapter)
    tensors = batches[0].tensors("")
    tensors["logits"] = result["final_logits"]
    path = os.path.join(folder, "expected.safetensors")
    write_fixture(path, tensors, dict(model=base, num_labels=3, **options))


def _tidy(adapter):
    """Drops the model card, and sorts what PEFT writes in the order of a hash table."""
    card = os.path.join(adapter, "README.md")
    if os.path.exists(card):
        os.remove(card)
    path = os.path.join(adapter, "adapter_config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    for key in ("target_modules", "feedforward_modules"):
        if isinstance(config.get(key), list):
            config[key].sort()
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, sort_keys=True)
