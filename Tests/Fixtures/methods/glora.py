"""GLoRA with one configuration for all layers, as PEFT has it."""

from peft import GloraConfig, TaskType, get_peft_model

from methods import case

OPTIONS = dict(r=3, target_modules=["query", "value"])
CASES = [
    case("roberta-glora", "glora", **OPTIONS),
    case("bert-glora-vector", "glora", config_A_B="vector", config_C="vector", config_D_E="vector", **OPTIONS),
    case("roberta-glora-constant", "glora", config_A_B="constant", config_C="none", config_D_E="constant", **OPTIONS),
    case("bert-glora-none", "glora", config_A_B="vector", config_C="none", config_D_E="none", **OPTIONS),
    case("roberta-glora-bias", "glora", config_A_B="none", config_C="lora", config_D_E="vector", **OPTIONS),
]


def attach(model, generator, options):
    return get_peft_model(model, GloraConfig(task_type=TaskType.SEQ_CLS, **options))
