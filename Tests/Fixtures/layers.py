"""Layers of decoders: root-mean-square norm, rotary positions, gated units, grouped and biased attention, with gradients.

The reference is Transformers' code of Llama and T5, in float64 and float32.
"""

import torch
import torch.nn.functional as F
from transformers import LlamaConfig, T5Config
from transformers.models.llama.modeling_llama import (
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)
from transformers.models.t5.modeling_t5 import T5Attention

from operations import Draws, differentiate
from packed import write_fixture

LENGTHS = [7, 1, 12]


def _rms_norm(draws):
    entries = {}
    for eps in (1e-5, 1e-6):

        def norm(x, weight):
            module = LlamaRMSNorm(33, eps).to(x.dtype)
            # The module's statistics are float32 whatever its input is; in float64 it is written out.
            if x.dtype == torch.float64:
                return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))
            return torch.func.functional_call(module, {"weight": weight}, (x,))

        inputs = dict(x=draws.normal(5, 33, spread=2) + 0.5, weight=draws.normal(33) + 1)
        entries.update(differentiate(f"rms_norm.eps{eps:g}", inputs, norm, draws))
    return entries


LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=64)


def _rotary(draws):
    """x [tokens, heads * size] of packed sequences; frequencies [size / 2]."""
    entries = {}
    for name, rope in {"plain": dict(rope_type="default", rope_theta=10000.0), "llama3": LLAMA3}.items():
        config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=512, rope_parameters=rope)
        embedding = LlamaRotaryEmbedding(config)
        positions = torch.cat([torch.arange(n) for n in LENGTHS])[None]

        def rotate(x):
            heads = x.view(1, -1, 4, 16).transpose(1, 2)
            cos, sin = embedding(x, positions)
            return apply_rotary_pos_emb(heads, heads, cos, sin)[0].transpose(1, 2).reshape(-1, 64)

        inputs = dict(x=draws.normal(sum(LENGTHS), 64))
        entries.update(differentiate(f"rotary.{name}", inputs, rotate, draws))
        entries[f"rotary.{name}.frequencies"] = embedding.inv_freq
    entries["rotary.lengths"] = torch.tensor(LENGTHS, dtype=torch.int32)
    return entries


def _gated(draws):
    entries = {}
    for name, function in {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}.items():
        mlp = LlamaMLP(LlamaConfig(hidden_size=4, intermediate_size=4, num_attention_heads=1, hidden_act=function))
        inputs = dict(gate=draws.normal(6, 19, spread=3), up=draws.normal(6, 19))
        unit = lambda gate, up: mlp.act_fn(gate) * up
        entries.update(differentiate(f"gated.{name}", inputs, unit, draws))
    return entries


def _attention(draws):
    """Causal attention of packed sequences with two heads of keys and values for six of queries."""

    def attend(q, k, v):
        rows = []
        for q1, k1, v1 in zip(q.split(LENGTHS), k.split(LENGTHS), v.split(LENGTHS)):
            heads = [t.view(len(t), -1, 8).transpose(0, 1)[None] for t in (q1, k1, v1)]
            y = F.scaled_dot_product_attention(*heads, is_causal=True, enable_gqa=True)
            rows.append(y[0].transpose(0, 1).reshape(len(q1), -1))
        return torch.cat(rows)

    tokens = sum(LENGTHS)
    inputs = dict(q=draws.normal(tokens, 48), k=draws.normal(tokens, 16), v=draws.normal(tokens, 16))
    entries = differentiate("attention.grouped", inputs, attend, draws)

    # T5's encoder (both directions) and decoder: table [buckets, heads].
    for name, is_decoder in (("encoder", False), ("decoder", True)):
        config = T5Config(d_model=16, d_kv=8, num_heads=2, relative_attention_num_buckets=8,
                          relative_attention_max_distance=16, is_decoder=is_decoder)
        module = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)

        def biased(q, k, v, table):
            rows = []
            for q1, k1, v1 in zip(q.split(LENGTHS), k.split(LENGTHS), v.split(LENGTHS)):
                n = len(q1)
                distance = torch.arange(n)[None, :] - torch.arange(n)[:, None]
                buckets = module._relative_position_bucket(
                    distance, not is_decoder, config.relative_attention_num_buckets,
                    config.relative_attention_max_distance)
                bias = table[buckets].permute(2, 0, 1)
                scores = torch.einsum("qhd,khd->hqk", q1.view(n, 2, 8), k1.view(n, 2, 8)) + bias
                if is_decoder:
                    scores = scores.masked_fill(distance > 0, float("-inf"))
                rows.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v1.view(n, 2, 8)).reshape(n, 16))
            return torch.cat(rows)

        inputs = {n: draws.normal(tokens, 16) for n in "qkv"} | dict(table=draws.normal(8, 2, spread=2))
        key = f"attention.t5_{name}"
        entries.update(differentiate(key, inputs, biased, draws))
        # The bucket of every distance from -15 to 15.
        distances = torch.arange(-15, 16)
        entries[key + ".buckets"] = module._relative_position_bucket(distances, not is_decoder, 8, 16).int()
    return entries


def write_layers(path):
    draws = Draws(12)
    entries = {}
    for part in (_rms_norm, _rotary, _gated, _attention):
        entries.update(part(draws))
    write_fixture(path, entries, dict(torch=torch.__version__, lengths=LENGTHS))
