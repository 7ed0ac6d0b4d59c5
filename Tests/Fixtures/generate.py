#!/usr/bin/env python3
"""Writes the fixtures of this folder; see README.md.

    python3 generate.py [--minilm DIR] [--only PART ...] [--case NAME ...] [--check-trainer]
"""

import argparse
import os
import sys

import torch
import transformers

import decoders
import encoder_decoders
import methods
from cases import CASES, write_case, write_method_case
from embeddings import write_embeddings
from labels import write_label_checkpoints
from language_cases import write_language_case
from layers import write_layers
from minilm import write_minilm
from models import write_models
from operations import write_operations
from optimizers import write_optimizers
from peft_folders import DECODERS, ENCODER_DECODERS, write_language_folders, write_peft_folders
from quantization import write_quantization
from quantized_models import write_quantized_models
from torch_archives import write_torch_archives
from trainer_check import check_all
from trainer_rules import write_trainer_rules

PARTS = (
    "models",
    "operations",
    "layers",
    "optimizers",
    "cases",
    "methods",
    "decoders",
    "encoder_decoders",
    "peft",
    "decoder_folders",
    "encoder_decoder_folders",
    "quantization",
    "torch",
    "trainer",
    "labels",
    "embeddings",
    "minilm",
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minilm", help="all-MiniLM-L6-v2 as a model folder; else left out")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--check-trainer", action="store_true", help="compare with Trainer, write nothing"
    )
    parser.add_argument("--case", nargs="+", help="only these cases of the parts methods, decoders and encoder_decoders")
    arguments = parser.parse_args()
    # One thread: the order of summation, and so the last bits, do not depend on the machine's size.
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    minilm = os.path.abspath(arguments.minilm) if arguments.minilm else None
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    if arguments.check_trainer:
        sys.exit(0 if check_all("models") else 1)
    if "models" in arguments.only:
        write_models("models")
    if "operations" in arguments.only:
        write_operations("ops.safetensors")
    if "layers" in arguments.only:
        write_layers("layers.safetensors")
    if "optimizers" in arguments.only:
        write_optimizers("optimizers.safetensors")
    if "cases" in arguments.only:
        for index, entry in enumerate(CASES):
            report(entry["name"], write_case("models", index, f"cases/{entry['name']}.safetensors"))
    if "methods" in arguments.only:
        for module, entry in methods.rows():
            if not arguments.case or entry["name"] in arguments.case:
                path = f"cases/{entry['name']}.safetensors"
                report(entry["name"], write_method_case("models", module, entry, path))
    for part, family in [("decoders", decoders), ("encoder_decoders", encoder_decoders)]:
        if part in arguments.only:
            family.write_models("models")
            for entry in family.CASES:
                if not arguments.case or entry["name"] in arguments.case:
                    report(entry["name"], write_language_case("models", entry, family, f"cases/{entry['name']}.safetensors"))
    if "encoder_decoders" in arguments.only:
        encoder_decoders.write_buckets("t5_buckets.safetensors")
    if "peft" in arguments.only:
        write_peft_folders("models", "peft")
    if "decoder_folders" in arguments.only:
        write_language_folders("models", "peft", DECODERS, 700)
    if "encoder_decoder_folders" in arguments.only:
        write_language_folders("models", "peft", ENCODER_DECODERS, 800)
    if "quantization" in arguments.only:
        write_quantization("quantization.safetensors")
        write_quantized_models("quantized")
    if "torch" in arguments.only:
        write_torch_archives("models", "peft", "torch")
    if "trainer" in arguments.only:
        write_trainer_rules("trainer.json")
    if "labels" in arguments.only:
        write_label_checkpoints("labels")
    if "embeddings" in arguments.only:
        write_embeddings("models", "labels", "embeddings.safetensors")
    if "minilm" in arguments.only and minilm:
        write_minilm(minilm, "minilm", report)


def report(name, noise):
    numbers = {k: f"{v:.0e}" for k, v in noise.items() if isinstance(v, float)}
    print(f"{name:28} {numbers} zero gradients: {len(noise['zero_gradients'])}", flush=True)


if __name__ == "__main__":
    main()
