"""Checkpoints as Transformers' own fine-tuning leaves them: labels in another order and case than GLUE's, and a head for
two classes whose labels have no names."""

import json
import os
import random

import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from models import TINY, randomise

# The order of facebook/bart-large-mnli and FacebookAI/roberta-large-mnli; GLUE's is entailment, neutral, contradiction.
LABELS = ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"]
NOUNS = ["cat", "dog", "film", "child", "train", "river"]
VERBS = ["sat", "ran", "slept", "waited"]
PLACES = ["here", "there", "outside", "inside"]
WORDS = ["the", "a", "not", "maybe", *NOUNS, *VERBS, *PLACES]
SIZES = dict(num_hidden_layers=1, intermediate_size=32, max_position_embeddings=34)


def rows(draw, count):
    """Pairs whose label one word of the hypothesis tells, but for every sixth, whose label is drawn."""
    result = []
    for _ in range(count):
        noun, verb, place = draw.choice(NOUNS), draw.choice(VERBS), draw.choice(PLACES)
        label = draw.choices(LABELS, [1, 2, 3])[0].lower()
        word = {"contradiction": "not ", "neutral": "maybe ", "entailment": ""}[label]
        if draw.random() < 1 / 6:
            label = draw.choice(LABELS).lower()
        result.append((f"the {noun} {verb} {place}", f"a {noun} {word}{verb}", label))
    return result


def write_table(path, pairs):
    with open(path, "w") as file:
        file.write("sentence1\tsentence2\tgold_label\n")
        file.writelines("\t".join(row) + "\n" for row in pairs)


def encode(tokenizer, pairs, model):
    inputs = tokenizer([r[0] for r in pairs], [r[1] for r in pairs], padding=True, return_tensors="pt")
    # As run_glue does: label2id, whatever the case of the names.
    ids = {name.lower(): i for name, i in model.config.label2id.items()}
    return inputs, torch.tensor([ids[r[2]] for r in pairs])


def write_label_checkpoints(folder):
    draw = random.Random(47)
    torch.manual_seed(47)
    data = {"train": rows(draw, 96), "dev_matched": rows(draw, 60)}
    os.makedirs(os.path.join(folder, "data"), exist_ok=True)
    for name, pairs in data.items():
        write_table(os.path.join(folder, "data", name + ".tsv"), pairs)
    mnli, two = os.path.join(folder, "mnli"), os.path.join(folder, "two")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    for path in (mnli, two):
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "vocab.txt"), "w") as file:
            file.writelines(word + "\n" for word in vocabulary)
    with open(os.path.join(mnli, "tokenizer_config.json"), "w") as file:
        json.dump({"tokenizer_class": "BertTokenizer", "do_lower_case": True}, file)
    sizes = {**TINY, **SIZES, "vocab_size": len(vocabulary), "initializer_range": 0.1}
    model = BertForSequenceClassification(
        BertConfig(
            **sizes, id2label=dict(enumerate(LABELS)), label2id={name: i for i, name in enumerate(LABELS)}
        )
    )
    tokenizer = AutoTokenizer.from_pretrained(mnli)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    inputs, labels = encode(tokenizer, data["train"], model)
    for _ in range(25):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(mnli)
    model = BertForSequenceClassification.from_pretrained(mnli, attn_implementation="eager").eval()
    inputs, labels = encode(tokenizer, data["dev_matched"], model)
    with torch.no_grad():
        output = model(**inputs, labels=labels)
    predicted = output.logits.argmax(-1)
    expected = {
        "accuracy": (predicted == labels).sum().item() / len(labels),
        "loss": output.loss.item(),
        "labels": [model.config.id2label[i] for i in predicted.tolist()],
        "logits": [[round(x, 7) for x in row] for row in output.logits.tolist()],
    }
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump(expected, file)
        file.write("\n")
    # A head for two classes; its config names no labels.
    generator = torch.Generator().manual_seed(48)
    plain = RobertaForSequenceClassification(
        RobertaConfig(**sizes, type_vocab_size=1, pad_token_id=0, bos_token_id=2, eos_token_id=3)
    )
    randomise(plain, generator, 0.2)
    plain.save_pretrained(two)
