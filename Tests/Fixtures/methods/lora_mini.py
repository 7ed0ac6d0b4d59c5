"""LoRA-Mini: four factors between input and output, of which the inner two train."""

import torch
from torch import nn

from methods import case

CASES = [
    case("roberta-lora-mini", "lora_mini", r=3, a=5, b=6, targets="D"),
    case("bert-lora-mini", "lora_mini", r=2, a=4, b=4, targets="D+A"),
]

LAST = {"roberta": "classifier.out_proj", "bert": "classifier"}


class MiniLinear(nn.Module):
    def __init__(self, base, r, a, b, generator):
        super().__init__()
        self.base_layer = base
        shapes = dict(
            mini_A_aux=(a, base.in_features),
            mini_A=(r, a),
            mini_B=(b, r),
            mini_B_aux=(base.out_features, b),
        )
        for name, shape in shapes.items():
            values = (torch.rand(shape, generator=generator) * 2 - 1) / shape[1] ** 0.5
            setattr(self, name, nn.Parameter(values, requires_grad="aux" not in name))

    def forward(self, x):
        inner = x @ self.mini_A_aux.T @ self.mini_A.T
        return self.base_layer(x) + inner @ self.mini_B.T @ self.mini_B_aux.T


def attach(model, generator, options):
    last = LAST[model.config.model_type]
    targets = ["dense"] if options.pop("targets") == "D" else ["query", "key", "value", "dense"]
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(last + ".")
    for name, module in list(model.named_modules()):
        parent, _, end = name.rpartition(".")
        if end in targets and isinstance(module, nn.Linear):
            layer = MiniLinear(module, generator=generator, **options)
            setattr(model.get_submodule(parent), end, layer)
    return model
