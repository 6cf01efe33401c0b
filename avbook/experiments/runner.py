"""Runs recipes: one seed to its record, or many seeds side by side in processes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from avbook.common.files import write_text
from avbook.common.options import check_seed
from avbook.common.system import in_processes
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job, alone, remove_leftovers
from avbook.experiments.keys import command, record_path, run_key
from avbook.experiments.memory import check_memory, told_out_of_memory
from avbook.experiments.outputs import without_nan, write_predictions
from avbook.experiments.recipe import Recipe, resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.records import read_record

__all__ = [
    "Outcome",
    "run_one",
    "run_seed",
    "run_outcomes",
    "run_many",
]


# ---------------------------------------------------------------------------------------- one run
@dataclass(frozen=True)
class Outcome:
    """A run's record, where it lies, and whether it stood there already."""

    record: dict[str, Any] = field(repr=False)
    path: Path
    read: bool  # False: this call trained


@dataclass(frozen=True)
class _Run:
    """What is asked for: one seed of a setting on a data set."""

    recipe: Recipe
    preset: str
    settings: dict[str, Any]
    options: dict[str, Any]  # only what differs from the preset
    data: Any
    seed: int
    out: Path
    device: str
    where: str | None

    @property
    def path(self) -> Path:
        return record_path(self.out, self.recipe, self.preset, self.options, self.data, self.seed)

    @property
    def lock_file(self) -> Path:
        end = run_key(self.recipe, self.preset, self.options, self.data)[-8:]
        return self.out / self.recipe.name / f".{end}-{self.preset}-seed-{self.seed}.lock"

    @property
    def about(self) -> dict[str, Any]:
        """What record and weights say of the run."""
        return {
            "recipe": self.recipe.name,
            "options": self.options,
            "preset": self.preset,
            "seed": self.seed,
            "settings": self.settings,
            "data": {"kind": self.data.kind, "name": self.data.name, "hash": self.data.hash}
            | ({"features": self.data.filters} if self.data.filters else {}),
        }

    def stored(self) -> Outcome | None:
        """The record that stands already. Raises `AvbookError` where another one stands there."""
        path = self.path
        if not path.exists():
            return None
        record = read_record(path)
        asked = {name: self.about[name] for name in ("recipe", "preset", "options", "seed")}
        for name, value in {**asked, "hash": self.data.hash}.items():
            found = record["data"]["hash"] if name == "hash" else record[name]
            if found != value:
                what = "other data" if name == "hash" else "another setting"
                raise AvbookError(
                    f"{path}: a record of {what} ({name} {found}, expected {value}); move it away"
                    " or use another --out"
                )
        return Outcome(record, path, read=True)


def run_one(
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
) -> Outcome:
    """The record of one seed: read where it stands already, else trained (or continued where it was
    cut off) and written. Of several processes that ask for it, one trains and the others wait.

    Writes `OUT/RECIPE/KEY/seed-N.npz` with the test predictions of the three selections,
    `seed-N.safetensors` with the weights that validation chose, and last `seed-N.json`. Raises
    `AvbookError` for options that make no sense, a network that memory cannot hold, and a record or
    checkpoint that is broken or of something else."""
    settings, changed = resolve_settings(recipe, preset, options or {})
    weak = recipe.open.get("weak", False)
    if getattr(data, "weak", weak) != weak:  # the background clips would be trained on, or missed
        raise AvbookError(
            f"{recipe.name}: found data opened with weak={not weak}; expected weak={weak}, as"
            f" find_recipe({recipe.name!r}).open_data(folder) opens it"
        )
    check_seed(seed)
    run = _Run(recipe, preset, settings, changed, data, int(seed), Path(out), str(device), where)
    outcome = run.stored()
    if outcome is None or _has_leftovers(outcome.path, run.lock_file):
        with alone(run.lock_file):
            outcome = run.stored() or _train(run, progress)
            _remove_leftovers(outcome.path)
    return outcome


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
    """The record of one seed, as `run_one` finds or makes it."""
    return run_one(
        recipe,
        data,
        seed=seed,
        preset=preset,
        options=options,
        device=device,
        out=out,
        progress=progress,
        where=where,
    ).record


def _train(run: _Run, progress: bool) -> Outcome:
    """Trains, or continues, and writes what belongs to the run, the record last."""
    from avbook.training.device import check_device, seed_everything, versions

    recipe, path = run.recipe, run.path
    check_device(run.device)
    installed = versions()  # what cannot be told is not found out after hours
    about = run.about
    build = recipe.build
    if build is not None:
        dims = data_dims(run.data)
        check_memory(recipe.name, lambda: build(run.settings, dims)[0], run.device)
        about = {**about, "dims": dims, "categories": list(run.data.categories)}
    _set_threads(run.settings["threads"])
    seed_everything(run.seed)
    job = Job(
        recipe,
        run.settings,
        run.data,
        run.seed,
        path.with_suffix(""),
        run.out / recipe.name / "stages",
        run.device,
        progress,
    )
    with told_out_of_memory(recipe.name):
        result, more = recipe.train(job) if recipe.train else _in_one_stage(job)
    record = {
        **run.about,
        **result.to_record(),
        "versions": installed,
        **more,
        "command": command(
            recipe,
            run.where or str(run.data.folder),
            run.preset,
            run.options,
            run.seed,
            out=run.out,
            device=run.device,
        ),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    text = json.dumps(without_nan(record), indent=1, allow_nan=False) + "\n"
    if _is_main_process():
        write_predictions(path.with_suffix(".npz"), result.predictions, job.made)
        _keep_weights(job.folder, path, about)
        write_text(path, text)
    return Outcome(json.loads(text), path, read=False)


def _in_one_stage(job: Job) -> tuple:
    net, method = job.recipe.build(job.settings, data_dims(job.data))
    return job.fit(net, method), {}


def _set_threads(threads: int) -> None:
    """Threads decide the order of sums, so a setting fixes them; 0 leaves them to PyTorch."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def _keep_weights(
    folder: Path,  # of the run's checkpoints
    path: Path,  # of its record
    about: dict[str, Any],  # what they are of
) -> None:
    """Writes the weights that validation chose beside the record; some recipes have none."""
    from avbook.training.weights import read_tensors, write_tensors

    chosen = folder / "val_selected.safetensors"
    if chosen.exists():
        tensors, told = read_tensors(chosen)
        write_tensors(path.with_suffix(".safetensors"), tensors, without_nan({**told, **about}))


def _has_leftovers(path: Path, lock_file: Path) -> bool:
    """Whether a process that was killed between the record and its end left something that can be
    removed."""
    left = [lock_file, path.with_suffix(""), *path.parent.glob(f".*.{path.stem}.*")]
    return any(map(os.path.exists, left)) and os.access(path.parent, os.W_OK)


def _remove_leftovers(path: Path) -> None:
    """Removes what only a run that is cut off needs, and what killed ones had not written whole."""
    if _is_main_process():
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        for ending in (".npz", ".safetensors", ".json"):
            remove_leftovers(path.with_suffix(ending))


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


# -------------------------------------------------------------------------------------- many runs
def run_outcomes(
    # each the arguments of `run_one` but `data`, with the recipe's name as `recipe`
    tasks: list[dict[str, Any]],
    where: str,  # the data, as `open_data` takes it
    *,
    jobs: int = 1,  # how many run side by side, each in a process of its own
    # told of each finished run: its outcome, how many there are, of how many
    report: Callable[[Outcome, int, int], None] = lambda outcome, done, of: None,
) -> list[Outcome]:
    """The outcomes of several runs, in the order of the tasks; records that stand already are only
    read.

    What a run raises is raised here; it stops the others, as Ctrl-C does. Finished records stay."""
    import torch

    _OPEN.clear()  # the folder may have changed since an earlier call
    in_here = jobs <= 1 or len(tasks) <= 1
    if not in_here:
        tasks = [{**task, "progress": False} for task in tasks]
    runs = in_processes(
        partial(_run_numbered, where=where),
        enumerate(tasks),
        1 if in_here else jobs,
        threads=torch.get_num_threads(),  # so that sums are those of a run in this process
        ordered=False,
    )
    outcomes: list = [None] * len(tasks)
    with closing(runs):
        for done, (i, outcome) in enumerate(runs, 1):
            outcomes[i] = outcome
            report(outcome, done, len(tasks))
    return outcomes


def run_many(
    tasks: list[dict[str, Any]],  # this and the next two: see `run_outcomes`
    where: str,
    *,
    jobs: int = 1,
    # told of each finished record: the record, how many there are, of how many
    report: Callable[[dict[str, Any], int, int], None] = lambda record, done, of: None,
) -> list[dict[str, Any]]:
    """The records of `run_outcomes`."""

    def report_record(outcome: Outcome, done: int, of: int) -> None:
        report(outcome.record, done, of)

    found = run_outcomes(tasks, where, jobs=jobs, report=report_record)
    return [outcome.record for outcome in found]


def _run_numbered(numbered: tuple[int, dict[str, Any]], where: str) -> tuple[int, Outcome]:
    number, task = numbered
    return number, _run_task(task, where)


_OPEN: dict[tuple, Any] = {}  # data sets this process holds open, so that a worker reads each once


def _run_task(task: dict[str, Any], where: str) -> Outcome:
    task = dict(task)
    recipe = find_recipe(task.pop("recipe"))
    opened = (where, recipe.task, tuple(sorted(recipe.open.items())))
    if opened not in _OPEN:
        _OPEN.clear()
        _OPEN[opened] = recipe.open_data(where)
    return run_one(recipe, _OPEN[opened], where=where, **task)
