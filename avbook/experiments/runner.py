"""Runs recipes: one seed to its record, or many seeds side by side in processes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from avbook.common.files import write_text
from avbook.common.system import in_processes
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job, write_predictions
from avbook.experiments.recipe import Recipe, resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.records import read_record

__all__ = ["run_key", "run_seed", "run_many", "command"]


def run_key(
    recipe: Recipe,
    preset: str,
    options: dict[str, Any],  # only what differs from the preset, as `resolve_settings` gives it
    data,  # a data set with `.name` and `.hash`
) -> str:
    """A folder name for a setting on a data set: readable, and different whenever either
    differs."""
    readable = "-".join(
        [data.name, preset, *(f"{name}={value}" for name, value in options.items())]
    )
    content = json.dumps([recipe.name, recipe.preset(preset), options, data.hash], sort_keys=True)
    return (
        re.sub(r"[^A-Za-z0-9._=-]+", "_", readable)[:100]
        + "-"
        + hashlib.sha256(content.encode()).hexdigest()[:8]
    )


def run_seed(
    recipe: Recipe,
    data,  # an open data set
    *,
    seed: int,
    preset: str,
    options: dict[str, Any] | None = None,  # what the user changes
    device: str = "auto",
    out: str | os.PathLike = "runs",
    progress: bool = True,
    # how the user named the data, for the record's command; None: its folder
    where: str | None = None,
) -> dict[str, Any]:
    """The record of one seed: read where it stands already, else trained (or continued where it was
    cut off) and written.

    Writes `OUT/RECIPE/KEY/seed-N.json` and, beside it, `seed-N.npz` with the test predictions of
    the three selections."""
    from avbook.training.device import seed_everything

    settings, changed = resolve_settings(recipe, preset, options or {})
    key = run_key(recipe, preset, changed, data)
    folder = Path(out) / recipe.name / key
    path = folder / f"seed-{seed}.json"
    if path.exists():
        return read_record(path)

    _set_threads(settings["threads"])
    seed_everything(seed)
    job = Job(
        recipe,
        settings,
        data,
        seed,
        folder / f"seed-{seed}",
        Path(out) / recipe.name / "stages",
        device,
        progress,
    )
    result, more = recipe.train(job) if recipe.train else _in_one_stage(job)
    record = {
        "recipe": recipe.name,
        "options": changed,
        "preset": preset,
        "seed": seed,
        "settings": settings,
        "data": {"kind": data.kind, "name": data.name, "hash": data.hash},
        **result.to_record(),
        **more,
        "command": command(recipe, where or str(data.folder), preset, changed, seed),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if _is_main_process():
        write_predictions(path.with_suffix(".npz"), result.predictions)
        write_text(path, json.dumps(_without_nan(record), indent=1, allow_nan=False) + "\n")
        _drop_checkpoints(folder / f"seed-{seed}")
    return record


def _in_one_stage(job: Job) -> tuple:
    net, method = job.recipe.build(job.settings, data_dims(job.data))
    return job.fit(net, method), {}


def _set_threads(threads: int) -> None:
    """Threads decide the order of sums, so a setting fixes them; 0 leaves them to PyTorch."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def run_many(
    # each the arguments of `run_seed` but `data`, with the recipe's name as `recipe`
    tasks: list[dict[str, Any]],
    where: str,  # the data, as `open_data` takes it
    *,
    jobs: int = 1,  # how many run side by side, each in a process of its own
    # told of each finished record: the record, how many there are, of how many
    report: Callable[[dict[str, Any], int, int], None] = lambda record, done, of: None,
) -> list[dict[str, Any]]:
    """The records of several runs, in the order of the tasks; those that stand already are only
    read.

    What a run raises is raised here; it stops the others, as Ctrl-C does. Finished records stay."""
    import torch

    alone = jobs <= 1 or len(tasks) <= 1
    if not alone:
        tasks = [{**task, "progress": False} for task in tasks]
    runs = in_processes(
        partial(_run_numbered, where=where),
        enumerate(tasks),
        1 if alone else jobs,
        threads=torch.get_num_threads(),  # so that sums are those of a run in this process
        ordered=False,
    )
    records: list = [None] * len(tasks)
    with closing(runs):
        for done, (i, record) in enumerate(runs, 1):
            records[i] = record
            report(record, done, len(tasks))
    return records


def _run_numbered(numbered: tuple[int, dict[str, Any]], where: str) -> tuple[int, dict[str, Any]]:
    number, task = numbered
    return number, _run_task(task, where)


_OPEN: dict[tuple, Any] = {}  # data sets this process holds open, so that a worker reads each once


def _run_task(task: dict[str, Any], where: str) -> dict[str, Any]:
    task = dict(task)
    recipe = find_recipe(task.pop("recipe"))
    opened = (where, recipe.task, tuple(sorted(recipe.open.items())))
    if opened not in _OPEN:
        _OPEN.clear()
        _OPEN[opened] = recipe.open_data(where)
    return run_seed(recipe, _OPEN[opened], where=where, **task)


def command(recipe: Recipe, where: str, preset: str, options: dict[str, Any], seed: int) -> str:
    """The command line that makes this record again."""
    sets = "".join(
        f" --set {name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in options.items()
    )
    return f"avbook run {recipe.name} --data {where} --preset {preset}{sets} --seed {seed}"


def _without_nan(value: Any) -> Any:
    """The same with null for every figure that has nothing to count: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _drop_checkpoints(folder: Path) -> None:
    """Keeps the weights that validation chose and removes what only a resumed run needs."""
    keep = folder / "val_selected.safetensors"
    if keep.exists():
        os.replace(keep, folder.with_suffix(".safetensors"))
    shutil.rmtree(folder, ignore_errors=True)


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0
