"""Decoders: tiny random models of each family, and ten AdamW steps of causal language modelling or classification.

Matrices of GPT-2's Conv1D are written as [out, in], as Perigee holds them. Labels are those that Transformers takes, one for
each token, and are shifted by the model.
"""

import os
import re

import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from methods import case
from methods.virtual_tokens import Named, Split
from packed import Packed, saved_name

SPECIAL = dict(vocab_size=120, initializer_range=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2)
LAYERS = dict(num_hidden_layers=2, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48)
LAYERS = dict(**LAYERS, **SPECIAL, max_position_embeddings=64)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=500.0,
    factor=4.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=16,
)
CONFIGS = {
    "gpt2": GPT2Config(
        n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **SPECIAL
    ),
    "llama": LlamaConfig(**LAYERS, rope_parameters=LLAMA3, rms_norm_eps=1e-5, tie_word_embeddings=False),
    "mistral": MistralConfig(**LAYERS, head_dim=12, sliding_window=None, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**LAYERS, tie_word_embeddings=True, rms_norm_eps=1e-6),
    "qwen3": Qwen3Config(**LAYERS, head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-6),
    "smollm2": LlamaConfig(**LAYERS, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=100.0)),
}


def write_models(folder):
    generator = torch.Generator().manual_seed(11)
    for name, config in CONFIGS.items():
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter_name, parameter in sorted(model.named_parameters()):
                noise = torch.randn(parameter.shape, generator=generator) * 0.3
                is_norm = re.search(r"(ln_\w|norm)\.weight$", parameter_name)
                parameter.copy_(1 + noise if is_norm else noise)
        model.save_pretrained(os.path.join(folder, "tiny-" + name))


def rows(name):
    targets = ["c_attn"] if name == "gpt2" else ["q_proj", "v_proj"]
    causal = dict(objective="causal_lm", num_labels=1)
    lora = dict(r=4, lora_alpha=8)
    return [
        case(name + "-full", "full", 1e-3, **causal),
        case(name + "-lora", "lora", **causal, **lora, target_modules=targets),
        case(name + "-ia3", "ia3", **causal),
        case(name + "-prefix", "prefix_tuning", **causal, num_virtual_tokens=3),
        case(name + "-prompt", "prompt_tuning", **causal, num_virtual_tokens=3),
    ]


CASES = [entry for name in CONFIGS for entry in rows(name)]
# All layers, and a head that reads the last token.
CASES += [
    case("gpt2-lora-all-linear", "lora", objective="causal_lm", num_labels=1, r=2, lora_alpha=4, target_modules="all-linear"),
    case("llama-lora-all-linear", "lora", objective="causal_lm", num_labels=1, r=2, lora_alpha=4, target_modules="all-linear"),
    case("llama-lora-head", "lora", objective="causal_lm", num_labels=1, r=2, lora_alpha=4, target_modules=["lm_head", "o_proj"]),
    case("qwen2-lora-head", "lora", objective="causal_lm", num_labels=1, r=2, lora_alpha=4, target_modules=["lm_head", "o_proj"]),
    case("gpt2-classification-lora", "lora", r=4, lora_alpha=8, target_modules=["c_attn"]),
    case("llama-classification-full", "full", 1e-3),
    case("qwen3-classification-lora", "lora", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
]


# The LoRA authors' GPT-2: queries and values of the fused layer.
CASES += [
    case("gpt2-lora-fused", "lora_fused", objective="causal_lm", num_labels=1, r=2, lora_alpha=4),
    case("gpt2-lora-fused-keys", "lora_fused", r=3, lora_alpha=4, parts=["key"]),
]


class Merged(nn.Module):
    """The forward pass of `MergedLinear` in the LoRA authors' code (microsoft/LoRA) over a Conv1D: `enable_lora` chooses the parts."""

    def __init__(self, base_layer, r, lora_alpha, parts=("query", "value")):
        super().__init__()
        self.base_layer, self.scaling = base_layer, lora_alpha / r
        self.enable_lora = [part in parts for part in ("query", "key", "value")]
        size, groups = base_layer.nf // 3, sum(self.enable_lora)
        self.lora_A = nn.Parameter(torch.empty(groups * r, base_layer.weight.shape[0]))
        self.lora_B = nn.Parameter(torch.zeros(groups * size, r))
        nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)
        self.register_buffer("place", torch.tensor(self.enable_lora).repeat_interleave(size), persistent=False)

    def forward(self, x):
        down = x @ self.lora_A.T
        up = nn.functional.conv1d(down.transpose(-2, -1), self.lora_B.unsqueeze(-1), groups=sum(self.enable_lora)).transpose(-2, -1)
        padded = x.new_zeros(*x.shape[:-1], len(self.place))
        padded[..., self.place] = up
        return self.base_layer(x) + padded * self.scaling


def add_lora_fused(model, options):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("score.")
    for layer in model.transformer.h:
        layer.attn.c_attn = Merged(layer.attn.c_attn, **options)
    return model


def attach(model, entry):
    kind = TaskType.CAUSAL_LM if entry["objective"] == "causal_lm" else TaskType.SEQ_CLS
    options = dict(entry["options"])
    method = entry["method"]
    if method == "full":
        return model
    if method == "lora_fused":
        return add_lora_fused(model, options)
    if method == "lora":
        return get_peft_model(model, LoraConfig(task_type=kind, **options))
    if method == "ia3":
        is_gpt2 = "gpt2" in entry["model"]
        options["target_modules"] = ["c_attn", "mlp.c_proj"] if is_gpt2 else ["k_proj", "v_proj", "down_proj"]
        options["feedforward_modules"] = options["target_modules"][-1:]
        return get_peft_model(model, IA3Config(task_type=kind, **options))
    if method == "prompt_tuning":
        model = get_peft_model(model, PromptTuningConfig(task_type=kind, **options))
        encoder = model.prompt_encoder["default"]
        encoder.embedding = Named("prompt", encoder.embedding)
        return model
    layers = model.config.num_hidden_layers
    model = get_peft_model(model, PrefixTuningConfig(task_type=kind, **options))
    encoder = model.prompt_encoder["default"]
    width = encoder.embedding.weight.shape[1] // layers
    parts = [nn.Embedding(options["num_virtual_tokens"], width) for _ in range(layers)]
    encoder.embedding = Named("layers", Split(parts))
    return model


def name_in_file(entry):
    is_gpt2 = "gpt2" in entry["model"]
    has_tokens = entry["method"] in ("prefix_tuning", "prompt_tuning")
    body, layer = ("transformer", r"transformer.h.\1.attn.") if is_gpt2 else ("model", r"model.layers.\1.self_attn.")
    encoder = r"prompt_encoder\.default\.embedding\."

    def name(live):
        live = re.sub(encoder + r"layers\.(\d+)\.weight", layer + "prefix_embeddings", live)
        live = re.sub(r"\.lora_([AB])$", r".lora_\1.weight", live)
        live = re.sub(encoder + r"prompt\.weight", body + ".prompt_embeddings", live)
        # PEFT wraps a model for virtual tokens once, others twice.
        return saved_name("base_model.model." + live.removeprefix("base_model.") if has_tokens else live)

    return name


def turned(name, tensor):
    """Conv1D's weights as [out, in]."""
    return tensor.t() if re.search(r"\.(c_attn|c_proj|c_fc)(\.base_layer)?\.weight$", name) else tensor


def logits_alone(model, batch):
    """Logits of each sequence by itself: with vectors in front, PEFT's classifiers read the last row of a padded batch, padding or not."""
    starts, ends = batch.offsets.tolist(), batch.answer_offsets.tolist()
    parts = []
    with torch.no_grad():
        for start, end, first, last in zip(starts, starts[1:], ends, ends[1:]):
            ids = batch.input_ids[start:end].long()[None]
            written = {}
            if batch.needs_labels:
                # Not the labels: AdaLoRA would compute its term of the loss, which a loaded adapter has not.
                targets = batch.labels[first:last].long()[None]
                written = dict(decoder_input_ids=model.prepare_decoder_input_ids_from_labels(targets))
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **written).logits
            # Rows of a prompt come first.
            parts.append(logits if logits.dim() == 2 else logits[0, logits.shape[1] - (last - first) :])
    return torch.cat(parts)


def spread(name):
    """How far the new values of a parameter move from where they start."""
    return 0.2


def batches(entry, seed, end, count=10):
    """Sequences of two texts; the first has no labels, as a prompt whose completion is learnt."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda low, high, n=1: torch.randint(low, high, (n,), generator=generator).tolist()
    result = []
    for _ in range(count):
        lengths = draw(2, 21, draw(3, 5)[0])
        ids = [draw(3, 120, n) for n in lengths]
        types = [[0] * n for n in lengths]
        if entry["objective"] == "causal_lm":
            # No row of the text is in front of its first token.
            cut = [draw(1, n)[0] for n in lengths]
            labels = [[-100] * c + row[c:] for c, row in zip(cut, ids)]
            result.append(Packed.of(ids, types, labels, per_token=True))
        else:
            result.append(Packed.of(ids, types, draw(0, entry["num_labels"], len(lengths))))
    return result
