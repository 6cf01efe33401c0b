"""The smallest run of a recipe, for tests in this process and in others."""

import json

import torch

from avbook.experiments.datasets import open_data
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import Outcome, run_one

FULL = find_recipe("psp-full")
TINY = {"epochs": 2, "hidden": 4, "head": 4, "width": 4, "bottleneck": 4, "attention_dim": 4}


def ask(data, out, seed=0, recipe=FULL, **options) -> Outcome:
    return run_one(
        recipe,
        data,
        seed=seed,
        preset="quick",
        options=TINY | options,
        device="cpu",
        out=out,
        progress=False,
    )


def without_cost(record):
    """What must be the same however often a run was cut off."""
    record = json.loads(json.dumps(record))
    for name in ("seconds", "peak_memory_mb", "finished", "command"):
        del record[name]
    for entry in record["history"]:
        del entry["seconds"]
    return record


def start(folder: str, out: str) -> None:
    """A run in a process of its own, which prints whether it read its record, and the record."""
    torch.set_num_threads(1)
    found = ask(open_data(folder), out, epochs=10)
    print(json.dumps([found.read, without_cost(found.record)]))
