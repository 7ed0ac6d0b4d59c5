"""Reference implementations of methods, one module each; a module in ALL brings its cases.

A module has

- `CASES`: rows made by `case` below; `options` are in the words of Perigee's Lua options.
- `attach(model, generator, options)`: returns the model with the method attached and everything frozen that does not
  train. It may wrap the model with PEFT.
- optionally `noisy(name)`: whether a trainable parameter starts with noise instead of the method's own value, so that
  no gradient is zero because another factor is. Default: all that train.
- optionally `Training(model, options)`: what the method does beside the forward pass, with the methods `before_step(t)`,
  `term()` (a scalar that is added to the loss), `before_update(t)` and `after_update(t)`, each optional; t counts from 0.
- optionally `saved(name)`: a live parameter's name in the file, where `packed.saved_name` does not give Perigee's.
"""

import importlib
import zlib

ALL = [
    "adalora",
    "chosen",
    "delta_lora",
    "dylora",
    "glora",
    "houlsby",
    "ia3",
    "lora_fa",
    "lora_mini",
    "low_rank",
    "lycoris",
    "pfeiffer",
    "prefix_tuning",
    "prompt_tuning",
]


def case(name, method, learning_rate=1e-2, num_labels=3, objective="classification", **options):
    """A row; the model is the first part of the name: "bert-..." or "roberta-..."."""
    return dict(
        name=name,
        model="tiny-" + name.split("-")[0],
        method=method,
        learning_rate=learning_rate,
        num_labels=num_labels,
        objective=objective,
        options=options,
    )


def modules():
    return [importlib.import_module("methods." + name) for name in ALL]


def rows():
    return [(module, entry) for module in modules() for entry in module.CASES]


def seed_of(entry):
    """A seed that does not depend on the case's place in the table."""
    return 1000 + zlib.crc32(entry["name"].encode()) % 100_000
