"""Runs recipes: one seed to its record, or many seeds in parallel processes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from avbook.common.files import os_fault, write_bytes, write_text
from avbook.common.options import check_seed
from avbook.common.system import cache_folder
from avbook.common.workers import in_processes, on_cluster
from avbook.errors import AvbookError
from avbook.experiments.datasets import absolute, data_dims
from avbook.experiments.job import Job, alone, remove_leftovers
from avbook.experiments.keys import command, record_path, run_key
from avbook.experiments.memory import check_memory, told_out_of_memory
from avbook.experiments.outputs import pack_predictions, without_nan
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
    """A run's record, its path, and whether it already existed."""

    record: dict[str, Any] = field(repr=False)
    path: Path
    read: bool  # whether it was read; False: this call trained it


@dataclass(frozen=True)
class _Trained:
    """A finished run before it is stored, as a worker sends it."""

    path: Path  # path of the record
    lock_file: Path
    record: str = field(repr=False)  # JSON
    files: dict[str, bytes] = field(repr=False)  # files beside the record: suffix -> content


@dataclass(frozen=True)
class _Run:
    """One seed of a setting on a data set, as requested."""

    recipe: Recipe
    preset: str
    settings: dict[str, Any]
    options: dict[str, Any]  # only the differences from the preset
    data: Any
    seed: int
    out: Path
    device: str
    where: str | None

    @property
    def path(self) -> Path:
        return self.path_in(self.out)

    def path_in(self, out: Path) -> Path:
        return record_path(out, self.recipe, self.preset, self.options, self.data, self.seed)

    def lock_in(self, out: Path) -> Path:
        end = run_key(self.recipe, self.preset, self.options, self.data)[-8:]
        return out / self.recipe.name / f".{end}-{self.preset}-seed-{self.seed}.lock"

    @property
    def about(self) -> dict[str, Any]:
        """The description of the run in its record and weights."""
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
        """The existing record. Raises `AvbookError` if the file is the record of another run."""
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
    options: dict[str, Any] | None = None,  # the user's changes
    device: str = "auto",
    out: str | os.PathLike = "runs",
    progress: bool = True,
    # the user's name of the data, for the record's command; None: its folder
    where: str | None = None,
) -> Outcome:
    """The record of one seed: read if it exists, else trained (or continued after an interruption)
    and written. If several processes request it, one trains and the others wait.

    Writes `OUT/RECIPE/KEY/seed-N.npz` with the test predictions of the three selections,
    `seed-N.safetensors` with the weights selected on validation, and last `seed-N.json`. Raises
    `AvbookError` for invalid options, a network that memory cannot hold, and a record or checkpoint
    that is broken or belongs to something else."""
    run = _asked(recipe, data, seed, preset, options or {}, device, Path(out), where)
    return _stored_or(run, lambda: _written(_train(run, run.out, progress)))


Made = TypeVar("Made", Outcome, _Trained)


def _stored_or(
    run: _Run,
    make: Callable[[], Made],  # called if there is no record, by one process only
) -> Outcome | Made:
    """The existing record, after removing leftovers of a killed process; else the result of
    `make`."""
    outcome = run.stored()
    if outcome is not None and not _has_leftovers(outcome.path, run.lock_in(run.out)):
        return outcome
    with alone(run.lock_in(run.out)):
        found: Outcome | Made = run.stored() or make()
        if isinstance(found, Outcome):
            _remove_leftovers(found.path)
    return found


def _asked(
    recipe: Recipe,
    data,
    seed: int,
    preset: str,
    options: dict[str, Any],
    device: str,
    out: Path,
    where: str | None,
) -> _Run:
    """The run, checked."""
    settings, changed = resolve_settings(recipe, preset, options)
    weak = recipe.open.get("weak", False)
    if getattr(data, "weak", weak) != weak:  # background clips would be used or left out by mistake
        raise AvbookError(
            f"{recipe.name}: found data opened with weak={not weak}; expected weak={weak}, as"
            f" find_recipe({recipe.name!r}).open_data(folder) opens it"
        )
    check_seed(seed)
    return _Run(recipe, preset, settings, changed, data, int(seed), out, str(device), where)


def run_seed(
    recipe: Recipe,
    data,  # an open data set
    *,
    seed: int,
    preset: str,
    options: dict[str, Any] | None = None,  # the user's changes
    device: str = "auto",
    out: str | os.PathLike = "runs",
    progress: bool = True,
    # the user's name of the data, for the record's command; None: its folder
    where: str | None = None,
) -> dict[str, Any]:
    """The record of one seed, read or trained as in `run_one`."""
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


def _train(
    run: _Run,
    work: Path,  # folder for files that only an interrupted run needs, and for stages
    progress: bool,
) -> _Trained:
    """Trains, or continues."""
    from avbook.training.device import check_device, seed_everything, versions
    from avbook.training.weights import pack_tensors, read_tensors

    recipe = run.recipe
    check_device(run.device)
    installed = versions()  # read first, so that a failure is not found after hours
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
        run.path_in(work).with_suffix(""),
        work / recipe.name / "stages",
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
    files = {".npz": pack_predictions(result.predictions, job.made)}
    weights = job.folder / "val_selected.safetensors"
    if weights.exists():  # some recipes have no weights
        tensors, told = read_tensors(weights)
        files[".safetensors"] = pack_tensors(tensors, without_nan({**told, **about}))
    text = json.dumps(without_nan(record), indent=1, allow_nan=False) + "\n"
    return _Trained(run.path, run.lock_in(run.out), text, files)


def _written(trained: _Trained) -> Outcome:
    """Stores a finished run among the records; the record is written last."""
    if _is_main_process():
        for ending, content in trained.files.items():
            path = trained.path.with_suffix(ending)
            try:
                write_bytes(path, content)
            except OSError as error:
                raise os_fault(path, error) from error
        write_text(trained.path, trained.record)
    return Outcome(json.loads(trained.record), trained.path, read=False)


def _in_one_stage(job: Job) -> tuple:
    net, method = job.recipe.build(job.settings, data_dims(job.data))
    return job.fit(net, method), {}


def _set_threads(threads: int) -> None:
    """Sets the number of threads, which decides the order of sums; 0 leaves it to PyTorch."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def _has_leftovers(path: Path, lock_file: Path) -> bool:
    """Whether a process that was killed after the record was written left files that can be
    removed."""
    left = [lock_file, path.with_suffix(""), *path.parent.glob(f".*.{path.stem}.*")]
    return any(map(os.path.exists, left)) and os.access(path.parent, os.W_OK)


def _remove_leftovers(path: Path) -> None:
    """Removes the files that only an interrupted run needs, and incomplete ones of killed
    processes."""
    if _is_main_process():
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        for ending in (".npz", ".safetensors", ".json"):
            remove_leftovers(path.with_suffix(ending))


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


# -------------------------------------------------------------------------------------- many runs
def run_outcomes(
    # arguments of `run_one` except `data`, with the recipe's name as `recipe`
    tasks: list[dict[str, Any]],
    where: str,  # the data, as for `open_data`
    *,
    jobs: int = 1,  # number of parallel runs, one process each
    # called for each finished run: outcome, number finished, number of all
    report: Callable[[Outcome, int, int], None] = lambda outcome, done, of: None,
) -> list[Outcome]:
    """The outcomes of several runs, in the order of the tasks; existing records are only read.

    An exception of a run is raised here and stops the others, as Ctrl-C does. Finished records
    stay."""
    import torch

    _OPEN.clear()  # the folder may have changed since an earlier call
    outcomes: list = [None] * len(tasks)
    todo, read = list(enumerate(tasks)), 0
    if on_cluster():  # its workers do not see the records, and possibly not the data
        todo = []
        for number, task in enumerate(tasks):
            outcome, sent = _for_cluster(task, where)
            if outcome is None:
                todo.append((number, sent))
            else:
                read += 1
                outcomes[number] = outcome
                report(outcome, read, len(tasks))
    in_here = not on_cluster() and (jobs <= 1 or len(todo) <= 1)
    if not in_here:
        todo = [(number, {**task, "progress": False}) for number, task in todo]
    runs = in_processes(
        partial(_run_numbered, where=absolute(where) if on_cluster() else where),
        todo,
        1 if in_here else jobs,
        threads=torch.get_num_threads(),  # so that sums equal those of a run in this process
        ordered=False,
    )
    with closing(runs):
        for done, (number, found) in enumerate(runs, read + 1):
            outcome = _among_records(found) if isinstance(found, _Trained) else found
            outcomes[number] = outcome
            report(outcome, done, len(tasks))
    return outcomes


def run_many(
    tasks: list[dict[str, Any]],  # as for `run_outcomes`, like the next two
    where: str,
    *,
    jobs: int = 1,
    # called for each finished record: record, number finished, number of all
    report: Callable[[dict[str, Any], int, int], None] = lambda record, done, of: None,
) -> list[dict[str, Any]]:
    """The records of `run_outcomes`."""

    def report_record(outcome: Outcome, done: int, of: int) -> None:
        report(outcome.record, done, of)

    found = run_outcomes(tasks, where, jobs=jobs, report=report_record)
    return [outcome.record for outcome in found]


def _run_numbered(
    numbered: tuple[int, dict[str, Any]], where: str
) -> tuple[int, Outcome | _Trained]:
    number, task = numbered
    return number, _run_task(task, where)


_OPEN: dict[tuple, Any] = {}  # data sets held open, so that a worker reads each once


def _opened(recipe: Recipe, where: str) -> Any:
    """The data as the recipe needs it; the last one stays open."""
    how = (where, recipe.task, tuple(sorted(recipe.open.items())))
    if how not in _OPEN:
        _OPEN.clear()
        _OPEN[how] = recipe.open_data(where)
    return _OPEN[how]


def _run_task(task: dict[str, Any], where: str) -> Outcome | _Trained:
    """The existing record, or a finished run for the caller to store."""
    progress, sent = task["progress"], task.get("sent")
    run = _asked_by(task, where)
    if sent is None:
        return _stored_or(run, lambda: _train(run, run.out, progress))
    if run.data.hash != sent["hash"]:
        raise AvbookError(
            f"--data {where} on {socket.gethostname()}: differs from the caller's data (found"
            f" {run.data.hash}, expected {sent['hash']}); give a folder that all workers see, with"
            " the same files"
        )
    run = dataclasses.replace(run, where=sent["where"])
    work = cache_folder() / "runs"
    with alone(run.lock_in(work)):
        trained = _train(run, work, progress)
        shutil.rmtree(run.path_in(work).with_suffix(""), ignore_errors=True)
    return trained


def _asked_by(task: dict[str, Any], where: str) -> _Run:
    recipe = find_recipe(task["recipe"])
    data = _opened(recipe, where)
    return _asked(
        recipe,
        data,
        task["seed"],
        task["preset"],
        task.get("options") or {},
        task.get("device", "auto"),
        Path(task.get("out", "runs")),
        where,
    )


def _for_cluster(task: dict[str, Any], where: str) -> tuple[Outcome | None, dict[str, Any]]:
    """The existing record; else the task with all that a worker needs."""
    run = _asked_by(task, where)
    return run.stored(), {**task, "sent": {"hash": run.data.hash, "where": where}}


def _among_records(trained: _Trained) -> Outcome:
    """Stores the finished run under the lock, since another process may have trained it by now."""
    with alone(trained.lock_file):
        if trained.path.exists():
            outcome = Outcome(read_record(trained.path), trained.path, read=True)
        else:
            outcome = _written(trained)
        _remove_leftovers(outcome.path)
    return outcome
