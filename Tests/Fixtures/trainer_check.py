"""Runs the same cases through Transformers' own Trainer: the recorded loop must be its loop."""

import tempfile

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from cases import CASES, prepare
from training import OPTIMIZER, record, trainable


class _Batches(Trainer):
    def get_train_dataloader(self):
        return DataLoader(self.train_dataset, batch_size=None, shuffle=False)


def trainer_difference(models, index):
    """Largest relative difference of the final parameters between our loop and Trainer's."""
    entry, model, _, batches = prepare(models, index)
    token_types = entry["model"] == "tiny-bert"
    ours = record(model, batches, entry["learning_rate"], token_types)["final"]
    entry, model, _, batches = prepare(models, index)
    rows = []
    for batch in batches:
        row = batch.inputs(model.config.pad_token_id, token_types)
        row["labels"] = batch.padded_labels()
        rows.append(row)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            learning_rate=entry["learning_rate"],
            weight_decay=OPTIMIZER["weight_decay"],
            warmup_steps=OPTIMIZER["warmup_steps"],
            max_steps=OPTIMIZER["num_training_steps"],
            max_grad_norm=OPTIMIZER["max_grad_norm"],
            lr_scheduler_type=OPTIMIZER["scheduler"],
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        _Batches(model=model, args=arguments, train_dataset=rows).train()
    worst = 0.0
    for name, value in trainable(model):
        if not name.endswith("key.bias"):  # Its exact gradient is zero: noise in both loops.
            difference = (value.detach() - ours[name]).abs().max() / ours[name].abs().max()
            worst = max(worst, difference.item())
    return worst


def check_all(models, limit=1e-4):
    """Prints one line per case; False when one is beyond the limit."""
    good = True
    for index, entry in enumerate(CASES):
        difference = trainer_difference(models, index)
        good = good and difference <= limit
        print(f"{entry['name']:28} against Trainer: {difference:.1e}", flush=True)
    return good
