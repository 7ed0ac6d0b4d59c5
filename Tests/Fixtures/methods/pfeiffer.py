"""Pfeiffer's bottleneck adapters, behind the second sub-layer, whose norm is applied twice."""

from methods import case
from methods.houlsby import add_adapters, layers

CASES = [
    case("bert-pfeiffer", "pfeiffer", r=3, non_linearity="swish"),
    case("roberta-pfeiffer", "pfeiffer", r=4, train_layer_norm=True),
]


def attach(model, generator, options):
    return add_adapters(model, [layer.output for layer in layers(model)], forward, options, "relu")


def forward(self, hidden_states, input_tensor):
    output = self.dropout(self.dense(hidden_states))
    normed = self.LayerNorm(output + input_tensor)
    return self.LayerNorm(self.bottleneck(normed) + output + input_tensor)
