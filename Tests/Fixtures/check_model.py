#!/usr/bin/env python3
"""Loads whole model folders with Transformers and compares their logits with recorded ones.

    check_model.py MODEL_DIR INPUTS.safetensors [MODEL_DIR INPUTS ...] [--masked-lm | --causal-lm] [--tolerance 1e-4]

INPUTS holds input_ids, token_type_ids and offsets (packed, int32) and logits: [sequences, labels],
or [tokens, vocabulary] with --masked-lm and --causal-lm. Prints each model's largest absolute difference; exit code
0 when all are within the tolerance, else 1.
"""

import argparse
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification
from transformers import logging

from decoders import logits_alone
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


def compare(model, tensors, tolerance, name, alone=False):
    """Exit code of the comparison of the model's logits with tensors["logits"]; `alone`: each sequence by itself, without padding."""
    # A training fixture holds its batches as step0.*, step1.*, and the logits of the first.
    prefix = "" if "input_ids" in tensors else "step0."
    for entry in (prefix + "input_ids", prefix + "token_type_ids", prefix + "offsets", "logits"):
        expect(entry in tensors, f"{entry} in the inputs; there are {sorted(tensors)[:8]}")
    batch = Packed(*(tensors[prefix + n] for n in ("input_ids", "token_type_ids", "offsets")))
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


def check(path, inputs, kind, tolerance):
    model, info = kind.from_pretrained(path, attn_implementation="eager", output_loading_info=True)
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        expect(not info[problem], f"no {problem} in {path}: {sorted(map(str, info[problem]))}")
    return compare(model.eval(), load_file(inputs), tolerance, path, alone=model.config.model_type not in ("bert", "roberta"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", metavar="MODEL INPUTS")
    parser.add_argument("--masked-lm", action="store_true")
    parser.add_argument("--causal-lm", action="store_true")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kind = AutoModelForSequenceClassification
    if arguments.masked_lm or arguments.causal_lm:
        kind = AutoModelForMaskedLM if arguments.masked_lm else AutoModelForCausalLM
    pairs = groups(arguments.paths, 2)
    sys.exit(max(check(*pair, kind, arguments.tolerance) for pair in pairs))


if __name__ == "__main__":
    main()
