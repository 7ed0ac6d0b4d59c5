#!/usr/bin/env python3
"""Loads a whole model folder with Transformers and compares its logits with recorded ones.

    check_model.py MODEL_DIR INPUTS.safetensors [--masked-lm] [--tolerance 1e-4]

INPUTS holds input_ids, token_type_ids and offsets (packed, int32) and logits: [sequences, labels],
or [tokens, vocabulary] with --masked-lm. Prints the largest absolute difference; exit code 0 when
it is within the tolerance, else 1.
"""

import argparse
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification
from transformers import logging

from packed import Packed


def expect(condition, what):
    """Ends the script with a line that says what was expected."""
    if not condition:
        print(f"expected {what}")
        sys.exit(1)


def compare(model, tensors, tolerance):
    """Exit code of the comparison of the model's logits with tensors["logits"]."""
    # A training fixture holds its batches as step0.*, step1.*, and the logits of the first.
    prefix = "" if "input_ids" in tensors else "step0."
    for name in (prefix + "input_ids", prefix + "token_type_ids", prefix + "offsets", "logits"):
        expect(name in tensors, f"{name} in the inputs; there are {sorted(tensors)[:8]}")
    batch = Packed(*(tensors[prefix + n] for n in ("input_ids", "token_type_ids", "offsets")))
    with torch.no_grad():
        logits = model(**batch.inputs(model.config.pad_token_id)).logits
    logits = batch.pack(logits) if logits.dim() == 3 else logits
    given = tensors["logits"]
    expect(given.shape == logits.shape, f"logits {list(logits.shape)}, given {list(given.shape)}")
    difference = (logits - given).abs().max().item()
    print(f"max difference {difference:.3e}, tolerance {tolerance:.0e}")
    return 0 if difference <= tolerance else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("inputs")
    parser.add_argument("--masked-lm", action="store_true")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kind = AutoModelForMaskedLM if arguments.masked_lm else AutoModelForSequenceClassification
    model, info = kind.from_pretrained(
        arguments.model, attn_implementation="eager", output_loading_info=True
    )
    for problem in ("missing_keys", "mismatched_keys"):
        expect(not info[problem], f"no {problem}: {sorted(map(str, info[problem]))}")
    sys.exit(compare(model.eval(), load_file(arguments.inputs), arguments.tolerance))


if __name__ == "__main__":
    main()
