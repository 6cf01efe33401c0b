"""The frames of a video file: all in order, one at a time, or those shown at given times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ..errors import AvbookError
from .media import GAP, SLACK, Media, Tally, open_media, orientation, rgb

__all__ = ["Frame", "Sampler", "sample_frames", "check_decoded", "iter_frames", "count_frames"]

LARGEST = 2**31  # bytes of the frames that are taken
UNEVEN = 1.5  # longest step between frames over the shortest, from which the rate is variable


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    index: int  # 0, 1, … as they come
    time: float  # seconds from the clip's beginning
    rgb: np.ndarray  # (H, W, 3) uint8


@dataclass
class Sampler:
    """Takes the frames that are shown at wanted times; beyond those it holds one."""

    path: str
    grid: Iterator[float]  # wanted times in seconds, ascending; may be endless
    transform: Callable[[np.ndarray], np.ndarray] | None = None  # of each frame taken
    times: list[float] = field(default_factory=list)  # at which frames were taken
    arrays: list[np.ndarray] = field(default_factory=list)  # those frames
    tally: Tally = field(default_factory=Tally)  # of the decoding
    stopped: bool = False  # at a limit, before the stream's end
    turned: bool = False  # the picture is stored turned or mirrored
    shortest: float = inf  # seconds from one frame to the next
    longest: float = 0.0

    def __post_init__(self):
        self._wanted = next(self.grid, inf)
        self._shown = self._array = None  # av's frame, and what was made of it once it was wanted
        self._start = inf  # seconds at which that frame begins
        self._bytes = 0
        self._size = (0, 0)  # height and width of the first: a picture may change its size

    def show(
        self,
        start: float,  # seconds
        frame,  # av.VideoFrame
    ) -> None:
        """The frame is shown from then on; the one before it was up to then."""
        if self._shown is None:
            self._size = (frame.height, frame.width)
            self.turned = orientation(frame) != (1, 1, False)
        elif start > self._start:
            self.take(start)
            self.shortest = min(self.shortest, start - self._start)
            self.longest = max(self.longest, start - self._start)
        self._shown, self._array, self._start = frame, None, start

    def take(
        self,
        end: float,  # seconds
    ) -> None:
        """Takes the frame that is shown for each wanted time before `end`.

        Raises `AvbookError` where the frames taken fill more than `LARGEST`."""
        while self._wanted < end:
            if self._array is None:
                self._array = rgb(self._shown, *self._size)
                if self.transform is not None:
                    self._array = np.asarray(self.transform(self._array))
            self.times.append(self._wanted)
            self.arrays.append(self._array)
            self._bytes += self._array.nbytes
            if self._bytes > LARGEST:
                height, width = self._size
                raise AvbookError(
                    f"{self.path}: {len(self.arrays)} frames of {width}x{height} fill over"
                    f" {LARGEST / 2**30:g} GiB, up to {self.times[-1]:.0f} s; make them smaller"
                    " (transform), or take fewer (fps, seconds, times)"
                )
            self._wanted = next(self.grid, inf)

    def notes(
        self,
        seconds: float,  # of the clip
    ) -> list[str]:
        """Short sentences on what was found."""
        notes = _notes(self.tally, self.stopped)
        if self.turned:
            notes.append("picture is stored turned or mirrored: shown upright")
        if self.longest > UNEVEN * self.shortest and not self.tally.lost:
            slow, fast = 1 / self.longest, 1 / self.shortest
            notes.append(f"variable frame rate: {slow:.3g} to {fast:.3g} frames per second")
        if self.tally.first > GAP:
            notes.append(f"picture begins at {self.tally.first:.2f} s: its first frame before it")
        if seconds - self.tally.end > SLACK and not self.stopped:
            notes.append(f"picture ends at {self.tally.end:.2f} s: its last frame after it")
        return notes


def sample_frames(
    media: Media,  # with a `video` stream
    grid: Iterator[float],  # wanted times in seconds, ascending; may be endless
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    limit: float = inf,  # seconds to decode
) -> Sampler:
    """The decoded picture's `Sampler`: wanted times up to the start of the last frame are taken,
    and `take` takes that frame for those after it.

    Raises `AvbookError` where no frame can be decoded."""
    sampler = Sampler(media.path, grid, transform)
    for start, frame in media.frames(media.video, sampler.tally):
        if start >= limit:
            sampler.stopped = True
            break
        sampler.show(start, frame)
    check_decoded(media, sampler.tally)
    return sampler


def cut_note(
    notes: Sequence[str],  # on the picture
    length: float,  # seconds that came of both streams, decoded to their ends
    header: float,  # seconds that the file's header says; 0: it does not say
) -> list[str]:
    """A sentence where less came than the header says, unless another tells it."""
    if header - length <= SLACK or any(note.startswith("cut short") for note in notes):
        return []
    return [f"cut short: {length:.2f} s came of {header:.2f} s announced"]


def check_decoded(
    media: Media,
    tally: Tally,  # of its picture
) -> None:
    """Nothing; raises `AvbookError` where no frame came."""
    if not tally.frames:
        raise AvbookError(
            f"{media.path}: no frame of its picture can be decoded, {tally.lost} are damaged;"
            " expected a video that plays: copy or download it again"
        )


def _notes(tally: Tally, stopped: bool = False) -> list[str]:
    """Short sentences on what of the picture is damaged or missing."""
    notes, total = [], tally.frames + tally.lost
    if tally.lost:
        notes.append(f"picture is damaged: {tally.lost} of {total} frames lost")
    if tally.concealed:
        notes.append(f"picture is damaged: {tally.concealed} of {total} frames show it")
    if tally.jumps:
        notes.append(f"timestamps of the picture leap {tally.jumps} times: joined")
    if tally.announced > total and not stopped:
        notes.append(f"cut short: {total} frames came of {tally.announced} announced")
    elif tally.unreadable and not stopped:
        notes.append("cut short: the file cannot be read to its end")
    return notes


def iter_frames(
    path,  # a video file
    wanted: Collection[int] | None = None,  # indices of the frames to give; None: all
    notes: list[str] | None = None,  # gets sentences on damage, once the last frame was given
) -> Iterator[Frame]:
    """Every frame that can be decoded, in order, one at a time, for recipes that choose by index.

    Frames that are not wanted are not converted, and none is decoded after the last wanted one.
    Raises `AvbookError`: no such file, no video in it, no picture, no PyAV."""
    last = inf if wanted is None else max(wanted, default=-1)
    with closing(_numbered(path, notes)) as frames:
        for index, time, frame in frames:
            if index > last:
                return
            if wanted is None or index in wanted:
                yield Frame(index, time, rgb(frame))


def count_frames(
    path,  # a video file
    notes: list[str] | None = None,  # gets sentences on damage
) -> int:
    """How many frames can be decoded, by decoding them: what a file's header says may be wrong.

    Raises `AvbookError` as `iter_frames` does."""
    return sum(1 for _ in _numbered(path, notes))


def _numbered(path, notes: list[str] | None) -> Generator[tuple]:
    """Index, time and av's frame of each."""
    with open_media(path) as media:
        media.check_picture()
        tally = Tally()
        for index, (time, frame) in enumerate(media.frames(media.video, tally)):
            yield index, time, frame
        check_decoded(media, tally)
        if notes is not None:
            notes.extend(_notes(tally))
