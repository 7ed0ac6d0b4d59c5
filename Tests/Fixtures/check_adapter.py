#!/usr/bin/env python3
"""Loads an adapter folder with the real PEFT and compares its logits with recorded ones.

    check_adapter.py MODEL_DIR ADAPTER_DIR INPUTS.safetensors [--tolerance 1e-4]

INPUTS holds input_ids, token_type_ids and offsets (packed, int32) and logits [sequences, labels].
Prints the largest absolute difference; exit code 0 when it is within the tolerance, else 1.
"""

import argparse
import os
import sys

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification
from transformers import logging

from check_model import compare, expect


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("adapter")
    parser.add_argument("inputs")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    weights = load_file(os.path.join(arguments.adapter, "adapter_model.safetensors"))
    heads = [n for n in weights if n.endswith(("classifier.weight", "classifier.out_proj.weight"))]
    expect(len(heads) == 1, f"one classifier in {arguments.adapter}, found {heads}")
    model = AutoModelForSequenceClassification.from_pretrained(
        arguments.model, num_labels=weights[heads[0]].shape[0], attn_implementation="eager"
    )
    model = PeftModel.from_pretrained(model, arguments.adapter).eval()
    # PEFT itself only warns about keys that it misses, and is silent about those it has no use for.
    loaded = get_peft_model_state_dict(model)
    different = sorted(set(loaded) ^ set(weights))
    expect(not different, f"the same keys; differ: {different}")
    for name, value in weights.items():
        expect(torch.equal(loaded[name].float(), value.float()), f"{name} as it is in the file")
    sys.exit(compare(model, load_file(arguments.inputs), arguments.tolerance))


if __name__ == "__main__":
    main()
