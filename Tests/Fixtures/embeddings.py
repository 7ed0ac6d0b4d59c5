"""The hidden states of models, and vectors of texts as sentence-transformers makes them of these."""

import os

import torch
from transformers import AutoModel, AutoTokenizer

from packed import Packed, write_fixture

MODELS = ["tiny-bert", "tiny-roberta", "tiny-gpt2", "tiny-llama", "tiny-bart", "tiny-t5"]
LENGTHS = [5, 2, 9]
TEXTS = ["the cat sat here", "a dog", "maybe the river waited outside the train and not here", "film film film"]


def states(model, **inputs):
    # What an encoder reads is what is pooled: a decoder has nothing to read.
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.no_grad():
        return model(**inputs, output_hidden_states=True).hidden_states


def pooled(hidden, mask):
    """sentence-transformers' Pooling: mean, first and last token."""
    weights = mask.unsqueeze(-1).float()
    last = mask.sum(1) - 1
    return {
        "mean": (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9),
        "cls": hidden[:, 0],
        "lasttoken": hidden[torch.arange(len(hidden)), last],
    }


def write_embeddings(models, labels, path):
    generator = torch.Generator().manual_seed(91)
    tensors = {}
    for name in MODELS:
        model = AutoModel.from_pretrained(os.path.join(models, name), attn_implementation="eager").eval()
        sequences = [torch.randint(5, 100, (n,), generator=generator).tolist() for n in LENGTHS]
        packed = Packed.of(sequences, [[0] * n for n in LENGTHS], [0] * len(LENGTHS))
        inputs = packed.inputs(model.config.pad_token_id or 0, token_types=name == "tiny-bert")
        tensors |= {f"{name}.input_ids": packed.input_ids, f"{name}.offsets": packed.offsets}
        for layer, hidden in enumerate(states(model, **inputs)):
            tensors[f"{name}.layer{layer}"] = packed.pack(hidden)
    model = AutoModel.from_pretrained(os.path.join(labels, "mnli"), attn_implementation="eager").eval()
    inputs = AutoTokenizer.from_pretrained(os.path.join(labels, "mnli"))(TEXTS, padding=True, return_tensors="pt")
    for layer, hidden in enumerate(states(model, **inputs)):
        for pooling, vectors in pooled(hidden, inputs["attention_mask"]).items():
            tensors[f"texts.{pooling}.layer{layer}"] = vectors
            tensors[f"texts.{pooling}.layer{layer}.normalized"] = torch.nn.functional.normalize(vectors, dim=1)
    write_fixture(path, tensors, {"texts": TEXTS})
