"""Ten steps of every optimizer on given gradients, and the schedules beyond those of operations.py."""

import math

import torch
from transformers import Adafactor, get_scheduler

from packed import write_fixture

STEPS = 10
# name: shape, group. Group 0 decays with 0.1, group 1 has a step size of its own and decays with 0.01.
SHAPES = {"a.weight": ((7, 5), 0), "a.bias": ((5,), 0), "b.weight": ((3, 4, 6), 1), "b.bias": ((9,), 1)}
DECAYS = (0.1, 0.01)


class AdamWHF(torch.optim.Optimizer):
    """AdamW as Transformers had it before version 5, written from its documentation."""

    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, correct_bias=True):
        super().__init__(
            params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, correct_bias=correct_bias)
        )

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                state = self.state[p]
                t = state["step"] = state.get("step", 0) + 1
                m = state["m"] = b1 * state.get("m", torch.zeros_like(p)) + (1 - b1) * p.grad
                v = state["v"] = b2 * state.get("v", torch.zeros_like(p)) + (1 - b2) * p.grad**2
                size = group["lr"]
                if group["correct_bias"]:
                    size *= math.sqrt(1 - b2**t) / (1 - b1**t)
                p -= size * m / (v.sqrt() + group["eps"])
                p -= group["lr"] * group["weight_decay"] * p


class Lion(torch.optim.Optimizer):
    """Lion (arXiv 2302.06675), written from the paper's algorithm 2."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].get("m", torch.zeros_like(p))
                c = b1 * m + (1 - b1) * p.grad
                p -= group["lr"] * (c.sign() + group["weight_decay"] * p)
                self.state[p]["m"] = b2 * m + (1 - b2) * p.grad


# case: class, step sizes of the groups (None: the rule's own), and options, which are also ours.
CASES = {
    "adamw_torch": (torch.optim.AdamW, (1e-2, 3e-2), dict(betas=[0.85, 0.98], eps=1e-6)),
    "adamw_hf": (AdamWHF, (1e-2, 3e-2), dict(betas=[0.85, 0.98], eps=1e-3)),
    "adamw_hf-uncorrected": (AdamWHF, (1e-2, 3e-2), dict(eps=1e-6, correct_bias=False)),
    "adam": (torch.optim.Adam, (1e-2, 3e-2), dict(betas=[0.9, 0.99], eps=1e-4)),
    "sgd": (torch.optim.SGD, (1e-1, 3e-2), dict()),
    "sgd-momentum": (torch.optim.SGD, (1e-1, 3e-2), dict(momentum=0.9, dampening=0.3)),
    "sgd-nesterov": (torch.optim.SGD, (1e-1, 3e-2), dict(momentum=0.8, nesterov=True)),
    "lion": (Lion, (1e-2, 3e-3), dict(betas=[0.8, 0.95])),
    "adafactor": (Adafactor, (1e-2, 3e-2), dict(scale_parameter=False, relative_step=False)),
    "adafactor-scaled": (
        Adafactor, (1e-1, 3e-2),
        dict(scale_parameter=True, relative_step=False, beta1=0.9, clip_threshold=0.5, decay_rate=-0.6),
    ),
    "adafactor-relative": (
        Adafactor, (None, None), dict(scale_parameter=True, relative_step=True, eps=[1e-12, 1e-2])
    ),
    "adafactor-warmup": (
        Adafactor, (None, None), dict(scale_parameter=False, relative_step=True, warmup_init=True)
    ),
}

# schedule: kind, warm-up, options; N = 17, step size 0.5.
SCHEDULES = {
    "polynomial": ("polynomial", 3, {}),
    "polynomial-power": ("polynomial", 0, dict(power=2.5, lr_end=0.02)),
    "inverse_sqrt": ("inverse_sqrt", 4, {}),
    "inverse_sqrt-cold": ("inverse_sqrt", 0, {}),
    "inverse_sqrt-timescale": ("inverse_sqrt", 3, dict(timescale=7)),
    "cosine_with_restarts": ("cosine_with_restarts", 2, {}),
    "cosine_with_restarts-3": ("cosine_with_restarts", 2, dict(num_cycles=3)),
    "cosine-waves": ("cosine", 2, dict(num_cycles=1.5)),
    "cosine_lora_nlg": ("cosine_lora_nlg", 4, {}),
}
TOTAL, RATE = 17, 0.5


def _run(kind, rates, options, starts, grads, dtype):
    leaves = {n: s.to(dtype).clone().requires_grad_() for n, s in starts.items()}
    groups = []
    for index, (rate, decay) in enumerate(zip(rates, DECAYS)):
        members = [leaves[n] for n, (_, group) in SHAPES.items() if group == index]
        groups.append(dict(params=members, weight_decay=decay, lr=rate))
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    defaults = {} if rates[0] is None else dict(lr=rates[0])
    optimizer = kind(groups, **defaults, **options)
    history = {n: [] for n in SHAPES}
    for step in range(STEPS):
        for name, leaf in leaves.items():
            leaf.grad = grads[name][step].to(dtype).clone()
        optimizer.step()
        for name, leaf in leaves.items():
            history[name].append(leaf.detach().clone())
    return {n: torch.stack(h) for n, h in history.items()}


def _multipliers(kind, warmup, options):
    if kind == "cosine_lora_nlg":
        return [
            k / warmup if k < warmup else 0.5 * (1 + math.cos(math.pi * k / TOTAL)) for k in range(TOTAL + 1)
        ]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = get_scheduler(kind, optimizer, warmup, TOTAL, scheduler_specific_kwargs=options)
    rates = []
    for _ in range(TOTAL + 1):
        rates.append(scheduler.get_last_lr()[0] / RATE)
        optimizer.step()
        scheduler.step()
    return rates


def write_optimizers(path):
    """Entries are start.<parameter>, grad.<parameter> [steps, ...], <case>.<parameter> [steps, ...], schedule.<name>."""
    generator = torch.Generator().manual_seed(11)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    starts = {n: draw(*shape) for n, (shape, _) in SHAPES.items()}
    grads = {n: draw(STEPS, *shape) for n, (shape, _) in SHAPES.items()}
    grads["a.weight"][3, 0] = 0  # A row without gradient still moves: old momentum and decay.
    grads["b.weight"][5] *= 1e-3
    entries = {f"start.{n}": v for n, v in starts.items()}
    entries.update({f"grad.{n}": v for n, v in grads.items()})
    cases = {}
    for case, (kind, rates, options) in CASES.items():
        result = _run(kind, rates, options, starts, grads, torch.float32)
        exact = _run(kind, rates, options, starts, grads, torch.float64)
        deviation = max(
            ((result[n].double() - exact[n]).abs().max() / exact[n].abs().max()).item() for n in SHAPES
        )
        entries.update({f"{case}.{n}": v for n, v in result.items()})
        cases[case] = dict(optim=case.split("-")[0], learning_rates=rates, options=options, float64_deviation=deviation)
        print(f"{case:24} float64 deviation {deviation:.0e}", flush=True)
    schedules = {}
    for name, (kind, warmup, options) in SCHEDULES.items():
        entries[f"schedule.{name}"] = torch.tensor(_multipliers(kind, warmup, options), dtype=torch.float64)
        schedules[name] = dict(kind=kind, warmup=warmup, options=options)
    description = dict(
        groups={n: group for n, (_, group) in SHAPES.items()}, weight_decays=DECAYS, cases=cases,
        schedules=schedules, num_training_steps=TOTAL, learning_rate=RATE, seed=11,
    )
    write_fixture(path, entries, description)
