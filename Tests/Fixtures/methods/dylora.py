"""DyLoRA, written from its paper: PEFT does not have it.

    y = W x + bias + (alpha / b) B[:, :b] A[:b] x, with one rank b for all layers in each step

With `frozen`, only row b - 1 of A and column b - 1 of B have a gradient. With `masked_update`, what has no gradient does
not move.
"""

import torch
from torch import nn

from methods import case
from methods.wrapping import factors, wrap

OPTIONS = dict(r=4, lora_alpha=8, target_modules=["query", "value"])
CASES = [
    case("roberta-dylora", "dylora", ranks=[3, 1, 4, 2], **OPTIONS),
    case("bert-dylora-frozen", "dylora", ranks=[2, 4, 1], frozen=True, **OPTIONS),
    case("roberta-dylora-masked", "dylora", ranks=[2, 4, 1], masked_update=True, **OPTIONS),
    case("roberta-dylora-frozen-masked", "dylora", ranks=[3, 2], frozen=True, masked_update=True, **OPTIONS),
]


class DyLoRALinear(nn.Module):
    def __init__(self, layer, r, lora_alpha, frozen, generator):
        super().__init__()
        self.base_layer, self.alpha, self.frozen, self.rank = layer, lora_alpha, frozen, r
        self.lora_A, self.lora_B = factors(layer, r, generator)

    def forward(self, x):
        b = self.rank
        down, up = self.lora_A.weight[:b], self.lora_B.weight[:, :b]
        if self.frozen:
            down = torch.cat([down[: b - 1].detach(), down[b - 1 :]])
            up = torch.cat([up[:, : b - 1].detach(), up[:, b - 1 :]], dim=1)
        return self.base_layer(x) + self.alpha / b * ((x @ down.T) @ up.T)


def attach(model, generator, options):
    kinds = (options["r"], options["lora_alpha"], options.get("frozen", False))
    return wrap(
        model, options["target_modules"], lambda layer: DyLoRALinear(layer, *kinds, generator)
    )


class Training:
    def __init__(self, model, options):
        self.layers = [m for m in model.modules() if isinstance(m, DyLoRALinear)]
        self.ranks, self.masked = options["ranks"], options.get("masked_update", False)

    def before_step(self, t):
        for layer in self.layers:
            layer.rank = self.ranks[t % len(self.ranks)]

    def before_update(self, t):
        self.before = [
            (layer.lora_A.weight.detach().clone(), layer.lora_B.weight.detach().clone())
            for layer in self.layers
        ]

    @torch.no_grad()
    def after_update(self, t):
        if not self.masked:
            return
        for layer, (down, up) in zip(self.layers, self.before):
            used = range(layer.rank - 1 if layer.frozen else 0, layer.rank)
            for i in range(down.shape[0]):
                if i not in used:
                    layer.lora_A.weight[i] = down[i]
                    layer.lora_B.weight[:, i] = up[:, i]
