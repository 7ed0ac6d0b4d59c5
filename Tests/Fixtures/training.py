"""Ten AdamW steps as Transformers' Trainer takes them, recorded."""

import copy

import torch
from transformers import Trainer, get_linear_schedule_with_warmup

from packed import saved_name

OPTIMIZER = dict(
    optimizer="AdamW",
    betas=[0.9, 0.999],
    eps=1e-8,
    weight_decay=0.01,
    max_grad_norm=1.0,
    scheduler="linear",
    warmup_steps=2,
    num_training_steps=10,
)


def trainable(model, name_in_file=saved_name):
    """(name in the file, parameter) of everything that trains, tied parameters once."""
    return [(name_in_file(n), p) for n, p in model.named_parameters() if p.requires_grad]


def parameter_groups(model):
    """Trainer's two groups: no decay on biases and norms."""
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        dict(params=[p for n, p in named if n in decayed], weight_decay=OPTIMIZER["weight_decay"]),
        dict(params=[p for n, p in named if n not in decayed], weight_decay=0.0),
    ]


def record(model, batches, learning_rate, token_types, hooks=None, name_in_file=saved_name):
    """Trains the model in place; returns losses, step-0 logits and gradients, final values.

    `hooks(model)`: what a method does beside the forward pass; see `methods`.
    """
    hooks = hooks and hooks(model)

    def call(name, *arguments):
        return getattr(hooks, name)(*arguments) if hasattr(hooks, name) else None

    optimizer = torch.optim.AdamW(
        parameter_groups(model),
        lr=learning_rate,
        betas=tuple(OPTIMIZER["betas"]),
        eps=OPTIMIZER["eps"],
    )
    scheduler = get_linear_schedule_with_warmup(
        optimizer, OPTIMIZER["warmup_steps"], OPTIMIZER["num_training_steps"]
    )
    parameters = [p for _, p in trainable(model)]
    result = dict(losses=[], grad_norms=[], learning_rates=[])
    model.train()
    for step, batch in enumerate(batches):
        call("before_step", step)
        output = _forward(model, batch, token_types, labels=True)
        term = call("term")
        loss = output.loss if term is None else output.loss + term
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            result["logits"] = _packed_logits(batch, output.logits)
            result["grad"] = {
                n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for n, p in trainable(model, name_in_file)
            }
        norm = torch.nn.utils.clip_grad_norm_(parameters, OPTIMIZER["max_grad_norm"])
        result["losses"].append(loss.item())
        result["grad_norms"].append(norm.item())
        result["learning_rates"].append(scheduler.get_last_lr()[0])
        call("before_update", step)
        optimizer.step()
        scheduler.step()
        call("after_update", step)
    result["final"] = {n: p.detach().clone() for n, p in trainable(model, name_in_file)}
    with torch.no_grad():
        logits = _forward(model, batches[0], token_types, labels=False).logits
    result["final_logits"] = _packed_logits(batches[0], logits)
    return result


def record_with_error(model, batches, learning_rate, token_types, **options):
    """The float32 record, and how far the same run in float64 is from it.

    The difference is the rounding noise that any float32 implementation may show. Parameters whose
    gradient is zero in exact arithmetic (a key's bias shifts all scores of a softmax alike) are
    listed: their float32 gradients, and with Adam their final values, are noise.
    """
    twin = copy.deepcopy(model).double()
    result = record(model, batches, learning_rate, token_types, **options)
    doubled = [_double(b) for b in batches]
    exact = record(twin, doubled, learning_rate, token_types, **options)
    largest = max(g.abs().max().item() for g in exact["grad"].values())
    noise = {
        "logits": _relative(result["logits"], exact["logits"]),
        "losses": max(abs(a - b) / abs(b) for a, b in zip(result["losses"], exact["losses"])),
        "final_logits": _relative(result["final_logits"], exact["final_logits"]),
        "zero_gradients": sorted(
            n for n, g in exact["grad"].items() if g.abs().max().item() < 1e-10 * largest
        ),
    }
    for kind in ("grad", "final"):
        noise[kind] = max(
            _relative(result[kind][n], exact[kind][n])
            for n in exact[kind]
            if n not in noise["zero_gradients"]
        )
    return result, noise


def _forward(model, batch, token_types, labels):
    config = model.config
    kwargs = batch.inputs(config.pad_token_id, token_types)
    if labels or batch.needs_labels:
        kwargs["labels"] = batch.padded_labels()
    return model(**kwargs)


def _packed_logits(batch, logits):
    if logits.dim() != 3:
        return logits.detach().clone()
    # Rows of a prompt come first.
    return batch.pack(logits[:, logits.shape[1] - int(batch.answer_offsets.diff().max()) :]).detach().clone()


def _double(batch):
    if not batch.labels.is_floating_point():
        return batch
    twin = copy.copy(batch)
    twin.labels = batch.labels.double()
    return twin


def _relative(a, b):
    """Largest difference over the largest magnitude of the tensor."""
    return ((a.double() - b).abs().max() / b.abs().max().clamp_min(1e-30)).item()
