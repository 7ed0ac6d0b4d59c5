"""Houlsby's bottleneck adapters, behind both sub-layers of a layer."""

import types

from torch import nn
from transformers.activations import ACT2FN

from methods import case

CASES = [
    case("bert-houlsby", "houlsby", r=4, non_linearity="gelu_new", train_layer_norm=True),
    case("roberta-houlsby", "houlsby", r=3),
]


def attach(model, generator, options):
    sublayers = [s for layer in layers(model) for s in (layer.attention.output, layer.output)]
    return add_adapters(model, sublayers, forward, options, "swish")


def forward(self, hidden_states, input_tensor):
    output = self.dropout(self.dense(hidden_states))
    return self.LayerNorm(output + self.bottleneck(output) + input_tensor)


def layers(model):
    return model.base_model.encoder.layer


def add_adapters(model, sublayers, forward, options, non_linearity):
    """Freezes all but the head, and gives the sub-layers an adapter and a forward that uses it."""
    for name, parameter in model.named_parameters():
        is_norm = ".LayerNorm." in name and options.get("train_layer_norm", False)
        parameter.requires_grad = name.startswith("classifier.") or is_norm
    for module in sublayers:
        size = module.dense.out_features
        module.adapter_down = nn.Linear(size, options["r"])
        module.adapter_up = nn.Linear(options["r"], size)
        module.adapter_act = ACT2FN[options.get("non_linearity", non_linearity)]
        module.bottleneck = types.MethodType(bottleneck, module)
        module.forward = types.MethodType(forward, module)
    return model


def bottleneck(self, h):
    return self.adapter_up(self.adapter_act(self.adapter_down(h)))
