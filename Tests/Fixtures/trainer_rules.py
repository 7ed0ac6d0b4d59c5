"""What Transformers' Trainer decides, by its own code: how many updates there are, which evaluation is best, and when to stop.

Seeds: 11 for the lengths of runs, 12 for the courses of metrics.
"""

import json
import random
from types import SimpleNamespace

import transformers
from transformers import EarlyStoppingCallback, Trainer, TrainerControl, TrainerState, TrainingArguments


class _Loader:
    """As many batches as a data loader of some examples has."""

    def __init__(self, examples, batch_size):
        self.dataset = range(examples)
        self.batches = -(-examples // batch_size)

    def __len__(self):
        return self.batches


def _length(entry):
    """(updates of an epoch, updates in all, warm-up steps)"""
    arguments = SimpleNamespace(
        max_steps=entry["max_steps"],
        num_train_epochs=entry["num_train_epochs"],
        gradient_accumulation_steps=entry["gradient_accumulation_steps"],
        warmup_steps=entry["warmup"],
    )
    trainer = SimpleNamespace(
        get_total_train_batch_size=lambda _: entry["batch_size"] * entry["gradient_accumulation_steps"],
        get_sp_size=lambda: 1,
        num_examples=lambda loader: len(loader.dataset),
    )
    loader = _Loader(entry["examples"], entry["batch_size"])
    values = Trainer.set_initial_training_values(trainer, arguments, loader)
    steps = values[6]
    return values[1], steps, TrainingArguments.get_warmup_steps(arguments, steps)


def _lengths():
    draw = random.Random(11)
    rows = []
    for _ in range(200):
        entry = dict(
            examples=draw.randint(1, 120),
            batch_size=draw.randint(1, 9),
            gradient_accumulation_steps=draw.choice([1, 1, 2, 3, 5]),
            num_train_epochs=draw.choice([1.0, 3.0, 0.1, 0.5, 1.5, 2.25, 2.7, 0.333]),
            max_steps=draw.choice([-1, -1, -1, draw.randint(1, 60)]),
            # A ratio below 1, or a number of steps.
            warmup=draw.choice([0.0, 0.06, 0.1, 0.25, 0.5, 0.999, 3, 10]),
        )
        entry["expected"] = _length(entry)
        rows.append(entry)
    return rows


def _selection(values, greater, patience, threshold):
    """(number of evaluations until the run ends, number of the best of them, from 0)"""
    arguments = SimpleNamespace(
        metric_for_best_model="score",
        greater_is_better=greater,
        save_strategy=transformers.trainer_utils.SaveStrategy.STEPS,
    )
    state, control = TrainerState(), TrainerControl()
    trainer = SimpleNamespace(args=arguments, state=state)
    callback = EarlyStoppingCallback(patience, threshold) if patience else None
    best = None
    for i, value in enumerate(values):
        metrics = {"eval_score": value}
        state.global_step = i + 1
        if callback:
            callback.on_evaluate(arguments, state, control, metrics)
        if Trainer._determine_best_metric(trainer, metrics, None):
            best = i
        if control.should_training_stop:
            return i + 1, best
    return len(values), best


def _selections():
    draw = random.Random(12)
    rows = []
    for _ in range(60):
        greater = draw.random() < 0.5
        # Few different values, so that some repeat; steps of 1/8 are exact.
        values = [draw.randint(0, 16) / 8 for _ in range(draw.randint(1, 8))]
        patience = draw.choice([None, 1, 2, 3])
        threshold = draw.choice([0.0, 0.0, 0.125, 0.25, 0.5])
        rows.append(
            dict(
                values=values,
                greater_is_better=greater,
                patience=patience,
                threshold=threshold,
                expected=_selection(values, greater, patience, threshold),
            )
        )
    return rows


def write_trainer_rules(path):
    with open(path, "w") as file:
        file.write('{\n"made_by": ' + json.dumps(f"transformers {transformers.__version__}"))
        for name, rows in [("lengths", _lengths()), ("selections", _selections())]:
            file.write(f',\n"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]")
        file.write("\n}\n")
