"""A tiny BERT in 4 bits, quantised and saved by Transformers and bitsandbytes on the CPU, and its logits."""

import os
import tempfile

import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BitsAndBytesConfig,
)

from models import TINY, randomise
from packed import Packed, write_fixture

# Rows are a multiple of the block size: see README.md.
SIZES = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=1, max_position_embeddings=32)
VARIANTS = {
    "nf4": dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "fp4": dict(bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=False),
}


def write_quantized_models(folder):
    import bitsandbytes
    import bitsandbytes.functional as functional

    generator = torch.Generator().manual_seed(31)
    plain = BertForSequenceClassification(BertConfig(**{**TINY, **SIZES}, num_labels=3))
    randomise(plain, generator, 0.2)
    batch = Packed.of([[3, 17, 45, 4], [3, 8, 23, 51, 60, 77, 4]], [[0] * 4, [0] * 7], [0, 2])
    for name, options in VARIANTS.items():
        with tempfile.TemporaryDirectory() as source:
            plain.save_pretrained(source)
            model = AutoModelForSequenceClassification.from_pretrained(
                source,
                quantization_config=BitsAndBytesConfig(
                    load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, **options
                ),
                device_map="cpu",
                dtype=torch.float32,
            )
            model.save_pretrained(os.path.join(folder, name))
            # bitsandbytes multiplies in bfloat16 on some CPUs: the logits are those of the dequantised weights.
            expected = AutoModelForSequenceClassification.from_pretrained(source, dtype=torch.float32)
        tensors = {}
        with torch.no_grad():
            for path, module in model.named_modules():
                if isinstance(module, bitsandbytes.nn.Linear4bit):
                    weight = functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
                    expected.get_submodule(path).weight.copy_(weight)
                    tensors[f"weight.{path}.weight"] = weight
            logits = expected.eval()(**batch.inputs(0)).logits
        kept = [n for n in tensors if "query" in n or "output.dense" in n or "classifier" in n]
        tensors = {n: tensors[n] for n in kept} | batch.tensors("") | {"logits": logits}
        write_fixture(
            os.path.join(folder, name + ".safetensors"),
            tensors,
            {"bitsandbytes": bitsandbytes.__version__, **options},
        )
