"""From a model folder to a fixture file: what the cases of decoders and of encoder-decoders share.

A family is one of these two modules. It says how a model is adapted (`attach`), what its parameters are called in Perigee
(`name_in_file`), how far new values move (`spread`), how Perigee holds a matrix (`turned`), and what is learnt (`batches`).
"""

import os

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from cases import common_tensors, describe
from methods import seed_of
from packed import write_fixture
from training import record_with_error

LANGUAGE_MODELS = {"causal_lm": AutoModelForCausalLM, "seq2seq_lm": AutoModelForSeq2SeqLM}


def load(folder, entry):
    """The Transformers model of a case, and the names of the weights that the folder lacks."""
    kwargs = dict(output_loading_info=True, attn_implementation="eager")
    kind = LANGUAGE_MODELS.get(entry["objective"])
    if kind is None:
        kind = AutoModelForSequenceClassification
        kwargs.update(num_labels=entry["num_labels"], problem_type="single_label_classification")
    model, info = kind.from_pretrained(folder, **kwargs)
    return model, set(info["missing_keys"])


def build(folder, entry, family):
    """The adapted model, and the values that its new parameters start from."""
    seed = seed_of(entry)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model, missing = load(folder, entry)
    of_base = {name for name, _ in model.named_parameters()}
    model = family.attach(model, entry)
    name_of = family.name_in_file(entry)
    initial = {}
    for name, parameter in sorted(model.named_parameters(), key=lambda p: name_of(p[0])):
        plain = name_of(name)
        in_base = plain.replace(".base_layer", "")
        if ".original_module." in name or (in_base in of_base and in_base not in missing):
            continue
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * family.spread(name))
        initial[plain] = parameter.detach().clone()
    return model, initial, seed


def write_language_case(models, entry, family, path):
    model, initial, seed = build(os.path.join(models, entry["model"]), entry, family)
    data = family.batches(entry, seed, model.config.eos_token_id)
    result, noise = record_with_error(model, data, entry["learning_rate"], False, name_in_file=family.name_in_file(entry))
    tensors = common_tensors(data, initial, result)
    for kind in ("grad", "final"):
        tensors.update({f"{kind}.{name}": family.turned(name, tensor) for name, tensor in result[kind].items()})
    write_fixture(path, tensors, describe(entry, model, noise))
    return noise
