#!/usr/bin/env python3
"""Loads whole model folders with Transformers and compares their logits with recorded ones.

    check_model.py MODEL_DIR INPUTS.safetensors [MODEL_DIR INPUTS ...] [--tolerance 1e-4]

INPUTS holds input_ids, token_type_ids and offsets (packed, int32) and logits: [sequences, labels],
or [tokens, vocabulary]; for a model with an encoder that writes also labels and target_offsets, the packed targets that the logits
are for. The class of the model is that of its config.json. Prints each model's largest absolute difference; exit code 0 when all are
within the tolerance, else 1.
"""

import argparse
import json
import os
import sys

import torch
import transformers
from safetensors.torch import load_file
from transformers import logging

from decoders import logits_alone
from encoder_decoders import Pair
from packed import Packed


def expect(condition, what):
    """Ends the script with a line that says what was expected."""
    if not condition:
        print(f"expected {what}")
        sys.exit(1)


def groups(paths, size):
    """The arguments in groups of a size."""
    expect(len(paths) % size == 0, f"a multiple of {size} paths, given {len(paths)}")
    return [paths[i : i + size] for i in range(0, len(paths), size)]


def rows(packed, offsets):
    """The sequences of a packed batch as lists."""
    starts = offsets.tolist()
    return [packed[a:b].tolist() for a, b in zip(starts, starts[1:])]


def compare(model, tensors, tolerance, name, alone=False):
    """Exit code of the comparison of the model's logits with tensors["logits"]; `alone`: each sequence by itself, without padding."""
    # A training fixture holds its batches as step0.*, step1.*, and the logits of the first.
    prefix = "" if "input_ids" in tensors else "step0."
    for entry in (prefix + "input_ids", prefix + "token_type_ids", prefix + "offsets", "logits"):
        expect(entry in tensors, f"{entry} in the inputs; there are {sorted(tensors)[:8]}")
    batch = Packed(*(tensors[prefix + n] for n in ("input_ids", "token_type_ids", "offsets")))
    if prefix + "target_offsets" in tensors:
        batch = Pair(rows(batch.input_ids, batch.offsets), rows(tensors[prefix + "labels"], tensors[prefix + "target_offsets"]))
    if alone:
        logits = logits_alone(model, batch)
    else:
        with torch.no_grad():
            logits = model(**batch.inputs(model.config.pad_token_id)).logits
        logits = batch.pack(logits) if logits.dim() == 3 else logits
    given = tensors["logits"]
    expect(given.shape == logits.shape, f"logits {list(logits.shape)}, given {list(given.shape)}")
    difference = (logits - given).abs().max().item()
    print(f"{name}: max difference {difference:.3e}, tolerance {tolerance:.0e}")
    return 0 if difference <= tolerance else 1


def check(path, inputs, tolerance):
    with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
        kind = getattr(transformers, json.load(file)["architectures"][0])
    model, info = kind.from_pretrained(path, attn_implementation="eager", output_loading_info=True)
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        expect(not info[problem], f"no {problem} in {path}: {sorted(map(str, info[problem]))}")
    return compare(model.eval(), load_file(inputs), tolerance, path, alone=model.config.model_type not in ("bert", "roberta"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", metavar="MODEL INPUTS")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    pairs = groups(arguments.paths, 2)
    sys.exit(max(check(*pair, arguments.tolerance) for pair in pairs))


if __name__ == "__main__":
    main()
