"""Prefix tuning as PEFT has it; its tables are split into a part for each layer, as Perigee holds them."""

from peft import PrefixTuningConfig, TaskType, get_peft_model
from torch import nn

from methods import case, virtual_tokens
from methods.virtual_tokens import Named, Split

CASES = [
    case("bert-prefix", "prefix_tuning", num_virtual_tokens=3),
    case("roberta-prefix", "prefix_tuning", num_virtual_tokens=4),
    case(
        "roberta-prefix-projection",
        "prefix_tuning",
        num_virtual_tokens=3,
        prefix_projection=True,
        encoder_hidden_size=6,
    ),
]

ENCODER = r"prompt_encoder\.default\."
LAYER = r"\1.encoder.layer.\2.attention.self."
saved = virtual_tokens.saved(
    [
        (ENCODER + r"embedding\.(\w+)\.(\d+)\.weight", LAYER + "prefix_embeddings"),
        (ENCODER + r"transform\.2\.(\w+)\.(\d+)\.(weight|bias)", LAYER + r"prefix_transform.\3"),
        (ENCODER + r"(embedding\.weight|transform\.0\..*)", r"prefix_encoder.\1"),
    ]
)


def attach(model, generator, options):
    layers, size, name = model.config.num_hidden_layers, model.config.hidden_size, model.base_model_prefix
    model = get_peft_model(model, PrefixTuningConfig(task_type=TaskType.SEQ_CLS, **options))
    encoder = model.prompt_encoder["default"]
    if options.get("prefix_projection"):
        parts = [nn.Linear(options["encoder_hidden_size"], 2 * size) for _ in range(layers)]
        encoder.transform[2] = Named(name, Split(parts))
    else:
        parts = [nn.Embedding(options["num_virtual_tokens"], 2 * size) for _ in range(layers)]
        encoder.embedding = Named(name, Split(parts))
    return model
