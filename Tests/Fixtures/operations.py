"""Module-level fixtures: single operations with their gradients, in float64 and float32."""

import torch
import torch.nn.functional as F
from transformers import get_scheduler

from packed import write_fixture

DTYPES = {"f32": torch.float32, "f64": torch.float64}


class Draws:
    """Seeded inputs."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, spread=1.0):
        return (torch.randn(shape, generator=self.generator) * spread).double()


def _as(tensor, dtype):
    """A copy that went through float32, so that both precisions start from the same numbers."""
    return tensor.detach().float().to(dtype).clone()


def differentiate(prefix, inputs, function, draws):
    """Entries of one operation: inputs, y, dy, and d<input> for both precisions."""
    entries, upstream = {}, None
    for suffix, dtype in DTYPES.items():
        leaves = {n: _as(t, dtype).requires_grad_() for n, t in inputs.items()}
        y = function(**leaves)
        if upstream is None:
            upstream = draws.normal(*y.shape)
        y.backward(_as(upstream, dtype))
        key = f"{prefix}.{suffix}."
        entries[key + "y"], entries[key + "dy"] = y, _as(upstream, dtype)
        for name, leaf in leaves.items():
            entries[key + name], entries[key + "d" + name] = leaf, leaf.grad
    return entries


def _layer_norm(draws):
    entries = {}
    for eps in (1e-12, 1e-5):
        inputs = dict(
            x=draws.normal(5, 33, spread=2) + 0.5,
            weight=draws.normal(33) + 1,
            bias=draws.normal(33),
        )
        norm = lambda x, weight, bias: F.layer_norm(x, (33,), weight, bias, eps)
        entries.update(differentiate(f"layer_norm.eps{eps:g}", inputs, norm, draws))
    return entries


def _gelu(draws):
    # From deep in the zero tail, through the curved part, to the identity.
    x = torch.cat([torch.linspace(-12, 12, 97), torch.tensor([0.0, 1e-6, -1e-6])]).float().double()
    entries = differentiate("gelu_erf", dict(x=x), lambda x: F.gelu(x), draws)
    tanh = lambda x: F.gelu(x, approximate="tanh")
    entries.update(differentiate("gelu_tanh", dict(x=x), tanh, draws))
    return entries


def _cross_entropy(draws):
    entries = {}
    for classes in (3, 41):
        x = draws.normal(9, classes, spread=4)
        labels = torch.randint(0, classes, (9,), generator=draws.generator)
        for ignored in (False, True):
            if ignored:
                labels = labels.clone()
                labels[[0, 4, 8]] = -100
            for smoothing in (0.0, 0.1):
                name = f"cross_entropy.c{classes}.{'ignore' if ignored else 'all'}.s{smoothing:g}"
                loss = lambda x: F.cross_entropy(x, labels, label_smoothing=smoothing)
                entries.update(differentiate(name, dict(x=x), loss, draws))
                entries[name + ".labels"] = labels.int()
    mse = lambda x, target: F.mse_loss(x, target)
    pair = dict(x=draws.normal(7), target=draws.normal(7))
    entries.update(differentiate("mse", pair, mse, draws))
    entries.update(differentiate("softmax", dict(x=draws.normal(6, 13, spread=3)),
                                  lambda x: x.softmax(-1), draws))
    return entries


def _attention(draws):
    """Bidirectional attention over packed sequences: q, k, v, y are [tokens, heads * head_size]."""
    entries = {}
    cases = {"h4d8": (4, 8, [5, 1, 9]), "h2d16": (2, 16, [17, 2, 3, 33]), "h3d5": (3, 5, [4, 7])}
    for name, (heads, size, lengths) in cases.items():
        offsets = torch.tensor([0] + lengths).cumsum(0)

        def attend(q, k, v):
            rows = []
            for start, end in zip(offsets.tolist(), offsets.tolist()[1:]):
                q1, k1, v1 = (
                    t[start:end].view(end - start, heads, size).transpose(0, 1) for t in (q, k, v)
                )
                weights = (q1 @ k1.transpose(1, 2) * size**-0.5).softmax(-1)
                rows.append((weights @ v1).transpose(0, 1).reshape(end - start, heads * size))
            return torch.cat(rows)

        inputs = {n: draws.normal(sum(lengths), heads * size, spread=1.5) for n in "qkv"}
        entries.update(differentiate(f"attention.{name}", inputs, attend, draws))
        entries[f"attention.{name}.offsets"] = offsets.int()
        entries[f"attention.{name}.num_heads"] = torch.tensor([heads], dtype=torch.int32)
    return entries


ADAMW = {
    "default": dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    "other": dict(lr=3e-3, betas=(0.85, 0.98), eps=1e-6, weight_decay=0.0),
}


def _adamw(draws):
    """w [20 + 1, 7, 5]: the parameter before step 0, and after each step; grad [20, 7, 5]."""
    entries = {}
    grads = draws.normal(20, 7, 5)
    grads[3, 0] = 0  # A row without gradient still moves: old momentum and decay.
    grads[5:8] *= 1e-6
    start = draws.normal(7, 5)
    for name, options in ADAMW.items():
        for suffix, dtype in DTYPES.items():
            w = _as(start, dtype).requires_grad_()
            optimizer = torch.optim.AdamW([w], **options)
            history = [w.detach().clone()]
            for grad in _as(grads, dtype):
                w.grad = grad.clone()
                optimizer.step()
                history.append(w.detach().clone())
            key = f"adamw.{name}.{suffix}."
            state = optimizer.state[w]
            entries[key + "w"], entries[key + "grad"] = torch.stack(history), _as(grads, dtype)
            entries[key + "exp_avg"], entries[key + "exp_avg_sq"] = (
                state["exp_avg"],
                state["exp_avg_sq"],
            )
    return entries


def _schedules():
    """The learning rate's multiplier in steps 0..17 of a run of 17 steps, float64."""
    entries = {}
    kinds = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
    for name, kind in kinds.items():
        for warmup in (0, 2, 5):
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            scheduler = get_scheduler(kind, optimizer, warmup, 17)
            rates = []
            for _ in range(18):
                rates.append(scheduler.get_last_lr()[0])
                optimizer.step()
                scheduler.step()
            entries[f"schedule.{name}.warmup{warmup}"] = torch.tensor(rates, dtype=torch.float64)
    return entries


def _clipping(draws):
    """g0, g1 before and clipped0, clipped1 after, at a limit of 1; norm is that before clipping."""
    entries = {}
    for name, spread in (("above", 1.0), ("below", 0.01)):
        shapes = [(7, 5), (11,)]
        grads = [draws.normal(*s, spread=spread) for s in shapes]
        for suffix, dtype in DTYPES.items():
            key = f"clip_grad_norm.{name}.{suffix}."
            leaves = [torch.zeros(s, dtype=dtype, requires_grad=True) for s in shapes]
            for index, (leaf, grad) in enumerate(zip(leaves, grads)):
                leaf.grad = _as(grad, dtype)
                entries[f"{key}g{index}"] = _as(grad, dtype)
            norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
            entries[key + "norm"] = norm.reshape(1)
            for index, leaf in enumerate(leaves):
                entries[f"{key}clipped{index}"] = leaf.grad
    return entries


def write_operations(path):
    """One file; entries are <operation>.<variant>.<f32|f64>.<tensor>."""
    draws = Draws(7)
    entries = {}
    for part in (_layer_norm, _gelu, _cross_entropy, _attention, _adamw, _clipping):
        entries.update(part(draws))
    entries.update(_schedules())
    description = dict(
        adamw=ADAMW, schedule=dict(num_training_steps=17), clip_grad_norm=dict(max_norm=1.0),
        layer_norm="eps is in the name", attention="scores are scaled by 1/sqrt(head_size)",
    )
    write_fixture(path, entries, description)
