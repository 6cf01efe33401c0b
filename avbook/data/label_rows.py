"""The user's own labels: a CSV of file, onset, offset and event, with a list of all its errors."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from avbook.common.files import read_bytes
from avbook.data.annotations import (
    LONGEST,
    LONGEST_NAME,
    MARKS,
    MOST_CLASSES,
    read_fields,
    read_lines,
)
from avbook.data.events import BACKGROUND
from avbook.data.spec import SPLITS
from avbook.data.validation import Issue, listed
from avbook.errors import AvbookError

__all__ = [
    "COLUMNS",
    "MODALITY_COLUMN",
    "SPLIT_COLUMN",
    "MODALITIES",
    "LabelRow",
    "read_label_rows",
]

COLUMNS = ("file", "onset", "offset", "event")
MODALITY_COLUMN = "modality"  # for LLP, which labels audio and visual events separately
SPLIT_COLUMN = "split"  # optional: train, val or test; empty: drawn at random
SLACK = Fraction(1, 4)  # seconds by which an offset may exceed the end of a video
MODALITIES = {
    "audio": ("audio",),
    "visual": ("visual",),
    "both": ("audio", "visual"),
}
MEDIA = (  # extensions that a video's name may have in the table
    *("3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "ts"),
    *("webm", "wmv"),
)
NUMBER = r"(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,2})?"
ZIP = b"PK\x03\x04"  # first bytes of a spreadsheet's own format


class LabelRow(NamedTuple):
    """A line of the CSV: the event occurs in the video from onset to offset."""

    video: str  # as videos.txt has it
    onset: Fraction  # seconds
    offset: Fraction  # seconds
    event: str
    modality: str  # audio, visual or both
    line: int  # for messages
    split: str = ""  # split of the video in the table; "": none given


class _Findings:
    """The findings about the file, each with its line."""

    def __init__(self, file: str):
        self.file = file
        self.found: list[tuple[int, Issue]] = []

    def add(self, level: str, line: int, message: str) -> None:
        where = f"line {line}: " if line else ""
        self.found.append((line, Issue(level, self.file, where + message)))

    def issues(self) -> list[Issue]:
        """The findings in the order of the lines."""
        return [issue for _, issue in sorted(self.found, key=lambda item: item[0])]

    def failed(self) -> bool:
        return any(issue.level == "error" for _, issue in self.found)


def read_label_rows(
    path,  # a CSV: commas, semicolons or tabs, UTF-8 or a spreadsheet's UTF-16
    task: str,  # "ave" or "llp"
    videos: Sequence[str],  # allowed values of the column `file`, with or without extension
    seconds: int,  # T, length of each clip
    lengths: Mapping[str, float] | None = None,  # video -> seconds of the file; None: T
) -> tuple[list[LabelRow], list[Issue]]:
    """The valid rows, in the order of the file, and all findings by line: errors for what cannot be
    used, warnings for two spellings of one event (which become one), notes for unused columns.

    If a file is longer than its clip, the table may label all of it; what lies after the clip is
    left out, with a note.

    Raises `AvbookError` for a file that is missing, empty, or not text."""
    path = Path(path)
    _check_text(path)
    (first, titles), *lines = read_lines(path)
    found = _Findings(path.name)
    needed = (*COLUMNS, MODALITY_COLUMN) if task == "llp" else COLUMNS
    parsed: list[LabelRow] = []
    layout = _layout(titles, needed, lambda message: found.add("error", first, message))
    if layout is None:
        return [], found.issues()
    if layout.unread:
        names = ", ".join(map(repr, layout.unread))
        found.add("note", first, f"not read: the column{'s' * (len(layout.unread) > 1)} {names}")
    reader = _RowReader(task, _VideoNames(videos), seconds, lengths or {}, found)
    for number, text in lines:
        fields = _row_fields(text, layout, number, found)
        row = None if fields is None else reader.read(number, fields)
        if row is not None:
            parsed.append(row)
    reader.tell_together()
    if not parsed and not found.failed():
        found.add("error", first, "no row below the header; expected one for each event")
    rows = _one_spelling(parsed, found)
    _check_repeated(rows, found)
    _check_one_split(rows, found)
    if task == "ave":
        _check_one_event(rows, found)
        _note_modalities(rows, found)
    if len({row.event for row in rows}) > MOST_CLASSES:
        found.add("error", 0, f"more than {MOST_CLASSES:,} different events; are they names?")
    return rows, found.issues()


# ---------------------------------------------------------------------------------- text and titles
def _check_text(path: Path) -> None:
    """AvbookError with the line of the first byte that is not text, and which format to save
    instead."""
    data = read_bytes(path, LONGEST)
    if data.startswith(ZIP):
        raise AvbookError(
            f"{path}: is a spreadsheet or an archive, not a CSV; open it and save it as 'CSV UTF-8'"
        )
    if not data.strip():
        raise AvbookError(
            f"{path}: is empty; expected the titles {','.join(COLUMNS)} and a row for each event"
        )
    if data[:2] in MARKS:
        return
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AvbookError(
            f"{path}: line {line}: not text in UTF-8 (byte 0x{data[error.start]:02x}); save the"
            " table again and choose 'CSV UTF-8' or the encoding UTF-8"
        ) from None


class _Layout(NamedTuple):
    """How a line is split into fields."""

    separator: str
    titles: list[str]
    needed: tuple[str, ...]  # required columns
    optional: tuple[str, ...]
    unread: tuple[str, ...]


def _layout(first: str, needed: tuple[str, ...], fault) -> _Layout | None:
    """The layout in the header line, or None after its errors were reported."""
    titles: list[str] = []
    separator, best = ",", (-1, 0)
    for between in ",;\t":
        fields = [field.casefold() for field in read_fields(first[:10_000], between)]
        told = (len(set(needed) & set(fields)), len(fields))
        if told > best:
            separator, titles, best = between, fields, told
    missing = [title for title in needed if title not in titles]
    if best[0] == 0:
        fault(
            f"found {first[:60]!r}; expected the titles {','.join(needed)} in the first line, above"
            " the rows"
        )
    elif missing:
        names = " and ".join(map(repr, missing))
        fault(
            f"no column {names}; found {', '.join(titles)[:200]}: add it, or rename the column"
            f" that holds it ({','.join(needed)} are needed)"
        )
    twice = [title for title, times in Counter(titles).items() if title in needed and times > 1]
    if twice:
        fault(f"the column {twice[0]!r} is there twice; take one out or rename it")
    if missing or twice:
        return None
    optional = tuple(
        title
        for title in (MODALITY_COLUMN, SPLIT_COLUMN)
        if title in titles and title not in needed
    )
    unread = tuple(title for title in titles if title and title not in (*needed, *optional))
    return _Layout(separator, titles, needed, optional, unread)


def _row_fields(text: str, layout: _Layout, line: int, found: _Findings) -> dict[str, str] | None:
    """Column -> field; None for an empty row, and after an error was reported."""
    try:
        fields = read_fields(text, layout.separator)
    except AvbookError as error:
        found.add("error", line, str(error))
        return None
    if not any(fields):  # an empty row of a spreadsheet
        return None
    count = len(layout.titles)
    while len(fields) > count and not fields[-1]:
        fields.pop()
    if len(fields) != count:
        between = {"\t": "tabs", ",": "commas", ";": "semicolons"}[layout.separator]
        found.add(
            "error",
            line,
            f"{len(fields)} fields, but the titles are {count}, between {between}; quote a field"
            ' that contains one of these, such as "Dog, barking"',
        )
        return None
    row = dict(zip(layout.titles, fields))
    return {title: row[title] for title in (*layout.needed, *layout.optional)}


# -------------------------------------------------------------------------------------- single rows
def _composed(text: str) -> str:
    """The text with composed accents, as most programs write them; Apple's file names have them
    decomposed."""
    return unicodedata.normalize("NFC", text)


class _NoVideo(AvbookError):
    """The folder has no such video."""


class _VideoNames:
    """Finds the video that a field names."""

    def __init__(self, names: Sequence[str]):
        self.names = {_composed(name): name for name in names}

    def find(self, text: str) -> str:
        """The video's name as in `videos.txt`; AvbookError if no video or two videos match."""
        if not text:
            raise AvbookError("the file is empty; write the name of the video")
        last = re.split(r"[/\\]", _composed(text))[-1]
        stem, dot, end = last.rpartition(".")
        bare = stem if dot and end.casefold() in MEDIA else last
        fits = [name for name in dict.fromkeys((last, bare)) if name in self.names]
        if len(fits) == 1:
            return self.names[fits[0]]
        if fits:
            raise AvbookError(
                f"{text[:100]!r} may be the video {fits[0]!r} or {fits[1]!r}; rename one of them"
            )
        raise _NoVideo(f"no video {text[:100]!r} in the folder; {self._hint(bare)}")

    def _hint(self, name: str) -> str:
        folded = {known.casefold(): known for known in self.names}
        near = get_close_matches(name.casefold()[:200], folded, n=2, cutoff=0.6)
        if near:
            return f"did you mean {' or '.join(repr(folded[one]) for one in near)}?"
        return f"it has {listed(self.names)}: correct the name, or take the line out"


class _RowReader:
    """Reads the fields of a row and reports every error."""

    def __init__(
        self,
        task: str,
        names: _VideoNames,
        seconds: int,
        lengths: Mapping[str, float],
        found: _Findings,
    ):
        self.task, self.names, self.seconds, self.found = task, names, seconds, found
        self.lengths = lengths
        self.unknown: dict[str, list[int]] = {}  # lines by unknown video, reported together
        self.behind: list[int] = []  # lines of events after the end of their clip

    def read(self, line: int, fields: dict[str, str]) -> LabelRow | None:
        faults: list[str] = []

        def attempt(call, *arguments):
            try:
                return call(*arguments)
            except _NoVideo as error:
                self.unknown.setdefault(str(error), []).append(line)
            except AvbookError as error:
                faults.append(str(error))
            return None

        video = attempt(self.names.find, fields["file"])
        onset = attempt(_parse_seconds, "onset", fields["onset"])
        offset = attempt(_parse_seconds, "offset", fields["offset"])
        if onset is not None and offset is not None:
            attempt(self._check_span, onset, offset, fields, video)
        event = attempt(self._parse_event, fields["event"])
        modality = attempt(self._parse_modality, fields.get(MODALITY_COLUMN, "both"))
        split = attempt(_parse_split, fields.get(SPLIT_COLUMN, ""))
        for fault in faults:
            self.found.add("error", line, fault)
        if faults or video is None:
            return None
        if onset >= self.seconds:
            self.behind.append(line)
            return None
        end = min(offset, Fraction(self.seconds))
        return LabelRow(video, onset, end, event, modality, line, split)

    def tell_together(self) -> None:
        """Reports errors that occur in many lines once."""
        for fault, lines in self.unknown.items():
            also = f" (and line {listed(lines[1:])})" if lines[1:] else ""
            self.found.add("error", lines[0], f"{fault}{also}")
        if self.behind:
            self.found.add(
                "note",
                self.behind[0],
                f"{len(self.behind)} of the events begin after the {self.seconds} seconds of"
                " their clips; left out",
            )

    def _check_span(
        self, onset: Fraction, offset: Fraction, fields: dict[str, str], video: str | None
    ) -> None:
        start, end = fields["onset"], fields["offset"]
        if offset < onset:
            raise AvbookError(f"the offset {end} lies before the onset {start}; are they swapped?")
        if offset == onset:
            raise AvbookError(
                f"onset and offset are both {start}, so the event has no length; write when it ends"
            )
        length = max(self.lengths.get(video or "", 0.0), self.seconds)
        if offset > Fraction(length) + SLACK:
            what = "clips are" if length == self.seconds else "video is"
            raise AvbookError(
                f"the event ends at {end}, but the {what} {length:g} seconds long; write"
                f" {length:g} at most, or take the line out"
            )

    def _parse_event(self, text: str) -> str:
        event = " ".join(_composed(text).split())
        if not event:
            raise AvbookError(
                "names no event; write one, or remove the line: seconds without one are background"
            )
        if len(event) > LONGEST_NAME or not event.isprintable():
            raise AvbookError(
                f"{event[:60]!r} is not a name of an event; expected up to {LONGEST_NAME} printable"
                " characters"
            )
        if event.casefold() == BACKGROUND:
            raise AvbookError(
                f"{event!r} needs no line, since seconds without one are background; remove it"
            )
        mark = "&" if self.task == "ave" else ","  # separates fields in the official files
        if mark in event:
            raise AvbookError(
                f"the event {event!r} contains '{mark}', which the official files cannot hold;"
                " use another name in all lines"
            )
        return event

    def _parse_modality(self, text: str) -> str:
        word = text.casefold()
        if word not in (*MODALITIES, "audio-visual") and self.task == "llp":
            raise AvbookError(
                f"found {text[:60]!r} as modality; expected audio (only audible), visual (only"
                " visible) or both"
            )
        return "both" if word == "audio-visual" else word


def _parse_split(text: str) -> str:
    """A split's name, or an empty string."""
    word = text.casefold()
    if word and word not in SPLITS:
        raise AvbookError(
            f"found {text[:60]!r} as split; expected {', '.join(SPLITS)}, or nothing to have it"
            " drawn"
        )
    return word


def _parse_seconds(name: str, text: str) -> Fraction:
    """The exact number in the field, with a decimal point or comma."""
    if re.fullmatch(f"-?{NUMBER}", text) and len(text) < 40:
        number = Fraction(text.replace(",", "."))
        if number < 0:
            raise AvbookError(f"the {name} {text} is before the video begins; write 0 or more")
        return number
    found = f"found {text[:60]!r} as {name}" if text else f"the {name} is empty"
    raise AvbookError(
        f"{found}; expected seconds from the beginning, such as 3 or 3.5 (1:05 is 65)"
    )


# ------------------------------------------------------------------------------------ rows together
def _one_spelling(rows: list[LabelRow], found: _Findings) -> list[LabelRow]:
    """The rows with one spelling of each event, the most frequent; adds a warning for each other
    one."""
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        spellings[_event_key(row.event)][row.event] += 1
    chosen = {  # of two equally frequent ones, the first in alphabetical order
        key: min(names, key=lambda name: (-names[name], name)) for key, names in spellings.items()
    }
    lines: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        event = chosen[_event_key(row.event)]
        if row.event != event:
            lines[row.event, event].append(row.line)
    for (other, event), where in lines.items():
        also = f" (and line {listed(where[1:])})" if where[1:] else ""
        found.add("warning", where[0], f"{other!r} is read as {event!r}{also}; use one spelling")
    return [row._replace(event=chosen[_event_key(row.event)]) for row in rows]


def _event_key(event: str) -> str:
    """What two spellings of one event have in common."""
    return "".join(event.split()).casefold()


def _check_repeated(rows: list[LabelRow], found: _Findings) -> None:
    first: dict[tuple, int] = {}
    for row in rows:
        same = first.setdefault(row._replace(line=0, split=""), row.line)
        if same != row.line:
            found.add("error", row.line, f"says the same as line {same}; take one of them out")


def _check_one_split(rows: list[LabelRow], found: _Findings) -> None:
    """Adds an error for each row that puts its video into another split than a row before."""
    first: dict[str, LabelRow] = {}
    for row in (row for row in rows if row.split):
        other = first.setdefault(row.video, row)
        if other.split != row.split:
            found.add(
                "error",
                row.line,
                f"puts {row.video!r} into {row.split}, and line {other.line} into {other.split};"
                " a video is in one split",
            )


def _check_one_event(rows: list[LabelRow], found: _Findings) -> None:
    """Adds an error for each row with another event than the first of its video."""
    first: dict[str, LabelRow] = {}
    for row in rows:
        other = first.setdefault(row.video, row)
        if other.event != row.event:
            found.add(
                "error",
                row.line,
                f"{row.event!r} in {row.video!r}, which has {other.event!r} in line {other.line};"
                " a clip of AVE has one kind of event: keep one of them, or make the features with"
                " `--like llp`, which has room for both",
            )


def _note_modalities(rows: list[LabelRow], found: _Findings) -> None:
    apart = [row.line for row in rows if row.modality in ("audio", "visual")]
    if apart:
        found.add(
            "warning",
            apart[0],
            f"the column {MODALITY_COLUMN} is not read: an AVE event is audible and visible;"
            " events in one modality need `--like llp`",
        )
