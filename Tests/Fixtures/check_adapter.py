#!/usr/bin/env python3
"""Loads adapter folders with the real PEFT and compares their logits with recorded ones.

    check_adapter.py MODEL_DIR ADAPTER_DIR INPUTS.safetensors [MODEL_DIR ADAPTER_DIR INPUTS ...]
                     [--tolerance 1e-4]

INPUTS holds input_ids, token_type_ids and offsets (packed, int32) and logits: [sequences, labels], or [tokens, vocabulary] where
the folder's task_type is CAUSAL_LM or SEQ_2_SEQ_LM; for the latter also labels and target_offsets, see check_model.py.
Prints each adapter's largest absolute difference; exit code 0 when all are within the tolerance.
"""

import argparse
import json
import os
import sys

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification
from transformers import logging

from check_model import compare, expect, groups


WRITERS = {"CAUSAL_LM": AutoModelForCausalLM, "SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM}


def check(base, adapter, inputs, tolerance):
    weights = load_file(os.path.join(adapter, "adapter_model.safetensors"))
    with open(os.path.join(adapter, "adapter_config.json"), encoding="utf-8") as file:
        kind = WRITERS.get(json.load(file)["task_type"])
    if kind:
        model = kind.from_pretrained(base, attn_implementation="eager")
    else:
        endings = ("classifier.weight", "classifier.out_proj.weight", "score.weight", "classification_head.out_proj.weight")
        heads = [n for n in weights if n.endswith(endings)]
        expect(len(heads) == 1, f"one classifier in {adapter}, found {heads}")
        model = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=weights[heads[0]].shape[0], attn_implementation="eager"
        )
    model = PeftModel.from_pretrained(model, adapter).eval()
    # PEFT itself only warns about keys that it misses, and is silent about those it has no use for. With
    # bias="all" it would also save the biases of the head that modules_to_save replaced.
    loaded = {
        n: t
        for n, t in get_peft_model_state_dict(model).items()
        if ".original_module." not in n and ".modules_to_save." not in n
        # GLoRA's parts without parameters.
        and not n.endswith(".zeros")
    }
    # PEFT copies a language head that is adapted into the folder; Perigee does not.
    different = sorted(n for n in set(loaded) ^ set(weights) if not n.endswith("lm_head.base_layer.weight"))
    expect(not different, f"the same keys in {adapter}; differ: {different}")
    for name, value in weights.items():
        expect(torch.equal(loaded[name].float(), value.float()), f"{name} as it is in the file")
    return compare(model, load_file(inputs), tolerance, adapter, alone=model.config.model_type not in ("bert", "roberta"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", metavar="MODEL ADAPTER INPUTS")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    sys.exit(max(check(*paths, arguments.tolerance) for paths in groups(arguments.paths, 3)))


if __name__ == "__main__":
    main()
