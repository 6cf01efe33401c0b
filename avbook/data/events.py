"""Events and label matrices of AVE and LLP: onsets and offsets to zeros and ones, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from avbook.errors import AvbookError

__all__ = [
    "BACKGROUND",
    "SECONDS",
    "AVE_CATEGORIES",
    "LLP_CATEGORIES",
    "all_runs",
    "runs",
    "class_index",
    "whole",
    "Event",
    "ave_labels",
    "one_hot_index",
    "ave_events",
    "llp_labels",
    "llp_events",
    "masks",
    "draw",
]

BACKGROUND = "background"  # the name of AVE's extra class, always the last index
SECONDS = 10  # segments of one second in a clip of either data set

# the order of first appearance in AVE's annotation file
AVE_CATEGORIES = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Truck",
    "Shofar",
    "Motorcycle",
    "Acoustic guitar",
    "Train horn",
    "Clock",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Bus",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Rodents, rats, mice",
    "Accordion",
    "Mandolin",
)
# the order of the list that LLP's authors share
LLP_CATEGORIES = (
    "Speech",
    "Car",
    "Cheering",
    "Dog",
    "Cat",
    "Frying_(food)",
    "Basketball_bounce",
    "Fire_alarm",
    "Chainsaw",
    "Cello",
    "Banjo",
    "Singing",
    "Chicken_rooster",
    "Violin_fiddle",
    "Vacuum_cleaner",
    "Baby_laughter",
    "Accordion",
    "Lawn_mower",
    "Motorcycle",
    "Helicopter",
    "Acoustic_guitar",
    "Telephone_bell_ringing",
    "Baby_cry_infant_cry",
    "Blender",
    "Clapping",
)


# --------------------------------------------------------------------------------------------- runs
def all_runs(
    mask,  # (..., T) of zeros and ones, or booleans
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The row, onset and offset of every maximal run of ones along the last axis, ordered by row,
    then onset.

    The offset is exclusive. Rows count the flattened other axes."""
    mask = np.asarray(mask) != 0
    rows = mask.reshape(-1, mask.shape[-1])
    padded = np.zeros((len(rows), rows.shape[1] + 2), dtype=np.int8)  # (R, T+2)
    padded[:, 1:-1] = rows
    step = np.diff(padded, axis=1)  # (R, T+1): +1 where a run starts, -1 just after it ends
    row, onset = np.nonzero(step == 1)
    _, offset = np.nonzero(step == -1)
    return row, onset, offset


def runs(
    mask,  # (T,) of zeros and ones, or booleans
) -> list[tuple[int, int]]:
    """The maximal runs of ones in a row as (onset, offset) pairs, offset exclusive, in order of
    time. A mask with more than one row raises `AvbookError`."""
    mask = np.asarray(mask)
    if mask.ndim != 1:
        raise AvbookError(
            f"runs() got an array of shape {mask.shape}: expected one row of T segments; use"
            " all_runs() for many"
        )
    _, onset, offset = all_runs(mask)
    return list(zip(onset.tolist(), offset.tolist()))


# ------------------------------------------------------------------------------------------- events
def class_index(
    category: str,  # a class name
    categories: Sequence[str],  # the class list it should be in
) -> int:
    """The index of `category` in `categories`; an unknown name raises `AvbookError` with the
    nearest known ones."""
    categories = list(categories)
    try:
        return categories.index(category)
    except ValueError:
        near = get_close_matches(str(category), categories, n=2, cutoff=0.5)
        hint = "check the spelling or pass its own class list"
        if near:
            hint = f"did you mean {' or '.join(map(repr, near))}?"
        raise AvbookError(
            f"unknown category {category!r}: not one of the {len(categories)} classes; {hint}"
        ) from None


def whole(
    value,
    what: str,  # its name in the message
) -> int:
    """`value` as an int if it is a whole number of seconds; anything else raises `AvbookError`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or number != int(number):
        raise AvbookError(f"{what} is {value!r}: expected a whole number of seconds")
    return int(number)


@dataclass(frozen=True, order=True)
class Event:
    """One category in the segments onset, onset + 1, …, offset - 1.

    An empty category, an onset below 0 or an offset that is not after the onset raises
    `AvbookError`."""

    category: str  # a class name
    onset: int  # the first segment, counted from 0
    offset: int  # the segment after the last one

    def __post_init__(self):
        if not isinstance(self.category, str) or not self.category:
            raise AvbookError(f"an event's category is {self.category!r}: expected a class name")
        for name in ("onset", "offset"):
            value = whole(getattr(self, name), f"{name} of {self.category!r}")
            object.__setattr__(self, name, value)
        if self.onset < 0:
            raise AvbookError(
                f"event {self.category!r} starts at second {self.onset}, before its clip: expected"
                " an onset of 0 or more"
            )
        if self.onset >= self.offset:
            raise AvbookError(
                f"event {self.category!r} has onset {self.onset} and offset {self.offset}: expected"
                " onset < offset (the offset is exclusive); swap or drop it"
            )

    @property
    def seconds(self) -> int:
        """How many segments the event covers."""
        return self.offset - self.onset

    def within(
        self,
        seconds: int = SECONDS,  # length of the clip
        categories: Sequence[str] | None = None,  # the class list, to check the name too
    ) -> Event:
        """The event itself if it ends inside the clip and its category is known; otherwise raises
        `AvbookError`."""
        if self.offset > seconds:
            raise AvbookError(
                f"event {self.category!r} ends at second {self.offset}, after its clip of {seconds}"
                " s: cut it or drop it"
            )
        if categories is not None:
            class_index(self.category, categories)
        return self


# ---------------------------------------------------------------------------------------------- AVE
def ave_labels(
    category,  # class index, or (N,) of them
    onset,  # first event segment, or (N,)
    offset,  # segment after the last, or (N,); equal to onset: no event at all
    seconds: int = SECONDS,  # T
    categories: int = len(AVE_CATEGORIES),  # C, without background
) -> np.ndarray:
    """One-hot segment labels (T, C+1), or (N, T, C+1) for arrays: float32, background last.

    An empty span (onset == offset, one row of the official annotations) is background throughout. A
    class outside 0..C-1, or a span that is inverted or leaves the clip, raises `AvbookError` with
    the first such row."""
    category, onset, offset = np.broadcast_arrays(
        *(np.asarray(value) for value in (category, onset, offset))
    )
    _check_spans(category, onset, offset, seconds, categories)
    time = np.arange(seconds)
    event = (time >= onset[..., None]) & (time < offset[..., None])  # (..., T)
    index = np.where(event, category[..., None], categories)  # (..., T), background = C
    return np.eye(categories + 1, dtype=np.float32)[index.astype(np.int64)]  # (..., T, C+1)


def _check_spans(category, onset, offset, seconds: int, categories: int) -> None:
    for name, value in (("category", category), ("onset", onset), ("offset", offset)):
        if value.dtype.kind not in "iufb" or not np.array_equal(value, np.floor(value)):
            raise AvbookError(
                f"ave_labels() got a {name} that is not a whole number: expected class indices and"
                " whole seconds"
            )
    unknown = (category < 0) | (category >= categories)
    outside = (onset < 0) | (offset > seconds)
    for bad, expected in (
        (unknown, f"expected a class index in 0..{categories - 1}"),
        (onset > offset, "expected onset <= offset"),
        (outside, f"expected a span inside the clip of {seconds} s"),
    ):
        if bad.any():
            row = tuple(np.argwhere(bad)[0])
            where = f"row {row[0]}: " if row else ""
            span = f"{int(onset[row])}-{int(offset[row])}"
            raise AvbookError(f"{where}category {int(category[row])}, span {span}: {expected}")


def one_hot_index(
    labels,  # (..., C+1) one-hot
) -> np.ndarray:
    """The class index (...) of each one-hot row; anything that is not one-hot raises
    `AvbookError`."""
    labels = np.asarray(labels)
    binary = ((labels == 0) | (labels == 1)).all()
    if labels.ndim < 1 or not binary or not (labels.sum(-1) == 1).all():
        raise AvbookError(
            f"labels of shape {labels.shape} are not one-hot: expected exactly one 1 in each"
            " segment's row"
        )
    return labels.argmax(-1)


def ave_events(
    labels,  # (T, C+1) one-hot, or (T,) class indices; background last
    categories: Sequence[str] = AVE_CATEGORIES,  # the C names
) -> list[Event]:
    """The events in a clip's labels, ordered by onset: one for each maximal run of one category.
    Labels of another shape, or not one-hot, raise `AvbookError`."""
    labels, count = np.asarray(labels), len(categories)
    if labels.ndim == 2 and labels.shape[1] != count + 1:
        raise AvbookError(
            f"labels of shape {labels.shape} do not fit {count} classes: expected (T, {count + 1}),"
            " background last"
        )
    index = one_hot_index(labels) if labels.ndim == 2 else labels
    if index.ndim != 1 or (index.size and not 0 <= index.min() <= index.max() <= count):
        raise AvbookError(
            f"labels of shape {labels.shape}: expected (T, {count + 1}) one-hot or (T,) class"
            f" indices in 0..{count}"
        )
    return llp_events(index[:, None] == np.arange(count), categories)


# ---------------------------------------------------------------------------------------------- LLP
def llp_labels(
    events: Iterable[Event],  # of one modality of one clip
    categories: Sequence[str] = LLP_CATEGORIES,  # the C names
    seconds: int = SECONDS,  # T
) -> np.ndarray:
    """Multi-hot segment labels (T, C), float32: 1 where an event of the class covers the segment.

    An unknown category or an event that leaves the clip raises `AvbookError`."""
    labels = np.zeros((seconds, len(categories)), dtype=np.float32)
    for event in events:
        event.within(seconds)
        labels[event.onset : event.offset, class_index(event.category, categories)] = 1
    return labels


def llp_events(
    labels,  # (T, C) of zeros and ones
    categories: Sequence[str] = LLP_CATEGORIES,  # the C names
) -> list[Event]:
    """The events in one modality's labels, ordered by onset, then class: one for each maximal run
    of each class. Labels of another shape, or not of zeros and ones, raise `AvbookError`."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[1] != len(categories):
        raise AvbookError(
            f"labels of shape {labels.shape} do not fit {len(categories)} classes: expected (T,"
            f" {len(categories)})"
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise AvbookError(
            f"labels of shape {labels.shape} hold other values than 0 and 1: threshold"
            " probabilities first"
        )
    row, onset, offset = all_runs(labels.T)
    order = np.lexsort((row, onset))
    return [Event(categories[row[i]], int(onset[i]), int(offset[i])) for i in order]


# ---------------------------------------------------------------------------------------- timelines
def masks(
    events: Iterable[Event],  # of one clip
    seconds: int = SECONDS,  # T
) -> dict[str, np.ndarray]:
    """A (T,) boolean mask for each category that occurs, in order of first occurrence: what `draw`
    and the figures take."""
    rows: dict[str, np.ndarray] = {}
    for event in events:
        event.within(seconds)
        mask = rows.setdefault(event.category, np.zeros(seconds, dtype=bool))
        mask[event.onset : event.offset] = True
    return rows


def draw(
    rows: Mapping[str, np.ndarray] | Iterable[Event],  # named (T,) masks, or events
    seconds: int = SECONDS,  # T, where events are given
    on: str = "█",  # a segment with the event
    off: str = "·",  # a segment without
    width: int = 2,  # characters a segment
) -> str:
    """The timeline as text: a ruler in seconds, then one bar for each row. Masks of different
    lengths raise `AvbookError`."""
    if not isinstance(rows, Mapping):
        rows = masks(rows, seconds)
    rows = {str(name): np.asarray(mask) for name, mask in rows.items()}
    lengths = {mask.shape for mask in rows.values()} or {(seconds,)}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise AvbookError(
            f"draw() got rows of shapes {sorted(lengths)}: expected (T,) masks of one length"
        )
    ((length,),) = lengths
    margin = max(map(len, rows), default=0)
    digits = len(str(length - 1))
    step = -(-(digits + 1) // width)  # seconds between two numbers, so that they never touch
    ruler = "".join(str(second).ljust(step * width) for second in range(0, length, step))
    lines = [" " * margin + "  " + ruler.rstrip()]
    for name, mask in rows.items():
        bar = "".join((on if value else off) * width for value in mask)
        lines.append(f"{name.rjust(margin)}  {bar}")
    return "\n".join(lines)
