#!/usr/bin/env python3
"""Reads what `perigee export` wrote of one model with other programs, and compares.

    check_export.py BASE EXPORTS

EXPORTS holds the folders merged, peft, lora, adapter (adapter.gguf) and model (model.gguf), all of one language model on BASE. The merged
model in Transformers is what the others are compared with: the adapter in PEFT, the authors' factors and llama.cpp's adapter put into the
weights of BASE here, and the weights of llama.cpp's model. Exit code 0 where all agree.
"""

import copy
import os
import re
import sys

import gguf
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, logging

IDS = torch.tensor([[5, 9, 70, 81, 100, 33, 12, 4, 60, 90]])


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def rows(tensor, heads):
    """llama.cpp's rows of queries and keys in the order of Transformers."""
    size = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, size, 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


class Names:
    """Names and orders of llama.cpp's tensors, by its own package."""

    def __init__(self, model, arch):
        self.arch = arch
        self.config = model.config
        kind = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch)
        self.map = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)

    def __call__(self, name):
        return self.map.get_name(name, try_suffixes=(".weight", ".bias"))

    def order(self, name, tensor):
        if self.arch == "llama" and ".attn_q." in name:
            return rows(tensor, self.config.num_attention_heads)
        if self.arch == "llama" and ".attn_k." in name:
            return rows(tensor, self.config.num_key_value_heads)
        return tensor


def tensors(path):
    reader = gguf.GGUFReader(path)
    text = lambda key: reader.fields[key].contents()
    return text, {t.name: torch.from_numpy(t.data.copy()).float().reshape(*reversed(t.shape.tolist())) for t in reader.tensors}


def with_updates(base, updates):
    model = copy.deepcopy(base)
    modules = dict(model.named_modules())
    with torch.no_grad():
        for name, update in updates.items():
            weight = modules[name].weight
            weight += update.T if weight.shape != update.shape or type(modules[name]).__name__ == "Conv1D" else update
    return model


def authors_updates(path):
    """B A, with the scale that the file's metadata names, or none."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        scales = file.metadata()["scales"]
    state = load_file(path)
    numbers = re.fullmatch(r"r=(\d+), lora_alpha=([\d.]+)", scales)
    scale = float(numbers[2]) / float(numbers[1]) if numbers else 1
    return {n[:-7]: scale * state[n[:-7] + ".lora_B"] @ state[n] for n in state if n.endswith(".lora_A")}


def adapter_updates(base, path):
    text, state = tensors(path)
    assert (text("general.type"), text("adapter.type")) == ("adapter", "lora")
    names = Names(base, text("general.architecture"))
    alpha = text("adapter.lora.alpha")
    wanted = {names(n + ".weight"): n for n, _ in base.named_modules() if names(n + ".weight")}
    updates = {}
    for name in [n[:-7] for n in state if n.endswith(".lora_a")]:
        a, b = state[name + ".lora_a"], state[name + ".lora_b"]
        updates[wanted[name]] = alpha / a.shape[0] * names.order(name, b) @ a
    return updates


def main():
    base_path, folder = sys.argv[1:]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    place = lambda name: os.path.join(folder, name)
    base = AutoModelForCausalLM.from_pretrained(base_path)
    merged = AutoModelForCausalLM.from_pretrained(place("merged"))
    expected = logits(merged)
    found = {
        "peft": logits(PeftModel.from_pretrained(copy.deepcopy(base), place("peft"))),
        "lora": logits(with_updates(base, authors_updates(place("lora/lora.safetensors")))),
        "adapter": logits(with_updates(base, adapter_updates(base, place("adapter/adapter.gguf")))),
    }
    worst = {name: (value - expected).abs().max().item() for name, value in found.items()}
    text, state = tensors(place("model/model.gguf"))
    names = Names(base, text("general.architecture"))
    worst["model"] = 0
    seen = {"rope_freqs.weight"}
    for name, value in merged.named_parameters():
        key = names(name)
        seen.add(key)
        transposed = type(merged.get_submodule(name.rsplit(".", 1)[0])).__name__ == "Conv1D" and value.dim() == 2
        difference = (names.order(key, state[key]) - (value.T if transposed else value)).abs() / value.abs().max()
        worst["model"] = max(worst["model"], difference.max().item())
    tokens = PreTrainedTokenizerFast.from_pretrained(place("merged"))
    assert seen >= set(state), sorted(set(state) - seen)
    assert text("tokenizer.ggml.tokens") == tokens.convert_ids_to_tokens(range(len(tokens)))
    assert text("tokenizer.ggml.eos_token_id") == tokens.eos_token_id
    moved = (expected - logits(base)).abs().max().item()
    print(worst, "moved", moved)
    limits = {"peft": 1e-4, "lora": 1e-4, "adapter": 1e-4, "model": 1e-3}
    sys.exit(0 if moved > 0.05 and all(worst[name] <= limit for name, limit in limits.items()) else 1)


if __name__ == "__main__":
    main()
