"""The script of a clip: its sources, second by second, and how it was recorded."""

import re
from dataclasses import dataclass

import numpy as np

from avbook.data.spec import SPLITS
from avbook.errors import AvbookError

__all__ = ["Source", "Clip", "clip_record", "clip_from_record"]


@dataclass(frozen=True, eq=False)
class Source:
    """One thing that can be heard and seen, second by second. Raises AvbookError on unequal masks
    and latents out of range."""

    category: str  # its class
    heard: np.ndarray  # (T,) bool, seconds in which it is audible; read-only
    seen: np.ndarray  # (T,) bool, seconds in which it is in view; read-only
    size: float = 0.5  # 0..1; larger is louder and deeper
    tempo: float = 1.5  # movements, and pulses of its sound, per second
    phase: float = 0.0  # of that movement, in turns
    motion: float = 0.5  # 0..1, how far it moves; livelier is louder
    x: float = 0.5  # 0..1 from left to right
    y: float = 0.5  # 0..1 from top to bottom
    seed: int = 0  # of its other details

    def __post_init__(self):
        for name in ("heard", "seen"):
            mask = _read_only_mask(getattr(self, name), name, self.category)
            object.__setattr__(self, name, mask)
        if self.heard.shape != self.seen.shape:
            raise AvbookError(
                f"source {self.category!r}: heard has {len(self.heard)} seconds "
                f"and seen has {len(self.seen)}; expected equal lengths"
            )
        for name in ("size", "motion", "x", "y"):
            _check_within(getattr(self, name), 0, 1, f"source {self.category!r}: {name}")
        _check_within(self.tempo, 0.05, 20, f"source {self.category!r}: tempo")

    @property
    def event(self) -> np.ndarray:
        """The seconds in which it is both heard and seen: (T,) bool."""
        return self.heard & self.seen


@dataclass(frozen=True, eq=False)
class Clip:
    """The script of one clip: its sources and how it was recorded. Raises AvbookError where the
    parts do not fit together."""

    id: str  # 11 characters, as a video id
    sources: tuple[Source, ...]  # AVE: the main source first
    seed: int = 0  # of background, noise and shake
    lead: float = 0.0  # seconds by which the audio runs ahead of the frames
    snr_db: float = 12.0  # of the sources over the ambient noise
    shake: float = 0.3  # 0..1, of the camera
    split: str = "train"  # "train", "val" or "test"
    seconds: int = 10  # T
    # the whole video's labels; None: the classes of its sources
    labels: tuple[str, ...] | None = None
    file_name: str = ""  # the name in LLP's CSVs; empty: the id followed by _0_T
    difficulty: float = 0.0  # 0..1, of the recording: 1 disturbs the frames most

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9_-]{11}", str(self.id)):
            raise AvbookError(
                f"clip id {self.id!r}: expected 11 characters out of A-Z, a-z, 0-9, '-' and '_'"
            )
        object.__setattr__(self, "sources", tuple(self.sources))
        for source in self.sources:
            if len(source.heard) != self.seconds:
                raise AvbookError(
                    f"clip {self.id}: {source.category!r} has {len(source.heard)} seconds, "
                    f"the clip {self.seconds}; expected equal lengths"
                )
        if self.split not in SPLITS:
            raise AvbookError(
                f"clip {self.id}: split is {self.split!r}; expected one of {', '.join(SPLITS)}"
            )
        _check_within(self.lead, -0.9, 0.9, f"clip {self.id}: lead")
        _check_within(self.shake, 0, 1, f"clip {self.id}: shake")
        _check_within(self.difficulty, 0, 1, f"clip {self.id}: difficulty")
        labels = self.labels
        if labels is None:
            labels = tuple(dict.fromkeys(source.category for source in self.sources))
        object.__setattr__(self, "labels", tuple(labels))
        object.__setattr__(self, "file_name", self.file_name or f"{self.id}_0_{self.seconds}")


def clip_record(
    clip: Clip,
) -> dict:
    """The clip as plain values, fit for one line of JSON; `clip_from_record` takes it back,
    exactly."""
    sources = [
        vars(one) | {"heard": _as_text(one.heard), "seen": _as_text(one.seen)}
        for one in clip.sources
    ]
    return vars(clip) | {"sources": sources, "labels": list(clip.labels or ())}


def clip_from_record(
    record: dict,  # what `clip_record` gave
) -> Clip:
    """The clip of a record. Raises AvbookError where fields are missing or unknown."""
    try:
        sources = [
            Source(**one | {"heard": _as_bits(one["heard"]), "seen": _as_bits(one["seen"])})
            for one in record["sources"]
        ]
        return Clip(**record | {"sources": tuple(sources), "labels": tuple(record["labels"])})
    except AvbookError:
        raise
    except (TypeError, KeyError, ValueError) as error:
        id = record.get("id", "?") if isinstance(record, dict) else "?"
        raise AvbookError(
            f"record of clip {id!r}: {error}; expected the fields of Clip and Source"
        ) from None


def _as_text(mask) -> str:
    """A mask as a string of 0 and 1."""
    return "".join("01"[int(on)] for on in mask)


def _as_bits(text) -> list[int]:
    return [int(bit) for bit in text]


def _read_only_mask(values, name, category):
    mask = np.array(values)
    if mask.ndim != 1 or mask.size == 0 or not np.isin(mask, (0, 1)).all():
        raise AvbookError(
            f"source {category!r}: {name} has shape {mask.shape}; "
            "expected one true or false per second"
        )
    mask = mask.astype(bool)
    mask.flags.writeable = False
    return mask


def _check_within(value, low, high, what):
    if not low <= value <= high:
        raise AvbookError(f"{what} is {value}; expected a number from {low} to {high}")
