"""The audio of a video file on the clip's time axis: mono at 16 kHz, or all channels as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AvbookError
from .logmel import RATE
from .media import GAP, Media, Tally, load_av, open_media

__all__ = ["SILENCE", "CANCELLED", "Sound", "decode_sound", "read_pcm"]

SILENCE = (
    1e-4  # largest value of a wave that counts as silent (full scale is 1): 3 steps of 16 bits
)
RATES = 1000, 768_000  # samples per second, least and most
CANCELLED = 0.01  # share of energy left in the mean, below which the channels cancel

UNHEARD = "nothing of its audio can be decoded; expected a playable file: copy or download it again"


@dataclass(frozen=True)
class Sound:
    """Samples from the clip's beginning on, and what was found."""

    samples: np.ndarray  # (samples, channels) int16; one channel for mono
    rate: int  # samples per second
    start: float  # start of the first audio in seconds; silence before it
    end: float  # end of the last audio in seconds
    notes: tuple[str, ...]  # short sentences: late, damaged, silent, …


class _Track:
    """Samples one after the other, with silence in the gaps."""

    def __init__(self, channels: int, rate: int):
        self.channels, self.rate = channels, rate
        self.blocks: list[np.ndarray] = []  # each (samples, channels) int16
        self.begin = self.position = 0  # in samples; negative: before the clip's beginning

    def advance(self, seconds: float) -> None:
        """Adds silence up to that time."""
        target = round(seconds * self.rate)
        if not self.blocks:
            self.begin = self.position = min(0, target)
        if target > self.position:
            self.add(np.zeros((target - self.position, self.channels), np.int16))

    def add(self, block: np.ndarray) -> None:
        self.blocks.append(block)
        self.position += len(block)

    def samples(self) -> np.ndarray:
        """All samples from the clip's beginning on, (samples, channels) int16."""
        if not self.blocks:
            return np.zeros((0, self.channels), np.int16)
        return np.concatenate(self.blocks)[-self.begin :]


class _Converter:
    """Frames of any format to int16 at one rate, appended to the samples: all channels, or their
    mean.

    The mean is computed here, since FFmpeg's own mix to float samples is not scaled: two equal
    channels come out 1.41 times as loud, the six of 5.1 3.4 times. Samples are packed rather than
    planar, since PyAV crashes on a planar frame of eight channels."""

    def __init__(self, track: _Track, layout: Any):
        self.track, self.layout = track, layout  # None: any layout, and the mean of its channels
        self.kind: tuple = ()
        self.resampler: Any = None

    def convert(self, frame) -> None:
        """Appends the frame's samples; None: what the filter still holds."""
        for made in self.resampler.resample(frame):
            if made is not None:  # flushing gives None if nothing is left
                block = made.to_ndarray().reshape(-1, made.layout.nb_channels)
                if self.layout is None and block.shape[1] > 1:
                    block = np.rint(block.mean(1, keepdims=True)).astype(np.int16)
                self.track.add(block)

    def restart(self) -> None:
        """Appends what the filter still holds, and starts again."""
        if self.resampler is not None:
            self.convert(None)
        self.resampler = load_av().AudioResampler("s16", self.layout, self.track.rate)


def decode_sound(
    media: Media,  # with an `audio` stream
    mono: bool = True,  # the channels' mean at 16 kHz; False: all channels, at their own rate
    limit: float = float("inf"),  # seconds to decode
) -> Sound | None:
    """The decoded audio, None if nothing of it can be decoded. Damaged packets and gaps of over 0.1
    s become silence. Raises `AvbookError` for an impossible sample rate."""
    tally, energy = Tally(), np.zeros(2)
    track = converter = None
    anchor, fed = 0.0, 0.0  # in seconds: the last restart of the audio, and the audio since
    for start, frame in media.frames(media.audio, tally):
        if start >= limit:
            break
        if track is None or converter is None:
            _check_rate(media, frame.sample_rate)
            channels, rate = (1, RATE) if mono else (frame.layout.nb_channels, frame.sample_rate)
            track = _Track(channels, rate)
            converter = _Converter(track, None if mono else frame.layout)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != converter.kind or start - (anchor + fed) > GAP:
            converter.restart()
            converter.kind, anchor, fed = kind, max(start, anchor + fed) if fed else start, 0.0
            track.advance(anchor)
        converter.convert(frame)
        fed += frame.samples / frame.sample_rate
        if frame.layout.nb_channels == 2:
            energy += _energies(frame)
    if track is None or converter is None:
        return None
    converter.convert(None)
    samples = track.samples()
    if np.isfinite(limit):
        samples = samples[: round(limit * track.rate)]
    notes = _notes(tally, samples, energy)
    return Sound(samples, track.rate, max(0.0, tally.first), len(samples) / track.rate, notes)


def _check_rate(media: Media, rate: int) -> None:
    low, high = RATES
    if not low <= rate <= high:
        raise AvbookError(
            f"{media.path}: its audio has {rate} samples per second; expected {low} to {high}:"
            " its header is damaged, copy or download it again"
        )


def _energies(frame) -> np.ndarray:
    """For a stereo frame: the mean energy of its channels, and the energy of their mean."""
    values = frame.to_ndarray().astype(np.float64)
    left, right = values if frame.format.is_planar else values.reshape(-1, 2).T
    middle = (left + right) / 2
    return np.array([(left @ left + right @ right) / 2, middle @ middle])


def _notes(tally: Tally, samples: np.ndarray, energy: np.ndarray) -> tuple[str, ...]:
    notes = []
    if tally.first > GAP:
        notes.append(f"audio begins at {tally.first:.2f} s: silence before it")
    if tally.lost:
        notes.append(f"audio is damaged: {tally.lost} of {tally.frames + tally.lost} packets lost")
    if tally.jumps:
        notes.append(f"timestamps of the audio leap {tally.jumps} times: joined")
    if energy[0] and energy[1] < CANCELLED * energy[0]:
        notes.append("left and right cancel each other (anti-phase): their mean is nearly silent")
    elif np.abs(samples.astype(np.int32)).max(initial=0) <= SILENCE * 32768:
        notes.append("audio is silent throughout")
    return tuple(notes)


def read_pcm(
    path,  # a video or audio file
) -> Sound:
    """The audio as stored, (samples, channels) int16 at its own rate, with silence before a late
    start: the input of `log_mel` for the official audio features, which averages channels and cuts
    into whole seconds before it resamples.

    Raises `AvbookError`: no such file, not a media file, no audio stream, no PyAV."""
    with open_media(path) as media:
        media.check_sound()
        sound = decode_sound(media, mono=False)
    if sound is None:
        raise AvbookError(f"{path}: {UNHEARD}")
    return sound
