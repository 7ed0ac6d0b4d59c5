"""Encoder-decoder models: tiny random BART and T5, and ten AdamW steps of writing a target, or of classification.

A batch has two packed streams: what the encoder reads, and the target, whose tokens are the labels; the model shifts them itself.
"""

import copy
import os
import re

import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import nn
from transformers import AutoModelForSeq2SeqLM, BartConfig, T5Config

from methods import case
from packed import Packed, saved_name

BART = dict(
    vocab_size=120,
    d_model=32,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=48,
    decoder_ffn_dim=40,
    max_position_embeddings=64,
    scale_embedding=True,
    dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
)
T5 = dict(
    vocab_size=120,
    d_model=32,
    d_ff=48,
    num_layers=2,
    num_heads=4,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=16,
    dropout_rate=0.0,
    decoder_start_token_id=0,
)
CONFIGS = {
    "bart": BartConfig(**BART),
    "t5": T5Config(**T5, d_kv=8, num_decoder_layers=2, feed_forward_proj="relu"),
    "t5v11": T5Config(**T5, d_kv=12, num_decoder_layers=3, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}


class Pair(Packed):
    """A batch with a second stream: the labels are target tokens, sequence i at target_offsets[i]..<target_offsets[i+1]."""

    def __init__(self, inputs, targets):
        both = Packed.of(inputs, [[0] * len(row) for row in inputs], targets, per_token=True)
        super().__init__(both.input_ids, both.token_type_ids, both.offsets, both.labels)
        self.target_offsets = torch.tensor([0] + [len(row) for row in targets]).cumsum(0).to(torch.int32)

    # The model makes the decoder's tokens of the labels.
    needs_labels = True

    @property
    def answer_offsets(self):
        return self.target_offsets

    def padded_labels(self):
        starts = self.target_offsets.tolist()
        rows = [self.labels[a:b].long() for a, b in zip(starts, starts[1:])]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)

    def tensors(self, prefix):
        return {**super().tensors(prefix), prefix + "target_offsets": self.target_offsets}


def write_models(folder):
    generator = torch.Generator().manual_seed(12)
    for name, config in CONFIGS.items():
        torch.manual_seed(12)
        model = AutoModelForSeq2SeqLM.from_config(config)
        if name == "t5v11":
            # Of its own, as in the published checkpoints.
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
        with torch.no_grad():
            for parameter_name, parameter in sorted(model.named_parameters()):
                # T5 divides no scores by a root: with queries as large as the rest, softmax would amplify rounding.
                spread = 0.05 if parameter_name.endswith(".q.weight") else 0.3
                noise = torch.randn(parameter.shape, generator=generator) * spread
                parameter.copy_(1 + noise if re.search(r"layer_?norm(_embedding)?\.weight$", parameter_name) else noise)
            if name == "bart":
                model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape, generator=generator))
        path = os.path.join(folder, "tiny-" + name)
        model.save_pretrained(path)
        # Transformers 5 would write that the head is tied, which the published configuration denies.
        if name == "t5v11":
            text = open(os.path.join(path, "config.json")).read()
            text = text.replace('"tie_word_embeddings": true', '"tie_word_embeddings": false')
            open(os.path.join(path, "config.json"), "w").write(text)


LORA = dict(r=4, lora_alpha=8)
TARGETS = {"bart": ["q_proj", "v_proj"], "t5": ["q", "v"], "t5v11": ["q", "v"]}
DENSE = {
    "bart": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
    "t5": ["q", "k", "v", "o", "wi", "wo"],
    "t5v11": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
}
SCALED = {"bart": ["k_proj", "v_proj", "fc2"], "t5": ["k", "v", "wo"], "t5v11": ["k", "v", "wo"]}


def rows(name):
    writing = dict(objective="seq2seq_lm", num_labels=1)
    result = [
        case(name + "-full", "full", 1e-3, **writing),
        case(name + "-lora", "lora", 1e-2 if name == "bart" else 1e-3, **writing, **LORA, target_modules=TARGETS[name]),
        case(name + "-lora-dense", "lora", 1e-2 if name == "bart" else 1e-3, **writing, r=2, lora_alpha=4, target_modules=DENSE[name]),
        case(name + "-ia3", "ia3", **writing),
        case(name + "-prompt", "prompt_tuning", **writing, num_virtual_tokens=3),
    ]
    # PEFT's prefixes have the model's size, which other attention does not take.
    if name != "t5v11":
        result.append(case(name + "-prefix", "prefix_tuning", **writing, num_virtual_tokens=3))
    return result


CASES = [entry for name in CONFIGS for entry in rows(name)]
HEAD = dict(modules_to_save=["classification_head"])
CASES += [
    case("bart-classification-full", "full", 1e-3),
    case("bart-classification-lora", "lora", **LORA, **HEAD, target_modules=TARGETS["bart"]),
    case("t5-classification-lora", "lora", 1e-3, **LORA, **HEAD, target_modules=TARGETS["t5"]),
]


def attach(model, entry):
    kind = TaskType.SEQ_2_SEQ_LM if entry["objective"] == "seq2seq_lm" else TaskType.SEQ_CLS
    # PEFT adds to the lists that it gets.
    options = copy.deepcopy(entry["options"])
    method = entry["method"]
    if method == "full":
        return model
    if method == "lora":
        return get_peft_model(model, LoraConfig(task_type=kind, **options))
    if method == "ia3":
        targets = SCALED[entry["model"].removeprefix("tiny-")]
        return get_peft_model(model, IA3Config(task_type=kind, target_modules=targets, feedforward_modules=targets[-1:], **options))
    if method == "prompt_tuning":
        # Of two parts of its table, PEFT reads the first, for the encoder.
        return get_peft_model(model, PromptTuningConfig(task_type=kind, num_transformer_submodules=1, **options))
    return get_peft_model(model, PrefixTuningConfig(task_type=kind, **options))


def name_in_file(entry):
    has_tokens = entry["method"] in ("prefix_tuning", "prompt_tuning")
    encoder = "model.encoder" if "bart" in entry["model"] else "encoder"
    table = encoder + ".prompt_embeddings" if entry["method"] == "prompt_tuning" else "prefix_embeddings"

    def name(live):
        if live == "prompt_encoder.default.embedding.weight":
            return table
        # PEFT wraps a model for virtual tokens once, others twice.
        return saved_name("base_model.model." + live.removeprefix("base_model.") if has_tokens else live)

    return name


def spread(name):
    """How far the new values of a parameter move from where they start."""
    return 0.05 if ".q." in name else 0.2


def turned(name, tensor):
    return tensor


def batches(entry, seed, end, count=10):
    """Texts that end with the end token, once, and targets of other lengths, some of whose tokens nobody asks for."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda low, high, n=1: torch.randint(low, high, (n,), generator=generator).tolist()
    result = []
    for _ in range(count):
        inputs = [draw(3, 120, n) + [end] for n in draw(1, 30, draw(3, 5)[0])]
        if entry["objective"] == "seq2seq_lm":
            targets = [draw(3, 120, n) + [end] for n in draw(1, 20, len(inputs))]
            # Nobody asks for it, and nothing reads it: a target that is read in its place is the pad token in Transformers, which
            # gives that token's embedding no gradient.
            targets[0][-1] = -100
            result.append(Pair(inputs, targets))
        else:
            result.append(Packed.of(inputs, [[0] * len(row) for row in inputs], draw(0, entry["num_labels"], len(inputs))))
    return result


def write_buckets(path):
    """T5's buckets of the distances -300 to 300."""
    from safetensors.torch import save_file
    from transformers.models.t5.modeling_t5 import T5Attention

    distances = torch.arange(-300, 301)
    bucket = lambda both: T5Attention._relative_position_bucket(distances, bidirectional=both, num_buckets=32, max_distance=128)
    save_file({"encoder": bucket(True).to(torch.int32), "decoder": bucket(False).to(torch.int32)}, path)
