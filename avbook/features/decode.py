"""A video file as arrays: frames at given times, one channel of audio at 16 kHz, and notes on what
was found."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, inf

import numpy as np

from ..common.options import check_int
from ..errors import AvbookError
from .logmel import RATE
from .media import SLACK, frame_rate, open_media
from .pictures import Frame, Sampler, count_frames, cut_note, iter_frames, sample_frames
from .sound import SILENCE, UNHEARD, Sound, decode_sound, read_pcm

__all__ = [
    "FPS",
    "Clip",
    "Frame",
    "Sound",
    "read_clip",
    "iter_frames",
    "count_frames",
    "read_pcm",
]

FPS = 4.0  # frames per second that `read_clip` takes
PADDED = 0.02  # seconds of missing audio that are worth a note


@dataclass(frozen=True)
class Clip:
    """What `read_clip` reads from a file: T whole seconds of frames and audio."""

    path: str
    seconds: float  # length of the longer stream; at most the requested length
    segments: int  # T, whole seconds, including a last one that lacks up to 0.25 s; at least 1
    times: np.ndarray  # (F,) seconds at which the frames were taken
    frames: np.ndarray  # (F, H, W, 3) uint8 RGB, or the stacked results of `transform`
    wave: np.ndarray  # (T·16000,) float32 in [-1, 1] at 16 kHz, silence where there is no audio
    notes: tuple[str, ...]  # short sentences: padded, rotated, silent, damaged, …

    @property
    def silent(self) -> bool:
        """Whether the wave is silent."""
        return float(np.abs(self.wave).max(initial=0)) <= SILENCE


def read_clip(
    path,  # a video file, in any format that FFmpeg reads
    fps: float = FPS,  # frames per second to take, each from the middle of its interval
    *,
    times: Sequence[float] | None = None,  # ascending seconds at which to take frames instead
    seconds: int | None = None,  # length of the clip, cut or padded; None: as it is
    picture: bool = True,  # False: audio only; no video stream is needed
    sound: bool = True,  # False: frames only, with an empty wave
    transform: Callable[[np.ndarray], np.ndarray] | None = None,  # of each frame (H, W, 3) taken
) -> Clip:
    """T whole seconds of frames and audio from a video file, with notes on what was found.

    A frame is the one shown at its time according to the file's timestamps, so a variable frame
    rate does no harm; F is about T·fps, or the length of `times`. All frames taken are held in
    memory, plus one: use `transform` to shrink those of a long video. The two streams are decoded
    one after the other.

    Raises `AvbookError`: no such file, not a video, no video stream, nothing that can be decoded,
    no PyAV, an option out of range."""
    _check(times, seconds)
    if not picture and not sound:
        raise AvbookError("`picture=False, sound=False`: expected at least one of them")
    step = float(1 / frame_rate(fps))
    limit = inf if seconds is None else float(seconds)
    grid = iter(times) if times is not None else ((k + 0.5) * step for k in itertools.count())
    heard: Sound | None = None
    seen = Sampler(str(path), iter(()))
    with open_media(path) as media:
        if picture:
            media.check_picture()
        else:
            media.check_sound()
        if sound and media.audio is not None:
            heard = decode_sound(media, limit=limit)
        unheard = media.audio is not None or "audio" in media.unknown
        both = (sound or media.audio is None) and (picture or media.video is None)
        header = media.header if both else 0.0
    if heard is None and not picture:
        raise AvbookError(f"{path}: {UNHEARD}")
    if picture:
        with open_media(path) as media:
            seen = sample_frames(media, grid, transform, limit)
    length = limit if seen.stopped else max(seen.tally.end, heard.end if heard else 0.0)
    segments = seconds or max(1, floor(length + SLACK))

    seen.take(segments if times is None else inf)
    count = len(seen.times)
    if times is None:  # of the whole seconds
        count = sum(time < segments for time in seen.times)
    wave = np.zeros(segments * RATE if sound else 0, np.float32)
    if heard:
        samples = heard.samples[: len(wave), 0]
        wave[: len(samples)] = samples.astype(np.float32) / 32768
    whole = length if segments - length > SLACK else segments  # a short clip gets one note only
    notes = _sound_notes(heard, whole, unheard) if sound else []
    if picture:
        notes += seen.notes(whole)
    if length < limit:
        notes += cut_note(notes, length, header)
    return Clip(
        path=str(path),
        seconds=length,
        segments=segments,
        times=np.array(seen.times[:count], np.float64),
        frames=np.stack(seen.arrays[:count]) if count else np.zeros((0, 0, 0, 3), np.uint8),
        wave=wave,
        notes=(*notes, *_length_notes(length, segments, seconds)),
    )


def _check(times, seconds) -> None:
    """Raises `AvbookError` for an option out of range."""
    if seconds is not None:
        check_int(seconds=(seconds, 1))
    if times is not None:
        values = np.asarray(times)
        number = values.ndim == 1 and values.dtype.kind in "iuf" and np.isfinite(values).all()
        if not number or (values < 0).any() or (np.diff(values) < 0).any():
            raise AvbookError(f"times={times!r}: expected seconds from 0 on, in ascending order")


def _sound_notes(heard: Sound | None, whole: float, there: bool) -> list[str]:
    if heard is None:
        what = "no audio that can be decoded" if there else "no audio"
        return [f"{what} in the file: silence in its place"]
    notes = list(heard.notes)
    if whole - heard.end > PADDED:
        notes.append(f"audio ends at {heard.end:.2f} s: padded with silence to {whole:.4g} s")
    return notes


def _length_notes(length: float, segments: int, asked: int | None) -> list[str]:
    if segments - length > SLACK:
        wanted = f"{segments} s asked" if asked else "one second"
        return [f"short: {length:.2f} s, padded to {wanted}"]
    if length - segments > SLACK:
        return [f"the last {length - segments:.2f} s are not a whole second: left out"]
    return []
