"""A folder of features written in AVE's or LLP's layout, with the annotation files of its rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avbook.data.annotations import read_lines, read_order
from avbook.data.h5_writers import FeatureFile, write_h5
from avbook.data.layout import locate
from avbook.data.spec import AVE_ORDER, AVE_SPEC, LLP_SPEC, find_spec
from avbook.features.folder_list import Annotations, Row

__all__ = ["feature_shapes", "write_features", "write_annotations", "write_json"]


def feature_shapes(
    task: str,  # "ave" or "llp"
    seconds: int,  # T
    dims: Mapping[str, int],  # width by name of the features
) -> dict[str, tuple[int, ...]]:
    """The shape of a clip's features by name, such as (T, 7, 7, 512)."""
    spec = find_spec(task)
    rows = {f.name: f.shape[0] * seconds // spec.seconds for f in spec.features}
    return {f.name: (rows[f.name], *f.shape[1:], dims[f.name]) for f in spec.features}


def write_features(
    folder: Path,  # an empty folder
    task: str,  # "ave" or "llp"
    ids: Sequence[str],  # ids of the rows
    shapes: Mapping[str, tuple[int, ...]],  # shape of a clip's features, by name
    read: Callable[[int, str], np.ndarray],  # row and name of the features -> features of the clip
) -> None:
    """Writes the features as float32, with one clip in memory at a time: for AVE an h5 file of all
    rows, for LLP one file per clip."""
    for feature in find_spec(task).features:
        place, shape = folder / feature.file, shapes[feature.name]
        if task == LLP_SPEC.task:
            place.mkdir()
            for row, name in enumerate(ids):
                np.save(place / f"{name}.npy", read(row, feature.name), allow_pickle=False)
            continue
        file = FeatureFile(place, (len(ids), *shape))
        try:
            for row in range(len(ids)):
                file.write(row, read(row, feature.name)[None])
        finally:
            file.close()


def write_json(
    path: Path,
    told: Mapping[str, Any],
) -> None:
    """Writes the object as readable JSON."""
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------ annotation files
def write_annotations(
    folder: Path,  # target of the files
    annotations: Annotations,
    rows: Sequence[Row],  # all rows
    kept: Sequence[bool],  # whether the features have the row
) -> None:
    """Writes the annotation files, splits and class names of the rows that are kept."""
    write = _write_ave if annotations.task == AVE_SPEC.task else _write_llp
    write(folder, annotations, rows, kept)
    categories = locate(annotations.folder, "categories.txt")
    if categories.is_file():
        shutil.copyfile(categories, folder / categories.name)


def _write_ave(folder: Path, annotations: Annotations, rows, kept) -> None:
    lines = {row.line for row, there in zip(rows, kept) if there}
    _keep_lines(annotations.files[0], folder / AVE_SPEC.span_files["both"], lines, all(kept))
    place = np.cumsum(kept) - 1  # (N,): new number of each row
    for name in AVE_SPEC.split_files.values():
        path = locate(annotations.folder, name)
        if path.is_file():
            order = read_order(path)
            order = order[order < len(kept)]
            order = place[order[np.asarray(kept)[order]]]
            write_h5(folder / name, order.astype(np.int64), AVE_ORDER)


def _write_llp(folder: Path, annotations: Annotations, rows, kept) -> None:
    for file in annotations.files:
        own = [(row, there) for row, there in zip(rows, kept) if row.list_file == str(file)]
        lines = {row.line for row, there in own if there}
        whole = all(there for _, there in own)
        _keep_lines(file, folder / file.name, lines, whole, titles=True)
    for name in (*LLP_SPEC.span_files.values(), *LLP_SPEC.train_span_files.values()):
        path = locate(annotations.folder, name)
        if path.is_file():
            shutil.copyfile(path, folder / name)


def _keep_lines(
    source: Path, target: Path, lines: set[int], whole: bool, titles: bool = False
) -> None:
    """Copies the file, or only some of its lines, counted from 1 after the header."""
    if whole:
        shutil.copyfile(source, target)
        return
    numbered = read_lines(source)
    keep = lines | ({numbered[0][0]} if titles else set())
    target.write_text("".join(f"{line}\n" for n, line in numbered if n in keep), encoding="utf-8")
