"""Whether huggingface_hub reads a model card as it is meant: check_card.py README.md

Prints what it found, as JSON.
"""

import json
import sys

from huggingface_hub import ModelCard

card = ModelCard.load(sys.argv[1])
data = card.data.to_dict()
results = [
    {"task": r.task_type, "dataset": r.dataset_name, "split": r.dataset_split, "metric": r.metric_type, "value": r.metric_value}
    for r in card.data.eval_results or []
]
# What the library would write reads as the same card.
assert ModelCard(str(card)).data.to_dict() == data
print(json.dumps({**{k: v for k, v in data.items() if k != "model-index"}, "results": results}, sort_keys=True))
