"""(IA)^3 as PEFT has it: vectors that scale outputs, or inputs of the feed-forward layers."""

from peft import IA3Config, TaskType, get_peft_model

from methods import case

CASES = [
    case("bert-ia3", "ia3", target_modules=["key", "value", "output.dense"]),
    case(
        "roberta-ia3",
        "ia3",
        target_modules=["key", "value", "intermediate.dense"],
        feedforward_modules=["value", "intermediate.dense"],
    ),
]


def attach(model, generator, options):
    return get_peft_model(model, IA3Config(task_type=TaskType.SEQ_CLS, **options))
