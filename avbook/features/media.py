"""A media file opened with PyAV: its streams, their frames in order and on the clip's time, and how
much of it is damaged."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any, BinaryIO

import numpy as np

from ..common.files import check_regular, os_fault
from ..errors import AvbookError

__all__ = [
    "GAP",
    "SLACK",
    "LONGEST_GAP",
    "Tally",
    "Media",
    "load_av",
    "frame_rate",
    "open_media",
    "orientation",
    "rgb",
]

GAP = 0.1  # seconds without picture or sound that count; less may be a timestamp's error
SLACK = 0.25  # seconds that a last second may lack and still count as whole
LONGEST_GAP = 600.0  # seconds; a timestamp that leaps further is taken for wrong
BACKWARDS = 1.0  # seconds; so is one that goes back further, as where two recordings were joined
HEADERS = {"mov", "matroska", "avi", "flv", "asf"}  # formats that say how long they are
COVER = 0x400  # disposition of a picture that is no video: the cover of a song
EXPECTED = "expected a video (mp4, mov, mkv, webm, avi, …)"
OTHER = f"{EXPECTED}: give another file"


def load_av() -> Any:
    """The module `av` (PyAV). Raises `AvbookError` where it is not installed."""
    try:
        import av
    except ImportError:
        raise AvbookError(
            'videos are read with PyAV, which is not installed: `pip install "avbook[clips]"`'
        ) from None
    return av


class _Source:
    """The bytes of an open file and no name: FFmpeg takes a text file whose name ends in .txt for a
    video of its letters, and a name with a colon for a protocol."""

    def __init__(self, file: BinaryIO):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


@dataclass
class Tally:
    """What came of a stream, counted while it is decoded."""

    announced: int = 0  # frames that the file's header says there are; 0: it does not say
    frames: int = 0  # that were decoded
    lost: int = 0  # packets that could not be decoded; a picture's packet is one frame
    concealed: int = 0  # frames that came, but damaged
    jumps: int = 0  # timestamps that were taken for wrong
    unreadable: bool = False  # the file could not be read to its end
    first: float = 0.0  # seconds: start of the first frame
    end: float = 0.0  # seconds: end of the last one


@dataclass
class Media:
    """An open media file, from `open_media`."""

    path: str
    container: Any  # av.container.InputContainer
    video: Any = None  # the picture's stream; None: there is none that can be decoded
    audio: Any = None  # the sound's stream; likewise
    unknown: tuple[str, ...] = ()  # "video", "audio": is there, in a codec that PyAV does not know
    begin: float = 0.0  # seconds: the file's own time at which the clip begins

    @property
    def announced(self) -> float | None:
        """Seconds that the file says it lasts; None where it does not say."""
        length = self.container.duration
        return None if length is None or length <= 0 else length / 1e6

    @property
    def header(self) -> float:
        """Seconds that the file's header says; 0 where it says nothing, and where FFmpeg takes the
        length from what it finds, or guesses it."""
        told = HEADERS & set(self.container.format.name.split(","))
        return self.announced or 0.0 if told else 0.0

    def check_picture(self) -> None:
        """Nothing; raises `AvbookError` where the file has no picture that can be decoded."""
        self._check("video", "picture", "; give a video, or read its sound alone")

    def check_sound(self) -> None:
        """Nothing; raises `AvbookError` where the file has no sound that can be decoded."""
        self._check("audio", "sound", "; give a file with sound")

    def _check(self, kind: str, what: str, advice: str) -> None:
        if kind in self.unknown:
            raise AvbookError(
                f"{self.path}: its {what} is in a codec that PyAV has no decoder for;"
                " expected one that FFmpeg knows: convert the file, as to H.264 and AAC"
            )
        if getattr(self, kind) is None:
            others = ", ".join(sorted({str(s.type) for s in self.container.streams})) or "nothing"
            form = self.container.format.name
            raise AvbookError(f"{self.path}: no {what} in it (a {form} file with {others}){advice}")

    def frames(
        self,
        stream,  # `video` or `audio`
        tally: Tally,  # is filled in
    ) -> Iterator[tuple[float, Any]]:
        """Start in seconds from the clip's beginning, and av's frame, of every frame that can be
        decoded, in order. A damaged packet is counted and passed over."""
        shift, following, tally.announced = self.begin, 0.0, stream.frames
        for frame in self._decoded(stream, tally):
            start = following if frame.time is None else frame.time - shift
            if not -BACKWARDS <= start - following <= LONGEST_GAP:
                tally.jumps += 1
                shift += start - following
                start = following
            if not tally.frames:
                tally.first = start
            tally.frames += 1
            following = start + _usual_length(frame, stream)
            tally.end = max(following, start + _length(frame, stream, shift + start))
            yield start, frame

    def _decoded(self, stream, tally: Tally) -> Iterator[Any]:
        """Frames, decoded packet by packet: `container.decode` would stop at the first bad one."""
        av = load_av()
        packets = self.container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:  # a file that was cut off
                tally.unreadable, packet = True, None
            try:
                found = packet.decode() if packet else stream.codec_context.decode(None)
            except av.FFmpegError:
                tally.lost += 1
                found = []
            for frame in found:
                tally.concealed += bool(frame.is_corrupt)
                yield frame
            if packet is None:
                return


def _usual_length(frame, stream) -> float:
    """Seconds that a frame of the stream lasts at an even rate; at most one for a picture, as a
    damaged header may say years."""
    if stream.type == "audio":
        return frame.samples / frame.sample_rate
    return min(1.0, 1 / float(stream.guessed_rate or stream.average_rate or 25))


def _length(frame, stream, time: float) -> float:
    """Seconds that the frame, shown from that time of the file on, says it lasts; at most to the
    stream's end, since at a variable rate mp4 gives the lengths in the order of decoding."""
    if stream.type == "audio" or not frame.duration or not frame.time_base:
        return 0.0
    length = min(LONGEST_GAP, float(frame.duration * frame.time_base))
    if stream.duration:
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        length = min(length, float(end) - time)
    return length


def rgb(
    frame,  # av.VideoFrame
    height: int = 0,  # of the frame as stored; 0: as it is
    width: int = 0,
) -> np.ndarray:
    """The picture as one sees it, (height, width, 3) uint8: 8 bits a channel, and turned or
    mirrored as the file asks, which PyAV leaves to its user."""
    array = frame.to_ndarray(format="rgb24", height=height or None, width=width or None)
    across, down, swapped = orientation(frame)
    if swapped:
        array = array.transpose(1, 0, 2)
    return np.ascontiguousarray(array[::down, ::across])


def orientation(
    frame,  # av.VideoFrame
) -> tuple[int, int, bool]:
    """How the stored picture is shown: steps (1 or -1) along columns and rows, and whether rows and
    columns are exchanged before. From the display matrix, as `frame.rotation` takes a picture that
    is mirrored for one that is turned by 180 degrees."""
    data = frame.side_data.get("DISPLAYMATRIX") if len(frame.side_data) else None
    if data is None:
        return 1, 1, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(a) >= abs(b):  # x' = a·x, y' = d·y
        return (-1 if a < 0 else 1), (-1 if d < 0 else 1), False
    return (-1 if c < 0 else 1), (-1 if b < 0 else 1), True  # x' = c·y, y' = b·x


def frame_rate(
    fps,  # frames per second: an int, a float, a fraction
) -> Fraction:
    """The rate as a fraction. Raises `AvbookError` unless it is above 0 and at most 1000."""
    if isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < float(fps) <= 1000:
        raise AvbookError(f"fps={fps!r}: expected a number above 0, at most 1000")
    return Fraction(float(fps)).limit_denominator(1001)


@contextmanager
def open_media(
    path,  # a file's path; any name
) -> Iterator[Media]:
    """The open file as `Media`; closed when the block ends.

    Raises `AvbookError`: no such file, no video or sound in it (with what it is), no PyAV."""
    av = load_av()
    size = check_regular(path).st_size
    try:
        with open(path, "rb") as file:
            if not size:
                raise AvbookError(f"{path}: an empty file; {EXPECTED}: copy or download it again")
            try:  # nothing but these bytes: a playlist must not open other files
                container = av.open(_Source(file), container_options={"protocol_whitelist": "none"})
            except (av.FFmpegError, UnicodeError) as error:
                raise AvbookError(f"{path}: {_what(path, file, error)}") from None
            with container:
                yield _media(str(path), container)
    except av.FFmpegError as error:
        raise AvbookError(f"{path}: cannot be decoded ({error.strerror}); {EXPECTED}") from None
    except OSError as error:
        raise os_fault(path, error) from None


def _media(path: str, container) -> Media:
    """The container with its best streams. Raises `AvbookError` for a text or a single picture."""
    kind = container.format.name
    if kind == "tty" or kind.endswith("_pipe"):
        what = "text" if kind == "tty" else f"a picture ({kind.removesuffix('_pipe')})"
        raise AvbookError(f"{path}: found {what}; {OTHER}")
    found: dict[str, Any] = {"video": None, "audio": None}
    unknown = []
    for name in found:
        stream = container.streams.best(name)
        if stream is None or stream.disposition & COVER:
            continue
        if stream.codec_context is None:  # PyAV 17 crashes when it is asked to decode that
            unknown.append(name)
        else:
            found[name] = stream
    begin = max(0.0, (container.start_time or 0) / 1e6)
    return Media(path, container, **found, unknown=tuple(unknown), begin=begin)


def _what(path, file: BinaryIO, error) -> str:
    """What a file is that could not be opened, what was expected and what to do."""
    file.seek(0)
    head = file.read(4096)
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free"):
        return (
            "an mp4 or mov whose index (moov) is missing or damaged; expected a complete file:"
            " copy or download it again, as a recording that was cut off has none"
        )
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # its end may be half a letter
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return f"found text that begins with {text[:40]!r}; {OTHER}"
    told = getattr(error, "strerror", None) or error
    return f"found {head[:8].hex(' ')}…, a format that FFmpeg does not know ({told}); {OTHER}"
