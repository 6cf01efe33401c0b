"""Audio of the world's clips: a synthetic voice for each category, in time with the frames.

`voices` has the settings of each class, `synthesis` makes the sound of one source."""

from __future__ import annotations

import numpy as np

from avbook.common.options import is_whole
from avbook.errors import AvbookError
from avbook.features.logmel import RATE, resample
from avbook.world.clips import Clip
from avbook.world.synthesis import (
    BY_MOTION,
    BY_SIZE,
    LEVEL,
    MARGIN,
    STEP,
    TABLE,
    Individual,
    Steering,
    colour,
    draws,
    individual,
    interpolate,
    noise,
    period,
    render_source,
    slow_curve,
    steer,
)
from avbook.world.voices import (
    ANIMALS,
    BOWED,
    CORPUS_VOICES,
    ENGINES,
    SAME,
    STRINGS,
    THINGS,
    VOCAL,
    VOICES,
    Voice,
    voice_of,
)

__all__ = [
    # voices
    "Voice",
    "ENGINES",
    "STRINGS",
    "BOWED",
    "VOCAL",
    "ANIMALS",
    "THINGS",
    "CORPUS_VOICES",
    "SAME",
    "VOICES",
    "voice_of",
    # one source
    "LEVEL",
    "BY_SIZE",
    "BY_MOTION",
    "STEP",
    "MARGIN",
    "TABLE",
    "Individual",
    "individual",
    "Steering",
    "steer",
    "colour",
    "period",
    "noise",
    "render_source",
    # a clip
    "gate",
    "ambience",
    "render_sound",
]


def gate(
    heard: np.ndarray,  # (seconds,) bool
) -> np.ndarray:
    """The mask at 800 values a second with fades of 24 ms, ((seconds + 2)·800,); the value of the
    first and of the last second goes on beyond the clip."""
    padded = np.pad(np.asarray(heard, dtype=float), MARGIN, mode="edge")
    mask = np.repeat(padded, RATE // STEP)
    fade = np.hanning(21)[1:-1]
    return np.convolve(np.pad(mask, 9, mode="edge"), fade / fade.sum(), mode="valid")


def ambience(
    clip: Clip,  # its seed, signal-to-noise ratio and length count
) -> np.ndarray:
    """The ambient noise, (seconds·16000,) float32 at 16 kHz: `snr_db` below an ordinary source,
    with a spectrum of its own."""
    rng = draws(clip.seed, 25)
    slope = rng.uniform(0.1, 1.0)
    taste = np.stack([rng.uniform(0, 2 * np.pi, 3), rng.normal(0, 1.5, 3)])
    values = clip.seconds * RATE // STEP

    def spectrum(hertz):
        return colour(hertz, (), 1.0, taste) * (1000 / hertz) ** slope

    hum = noise(rng, values * STEP, spectrum)
    hum *= interpolate(10 ** (2 * slow_curve(rng, values, 0.5) / 20))
    return hum * np.float32(LEVEL * 10 ** (-clip.snr_db / 20))


def _check(clip: Clip, rate: int) -> None:
    if not np.isfinite([clip.lead, clip.snr_db]).all() or abs(clip.lead) > MARGIN:
        raise AvbookError(
            f"audio: clip {clip.id}: lead {clip.lead} s and snr_db {clip.snr_db}; expected finite"
            f" numbers, the lead at most {MARGIN} s"
        )
    if not is_whole(rate) or rate < 1000:
        raise AvbookError(
            f"audio: rate={rate!r}; expected a whole number of samples per second, at least 1000"
        )


def render_sound(
    clip: Clip,
    rate: int = RATE,  # samples per second; made at 16 kHz and resampled to others
) -> np.ndarray:
    """The clip's waveform, (seconds·rate,) float32: what is heard, shifted by `lead`, over ambient
    noise; cut off at -1 and 1.

    A source counts where its `heard` is true and nowhere else; `seen` is never read. Raises
    AvbookError for an unknown class, a mask of another length than the clip, a lead of over a
    second, and a rate that is no whole number."""
    _check(clip, rate)
    mix = ambience(clip)
    begin = MARGIN * RATE + round(clip.lead * RATE)
    for source in clip.sources:
        if len(source.heard) != clip.seconds:
            raise AvbookError(
                f"audio: clip {clip.id}: {source.category} has {len(source.heard)} seconds of"
                f" heard; expected {clip.seconds}"
            )
        voice_of(source.category)
        if np.any(source.heard):
            sound = render_source(source, clip.seconds) * interpolate(gate(source.heard))
            mix += sound[begin : begin + len(mix)]
    if rate != RATE:
        other = resample(mix.astype(np.float64), RATE, int(rate))
        mix = other[: clip.seconds * rate].astype(np.float32)
    return np.clip(mix, -1, 1)
