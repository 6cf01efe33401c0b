"""Recipes: a name for a network, its losses and its schedule, with every option a table varies; and one seed's run to its record.

A recipe's settings come from a preset ("paper": the released sizes and schedule; "quick": small sizes that end within about a
minute on two cores), changed by the options a user names. Records say both.
"""
from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterable

from .errors import AvbookError
from .stages import Job

__all__ = ["Recipe", "RECIPES", "register", "find_recipe", "settle", "open_data", "run_key", "run_seed", "run_many", "parse_options"]

_FIT = {"epochs": 300, "batch_size": 128, "lr": 1e-3, "decay_every": 60, "decay": 0.8, "decay_until": 170, "weight_decay": 0.0,
        "precision": "no", "threads": 0}
_SIZES = {"attention_dim": 512, "bottleneck": 256, "width": 128, "hidden": 128, "head": 64}
_QUICK_SIZES = {"attention_dim": 64, "bottleneck": 64, "width": 64, "hidden": 64, "head": 64}
_QUICK_FIT = {"epochs": 40, "batch_size": 32, "decay_every": 10, "decay_until": 40, "threads": 1}
_PSP = {"prune": "psp", "tau": 0.095, "strict": True, "renormalise": True, "project": "code", "dropout": 0.1}
_INPUTS = {True: {"inputs": "one-layer", "third": False}, False: {"inputs": "two-layer", "third": True}}  # weak: the layers as released
_AVPS = {"lam": 100.0, "literal": False, "stale_targets": False}
_WEIGHTING = {"weighting": True, "weighting_relu": True}
_LOADER = {"frozen_batches": False, "by_category": False}


@dataclass(frozen=True)
class Recipe:
    """How a named method is built and trained: its settings under each preset and the function that builds it."""

    name: str
    task: str  # "ave" or "llp"
    about: str
    settings: dict[str, Any]  # every option with the value of the preset "paper"
    quick: dict[str, Any]  # what the preset "quick" changes
    build: Callable[[dict, dict], tuple] | None = None  # (settings, dims of the data) -> (network, method); None: `train` needs neither
    open: dict[str, Any] = field(default_factory=dict)  # options of the data set's loader
    train: Callable[[Job], tuple] | None = None  # (job) -> (Result, more for the record); None: build and fit, in one stage

    def preset(self, name: str) -> dict[str, Any]:
        """The settings of a preset, "paper" or "quick"."""
        if name == "paper":
            return dict(self.settings)
        if name == "quick":
            return {**self.settings, **self.quick}
        raise AvbookError(f"preset {name!r} of {self.name} is not known: expected paper or quick")

    def open_data(self, where: str):
        """The data set at `where`, opened as this recipe needs it."""
        return open_data(where, self.task, **self.open)


RECIPES: dict[str, Recipe] = {}


def register(
    *recipes: Recipe,
) -> None:
    """Makes recipes known by their names, to the command line, the tables and the records."""
    RECIPES.update({recipe.name: recipe for recipe in recipes})


def find_recipe(
    name: str,  # such as "psp-full"
) -> Recipe:
    """The recipe of this name; raises `AvbookError` naming the nearest known ones."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise AvbookError(f"recipe {name!r} is not known{hint}: expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


# ------------------------------------------------------------------------------------------------------------ options
def parse_options(
    pairs: list[str],  # each "name=value", as `--set` takes them
) -> dict[str, Any]:
    """Names and values, each value read as JSON where it is JSON (`0.1`, `true`, `null`), as a word otherwise."""
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or not text:
            raise AvbookError(f"--set {pair!r}: expected name=value, for example --set tau=0.1")
        try:
            out[name] = json.loads(text)
        except json.JSONDecodeError:
            out[name] = text
    return out


def settle(
    recipe: Recipe,
    preset: str,  # "paper" or "quick"
    options: dict[str, Any],  # what the user changes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings of a run, and the options that really differ from the preset.

    Raises `AvbookError` for a name the recipe does not have and for a value of another kind than the preset's.
    """
    base = recipe.preset(preset)
    changed = {}
    for name, value in options.items():
        if name not in base:
            near = difflib.get_close_matches(name, base, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise AvbookError(f"{recipe.name} has no option {name!r}{hint}: it has {', '.join(sorted(base))}")
        changed_value = _same_kind(recipe, name, value, base[name])
        if changed_value != base[name]:
            changed[name] = changed_value
    return {**base, **changed}, dict(sorted(changed.items()))


def _same_kind(recipe: Recipe, name: str, value: Any, model: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(model, bool):
        fits = isinstance(value, bool)
    elif isinstance(model, int):
        fits = number and float(value).is_integer()
        value = int(value) if fits else value
    elif isinstance(model, float):
        fits = number
        value = float(value) if fits else value
    else:
        fits = isinstance(value, str)
    if not fits:
        raise AvbookError(f"{recipe.name}: option {name}={value!r} should be of the kind of its preset's value, {model!r}")
    if name in ("epochs", "batch_size", "decay_every") and value < 1:
        raise AvbookError(f"{recipe.name}: option {name}={value} should be at least 1")
    return value


# --------------------------------------------------------------------------------------------------------------- data
def open_data(
    where: str,  # "world", "world:SIZE", "world:SIZE:SEED" or a folder
    task: str = "ave",  # "ave" or "llp"
    **options,  # passed to the loader, such as weak=True
):
    """The data set at a folder, or the embedded world of a task (built on first use and kept)."""
    if where == "world" or where.startswith("world:"):
        parts = where.split(":")[1:]
        if len(parts) > 2 or (len(parts) == 2 and not parts[1].isdecimal()):
            raise AvbookError(f"--data {where}: expected world, world:SIZE or world:SIZE:SEED, for example world:small:1")
        from .world import world_folder

        folder = world_folder(task, size=parts[0] if parts else "small", seed=int(parts[1]) if len(parts) == 2 else 0)
    else:
        folder = Path(where)
        if not folder.is_dir():
            raise AvbookError(f"--data {where}: no such folder; expected 'world' or a folder with the {task.upper()} files "
                              "(`avbook data check DIR` tells what is missing)")
    if task == "ave":
        from .ave import AVE

        return AVE(folder, **options)
    from .llp import LLP

    return LLP(folder, **options)


def default_preset(where: str) -> str:
    """"quick" on the world, "paper" on a folder of features."""
    return "quick" if where == "world" or where.startswith("world:") else "paper"


# ---------------------------------------------------------------------------------------------------------------- run
def run_key(
    recipe: Recipe,
    preset: str,
    options: dict[str, Any],  # only what differs from the preset, as `settle` gives it
    data,  # a data set with `.name` and `.hash`
) -> str:
    """A folder name for a setting on a data set: readable, and different whenever either differs."""
    readable = "-".join([data.name, preset, *(f"{name}={value}" for name, value in options.items())])
    content = json.dumps([recipe.name, recipe.preset(preset), options, data.hash], sort_keys=True)
    return re.sub(r"[^A-Za-z0-9._=-]+", "_", readable)[:100] + "-" + hashlib.sha256(content.encode()).hexdigest()[:8]


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
    where: str | None = None,  # how the user named the data, for the record's command; None: its folder
) -> dict[str, Any]:
    """The record of one seed: read where it stands already, else trained (or continued where it was cut off) and written.

    Writes `OUT/RECIPE/KEY/seed-N.json` and, beside it, `seed-N.npz` with the test predictions of the three selections.
    """
    from .training import seed_everything

    settings, changed = settle(recipe, preset, options or {})
    key = run_key(recipe, preset, changed, data)
    folder = Path(out) / recipe.name / key
    path = folder / f"seed-{seed}.json"
    if path.exists():
        return read_record(path)

    _set_threads(settings["threads"])
    seed_everything(seed)
    job = Job(recipe, settings, data, seed, folder / f"seed-{seed}", Path(out) / recipe.name / "stages", device, progress)
    result, more = recipe.train(job) if recipe.train else _in_one_stage(job)
    record = {
        "recipe": recipe.name, "options": changed, "preset": preset, "seed": seed, "settings": settings,
        "data": {"kind": data.kind, "name": data.name, "hash": data.hash},
        **result.to_record(), **more,
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
    tasks: list[dict[str, Any]],  # each the arguments of `run_seed` but `data`, with the recipe's name as `recipe`
    where: str,  # the data, as `open_data` takes it
    *,
    jobs: int = 1,  # how many run side by side, each in a process of its own
    report: Callable[[dict[str, Any], int, int], None] = lambda record, done, of: None,  # told of each finished record
) -> list[dict[str, Any]]:
    """The records of several runs, in the order of the tasks; those that stand already are only read."""
    if jobs <= 1 or len(tasks) <= 1:
        records = []
        for task in tasks:
            records.append(_run_task(task, where))
            report(records[-1], len(records), len(tasks))
        return records

    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_run_task, {**task, "progress": False}, where): i for i, task in enumerate(tasks)}
        records: list = [None] * len(tasks)
        try:
            for done, future in enumerate(as_completed(futures), 1):
                records[futures[future]] = future.result()
                report(records[futures[future]], done, len(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records


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
    sets = "".join(f" --set {name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items())
    return f"avbook run {recipe.name} --data {where} --preset {preset}{sets} --seed {seed}"


def data_dims(data) -> dict[str, int]:
    """The sizes a network must know, read from one batch of the training split."""
    batch = data.train.batch([0])
    dims = {"categories": len(data.categories), "audio_dim": batch["audio"].shape[-1], "seconds": batch["audio"].shape[1]}
    if "visual" in batch:
        dims |= {"visual_dim": batch["visual"].shape[-1], "positions": batch["visual"].shape[2] * batch["visual"].shape[3]}
    else:
        dims |= {"visual_2d_dim": batch["visual_2d"].shape[-1], "visual_3d_dim": batch["visual_3d"].shape[-1]}
    return dims


def read_record(path: Path) -> dict[str, Any]:
    """A run record; raises `AvbookError` where the file is no record."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["recipe"], record["metrics"], record["seed"], record["data"]["kind"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise AvbookError(f"{path}: no run record ({error!r}); move it away or run with another --out") from None
    return record


def write_text(
    path: str | os.PathLike,
    text: str,
) -> None:
    """Writes a text file whole or not at all, making its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_predictions(path: Path, predictions: dict[str, Any]) -> None:
    """Writes the test predictions of each selection as small integers, whole or not at all."""
    import numpy as np

    arrays = {}
    for selection, predicted in predictions.items():
        parts = predicted if isinstance(predicted, dict) else {"predicted": predicted}
        for name, values in parts.items():
            arrays[selection if name == "predicted" else f"{selection}.{name}"] = np.asarray(values).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        np.savez_compressed(partial, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    """The same with null for every figure that has nothing to count: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and value != value else value


def _drop_checkpoints(folder: Path) -> None:
    """Keeps the weights that validation chose and removes what only a resumed run needs."""
    import shutil

    keep = folder / "val_selected.safetensors"
    if keep.exists():
        os.replace(keep, folder.with_suffix(".safetensors"))
    shutil.rmtree(folder, ignore_errors=True)


def _is_main_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


# ------------------------------------------------------------------------------------------------------------ recipes
def _pick(settings: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: settings[name] for name in names if name in settings}


def _build_ave(kind: str, weak: bool, settings: dict[str, Any], dims: dict[str, int]):
    from . import avel, psp

    net = {"psp": psp.PSP, "avel": avel.AVEL}[kind]
    own = _pick(settings, [*_SIZES, *_PSP, "inputs", "third", *_WEIGHTING])
    return (net(weak=weak, **_pick(dims, ("categories", "audio_dim", "visual_dim", "positions")), **own),
            psp.PSPMethod(weak=weak, **_pick(settings, [*_AVPS, *_LOADER])))


_AVEL_SIZES = _pick(_SIZES, ("attention_dim", "hidden", "head"))
_AVEL_QUICK = {**_pick(_QUICK_SIZES, _AVEL_SIZES), **_QUICK_FIT}
_WEAK_FIT = {**_FIT, "decay_every": 80, "decay_until": 200}
_WEAK = {"open": {"weak": True}}  # the training split with its clips of background alone

register(
    Recipe("psp-full", "ave", "PSP, every second labelled: cross entropy + λ · pair-similarity loss",
           {**_SIZES, **_PSP, **_INPUTS[False], **_AVPS, **_FIT}, {**_QUICK_SIZES, **_QUICK_FIT}, partial(_build_ave, "psp", False)),
    Recipe("psp-weak", "ave", "PSP, each clip labelled with its share of seconds: weighting branch, binary cross entropy",
           {**_SIZES, **_PSP, **_INPUTS[True], "renormalise": False, **_WEIGHTING, **_LOADER, **_WEAK_FIT}, {**_QUICK_SIZES, **_QUICK_FIT},
           partial(_build_ave, "psp", True), **_WEAK),
    Recipe("avel-full", "ave", "AVEL, the baseline, every second labelled, with PSP's pair-similarity loss",
           {**_AVEL_SIZES, **_AVPS, **_FIT}, _AVEL_QUICK, partial(_build_ave, "avel", False)),
    Recipe("avel-weak", "ave", "AVEL, each clip labelled, with PSP's weighting branch",
           {**_AVEL_SIZES, **_WEIGHTING, **_LOADER, **_WEAK_FIT}, _AVEL_QUICK, partial(_build_ave, "avel", True), **_WEAK),
)


from . import recipes_cmlcl, recipes_ma  # noqa: E402,F401  they register themselves, with the classes above
