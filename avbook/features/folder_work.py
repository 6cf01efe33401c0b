"""The work folder of feature extraction: the features of each video are written whole, and found
again by the next call."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from avbook.common.files import (
    check_regular,
    remove_unfinished_files,
    write_bytes,
    write_text,
)
from avbook.common.system import lacks_memory
from avbook.common.tensors import one_thread
from avbook.common.workers import in_processes, on_cluster
from avbook.errors import AvbookError
from avbook.features.folder_extraction import open_plan
from avbook.features.folder_plan import FeaturePlan
from avbook.features.folder_video import video_features

__all__ = ["FeatureWork", "reason"]

PLAN_FILE = "plan.json"  # the options of everything in the folder
BAR = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
    " [{elapsed}<{remaining}, {rate_noinv_fmt}]"
)  # clips per second, also below 1


def reason(
    path: Path,  # a video
    error: AvbookError,
) -> str:
    """The error's message without the video's path."""
    return str(error).removeprefix(f"{path}: ")


@dataclass(frozen=True)
class _Made:
    """A process's result for a video."""

    path: Path
    fault: str | None = None
    content: bytes = b""  # content of its file in the work folder


def _store_of(work: Path, path: Path) -> Path:
    """The file that keeps the features of the video."""
    return work / f"{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24]}.npz"


def _source(path: Path) -> dict[str, Any]:
    """Properties that reveal whether a video has changed."""
    found = check_regular(path)
    return {"file": path.name, "bytes": found.st_size, "changed": found.st_mtime_ns}


def _make(path: Path, plan: FeaturePlan, seconds: int, away: bool) -> _Made:
    """The video's features, or the reason why there are none."""
    if away and not path.exists():
        raise AvbookError(
            f"{path}: missing on the worker {socket.gethostname()}; workers of a cluster read"
            " videos and weights themselves: give folders that all of them see"
        )
    extraction = open_plan(plan)
    try:
        source = _source(path)
        found = video_features(path, extraction, seconds)
    except AvbookError as error:
        return _Made(path, reason(path, error))
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise AvbookError(
            f"{path}: out of memory; use --jobs 1 or fewer --seconds; the same command continues"
        ) from error
    told = source | {"length": round(found.length, 3), "notes": list(found.notes)}
    about = np.frombuffer(json.dumps(told).encode(), np.uint8)
    packed = io.BytesIO()
    np.savez(packed, about=about, **found.arrays)  # type: ignore[arg-type]  # the stub takes an array for a flag
    return _Made(path, content=packed.getvalue())


# ---------------------------------------------------------------------------------- all of them
class FeatureWork:
    """The features of videos during the extraction. Only one process at a time may hold it."""

    def __init__(
        self,
        folder: Path,  # may exist from an earlier call
        plan: FeaturePlan,
        identity: dict[str, Any],  # task, seconds, extractors: work does not continue with others
    ):
        self.folder, self.plan, self.identity = folder, plan, identity
        self.faults: dict[Path, str] = {}  # video -> reason why it has no features

    def begin(self) -> None:
        """Makes the folder, or opens it with what an earlier call left. Raises `AvbookError` if
        that had other options."""
        told = json.loads(json.dumps(self.identity))
        plan = self.folder / PLAN_FILE
        if not plan.is_file():
            shutil.rmtree(self.folder, ignore_errors=True)
            write_text(plan, json.dumps(told, indent=1) + "\n")
            return
        remove_unfinished_files(self.folder)
        try:
            before = json.loads(plan.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != told:
            raise AvbookError(
                f"{self.folder}: work that was begun {_other(before, told)}; use the same options,"
                " or remove that folder to start again"
            )

    def about(
        self,
        path: Path,  # a video
    ) -> dict[str, Any] | None:
        """The work folder's entry for the video; None if it has no features of its current
        state."""
        try:
            with np.load(_store_of(self.folder, path)) as stored:
                told = json.loads(stored["about"].tobytes())
            source = _source(path)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, AvbookError):
            return None
        return told if all(told.get(key) == value for key, value in source.items()) else None

    def make(
        self,
        videos: Sequence[Path],
        jobs: int = 1,  # processes
        progress: bool = True,  # show a bar
    ) -> int:
        """Makes the missing features, notes in `faults` the videos that have none, and returns the
        number made. Raises `AvbookError` for a full disk and if memory runs out."""
        from tqdm import tqdm

        todo = [path for path in videos if self.about(path) is None]
        seconds = self.identity["seconds"]
        call = functools.partial(_make, plan=self.plan, seconds=seconds, away=on_cluster())
        found = in_processes(call, todo, jobs, threads=1, ordered=False, at_once=2 * jobs)
        bar = tqdm(
            total=len(videos),
            initial=len(videos) - len(todo),
            desc="features",
            unit="clip",
            bar_format=BAR,
            disable=not progress,
        )
        made = 0
        with one_thread(), bar, contextlib.closing(found):
            for one in found:
                if one.fault is None:
                    write_bytes(_store_of(self.folder, one.path), one.content)
                    made += 1
                else:
                    self.faults[one.path] = one.fault
                bar.update()
        return made

    def read(
        self,
        path: Path,  # a video that has features
        name: str,  # name of the features
    ) -> np.ndarray:
        """The features of the video."""
        with np.load(_store_of(self.folder, path)) as stored:
            return stored[name]

    def remove_if_empty(self) -> None:
        """Removes the work folder if it holds no features of any video."""
        if not any(self.folder.glob("*.npz")):
            self.remove()

    def remove(self) -> None:
        """Removes the work folder; its plan, which identifies it, is removed last."""
        for path in self.folder.glob("*.npz"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _other(before: Any, now: dict[str, Any]) -> str:
    """How the options of earlier work differ, in words."""
    if not isinstance(before, dict):
        return "with options that cannot be read"
    for key in ("task", "seconds"):
        if before.get(key) != now[key]:
            return f"with {key} {before.get(key)} (now {now[key]})"
    for name, one in now["extractors"].items():
        other = (before.get("extractors") or {}).get(name) or {}
        for key in one:
            if other.get(key) != one[key]:
                told = f"{name} features of {key} {other.get(key)} (now {one[key]})"
                return f"with {told}"
    return "with other options"
