"""The tiny base models: real Hugging Face folders with random weights."""

import os

import torch
from transformers import BertConfig, BertForPreTraining, RobertaConfig, RobertaForMaskedLM

TINY = dict(
    vocab_size=120,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    initializer_range=0.3,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def randomise(model, generator, spread):
    """Every weight, bias and norm becomes random, so that a path left out changes the result."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator) * spread
            is_norm_weight = "LayerNorm.weight" in name or "layer_norm.weight" in name
            parameter.copy_(1 + noise if is_norm_weight else noise)


def write_models(folder):
    """tiny-bert has a pooler and both pre-training heads, tiny-roberta the language head."""
    generator = torch.Generator().manual_seed(1)
    bert = BertForPreTraining(
        BertConfig(**TINY, max_position_embeddings=64, type_vocab_size=2, layer_norm_eps=1e-12)
    )
    roberta = RobertaForMaskedLM(
        RobertaConfig(
            **TINY,
            max_position_embeddings=66,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
        )
    )
    for model, name in ((bert, "tiny-bert"), (roberta, "tiny-roberta")):
        randomise(model, generator, 0.3)
        model.save_pretrained(os.path.join(folder, name))
    bert.save_pretrained(os.path.join(folder, "tiny-bert-sharded"), max_shard_size="40KB")
