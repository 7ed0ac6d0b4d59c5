"""Whether TensorBoard shows the numbers of a run's metrics.jsonl, each of them once: check_events.py RUN

The folder of a stage has the rows of that stage, the folder tensorboard itself those without one.
"""

import json
import math
import pathlib
import re
import struct
import sys
from collections import defaultdict

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def tag(name):
    return re.sub("^(eval|test)_", r"\1/", name) if re.match("(eval|test)_", name) else "train/" + name


def number(value):
    """As a float, which is what event files hold."""
    return math.nan if value is None else struct.unpack("f", struct.pack("f", value))[0]


def expected(run):
    folders = defaultdict(lambda: defaultdict(list))
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        scalars = folders[row.get("stage", "").replace(" ", "_")]
        for name, value in row.items():
            if name not in ("stage", "step") and not isinstance(value, (str, list)):
                point = (row.get("step", 0), number(value))
                # The epoch of a step that is logged and evaluated is one number.
                if point not in scalars[tag(name)][-1:]:
                    scalars[tag(name)].append(point)
    return folders


run = pathlib.Path(sys.argv[1])
folders = expected(run)
for folder, scalars in folders.items():
    events = EventAccumulator(str(run / "tensorboard" / folder), size_guidance={"scalars": 0})
    events.Reload()
    shown = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    runtime = shown.pop("train/train_runtime", None)
    assert (runtime is not None) == bool(folder), runtime
    assert shown == scalars, f"{folder}: shown {shown}, logged {dict(scalars)}"
print(f"{len(folders)} folders, {sum(len(p) for s in folders.values() for p in s.values())} numbers")
