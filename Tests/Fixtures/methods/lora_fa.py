"""LoRA-FA: PEFT's LoRA with a frozen A; projected, B's gradient as PEFT's LoraFAOptimizer transforms it."""

import torch
from peft import LoraConfig, TaskType, get_peft_model

from methods import case

CASES = [
    case("roberta-lora-fa", "lora_fa", r=4, lora_alpha=8, target_modules=["query", "value"]),
    case(
        "bert-lora-fa-projected",
        "lora_fa",
        variant="projected",
        r=3,
        lora_alpha=5,
        target_modules=["query", "dense"],
    ),
]


def attach(model, generator, options):
    options.pop("variant", None)
    model = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, **options))
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            parameter.requires_grad = False
    return model


class Training:
    def __init__(self, model, options):
        self.model, self.is_projected = model, options.get("variant") == "projected"

    def before_update(self, step):
        if not self.is_projected:
            return
        for module in self.model.modules():
            if not hasattr(module, "lora_A"):
                continue
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            inverse = torch.linalg.pinv(a @ a.T + 1e-8 * torch.eye(len(a), dtype=a.dtype))
            b.grad = b.grad @ inverse / module.scaling["default"] ** 2
