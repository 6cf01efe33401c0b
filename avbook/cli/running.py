"""What `run`, `table` and `demo` share: the arguments are checked, then all runs are started."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avbook.common.files import check_writable
from avbook.common.pools import start_trackers
from avbook.common.system import cores
from avbook.common.workers import count_workers, on_cluster
from avbook.errors import AvbookError


@dataclass
class Where:
    """The data, the way and the folder with which a command runs its recipes."""

    data: str  # as `--data` takes it
    preset: str | None  # None: quick on the world, paper on a folder
    device: str
    jobs: int  # 0: as many as there are cores, 1 on a GPU
    out: Path

    def __post_init__(self) -> None:
        from avbook.experiments.datasets import default_preset

        self.preset = self.preset or default_preset(self.data)


def run_all(
    tasks: list[dict[str, Any]],  # each with recipe, options and seed
    where: Where,
    report: Callable[[Any, int, int], None],  # called with outcome, number done, number of all
    *,
    writes: bool = False,  # whether the command writes more than records
    progress: bool = True,
) -> list:
    """The outcomes of the tasks, in order; each was read from a record or run now."""
    from avbook.experiments.recipes import find_recipe
    from avbook.experiments.runner import run_outcomes

    check(tasks, where, writes)
    jobs = _count_jobs(where)
    start_trackers()
    for recipe in {(found := find_recipe(task["recipe"])).task: found for task in tasks}.values():
        recipe.open_data(where.data)  # the world is made once, before the workers need it
    common = {
        "preset": where.preset,
        "device": where.device,
        "out": str(where.out),
        "progress": progress,
    }
    return run_outcomes(
        [{**task, **common} for task in tasks],
        where.data,
        jobs=jobs,
        report=report if rank() == 0 else lambda outcome, done, of: None,
    )


def check(tasks: list[dict[str, Any]], where: Where, writes: bool) -> None:
    """Raises `AvbookError` for faults that can be found before data is read: an option, a device, a
    folder."""
    from avbook.experiments.recipe import resolve_settings
    from avbook.experiments.recipes import find_recipe

    for task in tasks:
        resolve_settings(find_recipe(task["recipe"]), str(where.preset), task["options"])
    # PyTorch need not be loaded for those two; a cluster's workers have devices of their own
    if where.device not in ("auto", "cpu") and not on_cluster():
        from avbook.training.device import check_device

        check_device(where.device)
    if writes or not all(_may_be_read(task, where.out) for task in tasks):
        check_writable(where.out)


def _may_be_read(task: dict[str, Any], out: Path) -> bool:
    """Whether a record of the recipe and seed exists, in any setting. Then possibly nothing is
    written, so the folder may be read-only."""
    return any(out.glob(f"{task['recipe']}/*/seed-{task['seed']}.json"))


def _count_jobs(where: Where) -> int:
    distributed = _number("WORLD_SIZE", 1) > 1
    if on_cluster() and not distributed:
        return where.jobs or count_workers()
    if not where.jobs:
        return 1 if distributed or not _on_cpu(where.device) else cores()
    if distributed and where.jobs > 1:
        raise AvbookError(
            f"--jobs {where.jobs} under accelerate launch: expected 1, since its processes already"
            " share each run"
        )
    return where.jobs


def rank() -> int:
    """The rank of this process among those of a launcher; rank 0 prints."""
    return _number("RANK", 0)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    try:
        return int(text)
    except ValueError:
        raise AvbookError(
            f"{variable}={text}: expected a whole number, as `accelerate launch` sets it; unset it"
        ) from None


def _on_cpu(device: str) -> bool:
    if device != "auto":
        return device == "cpu"
    from avbook.training.device import default_device

    return default_device().type == "cpu"
