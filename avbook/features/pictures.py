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
UNEVEN = 1.5  # ratio of the longest to the shortest step between frames at a variable rate


@dataclass(frozen=True)
class Frame:
    """A decoded frame."""

    index: int  # 0, 1, … in decoding order
    time: float  # seconds from the clip's beginning
    rgb: np.ndarray  # (H, W, 3) uint8


@dataclass
class Sampler:
    """Takes the frames that are shown at given times; besides those it holds only one."""

    path: str
    grid: Iterator[float]  # requested times in seconds, ascending; may be infinite
    transform: Callable[[np.ndarray], np.ndarray] | None = None  # applied to each frame taken
    times: list[float] = field(default_factory=list)  # times of the frames taken
    arrays: list[np.ndarray] = field(default_factory=list)  # the frames taken
    tally: Tally = field(default_factory=Tally)  # counts of the decoding
    stopped: bool = False  # whether a limit came before the stream's end
    turned: bool = False  # whether frames are stored rotated or mirrored
    shortest: float = inf  # shortest step between frames in seconds
    longest: float = 0.0

    def __post_init__(self):
        self._wanted = next(self.grid, inf)
        self._shown = self._array = None  # av's frame, and its array once it was requested
        self._start = inf  # start of that frame in seconds
        self._bytes = 0
        self._size = (0, 0)  # height and width of the first frame: later ones may differ

    def show(
        self,
        start: float,  # seconds
        frame,  # av.VideoFrame
    ) -> None:
        """Shows the frame from this time on, and the one before it up to then."""
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
        """Takes the frame that is shown for each requested time before `end`.

        Raises `AvbookError` if the frames taken exceed `LARGEST` bytes."""
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
        seconds: float,  # length of the clip
    ) -> list[str]:
        """Short sentences on what was found."""
        notes = _notes(self.tally, self.stopped)
        if self.turned:
            notes.append("video is stored rotated or mirrored: shown upright")
        if self.longest > UNEVEN * self.shortest and not self.tally.lost:
            slow, fast = 1 / self.longest, 1 / self.shortest
            notes.append(f"variable frame rate: {slow:.3g} to {fast:.3g} frames per second")
        if self.tally.first > GAP:
            notes.append(f"video begins at {self.tally.first:.2f} s: its first frame before it")
        if seconds - self.tally.end > SLACK and not self.stopped:
            notes.append(f"video ends at {self.tally.end:.2f} s: its last frame after it")
        return notes


def sample_frames(
    media: Media,  # with a `video` stream
    grid: Iterator[float],  # requested times in seconds, ascending; may be infinite
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    limit: float = inf,  # seconds to decode
) -> Sampler:
    """The `Sampler` of the decoded video: it has taken the requested times up to the start of the
    last frame, and `take` takes that frame for later times.

    Raises `AvbookError` if no frame can be decoded."""
    sampler = Sampler(media.path, grid, transform)
    for start, frame in media.frames(media.video, sampler.tally):
        if start >= limit:
            sampler.stopped = True
            break
        sampler.show(start, frame)
    check_decoded(media, sampler.tally)
    return sampler


def cut_note(
    notes: Sequence[str],  # on the video stream
    length: float,  # seconds decoded of both streams, to their ends
    header: float,  # seconds in the file's header; 0: not stated
) -> list[str]:
    """A note if less was decoded than the header states, unless another note says so."""
    if header - length <= SLACK or any(note.startswith("cut short") for note in notes):
        return []
    return [f"cut short: {length:.2f} s of the announced {header:.2f} s"]


def check_decoded(
    media: Media,
    tally: Tally,  # counts of its video stream
) -> None:
    """Raises `AvbookError` if no frame was decoded."""
    if not tally.frames:
        raise AvbookError(
            f"{media.path}: no frame of it can be decoded, {tally.lost} are damaged;"
            " expected a playable video: copy or download it again"
        )


def _notes(tally: Tally, stopped: bool = False) -> list[str]:
    """Short sentences on damaged or missing frames."""
    notes, total = [], tally.frames + tally.lost
    if tally.lost:
        notes.append(f"video is damaged: {tally.lost} of {total} frames lost")
    if tally.concealed:
        notes.append(f"video is damaged: {tally.concealed} of {total} frames show it")
    if tally.jumps:
        notes.append(f"timestamps of the video leap {tally.jumps} times: joined")
    if tally.announced > total and not stopped:
        notes.append(f"cut short: {total} of the {tally.announced} announced frames")
    elif tally.unreadable and not stopped:
        notes.append("cut short: the file cannot be read to its end")
    return notes


def iter_frames(
    path,  # a video file
    wanted: Collection[int] | None = None,  # indices of the requested frames; None: all
    notes: list[str] | None = None,  # collects sentences on damage, after the last frame
) -> Iterator[Frame]:
    """Every decodable frame, in order, one at a time, for recipes that choose by index.

    Other frames are not converted, and decoding stops after the last requested one. Raises
    `AvbookError`: no such file, not a video, no video stream, no PyAV."""
    last = inf if wanted is None else max(wanted, default=-1)
    with closing(_numbered(path, notes)) as frames:
        for index, time, frame in frames:
            if index > last:
                return
            if wanted is None or index in wanted:
                yield Frame(index, time, rgb(frame))


def count_frames(
    path,  # a video file
    notes: list[str] | None = None,  # collects sentences on damage
) -> int:
    """The number of frames that can be decoded, counted by decoding: a file's header may be wrong.

    Raises `AvbookError` as `iter_frames` does."""
    return sum(1 for _ in _numbered(path, notes))


def _numbered(path, notes: list[str] | None) -> Generator[tuple]:
    """Index, time and av's frame of each frame."""
    with open_media(path) as media:
        media.check_picture()
        tally = Tally()
        for index, (time, frame) in enumerate(media.frames(media.video, tally)):
            yield index, time, frame
        check_decoded(media, tally)
        if notes is not None:
            notes.extend(_notes(tally))
