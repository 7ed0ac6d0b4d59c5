"""The table of training cases, and how one becomes a fixture file."""

import os

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

import methods
from delora import add_delora
from methods import case
from packed import Packed, saved_name, write_fixture
from training import OPTIMIZER, record_with_error, trainable

STEPS = OPTIMIZER["num_training_steps"]
QUERY_VALUE = dict(r=4, lora_alpha=8, target_modules=["query", "value"])
ALL_LINEAR = dict(r=4, lora_alpha=8, target_modules=["query", "key", "value", "dense"])


CASES = [
    case("bert-lora", "lora", **QUERY_VALUE),
    case("bert-full", "full", 1e-3),
    case("bert-classifier", "classifier"),
    case("bert-lora-pooler", "lora", modules_to_save=["pooler"], **QUERY_VALUE),
    case("bert-lora-bias", "lora", bias="lora_only", **QUERY_VALUE),
    case("bert-mlm", "full", 1e-3, objective="masked_lm"),
    case("roberta-lora", "lora", **QUERY_VALUE),
    case("roberta-full", "full", 1e-3),
    case("roberta-classifier", "classifier"),
    case("roberta-lora-all-linear", "lora", **ALL_LINEAR),
    case("roberta-regression", "lora", num_labels=1, objective="regression", **QUERY_VALUE),
    case("roberta-mlm", "full", 1e-3, objective="masked_lm"),
    case("roberta-delora-full", "delora", sigma="full", **QUERY_VALUE),
    case("roberta-delora-diagonal", "delora", sigma="diagonal", **QUERY_VALUE),
    case("roberta-delora-over-lora", "delora", sigma="over_lora", **QUERY_VALUE),
]


def load(folder, entry):
    """The Transformers model of a case, and the names of the weights that the folder lacks."""
    kwargs = dict(
        output_loading_info=True,
        attn_implementation="eager",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    if entry["objective"] == "masked_lm":
        model, info = AutoModelForMaskedLM.from_pretrained(folder, **kwargs)
    else:
        kind = {"classification": "single_label_classification"}
        kwargs["problem_type"] = kind.get(entry["objective"], entry["objective"])
        kwargs["num_labels"] = entry["num_labels"]
        model, info = AutoModelForSequenceClassification.from_pretrained(folder, **kwargs)
    return model, set(info["missing_keys"])


def build_method(folder, module, entry, seed, spread):
    """The model of a row of `methods`; returns it with the values that it starts from."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model, missing = load(folder, entry)
    of_base = {name for name, _ in model.named_parameters()}
    model = module.attach(model, generator, dict(entry["options"]))
    is_noisy = getattr(module, "noisy", lambda name: True)
    name_in_file = getattr(module, "saved", saved_name)
    initial = {}
    for name, parameter in sorted(model.named_parameters(), key=lambda p: name_in_file(p[0])):
        if ".original_module." in name:
            continue
        plain = name_in_file(name)
        in_base = plain.replace(".base_layer", "")
        # A frozen layer that the folder lacks is random, and so a part of the start.
        if in_base in of_base and in_base not in missing:
            continue
        if parameter.requires_grad and is_noisy(name):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.add_(noise * spread)
        initial[name_in_file(name)] = parameter.detach().clone()
    return model, initial


def build(folder, entry, seed, spread):
    """The adapted model; returns it with the values of adapters and heads that it starts from."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model, missing = load(folder, entry)
    options = dict(entry["options"])
    if entry["method"] == "lora":
        model = get_peft_model(model, LoraConfig(task_type=TaskType.SEQ_CLS, **options))
    elif entry["method"] == "delora":
        kind = options.pop("sigma")
        model = add_delora(model, kind, generator=generator, **options)
    elif entry["method"] == "classifier":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith("classifier.")
    initial = {}
    for name, parameter in sorted(model.named_parameters(), key=lambda p: saved_name(p[0])):
        saved = saved_name(name)
        is_new = "lora" in name or (saved in missing and parameter.requires_grad)
        if not is_new or ".original_module." in name:
            continue
        # B = 0 would hide A: its gradient would be zero. DeLoRA's starts are part of the method.
        if "delora" not in name and parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(noise * spread)
        initial[saved] = parameter.detach().clone()
    return model, initial


def random_batches(entry, vocab_size, first_id, seed):
    """Ten batches of three or four sequences; pairs where the model knows token types."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda low, high, n=1: torch.randint(low, high, (n,), generator=generator).tolist()
    batches = []
    for _ in range(STEPS):
        lengths = draw(2, 21, draw(3, 5)[0])
        ids = [draw(first_id, vocab_size, n) for n in lengths]
        cut = [draw(1, n)[0] if "bert" == entry["model"][5:] else n for n in lengths]
        types = [[0] * c + [1] * (n - c) for c, n in zip(cut, lengths)]
        if entry["objective"] == "masked_lm":
            labels = [[-100 if draw(0, 4)[0] else i for i in row] for row in ids]
            labels[0][0] = ids[0][0]
            batches.append(Packed.of(ids, types, labels, per_token=True))
        elif entry["objective"] == "regression":
            labels = [x / 100 for x in draw(-300, 300, len(lengths))]
            batches.append(Packed.of(ids, types, labels))
        else:
            labels = draw(0, entry["num_labels"], len(lengths))
            batches.append(Packed.of(ids, types, labels))
    return batches


def prepare(models, index):
    """(case, adapted model, initial values, batches) of a row of the table, always the same."""
    entry = CASES[index]
    model, initial = build(os.path.join(models, entry["model"]), entry, seed=100 + index, spread=0.2)
    return entry, model, initial, batches_for(entry, model, 200 + index)


def batches_for(entry, model, seed):
    config = model.config
    first_id = max(config.pad_token_id, config.bos_token_id or 0, config.eos_token_id or 0) + 1
    return random_batches(entry, config.vocab_size, first_id, seed)


def describe(entry, model, noise):
    """What a reader needs to repeat the case: written into the file's metadata."""
    return dict(
        **entry,
        **OPTIMIZER,
        trainable_parameters=sum(p.numel() for _, p in trainable(model)),
        float64_deviation=noise,
    )


def write_case(models, index, path):
    """Runs one case and writes its file; returns the deviation from float64."""
    entry, model, initial, batches = prepare(models, index)
    return record_case(path, entry, model, initial, batches)


def write_method_case(models, module, entry, path):
    """Runs one row of `methods` and writes its file; returns the deviation from float64."""
    seed = methods.seed_of(entry)
    folder = os.path.join(models, entry["model"])
    model, initial = build_method(folder, module, entry, seed, spread=0.2)
    return record_case(path, entry, model, initial, batches_for(entry, model, seed), module)


def record_case(path, entry, model, initial, batches, module=None):
    training_of = getattr(module, "Training", None)
    result, noise = record_with_error(
        model,
        batches,
        entry["learning_rate"],
        entry["model"] == "tiny-bert",
        hooks=training_of and (lambda model: training_of(model, dict(entry["options"]))),
        name_in_file=getattr(module, "saved", saved_name),
    )
    tensors = common_tensors(batches, initial, result)
    for kind in ("grad", "final"):
        tensors.update({f"{kind}.{n}": t for n, t in result[kind].items()})
    write_fixture(path, tensors, describe(entry, model, noise))
    return noise


def common_tensors(batches, initial, result):
    tensors = {"init." + name: t for name, t in initial.items()}
    for step, batch in enumerate(batches):
        tensors.update(batch.tensors(f"step{step}."))
    for name in ("losses", "grad_norms", "learning_rates"):
        tensors[name] = torch.tensor(result[name], dtype=torch.float64).float()
    tensors["logits"], tensors["final_logits"] = result["logits"], result["final_logits"]
    return tensors
