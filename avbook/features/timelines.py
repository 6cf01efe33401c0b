"""The timeline of a video: its events with scores, as a JSON file and as lines of a CSV file."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from avbook.common.files import os_fault, write_text
from avbook.common.options import check_int
from avbook.common.schema import Schema, read_json
from avbook.errors import AvbookError
from avbook.features.media import SLACK
from avbook.features.zero_shot import TimelineEvent

__all__ = [
    "MODALITIES",
    "Timeline",
    "events_within",
    "write_timeline",
    "read_timeline",
    "write_csv",
    "shown_name",
]

MODALITIES = ("audio", "visual", "audio-visual")
COLUMNS = ("file", "onset", "offset", "event", "score", "modality")
DIGITS = 4  # decimals of a score


def shown_name(
    path: str | os.PathLike,  # a file; its name may hold undecodable bytes
) -> str:
    """The file's name without its folder; undecodable bytes are escaped."""
    name = os.path.basename(os.fspath(path))
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def events_within(
    events: Iterable[TimelineEvent],
    length: float,  # length of the video in seconds
) -> tuple[TimelineEvent, ...]:
    """The events cut at the video's end, after which there is only padding; less than a quarter of
    a last second does not count."""
    end = max(1, math.ceil(length - SLACK))
    return tuple(
        event._replace(offset=min(event.offset, end)) for event in events if event.onset < end
    )


@dataclass(frozen=True)
class Timeline:
    """The events found in a video, and the model that found them."""

    video: str  # file name, or id of a clip
    seconds: int  # T
    model: str  # "zero-shot", or the recipe, seed and a hash of the weights
    events: tuple[TimelineEvent, ...]  # in the order of their onsets
    task: str | None = None  # "ave" or "llp"; None: categories of neither
    extractors: dict[str, Any] | None = None  # modality -> name, version, weights, seed, dim
    notes: tuple[str, ...] = ()  # notes on the file

    def __post_init__(self):
        check_int(seconds=(self.seconds, 1))
        for event in self.events:
            if not 0 <= event.onset < event.offset <= self.seconds:
                raise AvbookError(
                    f"{self.video}: {event.event} from {event.onset} to {event.offset} s; expected"
                    f" whole seconds from 0 to {self.seconds}, the onset before the offset"
                )
            if event.modality not in MODALITIES:
                raise AvbookError(
                    f"{self.video}: modality {event.modality!r}; expected {', '.join(MODALITIES)}"
                )

    def to_json(self) -> dict[str, Any]:
        """The timeline as JSON values, scores rounded."""
        return {
            "video": self.video,
            "seconds": self.seconds,
            "task": self.task,
            "model": self.model,
            "extractors": self.extractors,
            "notes": list(self.notes),
            "events": [
                {**event._asdict(), "score": round(float(event.score), DIGITS)}
                for event in self.events
            ],
        }


# -------------------------------------------------------------------------------------------- files
class _Event(Schema):
    onset: int
    offset: int
    event: str
    score: float = Field(ge=0, le=1)
    modality: str


class _Timeline(Schema):
    video: str
    seconds: int = Field(ge=1)
    task: str | None = None
    model: str
    extractors: dict[str, Any] | None = None
    notes: list[str] = []
    events: list[_Event]


def write_timeline(
    path: str | os.PathLike,  # ends in .json; its folder is made
    timeline: Timeline,
) -> None:
    """Writes the timeline as JSON, whole or not at all. Raises `AvbookError` if it cannot be
    written."""
    _write(path, json.dumps(timeline.to_json(), indent=1, ensure_ascii=False) + "\n")


def read_timeline(
    path: str | os.PathLike,  # as written by `write_timeline`
) -> Timeline:
    """The timeline. Raises `AvbookError` for another file, and for events outside the video."""
    found = read_json(path, _Timeline, "a timeline", "write it again with `avbook predict`")
    names = TimelineEvent._fields
    events = [TimelineEvent(*(event[name] for name in names)) for event in found["events"]]
    return Timeline(
        video=found["video"],
        seconds=found["seconds"],
        model=found["model"],
        events=tuple(events),
        task=found.get("task"),
        extractors=found.get("extractors"),
        notes=tuple(found.get("notes", ())),
    )


def write_csv(
    path: str | os.PathLike,  # ends in .csv; its folder is made
    timelines: Iterable[Timeline],
) -> None:
    """Writes a line for each event: file, onset, offset, event, score, modality; whole or not at
    all. Raises `AvbookError` if it cannot be written."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for timeline in timelines:
        for event in timeline.events:
            score = f"{event.score:.{DIGITS}f}"
            place = (timeline.video, event.onset, event.offset)
            lines.writerow((*place, event.event, score, event.modality))
    _write(path, text.getvalue())


def _write(path: str | os.PathLike, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise os_fault(path, error) from None
