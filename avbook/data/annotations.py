"""The parsers of AVE's and LLP's annotation files: rows with line numbers, and their errors.

A reader returns the valid rows and calls `on_fault` for each invalid line. By default that raises
at the first one (`raise_fault`); `ValidationReport.read_rows` collects all of them."""

from __future__ import annotations

import codecs
import csv
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from avbook.common.files import read_bytes
from avbook.data.events import AVE_CATEGORIES, BACKGROUND, LLP_CATEGORIES, SECONDS, class_index
from avbook.data.h5_files import read_h5
from avbook.data.layout import locate
from avbook.data.spec import AVE_ORDER, AVE_SPEC
from avbook.errors import AvbookError

__all__ = [
    "LIST_COLUMNS",
    "SPAN_COLUMNS",
    "OWN_VIDEOS",
    "PUBLISHED_SLIPS",
    "AVEAnnotation",
    "LLPVideo",
    "LLPSpan",
    "raise_fault",
    "read_lines",
    "read_fields",
    "wanted",
    "known_class",
    "read_categories",
    "name_fault",
    "read_own_videos",
    "read_annotations",
    "read_order",
    "read_ave_orders",
    "read_videos",
    "read_spans",
]

LIST_COLUMNS = ("filename", "event_labels")  # of LLP's lists of clips
SPAN_COLUMNS = ("filename", "onset", "offset", "event_labels")  # of LLP's files of spans
OWN_VIDEOS = "videos.txt"  # in a folder made from own videos: their names, one per line
PUBLISHED_SLIPS = {
    ("AVVP_eval_audio.csv", "8DF2PxdT5tE_390_400", 9, 0, "Cheering")
}  # inverted in the published file

_VIDEO_ID = "[A-Za-z0-9_-]{11}"
_CLIP_NAME = _VIDEO_ID + r"_\d+(\.\d+)?_\d+(\.\d+)?"
_WHOLE_SECOND = r"[0-9]{1,6}(\.0{1,6})?"  # spreadsheets write 9 as 9.0
_ID_CHARACTERS = "11 characters out of A-Z a-z 0-9 _ -"

OnFault = Callable[[Path, int, str], None]  # takes (file, line number, message)
Row = TypeVar("Row")


class AVEAnnotation(NamedTuple):
    """A line of Annotations.txt: one clip, its category, and the seconds in which the event is both
    audible and visible."""

    category: str
    id: str  # 11 characters; for an own video its name
    onset: int  # first second of the event
    offset: int  # first second after it
    line: int  # for messages


class LLPVideo(NamedTuple):
    """A line of one of LLP's lists: a clip and the classes audible or visible anywhere in it."""

    name: str  # ID_start_end; for an own video its name
    labels: tuple[str, ...]  # each class once, in the order of the line
    line: int  # for messages


class LLPSpan(NamedTuple):
    """A line of an evaluation file: the class is audible (or visible) in the clip from onset to
    offset."""

    name: str  # ID_start_end, as in the lists
    onset: int  # first second
    offset: int  # first second after it
    category: str
    line: int  # for messages


# ------------------------------------------------------------------------- files, lines and faults
def raise_fault(path: Path, line: int, message: str) -> None:
    """Raises the fault as an `AvbookError`: the default of every reader."""
    raise AvbookError(f"{path}: line {line}: {message}") from None


def wanted(
    folder,
    names: Iterable[str],
) -> list[Path]:
    """The paths of the named files; AvbookError lists all missing ones."""
    paths = [locate(folder, name) for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise AvbookError(
            f"{folder}: missing {', '.join(missing)}; expected the official annotation files there"
        )
    return paths


MOST_CLASSES, LONGEST_NAME = 10_000, 200
LONGEST = 2**26  # bytes of an annotation file; LLP's largest has 0.4 million
MARKS = {  # byte order marks of other encodings, as written by spreadsheets
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_lines(
    path: Path,  # a text file
) -> list[tuple[int, str]]:
    """Number and text of each line that is not blank; AvbookError for a file that is missing,
    empty, or not text in UTF-8 (or in UTF-16 with a byte order mark)."""
    data = read_bytes(path, LONGEST)
    try:
        lines = data.decode(MARKS.get(data[:2], "utf-8-sig")).splitlines()
    except UnicodeDecodeError:
        raise AvbookError(f"{path}: not a text file in UTF-8") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise AvbookError(f"{path}: is empty")
    return numbered


def _read_table(
    path: Path, columns: tuple[str, ...]
) -> tuple[list[tuple[int, str]], Callable[[str], list[str]]]:
    """The numbered lines below the header, and a function that returns a line's fields in the order
    of `columns`. AvbookError if a column is missing; the function raises if a field is.

    Fields are separated by tabs, as published, or by commas or semicolons and quoted, as
    spreadsheets write them."""
    (_, first), *lines = read_lines(path)
    for separator in "\t,;":
        titles = read_fields(first[:1000], separator)
        if set(columns) <= set(titles):
            break
    else:
        raise AvbookError(
            f"{path}: its first line is {first[:60]!r}; expected the columns {', '.join(columns)}"
            " separated by tabs"
        )
    places = [titles.index(column) for column in columns]

    def split(text: str) -> list[str]:
        parts = read_fields(text, separator)
        if len(parts) != len(titles):
            between = {"\t": "tabs", ",": "commas", ";": "semicolons"}[separator]
            raise AvbookError(f"{len(parts)} fields; expected {len(titles)} between {between}")
        return [parts[place] for place in places]

    return lines, split


def read_fields(
    text: str,  # a line
    separator: str,  # between its fields
) -> list[str]:
    """The fields of a line, without quotes and surrounding blanks; AvbookError for a line that is
    not part of a table."""
    try:
        return [field.strip() for field in next(csv.reader([text], delimiter=separator))]
    except (csv.Error, StopIteration) as error:  # such as a field of more than 131,072 characters
        raise AvbookError(f"not a line of a table ({error})") from None


def _read_rows(
    path: Path,
    lines: list[tuple[int, str]],
    parse: Callable[[int, str], Row],  # number and text of a line -> its row, or AvbookError
    on_fault: OnFault,
) -> list[Row]:
    """The rows of the valid lines; `on_fault` gets the message about each other line."""
    rows = []
    for number, text in lines:
        try:
            rows.append(parse(number, text))
        except AvbookError as error:
            on_fault(path, number, str(error))
    return rows


# ---------------------------------------------------------------------------------- single fields
def _ends(onset: str, offset: str, seconds: int) -> tuple[int, int]:
    """The integers in two fields; AvbookError unless both are from 0 to `seconds`."""
    for field, text in (("onset", onset), ("offset", offset)):
        if not re.fullmatch(_WHOLE_SECOND, text) or int(float(text)) > seconds:
            raise AvbookError(
                f"found {text[:60]!r} as {field}; expected a whole second from 0 to {seconds}"
            )
    return int(float(onset)), int(float(offset))


def _check_class(name: str, categories: tuple[str, ...]) -> None:
    if not name:
        raise AvbookError("names no class (an empty field); expected one, or the line taken out")
    if len(name) > LONGEST_NAME:
        raise AvbookError(
            f"{name[:60]!r} … of {len(name):,} characters is no class; expected one of"
            f" {len(categories)}"
        )
    try:
        class_index(name, categories)
    except AvbookError as error:
        raise AvbookError(f"{error} (a folder's own classes stand in its categories.txt)") from None


def known_class(
    name: str,
    categories,  # class names in order
    where: str,  # such as the clip, for messages
) -> int:
    """The class's index; an unknown name raises AvbookError that says where it was found."""
    try:
        return class_index(name, categories)
    except AvbookError as error:
        raise AvbookError(f"{where}: {error}") from None


def read_categories(
    folder: Path,  # a data folder
    own: tuple[str, ...],  # the class list of the data set whose layout it has
) -> tuple[str, ...]:
    """The class names: those of `categories.txt` if it exists, one per line, else the data set's
    own. AvbookError for a repeated name."""
    path = locate(folder, "categories.txt")
    if not os.path.lexists(path):
        return tuple(own)
    names = [line.strip() for _, line in read_lines(path)]
    if len(names) > MOST_CLASSES:
        raise AvbookError(
            f"{path}: {len(names)} lines; expected the names of the classes, one per line"
        )
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise AvbookError(
            f"{path}: {', '.join(map(repr, twice))} is there twice; every class needs a name of its"
            " own"
        )
    return tuple(names)


def read_own_videos(
    folder: Path,  # a data folder
) -> tuple[str, ...]:
    """The names of the user's own videos in `videos.txt`, in the order of the feature rows; empty
    if there is no such file. AvbookError for a name that cannot be an id: the name is an id in the
    other files, and the name of a feature file."""
    path = locate(folder, OWN_VIDEOS)
    if not os.path.lexists(path):
        return ()
    try:
        text = read_bytes(path, LONGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AvbookError(f"{path}: not a text file in UTF-8") from None
    names = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
    line_of: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        fault = name_fault(name)
        if fault is None and name in line_of:
            fault = f"is there already, in line {line_of[name]}"
        if fault is not None:
            raise AvbookError(
                f"{path}: line {number}: {name[:60]!r} {fault}; rename the video and extract the"
                " features again"
            )
        line_of[name] = number
    return tuple(names)


NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # Unicode categories: control characters, surrogates, line ends


def name_fault(
    name: str,  # of a video
) -> str | None:
    """Why a video's name cannot stand in a list or name a file; None if it can."""
    if not name or name != name.strip():
        return "is empty, or begins or ends with a blank"
    if any(unicodedata.category(character) in NO_TEXT for character in name):
        return "has a line break, a control character or bytes that are not text"
    if name in (".", "..") or re.search(r"[/\\]", name):
        return "is not a valid file name"
    return None


# --------------------------------------------------------------------------------------------- AVE
def read_annotations(
    # Annotations.txt: category&id&quality&onset&offset, with or without a header
    path: Path,
    categories: tuple[str, ...] = AVE_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
    own: Collection[str] = (),  # names of the user's own videos: ids of any form
    on_fault: OnFault = raise_fault,  # called for each invalid line
) -> list[AVEAnnotation]:
    """One row per clip, in the order of the file, which is the order of the features.

    Invalid lines: another format, an unknown class, an invalid id, seconds outside the clip, an
    event that ends before it starts. An empty event is valid, and an own video may have the
    category "background". Raises `AvbookError` for a file that is missing, empty, or not text."""

    def parse(number: int, text: str) -> AVEAnnotation:
        parts = text.strip().split("&")
        if len(parts) > 5 and "&".join(parts[1:-3]).strip() in own:
            parts = [parts[0], "&".join(parts[1:-3]), *parts[-3:]]
        if len(parts) != 5:
            raise AvbookError(f"found {text[:60]!r}; expected category&id&quality&onset&offset")
        category, name, _, onset, offset = (part.strip() for part in parts)
        empty = name in own and category == BACKGROUND and onset == offset
        if not empty:
            _check_class(category, categories)
        if name not in own and not re.fullmatch(_VIDEO_ID, name):
            raise AvbookError(f"{name[:60]!r}: not a video id; expected {_ID_CHARACTERS} only")
        start, end = _ends(onset, offset, seconds)
        if start > end:
            raise AvbookError(
                f"the event ends at {end}, before it starts at {start}; correct the line"
            )
        return AVEAnnotation(category, name, start, end, number)

    path = Path(path)
    lines = read_lines(path)
    number, first = lines[0]
    if number == 1 and first.strip().lower().startswith("category&"):
        lines = lines[1:]
    return _read_rows(path, lines, parse, on_fault)


def read_order(
    path: Path,  # train_order.h5, val_order.h5 or test_order.h5
) -> np.ndarray:
    """The row numbers of a split in the file's own order, int64 (n,). Raises `AvbookError` for a
    file that is missing, damaged, or not a list of integers."""
    order = read_h5(path, AVE_ORDER)
    is_list = order.shape in ((order.size,), (order.size, 1))
    if not is_list or order.dtype == bool or not _whole(order).all():
        raise AvbookError(
            f"{path}: {order.dtype} {order.shape}, expected a list of whole row numbers"
        )
    return order.reshape(-1).astype(np.int64)


def _whole(numbers: np.ndarray) -> np.ndarray:
    """Which numbers are integers that an int64 holds exactly."""
    return (np.abs(numbers.astype(np.float64)) < 2**53) & (numbers == np.floor(numbers))


def read_ave_orders(
    folder,  # with train_order.h5, val_order.h5 and test_order.h5
    n: int,  # number of rows
) -> dict[str, np.ndarray]:
    """Split -> its row numbers (n,) in the files' own order.

    Raises AvbookError for a row out of range, a repeated row or a missing one."""
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
    own: Collection[str] = (),  # names of the user's own videos, of any form
    on_fault: OnFault = raise_fault,  # called for each invalid line
) -> list[LLPVideo]:
    """The clips of one of LLP's lists, in the order of the file.

    Invalid lines: another format, a name that is not ID_start_end or is repeated, an unknown class,
    and a clip without a label unless it is an own video. Raises `AvbookError` for a file that is
    missing, empty, not text, or without a header."""
    path = Path(path)
    lines, split = _read_table(path, LIST_COLUMNS)
    line_of: dict[str, int] = {}

    def parse(number: int, text: str) -> LLPVideo:
        name, listed = split(text)
        if name not in own and not re.fullmatch(_CLIP_NAME, name):
            raise AvbookError(
                f"{name[:60]!r} is not a clip's name; expected a video id ({_ID_CHARACTERS}), then"
                " _start_end"
            )
        if name in line_of:
            raise AvbookError(
                f"{name} is listed a second time, after line {line_of[name]}; take one out"
            )
        line_of[name] = number
        if not listed and name in own:  # no event in it
            return LLPVideo(name, (), number)
        labels = tuple(dict.fromkeys(label.strip() for label in listed.split(",")))
        for label in labels:
            _check_class(label, categories)
        return LLPVideo(name, labels, number)

    return _read_rows(path, lines, parse, on_fault)


def read_spans(
    path: Path,  # AVVP_eval_audio.csv or AVVP_eval_visual.csv
    categories: tuple[str, ...] = LLP_CATEGORIES,  # C names
    seconds: int = SECONDS,  # T
    inverted: bool = False,  # accept spans that end before they start; they mark nothing
    on_fault: OnFault = raise_fault,  # called for each invalid line
) -> list[LLPSpan]:
    """The spans in one modality, in the order of the file, empty ones included.

    Invalid lines: another format, an unknown class, seconds outside the clip, and an onset after
    its offset unless the published file has it there (`PUBLISHED_SLIPS`). Raises `AvbookError` for
    a file that is missing, empty, not text, or without a header."""
    path = Path(path)
    lines, split = _read_table(path, SPAN_COLUMNS)

    def parse(number: int, text: str) -> LLPSpan:
        name, onset, offset, category = split(text)
        _check_class(category, categories)
        start, end = _ends(onset, offset, seconds)
        published = (path.name, name, start, end, category) in PUBLISHED_SLIPS
        if start > end and not inverted and not published:
            raise AvbookError(
                f"the onset {start} of {category} in {name} lies after its offset {end}; correct"
                " the line"
            )
        return LLPSpan(name, start, end, category, number)

    return _read_rows(path, lines, parse, on_fault)
