"""The official annotation files of AVE and LLP, read as they are: rows, orders, labels and spans,
each checked line by line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from avbook.data.events import LLP_CATEGORIES, SECONDS, class_index
from avbook.errors import AvbookError

__all__ = [
    "SPLITS",
    "AVE_ORDERS",
    "LLP_LABELS",
    "LLP_SPANS",
    "read_ave_rows",
    "read_ave_orders",
    "read_llp_labels",
    "read_llp_spans",
    "known_class",
    "wanted",
]

SPLITS = ("train", "val", "test")
AVE_ORDERS = {split: f"{split}_order.h5" for split in SPLITS}
LLP_LABELS = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
LLP_SPANS = {"heard": "AVVP_eval_audio.csv", "seen": "AVVP_eval_visual.csv"}


def _whole(text, where, high=SECONDS):
    if not re.fullmatch(r"\d+", text) or int(text) > high:
        raise AvbookError(f"{where}: found {text!r}; expected a whole second from 0 to {high}")
    return int(text)


def known_class(
    name: str,
    categories,  # class names in order
    where: str,  # file and line, for the message
) -> int:
    """The class's index; an unknown name raises AvbookError that says where it stands."""
    try:
        return class_index(name, categories)
    except AvbookError as error:
        raise AvbookError(f"{where}: {error}") from None


def wanted(
    folder,
    names: list[str],
) -> list[Path]:
    """The paths of the named files; AvbookError lists all that are missing."""
    folder = Path(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise AvbookError(
            f"{folder}: missing {', '.join(missing)}; expected the official annotation files there"
        )
    return [folder / name for name in names]


def _lines(path):
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise AvbookError(f"{path}: not a text file in UTF-8") from None


def read_ave_rows(
    path,  # Annotations.txt: category&id&quality&onset&offset
) -> list[tuple[str, str, int, int]]:
    "Per row of the file (category, id, onset, offset). Raises AvbookError with the line at fault."
    rows = []
    for number, line in enumerate(_lines(Path(path)), 1):
        parts, where = line.split("&"), f"{path} line {number}"
        if number == 1 and line.startswith("Category&"):
            continue
        if len(parts) != 5:
            raise AvbookError(
                f"{where}: found {line[:60]!r}; expected category&id&quality&onset&offset"
            )
        onset, offset = (_whole(part, where) for part in parts[3:])
        if onset > offset:
            raise AvbookError(f"{where}: the event ends at {offset}, before it starts at {onset}")
        rows.append((parts[0], parts[1], onset, offset))
    return rows


def read_ave_orders(
    folder,  # with train_order.h5, val_order.h5 and test_order.h5
    n: int,  # rows they may name
) -> dict[str, np.ndarray]:
    "Row indices of each split in the files' own order. Raises AvbookError where they leave the range, repeat or leave a row out."
    import h5py

    orders = {}
    for split, path in zip(SPLITS, wanted(folder, [f"{split}_order.h5" for split in SPLITS])):
        try:
            with h5py.File(path) as file:
                orders[split] = file["order"][:].ravel().astype(int)
        except (OSError, KeyError) as error:
            raise AvbookError(
                f"{path}: {error}; expected an HDF5 file with the dataset 'order'"
            ) from None
    together = np.sort(np.concatenate(list(orders.values())))
    if len(together) != n or (together != np.arange(n)).any():
        raise AvbookError(
            f"{folder}: the orders name {len(np.unique(together))} distinct rows, {len(together)}"
            f" in all, up to {together.max(initial=0)}; expected each of the {n} rows of"
            " Annotations.txt once"
        )
    return orders


def _table(path, columns):
    lines = _lines(path)
    if not lines or lines[0].split("\t") != columns:
        raise AvbookError(
            f"{path}: its first line is {(lines or [''])[0][:60]!r}; expected the columns"
            f" {', '.join(columns)} between tabs"
        )
    for number, line in enumerate(lines[1:], 2):
        parts = line.split("\t")
        if len(parts) != len(columns):
            raise AvbookError(
                f"{path} line {number}: {len(parts)} fields; expected {len(columns)} between tabs"
            )
        yield f"{path} line {number}", parts


def read_llp_labels(
    path,  # one of the files with filename and event_labels
) -> dict[str, tuple[str, ...]]:
    "File name -> its labels, each once, in the file's order. Raises AvbookError on unknown classes and repeated files."
    videos = {}
    for where, (name, labels) in _table(Path(path), ["filename", "event_labels"]):
        labels = tuple(dict.fromkeys(label for label in labels.split(",") if label))
        for label in labels:
            known_class(label, LLP_CATEGORIES, where)
        if name in videos:
            raise AvbookError(f"{where}: {name} is listed a second time")
        videos[name] = labels
    return videos


def read_llp_spans(
    path,  # AVVP_eval_audio.csv or AVVP_eval_visual.csv
) -> dict[str, dict[str, np.ndarray]]:
    """File name -> class -> (T,) bool, onset included, offset not, as the released evaluation fills
    them.

    Rows without length or turned round mark nothing (the real files hold six). Raises AvbookError
    on unknown classes and seconds outside the clip."""
    videos = {}
    for where, (name, onset, offset, label) in _table(
        Path(path), ["filename", "onset", "offset", "event_labels"]
    ):
        known_class(label, LLP_CATEGORIES, where)
        onset, offset = _whole(onset, where), _whole(offset, where)
        mask = videos.setdefault(name, {}).setdefault(label, np.zeros(SECONDS, bool))
        mask[onset:offset] = True
    return videos
