"""LoRA's variants and VeRA, as PEFT computes them."""

from peft import LoraConfig, TaskType, VeraConfig, get_peft_model

from methods import case
from packed import saved_name

QUERY_VALUE = dict(r=4, lora_alpha=8, target_modules=["query", "value"])
DENSE = dict(r=3, lora_alpha=5, target_modules=["query", "dense"])

CASES = [
    case("bert-dora", "lora", use_dora=True, **QUERY_VALUE),
    case("roberta-dora-dense", "lora", use_dora=True, use_rslora=True, bias="lora_only", **DENSE),
    case("roberta-pissa", "lora", init_lora_weights="pissa", **QUERY_VALUE),
    case("bert-olora", "lora", init_lora_weights="olora", **DENSE),
    case(
        "roberta-lora-patterns",
        "lora",
        rank_pattern={"query": 2, r"layer\.1\..*dense": 5},
        alpha_pattern={r"layer\.0\..*": 7.0},
        layers_to_transform=[0, 1],
        layers_pattern=["layer"],
        **DENSE,
    ),
    case("bert-vera", "vera", r=5, target_modules=["query", "value"], d_initial=0.2),
    case("roberta-vera-dense", "vera", r=40, projection_prng_key=7, target_modules=["key", "dense"]),
]


def attach(model, generator, options):
    kind = LoraConfig if "lora_alpha" in options else VeraConfig
    return get_peft_model(model, kind(task_type=TaskType.SEQ_CLS, **options))


def saved(name):
    # PEFT drops the suffix when it saves.
    return saved_name(name).replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
