"""Feature folders whose clips nobody has labelled: all clips in one split, to predict and not to
train on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from avbook.common.schema import Schema, read_json
from avbook.data import ave_files, llp_files
from avbook.data.base import Dataset, Split
from avbook.data.layout import locate
from avbook.data.spec import AVE_SPEC, DatasetSpec, find_spec
from avbook.data.stores import ArrayStore
from avbook.data.validation import FolderDescription, ValidationReport
from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data

__all__ = ["UnlabelledClips", "open_clips"]

FEATURES = "features.json"


class _Features(Schema):
    """What `features.json` must hold."""

    kind: str
    version: int
    task: str
    seconds: Annotated[int, Field(ge=1)]
    extractors: dict[str, Any]
    videos: list[str]  # ids, in the order of the rows


class UnlabelledClips:
    """The features of a folder without labels or splits, with what a data set says of its own:
    `.splits` has the one split "all".

    Raises `AvbookError` where a file is missing or is not what the others say."""

    kind, hash = "folder", ""

    def __init__(
        self,
        folder: Path,  # of `avbook features`
        task: str,  # "ave" or "llp"
    ):
        advice = "make the folder again with `avbook features`"
        told = read_json(folder / FEATURES, _Features, "a description of features", advice)
        spec = find_spec(task)
        if told["task"] != task or told["kind"] != "features" or told["version"] != 1:
            raise AvbookError(
                f"{folder / FEATURES}: {told['kind']} of version {told['version']}, task"
                f" {told['task']!r}; expected features of version 1, task {task!r}: {advice}"
            )
        self.folder, self.filters = folder, told["extractors"]
        self.categories: tuple[str, ...] = ()  # the model knows them
        ids = np.array(told["videos"], dtype=str)
        stores = _stores(folder, spec, ids)
        for name, rows in stores.items():
            if len(rows) != len(ids):
                raise AvbookError(
                    f"{folder}: {name} of {len(rows)} clips, but {FEATURES} names {len(ids)};"
                    f" {advice}"
                )
        self.train = Split("all", ids, np.arange(len(ids)), stores, {})
        self.splits = {"all": self.train}


def _stores(folder: Path, spec: DatasetSpec, ids: np.ndarray) -> dict[str, ArrayStore]:
    """The features by name."""
    report = ValidationReport(folder)
    found: dict[str, ArrayStore | None]
    if spec is AVE_SPEC:
        described = FolderDescription(spec.categories, None, None)
        found = {**ave_files.read_features(report, described)}
    else:
        found = {f.name: llp_files.open_clips(report, f.file, ids) for f in spec.features}
    report.stop_on_errors()
    return {name: rows for name, rows in found.items() if rows is not None and name in _names(spec)}


def _names(spec: DatasetSpec) -> list[str]:
    return [feature.name for feature in spec.features]


def open_clips(
    where: str,  # as `open_data` takes it
    task: str,  # "ave" or "llp"
) -> Dataset | UnlabelledClips:
    """The data set at a folder; the clips of one of `avbook features` that has no splits yet.

    Raises `AvbookError` as `open_data` does."""
    folder = Path(where)
    files = find_spec(task).split_files.values()
    if os.path.lexists(folder / FEATURES) and not all(locate(folder, f).exists() for f in files):
        return UnlabelledClips(folder, task)
    return open_data(where, task)
