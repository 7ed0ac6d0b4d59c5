"""DeLoRA of the paper "decomposition-based LoRA" (not the type that PEFT calls DELORA).

    y = W x + b + s B Sigma A x,   s = alpha / r,   A [r, in] and B [out, r] frozen, Sigma trained

Sigma is [r, r], or its diagonal [r]. It starts at 0 when A and B are random, and at the identity
when A and B are a trained LoRA, whose output the start must keep.
"""

import torch
from torch import nn


class DeLoRALinear(nn.Module):
    """A linear layer with Sigma between two frozen factors."""

    def __init__(self, base, r, lora_alpha, kind, generator):
        super().__init__()
        self.base_layer, self.scale = base, lora_alpha / r
        a = _kaiming((r, base.in_features), generator)
        b = _kaiming((base.out_features, r), generator)
        if kind == "over_lora":
            self.lora_A, self.lora_B = _frozen_linear(a), _frozen_linear(b)
            start = torch.eye(r)
        else:
            self.delora_A = nn.Parameter(a, requires_grad=False)
            self.delora_B = nn.Parameter(b, requires_grad=False)
            start = torch.zeros(r) if kind == "diagonal" else torch.zeros(r, r)
        self.delora_sigma = nn.Parameter(start)

    def forward(self, x):
        over_lora = hasattr(self, "lora_A")
        a = self.lora_A.weight if over_lora else self.delora_A
        b = self.lora_B.weight if over_lora else self.delora_B
        h = x @ a.T
        h = h @ self.delora_sigma.T if self.delora_sigma.dim() == 2 else h * self.delora_sigma
        return self.base_layer(x) + self.scale * (h @ b.T)


def add_delora(model, kind, r, lora_alpha, target_modules, generator):
    """Freezes the model but for its head, and replaces the target layers."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier.")
    for name, module in list(model.named_modules()):
        parent, _, last = name.rpartition(".")
        if last in target_modules and isinstance(module, nn.Linear):
            layer = DeLoRALinear(module, r, lora_alpha, kind, generator)
            setattr(model.get_submodule(parent), last, layer)
    return model


def _kaiming(shape, generator):
    # Torch's default for linear weights: uniform between -1/sqrt(fan_in) and 1/sqrt(fan_in).
    return (torch.rand(shape, generator=generator) * 2 - 1) / shape[1] ** 0.5


def _frozen_linear(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer
