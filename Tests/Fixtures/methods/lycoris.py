"""LoHa and LoKr, as PEFT computes them."""

from peft import LoHaConfig, LoKrConfig, TaskType, get_peft_model

from methods import case

CASES = [
    case("bert-loha", "loha", r=3, alpha=5, target_modules=["query", "dense"]),
    case(
        "roberta-lokr",
        "lokr",
        r=2,
        alpha=6,
        decompose_both=False,
        target_modules=["query", "dense"],
        rank_pattern={"query": 5},
    ),
    case(
        "bert-lokr-both",
        "lokr",
        r=1,
        alpha=3,
        decompose_both=True,
        decompose_factor=16,
        target_modules=["key", "dense"],
    ),
]


def attach(model, generator, options):
    kind = LoKrConfig if "decompose_both" in options else LoHaConfig
    return get_peft_model(model, kind(task_type=TaskType.SEQ_CLS, **options))
