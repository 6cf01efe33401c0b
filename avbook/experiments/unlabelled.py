"""Feature folders without labels: all clips in one split, for prediction only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from avbook.data import ave_files, llp_files
from avbook.data.base import Dataset, Split
from avbook.data.description import FEATURES_FILE, read_features
from avbook.data.layout import locate
from avbook.data.spec import AVE_SPEC, DatasetSpec, find_spec
from avbook.data.stores import ArrayStore
from avbook.data.validation import FolderDescription, ValidationReport, check_described
from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data

__all__ = ["UnlabelledClips", "open_clips"]


class UnlabelledClips:
    """The features of a folder without labels or splits, with the interface of a data set:
    `.splits` has the one split "all".

    Raises `AvbookError` if a file is missing or contradicts the others."""

    kind, hash = "folder", ""

    def __init__(
        self,
        folder: Path,  # folder of `avbook features`
        task: str,  # "ave" or "llp"
    ):
        spec, told = find_spec(task), read_features(folder)
        fault = _fault(told, task)
        if told is None or fault is not None:
            raise AvbookError(f"{folder / FEATURES_FILE}: {fault}")
        self.folder, self.filters = folder, told["extractors"]
        self.categories: tuple[str, ...] = ()  # the model has them
        ids = np.array(told["videos"], dtype=str)
        stores = _stores(folder, spec, ids, told)
        for name, rows in stores.items():
            if len(rows) != len(ids):
                raise AvbookError(
                    f"{folder}: {name} of {len(rows)} clips, but {FEATURES_FILE} names {len(ids)};"
                    " run `avbook features` again"
                )
        self.train = Split("all", ids, np.arange(len(ids)), stores, {})
        self.splits = {"all": self.train}


def _fault(told: dict | None, task: str) -> str | None:
    """What in the description does not fit; None if everything does."""
    if told is None:
        return "no such file; expected a folder that `avbook features` wrote"
    if told["task"] != task:
        return (
            f"features for task {told['task']!r}; expected task {task!r}: run `avbook features"
            f" --like {task}`"
        )
    if told.get("videos") is None:
        return "does not name its videos; run `avbook features` again"
    return None


def _stores(folder: Path, spec: DatasetSpec, ids: np.ndarray, told: dict) -> dict[str, ArrayStore]:
    """The features by name."""
    report = ValidationReport(folder)
    described = FolderDescription(spec.categories, None, None, told)
    found: dict[str, ArrayStore | None]
    if spec is AVE_SPEC:
        found = {**ave_files.read_features(report, described)}
    else:
        found = {f.name: llp_files.open_clips(report, f.file, ids) for f in spec.features}
    names = [feature.name for feature in spec.features]
    stores = {name: rows for name, rows in found.items() if rows is not None and name in names}
    check_described(report, described, stores)
    report.stop_on_errors()
    return stores


def open_clips(
    where: str,  # as for `open_data`
    task: str,  # "ave" or "llp"
) -> Dataset | UnlabelledClips:
    """The data set in a folder, or the clips of a folder of `avbook features` that has no splits
    yet.

    Raises `AvbookError` as `open_data` does."""
    folder = Path(where)
    files = find_spec(task).split_files.values()
    has_splits = all(locate(folder, file).exists() for file in files)
    if os.path.lexists(folder / FEATURES_FILE) and not has_splits:
        return UnlabelledClips(folder, task)
    return open_data(where, task)
