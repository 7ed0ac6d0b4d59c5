"""Packed batches and fixture files: what every script in this folder shares."""

import json
import os

import torch
from safetensors.torch import save_file


class Packed:
    """A batch without padding: sequence i is at offsets[i]..<offsets[i+1].

    labels is one number per sequence, or one per token for the masked-language objective.
    """

    def __init__(self, input_ids, token_type_ids, offsets, labels=None):
        self.input_ids = input_ids
        self.token_type_ids = token_type_ids
        self.offsets = offsets
        self.labels = labels

    @staticmethod
    def of(sequences, types, labels, per_token=False):
        """Packs lists of ids, token types, and labels (per sequence, or per token and sequence)."""
        offsets = torch.tensor([0] + [len(s) for s in sequences]).cumsum(0).to(torch.int32)
        flat = lambda rows: torch.tensor([x for row in rows for x in row], dtype=torch.int32)
        if per_token:
            labels = flat(labels)
        else:
            exact = torch.float32 if any(isinstance(x, float) for x in labels) else torch.int32
            labels = torch.tensor(labels, dtype=exact)
        return Packed(flat(sequences), flat(types), offsets, labels)

    # Whether the model needs the labels for its logits.
    needs_labels = False

    @property
    def answer_offsets(self):
        """Where the logits of each sequence lie, if there are some for every token."""
        return self.offsets

    def pad(self, rows, fill):
        """[tokens] -> [B, T], the free places holding fill."""
        starts = self.offsets.tolist()
        parts = [rows[a:b].long() for a, b in zip(starts, starts[1:])]
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=fill)

    def inputs(self, pad_token_id, token_types=True):
        """The keyword arguments of a Transformers model: padded, with the attention mask."""
        kwargs = dict(
            input_ids=self.pad(self.input_ids, pad_token_id),
            attention_mask=self.pad(torch.ones_like(self.input_ids), 0),
        )
        if token_types:
            kwargs["token_type_ids"] = self.pad(self.token_type_ids, 0)
        return kwargs

    def padded_labels(self):
        """Labels as a Transformers model takes them; padding counts as unlabelled."""
        if self.labels.shape == self.input_ids.shape and len(self.labels) != len(self.offsets) - 1:
            return self.pad(self.labels, -100)
        return self.labels if self.labels.is_floating_point() else self.labels.long()

    def pack(self, padded):
        """[B, T, ...] -> [tokens, ...]."""
        lengths = self.answer_offsets.diff().tolist()
        return torch.cat([row[:n] for row, n in zip(padded, lengths)])

    def tensors(self, prefix):
        """The entries of a fixture file."""
        named = dict(
            input_ids=self.input_ids,
            token_type_ids=self.token_type_ids,
            offsets=self.offsets,
            labels=self.labels,
        )
        return {prefix + name: value for name, value in named.items() if value is not None}


def write_fixture(path, tensors, description):
    """Writes a safetensors file whose metadata entry "config" is the description as JSON."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    data = {name: t.detach().clone().contiguous() for name, t in sorted(tensors.items())}
    save_file(data, path, metadata={"config": json.dumps(description, sort_keys=True)})


def saved_name(name):
    """A live parameter's name as PEFT saves it, without the `base_model.model.` in front."""
    name = name.removeprefix("base_model.model.")
    for part in (".modules_to_save", ".default"):
        name = name.replace(part, "")
    return name
