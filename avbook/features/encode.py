"""Frames and audio written as a video file, H.264 and AAC by default."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from ..common.files import os_fault, written_whole
from ..common.options import check_choice, check_int
from ..errors import AvbookError
from .media import frame_rate, load_av

__all__ = ["FORMATS", "LAYOUTS", "write_video"]

FORMATS = {
    ".mp4": "mp4",
    ".m4a": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".avi": "avi",
}  # by suffix
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}  # by the number of channels
SMALLEST = 64  # pixels per side for libx265, which writes beyond its memory on less
BLOCK = 4096  # samples passed on at a time
# Options of an encoder. x264's macroblock tree reads uninitialised memory: with it, half of the
# small moving clips got other bytes each time
OPTIONS = {"libx264": {"preset": "veryfast", "crf": "18", "x264-params": "mbtree=0"}}


def write_video(
    path,  # ends in .mp4, .mov, .mkv, …; makes its folder
    frames: Iterable[np.ndarray] | None,  # each (H, W, 3) uint8 RGB, of one size; None: audio only
    fps: float | Fraction = 25,  # frames per second
    wave: np.ndarray | None = None,  # (samples,) or (samples, channels), floats or int16
    rate: int = 16_000,  # samples per second; AAC takes the usual rates from 8000 to 96000
    *,
    video_codec: str = "libx264",  # a video encoder of FFmpeg
    audio_codec: str = "aac",
    pix_fmt: str | None = None,  # None: yuv420p, or yuv444p if a side is odd
    options: dict[str, str] | None = None,  # options of the video encoder; None: `OPTIONS`
) -> None:
    """Writes the file whole or not at all, holding one frame at a time.

    One thread encodes, so that the bytes do not depend on the number of cores. Raises `AvbookError`
    for invalid frames or samples, frames too small for the encoder, options that it refuses, a full
    disk, no PyAV."""
    av = load_av()
    path = Path(path)
    check_choice("suffix", path.suffix.lower(), tuple(FORMATS))
    sound = None if wave is None else _Sound(_samples(wave), rate)
    check_int(rate=(rate, 1))
    picture = None if frames is None else _Picture(_pictures(frames), frame_rate(fps))
    if picture is None and sound is None:
        raise AvbookError(f"{path}: nothing to write; expected frames, a wave or both")
    try:
        with written_whole(path) as partial, open(partial, "w+b") as file:
            # a file without a name, since FFmpeg reads some names as protocols
            with av.open(file, "w", format=FORMATS[path.suffix.lower()]) as container:
                if picture is not None:
                    picture.add(container, video_codec, pix_fmt, options)
                if sound is not None:
                    sound.add(container, audio_codec)
                if picture is not None:
                    picture.write(container, sound)
                if sound is not None:
                    sound.write(container, inf)
    except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
            raise os_fault(path, error) from None
        told = getattr(error, "strerror", None) or f"no encoder {error}"
        raise AvbookError(f"{path}: cannot be encoded with these options ({told})") from None
    except OSError as error:
        raise os_fault(path, error) from None


@dataclass
class _Sound:
    """Samples on their way to an audio stream."""

    samples: np.ndarray  # (channels, samples) float32
    rate: int
    sent: int = 0  # samples written so far
    stream: Any = None

    def add(self, container, codec: str) -> None:
        layout = LAYOUTS[len(self.samples)]
        self.stream = container.add_stream(codec, rate=self.rate, layout=layout)

    def write(self, container, end: float) -> None:
        """Encodes the samples before that second; flushes the encoder at the end."""
        av, (_, length) = load_av(), self.samples.shape
        while self.sent < length and self.sent < end * self.rate:
            block = np.ascontiguousarray(self.samples[:, self.sent : self.sent + BLOCK])
            frame = av.AudioFrame.from_ndarray(block, "fltp", layout=LAYOUTS[len(block)])
            frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
            frame.pts = self.sent
            container.mux(self.stream.encode(frame))
            self.sent += block.shape[1]
        if end == inf:
            container.mux(self.stream.encode(None))


@dataclass
class _Picture:
    """Frames on their way to a video stream."""

    frames: Iterator[np.ndarray]
    fps: Fraction
    stream: Any = None

    def add(self, container, codec: str, pix_fmt: str | None, options: dict | None) -> None:
        first = next(self.frames)
        self.frames = chain([first], self.frames)
        if codec == "libx265" and min(first.shape[:2]) < SMALLEST:
            raise AvbookError(
                f"frames of {first.shape[1]}x{first.shape[0]}: libx265 crashes on them; expected at"
                f" least {SMALLEST} per side, or libx264"
            )
        self.stream = container.add_stream(codec, rate=self.fps)
        self.stream.height, self.stream.width = first.shape[:2]
        odd = first.shape[0] % 2 or first.shape[1] % 2
        self.stream.pix_fmt = pix_fmt or ("yuv444p" if odd else "yuv420p")
        self.stream.options = OPTIONS.get(codec, {}) if options is None else options
        self.stream.codec_context.thread_count = 1

    def write(self, container, sound: _Sound | None) -> None:
        """Encodes the frames, and the audio up to each: a player reads both in parallel."""
        av = load_av()
        for k, array in enumerate(self.frames):
            frame = av.VideoFrame.from_ndarray(array, "rgb24")
            frame.pts, frame.time_base = k, 1 / self.fps
            container.mux(self.stream.encode(frame))
            if sound is not None:
                sound.write(container, float((k + 1) / self.fps))
        container.mux(self.stream.encode(None))


def _pictures(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, checked. Raises `AvbookError` for a form that differs from the first, and without
    frames."""
    shape = None
    for k, frame in enumerate(frames):
        array = np.ascontiguousarray(frame)
        right = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size
        if not right or shape not in (None, array.shape):
            raise AvbookError(
                f"frame {k}: {array.dtype} of shape {array.shape}; expected uint8 RGB of shape"
                f" {shape or '(height, width, 3)'}, like every frame"
            )
        shape = array.shape
        yield array
    if shape is None:
        raise AvbookError("no frames to write; expected at least one")


def _samples(wave) -> np.ndarray:
    """The wave as (channels, samples) float32 in [-1, 1]. Raises `AvbookError`."""
    wave = np.asarray(wave)
    if wave.dtype == np.int16:
        wave = wave / np.float32(32768)
    right = wave.ndim in (1, 2) and np.issubdtype(wave.dtype, np.floating) and wave.size
    wave = wave[:, None] if wave.ndim == 1 else wave
    if not right or wave.shape[1] not in LAYOUTS:
        raise AvbookError(
            f"a wave of {wave.dtype} of shape {wave.shape}; expected int16, or floats in [-1, 1],"
            " of shape (samples,) or (samples, channels) with 1, 2 or 6 channels"
        )
    if not np.isfinite(wave).all() or np.abs(wave).max() > 1.5:
        raise AvbookError("a wave with NaN, Inf or values far outside [-1, 1]; scale it first")
    return np.ascontiguousarray(np.clip(wave, -1, 1).T, dtype=np.float32)
