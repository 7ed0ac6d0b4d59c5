"""Replaces linear layers by modules that contain them, for references written here."""

from torch import nn


def wrap(model, target_modules, make):
    """Freezes the model but for its head; `make(layer)` is what takes the place of each target layer."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier.")
    for name, module in list(model.named_modules()):
        parent, _, last = name.rpartition(".")
        if last in target_modules and isinstance(module, nn.Linear):
            setattr(model.get_submodule(parent), last, make(module))
    return model


def factors(layer, r, generator):
    """LoRA's two linear layers without bias: A Kaiming-uniform, B zero."""
    down = nn.Linear(layer.in_features, r, bias=False)
    up = nn.Linear(r, layer.out_features, bias=False)
    bound = layer.in_features**-0.5
    nn.init.uniform_(down.weight, -bound, bound, generator=generator)
    nn.init.zeros_(up.weight)
    return down, up
