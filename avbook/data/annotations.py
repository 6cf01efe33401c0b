"""The one parser of AVE's and LLP's annotation files: rows with line numbers, and their faults.

A reader gives the rows that are right and calls `on_fault` for each line that is not. Left alone
it raises at the first fault (`raise_fault`); `ValidationReport.read_rows` collects them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES, SECONDS, class_index
from avbook.data.spec import AVE_ORDER, AVE_SPEC
from avbook.data.stores import read_h5
from avbook.errors import AvbookError

__all__ = [
    "LIST_COLUMNS",
    "SPAN_COLUMNS",
    "PUBLISHED_SLIPS",
    "AVEAnnotation",
    "LLPVideo",
    "LLPSpan",
    "raise_fault",
    "wanted",
    "known_class",
    "read_categories",
    "read_annotations",
    "read_order",
    "read_ave_orders",
    "read_videos",
    "read_spans",
]

LIST_COLUMNS = ("filename", "event_labels")  # of LLP's lists of clips
SPAN_COLUMNS = ("filename", "onset", "offset", "event_labels")  # of LLP's files of spans
PUBLISHED_SLIPS = {
    ("AVVP_eval_audio.csv", "8DF2PxdT5tE_390_400", 9, 0, "Cheering")
}  # turned round in the published file

_VIDEO_ID = "[A-Za-z0-9_-]{11}"
_CLIP_NAME = _VIDEO_ID + r"_\d+(\.\d+)?_\d+(\.\d+)?"
_ID_CHARACTERS = "11 characters out of A-Z a-z 0-9 _ -"

OnFault = Callable[[Path, int, str], None]  # what is done with (file, line number, message)
Row = TypeVar("Row")


class AVEAnnotation(NamedTuple):
    """A line of Annotations.txt: one clip, its category, and the seconds in which the event is both
    heard and seen."""

    category: str
    id: str  # 11 characters
    onset: int  # first second of the event
    offset: int  # first second after it
    line: int  # for messages


class LLPVideo(NamedTuple):
    """A line of one of LLP's lists: a clip and the classes heard or seen anywhere in it."""

    name: str  # ID_start_end
    labels: tuple[str, ...]  # each class once, in the order of the line
    line: int  # for messages


class LLPSpan(NamedTuple):
    """A line of an evaluation file: in that clip, the class can be heard (or seen) from onset to
    offset."""

    name: str  # ID_start_end, as in the lists
    onset: int  # first second
    offset: int  # first second after it
    category: str
    line: int  # for messages


# ------------------------------------------------------------------------- files, lines and faults
def raise_fault(path: Path, line: int, message: str) -> None:
    """Raises the fault as an `AvbookError`: what a reader does unless it is told otherwise."""
    raise AvbookError(f"{path}: line {line}: {message}") from None


def wanted(
    folder,
    names: Iterable[str],
) -> list[Path]:
    """The paths of the named files; AvbookError lists all that are missing."""
    paths = [Path(folder) / name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise AvbookError(
            f"{folder}: missing {', '.join(missing)}; expected the official annotation files there"
        )
    return paths


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of each line that is not blank; AvbookError for a file that is missing,
    empty, or not text in UTF-8."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise AvbookError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise AvbookError(f"{path}: not a text file in UTF-8") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise AvbookError(f"{path}: is empty")
    return numbered


def _read_table(
    path: Path, columns: tuple[str, ...]
) -> tuple[list[tuple[int, str]], Callable[[str], list[str]]]:
    """The numbered lines below the titles, and a function that gives a line's fields in the order
    of `columns`. AvbookError where a title is missing; the function raises where a field is."""
    (_, first), *lines = _read_lines(path)
    titles = first.split("\t")
    if not set(columns) <= set(titles):
        raise AvbookError(
            f"{path}: its first line is {first[:60]!r}; expected the columns {', '.join(columns)}"
            " between tabs"
        )
    places = [titles.index(column) for column in columns]

    def split(text: str) -> list[str]:
        parts = text.split("\t")
        if len(parts) != len(titles):
            raise AvbookError(f"{len(parts)} fields; expected {len(titles)} between tabs")
        return [parts[place] for place in places]

    return lines, split


def _read_rows(
    path: Path,
    lines: list[tuple[int, str]],
    parse: Callable[[int, str], Row],  # number and text of a line -> its row, or AvbookError
    on_fault: OnFault,
) -> list[Row]:
    """The rows of the lines that are right; `on_fault` gets the message about each other line."""
    rows = []
    for number, text in lines:
        try:
            rows.append(parse(number, text))
        except AvbookError as error:
            on_fault(path, number, str(error))
    return rows


# ---------------------------------------------------------------------------------- single fields
def _ends(onset: str, offset: str, seconds: int) -> tuple[int, int]:
    """The whole numbers in two fields; AvbookError unless both are from 0 to `seconds`."""
    for field, text in (("onset", onset), ("offset", offset)):
        if not re.fullmatch("[0-9]{1,6}", text) or int(text) > seconds:
            raise AvbookError(
                f"found {text[:60]!r} as {field}; expected a whole second from 0 to {seconds}"
            )
    return int(onset), int(offset)


def _check_class(name: str, categories: tuple[str, ...]) -> None:
    try:
        class_index(name, categories)
    except AvbookError as error:
        raise AvbookError(f"{error} (a folder's own classes stand in its categories.txt)") from None


def known_class(
    name: str,
    categories,  # class names in order
    where: str,  # such as the clip, for the message
) -> int:
    """The class's index; an unknown name raises AvbookError that says where it stands."""
    try:
        return class_index(name, categories)
    except AvbookError as error:
        raise AvbookError(f"{where}: {error}") from None


def read_categories(
    folder: Path,  # a data folder
    own: tuple[str, ...],  # the class list of the data set it is the layout of
) -> tuple[str, ...]:
    """The class names: those of `categories.txt` where it is there, one a line, else the data
    set's own. AvbookError for a name that is there twice."""
    path = Path(folder) / "categories.txt"
    if not path.is_file():
        return tuple(own)
    names = [line.strip() for _, line in _read_lines(path)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AvbookError(
            f"{path}: {', '.join(map(repr, twice))} is there twice; every class needs a name of its"
            " own"
        )
    return tuple(names)


# --------------------------------------------------------------------------------------------- AVE
def read_annotations(
    # Annotations.txt: category&id&quality&onset&offset, with or without a line of titles
    path: Path,
    categories: tuple[str, ...] = AVE_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
    on_fault: OnFault = raise_fault,  # what is done with a line of another form
) -> list[AVEAnnotation]:
    """One row per clip, in the order of the file, which is the order of the features.

    A fault is a line of another form, an unknown class, an id that is none, seconds outside the
    clip, and an event that ends before it starts; an empty event is none. Raises `AvbookError` for
    a file that is missing, empty, or no text."""

    def parse(number: int, text: str) -> AVEAnnotation:
        parts = text.strip().split("&")
        if len(parts) != 5:
            raise AvbookError(f"found {text[:60]!r}; expected category&id&quality&onset&offset")
        category, name, _, onset, offset = parts
        _check_class(category, categories)
        if not re.fullmatch(_VIDEO_ID, name):
            raise AvbookError(
                f"{name[:60]!r}: not a video id; expected {_ID_CHARACTERS} and nothing else"
            )
        start, end = _ends(onset, offset, seconds)
        if start > end:
            raise AvbookError(
                f"the event ends at {end}, before it starts at {start}; mend the line"
            )
        return AVEAnnotation(category, name, start, end, number)

    path = Path(path)
    lines = _read_lines(path)
    number, first = lines[0]
    if number == 1 and first.strip().lower().startswith("category&"):
        lines = lines[1:]
    return _read_rows(path, lines, parse, on_fault)


def read_order(
    path: Path,  # train_order.h5, val_order.h5 or test_order.h5
) -> np.ndarray:
    """The row numbers of a split in the file's own order, int64 (n,). Raises `AvbookError` for a
    file that is missing, damaged, or not a list of whole numbers."""
    order = read_h5(path, AVE_ORDER)
    is_list = order.shape in ((order.size,), (order.size, 1))
    if not is_list or (order != np.floor(order)).any():
        raise AvbookError(
            f"{path}: {order.dtype} {order.shape}, expected a list of whole row numbers"
        )
    return order.reshape(-1).astype(np.int64)


def read_ave_orders(
    folder,  # with train_order.h5, val_order.h5 and test_order.h5
    n: int,  # rows they may name
) -> dict[str, np.ndarray]:
    """Split -> its row numbers (n,) in the files' own order.

    Raises AvbookError where they leave the range, repeat a row or leave one out."""
    paths = wanted(folder, AVE_SPEC.split_files.values())
    orders = {split: read_order(path) for split, path in zip(AVE_SPEC.split_files, paths)}
    together = np.sort(np.concatenate(list(orders.values())))
    if not np.array_equal(together, np.arange(n)):
        raise AvbookError(
            f"{folder}: the orders name {len(np.unique(together))} distinct rows, {len(together)}"
            f" in all, up to {together.max(initial=0)}; expected each of the {n} rows of"
            " Annotations.txt once"
        )
    return orders


# --------------------------------------------------------------------------------------------- LLP
def read_videos(
    path: Path,  # AVVP_train.csv, AVVP_val_pd.csv or AVVP_test_pd.csv
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
    on_fault: OnFault = raise_fault,  # what is done with a line of another form
) -> list[LLPVideo]:
    """The clips of one of LLP's lists, in the order of the file.

    A fault is a line of another form, a name that is not ID_start_end or is there already, an
    unknown class, and a clip without a label. Raises `AvbookError` for a file that is missing,
    empty, no text, or without the titles."""
    path = Path(path)
    lines, split = _read_table(path, LIST_COLUMNS)
    line_of: dict[str, int] = {}

    def parse(number: int, text: str) -> LLPVideo:
        name, listed = split(text)
        if not re.fullmatch(_CLIP_NAME, name):
            raise AvbookError(
                f"{name[:60]!r} is not a clip's name; expected a video id ({_ID_CHARACTERS}), then"
                " _start_end"
            )
        if name in line_of:
            raise AvbookError(
                f"{name} is listed a second time, after line {line_of[name]}; take one out"
            )
        line_of[name] = number
        labels = tuple(dict.fromkeys(listed.split(",")))
        for label in labels:
            _check_class(label, categories)
        return LLPVideo(name, labels, number)

    return _read_rows(path, lines, parse, on_fault)


def read_spans(
    path: Path,  # AVVP_eval_audio.csv or AVVP_eval_visual.csv
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
    inverted: bool = False,  # take spans that end before they start, which mark nothing
    on_fault: OnFault = raise_fault,  # what is done with a line of another form
) -> list[LLPSpan]:
    """The spans in one modality, in the order of the file, empty ones too.

    A fault is a line of another form, an unknown class, seconds outside the clip, and an onset
    after its offset where the published file has none (`PUBLISHED_SLIPS`). Raises `AvbookError` for
    a file that is missing, empty, no text, or without the titles."""
    path = Path(path)
    lines, split = _read_table(path, SPAN_COLUMNS)

    def parse(number: int, text: str) -> LLPSpan:
        name, onset, offset, category = split(text)
        _check_class(category, categories)
        start, end = _ends(onset, offset, seconds)
        published = (path.name, name, start, end, category) in PUBLISHED_SLIPS
        if start > end and not inverted and not published:
            raise AvbookError(
                f"the onset {start} of {category} in {name} lies after its offset {end}; mend the"
                " line"
            )
        return LLPSpan(name, start, end, category, number)

    return _read_rows(path, lines, parse, on_fault)
