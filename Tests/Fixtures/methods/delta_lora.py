"""Delta-LoRA, written from its equations 3 and 6: PEFT does not have it.

    y = W x + b + s B A x;   after step t > K:   W += lambda s (B' A' - B A)
"""

import torch
from torch import nn

from methods import case
from methods.wrapping import factors, wrap

OPTIONS = dict(r=4, lora_alpha=8, target_modules=["query", "value"])
CASES = [
    case("roberta-delta_lora", "delta_lora", start_step=3, update_ratio=0.5, **OPTIONS),
    case("bert-delta_lora", "delta_lora", start_step=0, update_ratio=2, **OPTIONS),
]


class DeltaLoRALinear(nn.Module):
    def __init__(self, layer, r, lora_alpha, generator):
        super().__init__()
        self.base_layer, self.scale = layer, lora_alpha / r
        self.lora_A, self.lora_B = factors(layer, r, generator)

    def forward(self, x):
        return self.base_layer(x) + self.scale * self.lora_B(self.lora_A(x))

    @torch.no_grad()
    def product(self):
        return self.lora_B.weight @ self.lora_A.weight


def attach(model, generator, options):
    return wrap(
        model,
        options["target_modules"],
        lambda layer: DeltaLoRALinear(layer, options["r"], options["lora_alpha"], generator),
    )


class Training:
    def __init__(self, model, options):
        self.layers = [m for m in model.modules() if isinstance(m, DeltaLoRALinear)]
        self.start, self.ratio = options["start_step"], options["update_ratio"]

    def before_update(self, t):
        self.before = [layer.product() for layer in self.layers]

    @torch.no_grad()
    def after_update(self, t):
        if t <= self.start:
            return
        for layer, before in zip(self.layers, self.before):
            layer.base_layer.weight += self.ratio * layer.scale * (layer.product() - before)
