"""The sound of one source: pulses in time with its movement, partials at its pitch, noise.

Every use of a seed has random numbers of its own, so the sound of a source does not depend on the
seconds in which it is heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from avbook.errors import AvbookError
from avbook.features.logmel import RATE
from avbook.world.clips import Source
from avbook.world.voices import Voice, voice_of

__all__ = [
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
    "draws",
    "interpolate",
    "slow_curve",
]

LEVEL = 0.08  # root mean square of an ordinary source, of size and motion 0.5
BY_SIZE, BY_MOTION = 10.0, 5.0  # decibels from size 0 to size 1, and from motion 0 to motion 1
STEP = 20  # samples between two values of a control curve: 800 a second
MARGIN = 1  # seconds made before and after the clip
TABLE = 4096  # samples of one period
_RAMP = np.arange(STEP, dtype=np.float32) / STEP

Resonances = Sequence[tuple[float, float]]  # Hz and decibels


# --------------------------------------------------------------------------------------- one source
def draws(
    seed: int,  # of a source or a clip
    use: int,  # so that no two uses share their numbers
) -> np.random.Generator:
    """Random numbers for one use of one seed. Raises AvbookError for a negative seed."""
    if seed < 0:
        raise AvbookError(f"audio: seed {seed}; expected a whole number from 0 up")
    return np.random.default_rng([int(seed), use])


class Individual(NamedTuple):
    """What distinguishes one source from others of its class."""

    pitch: float  # Hz
    hiss: float  # share of noise in the power
    body: float  # factor on the frequencies of its resonances
    taste: np.ndarray  # (2, 3): phases and decibels of three ripples over frequency
    gain: float  # factor on its level


def individual(
    source: Source,
) -> Individual:
    """The `Individual` of a source: all that does not change over time. Raises AvbookError for an
    unknown class."""
    voice, rng = voice_of(source.category), draws(source.seed, 21)
    taste = np.stack([rng.uniform(0, 2 * np.pi, 3), rng.normal(0, 1.5, 3)])
    low, high = voice.pitch
    pitch = high * (low / high) ** source.size * 2 ** rng.normal(0, voice.spread)
    body = 2 ** (0.5 - source.size + rng.normal(0, 0.1))
    hiss = min(voice.hiss * np.exp(rng.normal(0, 0.35)), 0.99)
    decibels = (
        voice.loud
        + BY_SIZE * (source.size - 0.5)
        + BY_MOTION * (source.motion - 0.5)
        + rng.normal(0, 1.5)
    )
    return Individual(pitch, hiss, body, taste, LEVEL * 10 ** (decibels / 20))


# ----------------------------------------------------------------------------------- control curves
def slow_curve(
    rng: np.random.Generator,
    count: int,  # values
    every: float,  # seconds between its turning points
) -> np.ndarray:
    """A slow random control curve, (count,), mean 0, standard deviation near 1."""
    points = rng.standard_normal(int(count * STEP / RATE / every) + 3)
    at = np.arange(count) * STEP / RATE / every
    return np.interp(at, np.arange(len(points)), points) * 1.2


def interpolate(
    curve: np.ndarray,  # (values,) at 800 a second
) -> np.ndarray:
    """The curve at 16 kHz, (values·20,) float32: straight lines between its values."""
    rise = np.diff(curve, append=curve[-1])[:, None].astype(np.float32)
    return (curve[:, None].astype(np.float32) + rise * _RAMP).reshape(-1)


def _pulse(
    voice: Voice,
    within: np.ndarray,  # share of the pulse's time that has passed
    rate: float,  # pulses a second
    decay: float,  # seconds
) -> np.ndarray:
    """The level within a pulse, from 0 to 1."""
    level = np.minimum(1, within / rate / voice.attack)
    if voice.duty < 1:  # released within 30 ms
        level = level * np.clip((voice.duty - within) / rate / 0.03, 0, 1)
    return level * np.exp(-within / rate / decay) if decay else level


class Steering(NamedTuple):
    """Control curves over the clip and a second on either side, 800 values a second."""

    level: np.ndarray  # factor on the sound
    hertz: np.ndarray  # pitch
    lean: np.ndarray  # share of the second timbre, from 0 to 1


def steer(
    source: Source,
    seconds: int = 10,  # of the clip
) -> Steering:
    """The control curves of a source as if it were always heard.

    Pulses are in time with the movement, `tempo · t + phase`; all else comes from the seed."""
    voice, own, rng = voice_of(source.category), individual(source), draws(source.seed, 22)
    values = (seconds + 2 * MARGIN) * RATE // STEP
    time = np.arange(values) * STEP / RATE - MARGIN
    rate = source.tempo * voice.beats
    beat = time * rate + source.phase * voice.beats
    pulse = np.floor(beat).astype(int)
    within = beat - pulse  # share of the pulse's time that has passed
    pulse -= pulse[0]
    count = pulse[-1] + 1
    # one number for each pulse; the order of these calls fixes the bytes of every clip
    strength = np.exp(rng.normal(0, 0.3, count)) * (rng.random(count) >= voice.skip)
    notes = np.round(rng.normal(0, voice.melody, count))
    lean = rng.random(count)

    semitones = (
        notes[pulse]
        + voice.glide * within
        + voice.arch * np.sin(np.pi * within)
        + voice.wander * slow_curve(rng, values, 0.7)
    )
    swing, deep = voice.vibrato
    semitones += deep * np.sin(2 * np.pi * swing * np.exp(rng.normal(0, 0.1)) * time)

    shape = _pulse(voice, within, rate, voice.decay * np.exp(rng.normal(0, 0.25)))
    level = 1 - voice.depth + voice.depth * strength[pulse] * shape
    level *= 10 ** (2.5 * slow_curve(rng, values, 0.8) / 20)
    chop, much = voice.rough
    turns = np.cumsum(chop * 2 ** (rng.normal(0, 0.25) + semitones / 24)) * STEP / RATE
    level *= 1 - much * (0.5 + 0.5 * np.sin(2 * np.pi * turns))
    return Steering(level, own.pitch * 2 ** (semitones / 12), lean[pulse])


# --------------------------------------------------------------------------------- timbre and noise
def colour(
    hertz: np.ndarray,  # (n,) frequencies
    formants: Resonances,
    body: float,  # factor on the resonances' frequencies
    taste: np.ndarray,  # (2, 3): phases and decibels of three ripples over frequency
) -> np.ndarray:
    """The factor on the amplitude at each frequency, (n,): resonances half an octave wide."""
    octave = np.log2(np.maximum(hertz, 20.0) / 1000)
    decibels = (np.cos(octave[:, None] * [0.7, 1.3, 2.1] + taste[0]) * taste[1]).sum(1)
    for centre, gain in formants:
        distance = (octave - np.log2(centre * body / 1000)) / 0.35
        decibels = decibels + gain * np.exp(-(distance**2))
    return 10 ** (decibels / 20)


def _rms(
    sound: np.ndarray,  # (samples,)
) -> float:
    """The root of the mean square, not below 1e-9. (Not by `np.dot`, whose rounding differs between
    processors.)"""
    return max(float(np.sqrt(np.square(sound, dtype=np.float64).mean())), 1e-9)


def period(
    source: Source,
    formants: Resonances,
    highest: float,  # Hz that its pitch may reach
) -> np.ndarray:
    """One period of the sum of the partials, (4096,) float32, power 1; ten periods where the ratios
    are not whole."""
    voice, own = voice_of(source.category), individual(source)
    fold = 10 if voice.partials else 1  # periods in the table
    number = np.arange(1, 81)
    if voice.partials:
        number = np.round(np.multiply(voice.partials, fold)).astype(int)
    ratio = number / fold
    audible = ratio * highest < 7900
    strength = ratio**-voice.tilt * np.where(ratio % 2 == 0, voice.even, 1.0) * audible
    turns = draws(source.seed, 23).random(len(number))
    timbre = colour(ratio * own.pitch, formants, own.body, own.taste)
    spectrum = np.zeros(TABLE // 2 + 1, dtype=complex)
    spectrum[number] = strength * timbre * np.exp(2j * np.pi * turns)
    table = np.fft.irfft(spectrum)
    return (table / _rms(table)).astype(np.float32)


def noise(
    rng: np.random.Generator,
    count: int,  # samples
    shape: Callable[[np.ndarray], np.ndarray],  # hertz -> factor on the amplitude
    crackle: float = 1.0,  # exponent on the samples before shaping
) -> np.ndarray:
    """Shaped noise, (count,) float32, power 1."""
    from scipy.fft import irfft, rfft

    white = rng.standard_normal(count, dtype=np.float32)
    if crackle != 1:
        white = np.sign(white) * np.abs(white) ** np.float32(crackle)
    spectrum, bins = rfft(white), 500  # the factor is computed in steps of 16 Hz
    factor = shape((np.arange(bins) + 0.5) * (RATE / 2 / bins)).astype(np.float32)
    spectrum *= np.repeat(factor, -(-len(spectrum) // bins))[: len(spectrum)]
    shaped = irfft(spectrum, count, overwrite_x=True)
    return shaped / np.float32(_rms(shaped))


# ------------------------------------------------------------------------------------- the waveform
def _partials(
    source: Source,
    curves: Steering,
) -> np.ndarray:
    """The pitched part of a source, at 16 kHz, power near 1."""
    voice, highest = voice_of(source.category), curves.hertz.max()
    per_period = TABLE / RATE / (10 if voice.partials else 1)
    passed = np.cumsum(interpolate(curves.hertz), dtype=np.float64) * per_period
    place = passed.astype(np.int64) & (TABLE - 1)
    sound = period(source, voice.formants, highest)[place]
    if voice.vowels:
        second = period(source, voice.vowels, highest)[place]
        sound += (second - sound) * interpolate(curves.lean)
    return sound


def render_source(
    source: Source,  # its `heard` and `seen` are not read
    seconds: int = 10,  # of the clip
) -> np.ndarray:
    """The source as if it were always heard, with a second before and after the clip:
    ((seconds + 2)·16000,) float32 at 16 kHz."""
    voice, own = voice_of(source.category), individual(source)
    curves = steer(source, seconds)
    centre, width = voice.band[0] * own.body, voice.band[1]

    def breath(hertz):
        band = np.exp(-((np.log2(hertz / centre) / width) ** 2))
        return band * colour(hertz, (), own.body, own.taste) * (1000 / hertz) ** 0.5

    sound = _partials(source, curves) * np.float32(np.sqrt(1 - own.hiss))
    rng = draws(source.seed, 24)
    sound += np.float32(np.sqrt(own.hiss)) * noise(rng, len(sound), breath, voice.crackle)
    sound *= interpolate(curves.level)
    return sound * np.float32(own.gain / _rms(sound))
