"""What the methods with virtual tokens share: PEFT's modules, with names that tell where Perigee has their parameters."""

import re

import torch
from torch import nn

from packed import saved_name


class Named(nn.Module):
    """A module below the name of the model's body: "bert"."""

    def __init__(self, name, inner):
        super().__init__()
        setattr(self, name, inner)
        self.name = name

    @property
    def weight(self):
        return getattr(self, self.name).weight

    def forward(self, x):
        return getattr(self, self.name)(x)


class Split(nn.ModuleList):
    """Modules whose outputs, side by side, are those of one: a part for each layer."""

    @property
    def weight(self):
        return self[0].weight

    def forward(self, x):
        return torch.cat([part(x) for part in self], dim=-1)


def saved(patterns):
    """The function `saved` of a module: pairs of a pattern and its replacement for PEFT's encoder."""

    def name_in_file(name):
        for pattern, replacement in patterns:
            if re.fullmatch(pattern, name):
                return re.sub(pattern, replacement, name)
        return saved_name(name).removeprefix("base_model.")

    return name_in_file
