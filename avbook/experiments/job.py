"""One seed of a recipe as a job: its training, and stages that several settings share."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avbook.common.files import checksum, remove_unfinished_files, write_text
from avbook.common.schema import Schema, read_json
from avbook.common.system import lock
from avbook.errors import AvbookError
from avbook.experiments.options import read_milestones

__all__ = ["Job", "alone", "remove_leftovers"]


@dataclass
class Job:
    """One seed of a recipe on a data set: the argument of a recipe's `train`."""

    recipe: Any
    settings: dict[str, Any]  # every option with its value
    data: Any  # an open data set
    seed: int
    folder: Path  # this run's working files, removed when its record is written
    store: Path  # stages that runs share
    device: str = "auto"
    progress: bool = True

    @property
    def made(self) -> dict[str, Any]:
        """The description of this run that is stored with the predictions of it and of its
        stages."""
        return {"recipe": self.recipe.name, "seed": self.seed, "data": self.data.hash}

    def fit(
        self,
        net,
        method,
        data=None,  # None: the job's
        out=None,  # folder of the checkpoint; None: the job's
        **changes,  # changes to the options of `training.fit` in the settings
    ):
        """The `Result` of `training.fit` with the job's settings; an interrupted fit continues."""
        from avbook.training.loop import fit

        s = self.settings
        options = {
            "epochs": s["epochs"],
            "batch_size": s["batch_size"],
            "lr": s["lr"],
            "weight_decay": s["weight_decay"],
            "schedule": _schedule(s),
            "clip": s.get("clip") or None,
            "precision": s["precision"],
            "optimizer": s.get("optimizer", "adam"),
        }
        return fit(
            net,
            method,
            data or self.data,
            seed=self.seed,
            device=self.device,
            out=out or self.folder,
            resume=True,
            progress=self.progress,
            **{**options, **changes},
        )

    def stage(
        self,
        name: str,  # such as "base"
        # exactly the settings on which the stage depends: runs that agree in them share it
        settings: dict[str, Any],
        # writes the results into the folder; called again after an interruption
        make: Callable[[Path], None],
    ) -> Path:
        """The folder of a finished stage. The first run that needs it makes it; others wait for it
        meanwhile."""
        content = json.dumps(
            [self.recipe.name, name, settings, self.data.hash, self.seed], sort_keys=True
        )
        folder = (
            self.store
            / f"{_plain(name)}-{hashlib.sha256(content.encode()).hexdigest()[:12]}-seed-{self.seed}"
        )
        asked = {
            "recipe": self.recipe.name,
            "stage": name,
            "settings": settings,
            "seed": self.seed,
            "data": self.data.hash,
        }
        done = folder / "stage.json"
        if not done.exists():
            with alone(self.store / f".{folder.name}.lock"):
                if not done.exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    make(folder)
                    remove_leftovers(folder)
                    told = {**asked, "files": _checksums(folder)}
                    write_text(done, json.dumps(told, indent=1) + "\n")
        _check_stage(done, asked)
        return folder


def _schedule(settings: dict[str, Any]) -> tuple | str:
    """The learning rate schedule in the form of `training.fit`."""
    if "decay_at" in settings:
        return ("milestones", read_milestones(settings["decay_at"]), settings["decay"])
    kind = settings.get("schedule", "step")
    if kind != "step":
        return kind
    return ("step", settings["decay_every"], settings["decay"], settings["decay_until"])


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


class _Stage(Schema):
    recipe: str
    stage: str
    settings: dict[str, Any]
    seed: int
    data: str
    files: dict[str, int] = {}  # name -> crc32


def _checksums(folder: Path) -> dict[str, int]:
    """The checksum of each file that a stage wrote, by name; a checkpoint has its own."""
    return {
        path.name: checksum(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in ("stage.json", "state.safetensors")
    }


def _check_stage(path: Path, asked: dict[str, Any]) -> None:
    """Raises `AvbookError` if the file belongs to another stage or is not a stage's description."""
    from avbook.training.weights import differences, some_of

    advice = f"remove {path.parent} to make the stage again"
    found = read_json(path, _Stage, "a stage's description", advice)
    sums = found.get("files", {})
    found = {name: found[name] for name in asked}
    differs = differences(found, json.loads(json.dumps(asked)), was="is", now="asked is")
    if differs:
        raise AvbookError(f"{path}: belongs to another stage ({some_of(differs)}); {advice}")
    for name, expected in sums.items():
        if not os.path.lexists(path.with_name(name)):
            raise AvbookError(f"{path.with_name(name)}: is missing; {advice}")
        if checksum(path.with_name(name)) != expected:
            raise AvbookError(
                f"{path.with_name(name)}: not what its stage wrote (checksum); {advice}"
            )


# -------------------------------------------------------------------------------- one at a time
@contextmanager
def alone(
    path: Path,  # path of the lock file, removed when the block ends
) -> Iterator[None]:
    """Keeps other processes out of the block; they wait in front of it.

    There is no waiting if the filesystem has no locks, nor in a launch of several processes: those
    work on one run together, and would wait for each other for ever. Raises `AvbookError` if the
    folder cannot be written."""
    with ExitStack() as held:
        try:
            if not _launched_together():
                with suppress(AvbookError):  # no locks
                    held.enter_context(lock(path, remove=True))
        except OSError as error:
            raise AvbookError(
                f"{path.parent}: cannot be written ({error.strerror or error}); choose another"
                " --out"
            ) from None
        yield


def remove_leftovers(
    path: Path,  # a file, or a folder of files, written by this process only
) -> None:
    """Removes files that a killed process left incomplete."""
    if not _launched_together():
        remove_unfinished_files(path)


def _launched_together() -> bool:
    """Whether several processes of a launcher work on one run."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
