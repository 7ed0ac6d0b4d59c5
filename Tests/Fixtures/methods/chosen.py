"""Methods that train some parameters of the model and attach nothing."""

import re

from methods import case

CASES = [
    case("bert-bitfit", "bitfit"),
    case("roberta-bitfit-partial", "bitfit", biases=["query", "intermediate"]),
    case("roberta-selective", "selective", parameters=["query.weight", "value.weight"]),
    case("bert-full-frozen-embeddings", "full", 1e-3, freeze_embeddings=True),
]

# What BitFit's authors call a part of the biases.
BITFIT = {"query": "attention.self.query.bias", "intermediate": "intermediate.dense.bias"}


def attach(model, generator, options):
    if options.get("freeze_embeddings"):
        chosen = r"(?!.*word_embeddings)"
    elif "parameters" in options:
        chosen = "|".join(r".*\." + re.escape(name) + "$" for name in options["parameters"])
    elif "biases" in options:
        chosen = "|".join(r".*\." + re.escape(BITFIT[name]) + "$" for name in options["biases"])
    else:
        chosen = r".*bias$"
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier.") or bool(re.match(chosen, name))
    return model
