"""Prompt tuning and P-tuning as PEFT has them."""

from peft import PromptEncoderConfig, PromptTuningConfig, TaskType, get_peft_model

from methods import case, virtual_tokens
from methods.virtual_tokens import Named

CASES = [
    case("bert-prompt", "prompt_tuning", num_virtual_tokens=3),
    case("roberta-prompt", "prompt_tuning", num_virtual_tokens=4),
    case("bert-p-tuning", "p_tuning", num_virtual_tokens=4, encoder_hidden_size=6),
    case("roberta-p-tuning", "p_tuning", 1e-3, num_virtual_tokens=5, encoder_hidden_size=9),
]

ENCODER = r"prompt_encoder\.default\."
saved = virtual_tokens.saved(
    [
        (ENCODER + r"embedding\.prompt_(\w+)\.weight", r"\1.embeddings.prompt_embeddings"),
        (ENCODER + r"(embedding|mlp_head)\.(\w+)\.(.*)", r"\2.embeddings.prompt_encoder.\1.\3"),
    ]
)


def attach(model, generator, options):
    name = model.base_model_prefix
    kind = PromptEncoderConfig if "encoder_hidden_size" in options else PromptTuningConfig
    model = get_peft_model(model, kind(task_type=TaskType.SEQ_CLS, **options))
    encoder = model.prompt_encoder["default"]
    if kind is PromptEncoderConfig:
        encoder.embedding = Named(name, encoder.embedding)
        encoder.mlp_head = Named(name, encoder.mlp_head)
    else:
        encoder.embedding = Named("prompt_" + name, encoder.embedding)
    return model
