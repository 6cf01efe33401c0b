"""A media file opened with PyAV: its streams, their frames in order on the clip's time axis, and
the amount of damage."""

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

GAP = 0.1  # shortest gap in a stream, in seconds; less may be a timestamp error
SLACK = 0.25  # seconds that the last second may lack and still count
LONGEST_GAP = 600.0  # seconds; a timestamp that leaps further counts as wrong
BACKWARDS = 1.0  # seconds; so does one that goes back further, as in joined recordings
HEADERS = {"mov", "matroska", "avi", "flv", "asf"}  # formats that state their length
COVER = 0x400  # disposition of a still image, such as the cover of a song
EXPECTED = "expected a video (mp4, mov, mkv, webm, avi, …)"
OTHER = f"{EXPECTED}: give another file"


def load_av() -> Any:
    """The module `av` (PyAV). Raises `AvbookError` if it is not installed."""
    try:
        import av
    except ImportError:
        raise AvbookError(
            'videos are read with PyAV, which is not installed: `pip install "avbook[clips]"`'
        ) from None
    return av


class _Source:
    """The bytes of an open file without a name: FFmpeg reads a text file named .txt as a video of
    its letters, and a name with a colon as a protocol."""

    def __init__(self, file: BinaryIO):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


@dataclass
class Tally:
    """Counts of what came of a stream while it is decoded."""

    announced: int = 0  # frames according to the file's header; 0: not stated
    frames: int = 0  # decoded frames
    lost: int = 0  # packets that could not be decoded; in video a packet is a frame
    concealed: int = 0  # frames that were decoded with damage
    jumps: int = 0  # timestamps that count as wrong
    unreadable: bool = False  # the file could not be read to its end
    first: float = 0.0  # start of the first frame in seconds
    end: float = 0.0  # end of the last frame in seconds


@dataclass
class Media:
    """An open media file, from `open_media`."""

    path: str
    container: Any  # av.container.InputContainer
    video: Any = None  # the video stream; None: none that can be decoded
    audio: Any = None  # the audio stream; likewise
    unknown: tuple[str, ...] = ()  # "video", "audio": present, but in a codec unknown to PyAV
    begin: float = 0.0  # the file's own time, in seconds, at which the clip begins

    @property
    def announced(self) -> float | None:
        """The length in seconds that the file states; None if it states none."""
        length = self.container.duration
        return None if length is None or length <= 0 else length / 1e6

    @property
    def header(self) -> float:
        """The length in seconds in the file's header; 0 if it has none, or if FFmpeg derives or
        guesses the length."""
        told = HEADERS & set(self.container.format.name.split(","))
        return self.announced or 0.0 if told else 0.0

    def check_picture(self) -> None:
        """Raises `AvbookError` if the file has no video stream that can be decoded."""
        self._check("video", "video stream", "; give a video, or read its audio only")

    def check_sound(self) -> None:
        """Raises `AvbookError` if the file has no audio stream that can be decoded."""
        self._check("audio", "audio stream", "; give a file with audio")

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
        tally: Tally,  # updated during the decoding
    ) -> Iterator[tuple[float, Any]]:
        """Start in seconds from the clip's beginning, and av's frame, of every decodable frame, in
        order. A damaged packet is counted and skipped."""
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
            except av.FFmpegError:  # a truncated file
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
    """Duration in seconds of a frame at an even rate; at most one second in video, since a damaged
    header may state years."""
    if stream.type == "audio":
        return frame.samples / frame.sample_rate
    return min(1.0, 1 / float(stream.guessed_rate or stream.average_rate or 25))


def _length(frame, stream, time: float) -> float:
    """Duration in seconds that the frame, shown from this file time on, states; at most to the
    stream's end, since mp4 at a variable rate stores durations in decoding order."""
    if stream.type == "audio" or not frame.duration or not frame.time_base:
        return 0.0
    length = min(LONGEST_GAP, float(frame.duration * frame.time_base))
    if stream.duration:
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        length = min(length, float(end) - time)
    return length


def rgb(
    frame,  # av.VideoFrame
    height: int = 0,  # of the stored frame; 0: unchanged
    width: int = 0,
) -> np.ndarray:
    """The image as displayed, (height, width, 3) uint8: 8 bits per channel, rotated or mirrored as
    the file requests, which PyAV leaves to its user."""
    array = frame.to_ndarray(format="rgb24", height=height or None, width=width or None)
    across, down, swapped = orientation(frame)
    if swapped:
        array = array.transpose(1, 0, 2)
    return np.ascontiguousarray(array[::down, ::across])


def orientation(
    frame,  # av.VideoFrame
) -> tuple[int, int, bool]:
    """How the stored image is displayed: steps (1 or -1) along columns and rows, and whether rows
    and columns are swapped first. Computed from the display matrix, since `frame.rotation` reads a
    mirrored image as one rotated by 180 degrees."""
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
    path,  # path of a file, with any name
) -> Iterator[Media]:
    """The open file as `Media`; closed when the block ends.

    Raises `AvbookError`: no such file, no video or audio in it (with what it is instead), no
    PyAV."""
    av = load_av()
    size = check_regular(path).st_size
    try:
        with open(path, "rb") as file:
            if not size:
                raise AvbookError(f"{path}: an empty file; {EXPECTED}: copy or download it again")
            try:  # only these bytes: a playlist must not open other files
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
    """The container with its best streams. Raises `AvbookError` for a text or a still image."""
    kind = container.format.name
    if kind == "tty" or kind.endswith("_pipe"):
        what = "text" if kind == "tty" else f"an image ({kind.removesuffix('_pipe')})"
        raise AvbookError(f"{path}: found {what}; {OTHER}")
    found: dict[str, Any] = {"video": None, "audio": None}
    unknown = []
    for name in found:
        stream = container.streams.best(name)
        if stream is None or stream.disposition & COVER:
            continue
        if stream.codec_context is None:  # PyAV 17 crashes on decoding that
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
        # incremental, since the end may be an incomplete letter
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return f"found text that begins with {text[:40]!r}; {OTHER}"
    told = getattr(error, "strerror", None) or error
    return f"found {head[:8].hex(' ')}…, a format that FFmpeg does not know ({told}); {OTHER}"
