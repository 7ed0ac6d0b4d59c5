"""AdaLoRA: PEFT's own, and the formulas of the authors' code and of their paper.

Importances and cuts of `code` and `paper` are written here, from the paper's section 3 and the differences that
docs/methods.md lists; the layers are PEFT's.
"""

import torch
from peft import AdaLoraConfig, TaskType, get_peft_model

from methods import case

OPTIONS = dict(
    init_r=4,
    target_r=2,
    lora_alpha=8,
    tinit=2,
    tfinal=3,
    deltaT=2,
    beta1=0.85,
    beta2=0.8,
    orth_reg_weight=0.1,
    target_modules=["query", "value"],
)
CASES = [
    case("roberta-adalora", "adalora", definition="peft", **OPTIONS),
    case("bert-adalora", "adalora", definition="peft", **dict(OPTIONS, target_r=1, deltaT=1, tinit=0)),
    case("roberta-adalora-code", "adalora", definition="code", **OPTIONS),
    case("roberta-adalora-paper", "adalora", definition="paper", **dict(OPTIONS, tfinal=2, deltaT=1)),
]
STEPS = 10


def attach(model, generator, options):
    definition = options.pop("definition")
    if definition != "peft":
        # The penalty is a term of `Training`.
        options["orth_reg_weight"] = 0.0
    config = AdaLoraConfig(task_type=TaskType.SEQ_CLS, total_step=STEPS, **options)
    model = get_peft_model(model, config)
    for module in model.modules():
        if hasattr(module, "ranknum"):
            # A number that never changes, and no parameter of the adapter.
            rank = {"default": module.ranknum["default"].detach().clone()}
            del module.ranknum
            module.ranknum = rank
    return model


class Training:
    def __init__(self, model, options):
        self.model, self.options = model, options
        self.definition = options["definition"]
        named = dict(model.named_parameters())
        ends = [n.removesuffix(".lora_A.default") for n in named if n.endswith(".lora_A.default")]
        self.layers = [[named[f"{n}.lora_{part}.default"] for part in "ABE"] for n in ends]
        self.mean = {p: torch.zeros_like(p) for layer in self.layers for p in layer}
        self.spread = {p: torch.zeros_like(p) for layer in self.layers for p in layer}

    def term(self):
        if self.definition == "peft":
            return None
        norms = []
        for a, b, _ in self.layers:
            for gram in (a @ a.T, b.T @ b):
                norms.append(torch.linalg.norm(gram - torch.eye(len(gram), dtype=gram.dtype)))
        if self.definition == "paper":
            return self.options["orth_reg_weight"] * sum(n**2 for n in norms)
        return self.options["orth_reg_weight"] * sum(norms) / len(norms)

    def before_update(self, t):
        self.before = {p: p.detach().clone() for layer in self.layers for p in layer}

    @torch.no_grad()
    def after_update(self, t):
        if self.definition == "peft":
            self.model.base_model.update_and_allocate(t)
            return
        end = STEPS - self.options["tfinal"]
        if t < end:
            for p in self.mean:
                importance = ((self.before[p] if self.definition == "paper" else p) * p.grad).abs()
                kept = self.options["beta1"]
                self.mean[p] = kept * self.mean[p] + (1 - kept) * importance
                kept = self.options["beta2"]
                self.spread[p] = kept * self.spread[p] + (1 - kept) * (importance - self.mean[p]).abs()
        budget = self.budget(t, end)
        if budget is None:
            return
        score = {p: self.mean[p] * self.spread[p] for p in self.mean}
        triplets = [score[e][:, 0] + score[a].mean(1) + score[b].mean(0) for a, b, e in self.layers]
        together = torch.cat(triplets)
        if len(together) == budget:
            return
        threshold = torch.kthvalue(together, len(together) - budget).values
        for (_, _, e), values in zip(self.layers, triplets):
            e[values <= threshold] = 0

    def budget(self, t, end):
        """How many triplets stay after step t; None: nothing is cut."""
        first = self.options["init_r"] * len(self.layers)
        last = self.options["target_r"] * len(self.layers)
        begin = self.options["tinit"]
        if t <= begin:
            return None
        if t > end:
            return last
        done = t - begin - (self.options["tfinal"] if self.definition == "paper" else 0)
        kept = int(last + (first - last) * (1 - done / (end - begin)) ** 3)
        return min(max(kept, last), first) if t % self.options["deltaT"] == 0 else None
