"""The world's audio extractor: a second of log-mel patches to 128 numbers, by random filters."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from avbook.features.logmel import BANDS, LOG_OFFSET, PATCH, RATE, log_mel
from avbook.features.protocols import check_positive, refuse
from avbook.features.random_layers import RandomLayer

__all__ = ["patterns", "quantities", "sample_sounds", "AudioExtractor"]

OVER_BANDS = (0, 1, 1, 1, 0)  # a change counts in a band and its two neighbours


def patterns() -> torch.Tensor:
    """Six time-by-band patterns (6, 1, 9, 5), whole numbers: level, partial, changes within 20, 40
    and 80 ms, and a glide."""
    bank = np.zeros((6, 9, 5))
    bank[0, 3:6] = [0, 1, 2, 1, 0]  # level
    bank[1] = [-1, -1, 4, -1, -1]  # louder than the bands around: a partial
    bank[2, 3:6] = np.outer([-2, 0, 2], OVER_BANDS)  # a change within 20 ms
    bank[3, 2:7] = np.outer([-1, -1, 0, 1, 1], OVER_BANDS)  # within 40 ms
    bank[4] = np.outer([-1, -1, -1, -1, 0, 1, 1, 1, 1], OVER_BANDS)  # within 80 ms
    time, band = np.mgrid[-4:5, -2:3]
    bank[5] = np.sign(time * band)  # a pitch that rises
    return torch.tensor(bank[:, None], dtype=torch.float32)


def quantities(
    patches: torch.Tensor,  # (n, 96, 64) log-mel
    bank: torch.Tensor,  # from `patterns`
) -> torch.Tensor:
    """The patterns' responses summed over a second, (n, 272) whole numbers.

    64 levels, 64 strengths of partials, 64 rises and 64 falls (four kinds of change by 16 groups of
    bands), and the level of the loudest eighth of a second in 16 groups."""
    steps = ((patches.double() - np.log(LOG_OFFSET)) * 32).round().clamp(0, 400)  # of 0.27 dB
    level = steps.float()[:, None]  # (n, 1, 96, 64)
    found = F.conv2d(level, bank, padding=(0, 2))  # (n, 6, 88, 64)

    def groups(maps: torch.Tensor) -> torch.Tensor:
        return (maps.unflatten(-1, (16, 4)).sum(-1) / 8).floor().flatten(1)

    eighths = level[:, 0].unflatten(-1, (16, 4)).sum(-1).unflatten(1, (8, 12)).sum(2)  # (n, 8, 16)
    changes = found[:, 2:6]
    return torch.cat(
        [
            level[:, 0].sum(1),
            F.relu(found[:, 1]).sum(1),
            groups(F.relu(changes).sum(2)),
            groups(F.relu(-changes).sum(2)),
            eighths.amax(1),
        ],
        dim=1,
    )


def sample_sounds(
    rng: np.random.Generator,  # where they come from
    seconds: int = 160,  # how many
) -> np.ndarray:
    """Log-mel patches (seconds, 96, 64) of noises, tones and pulses that belong to no class, to set
    thresholds by."""
    t, partials = np.arange(RATE) / RATE, np.arange(1, 25)
    waves = np.empty((seconds, RATE))

    def noise():
        slope = np.fft.rfft(rng.standard_normal(RATE))
        slope = slope * np.arange(1, RATE // 2 + 2) ** -rng.uniform(0, 1)
        coloured = np.fft.irfft(slope)
        return coloured / coloured.std()

    for wave in waves:
        pitch, tilt = 60 * 2 ** rng.uniform(0, 5), rng.uniform(0.3, 2.0)
        rate = rng.uniform(0.5, 12)
        strength = partials**-tilt * (rng.random(24) < 0.7) * (partials * pitch < 7800)
        phases = np.outer(partials, pitch * t) + rng.random((24, 1))
        tone = strength @ np.sin(2 * np.pi * phases)
        beat = np.clip(1 + rng.uniform(0, 1.5) * np.sin(2 * np.pi * rate * t), 0, None)
        toned = rng.random() ** 2 * tone / (tone.std() + 1e-9)
        mixed = (toned + rng.random() ** 2 * noise()) * beat
        scaled = mixed / (mixed.std() + 1e-9) * rng.uniform(0.03, 0.25)
        wave[:] = scaled + noise() * 0.08 * 10 ** -rng.uniform(0, 1)
    return log_mel(np.clip(waves, -1, 1).reshape(-1))


class AudioExtractor:
    """A frozen, seeded network from sound to `dim` numbers per second: sparse and never negative,
    like VGGish's features.

    All sums are exact, so the result does not depend on batch size, threads or the order of adding.
    No label is used."""

    seed: int | None

    def __init__(
        self,
        dim: int = 128,  # length of a feature vector
        seed: int = 0,  # of the weights
        zeros: float = 0.65,  # share of zeros aimed at; real VGGish features have 0.65
    ):
        self.name, self.dim, self.seed = "avbook-audio", check_positive(dim, "dim"), seed
        rng = np.random.default_rng([seed, 1])
        self._bank = patterns()
        sample = quantities(torch.from_numpy(sample_sounds(rng)), self._bank)
        self._mix = RandomLayer(rng, sample, dim, zeros, keep=0.12)

    def _features(self, patches: torch.Tensor) -> torch.Tensor:
        """(n, dim) of log-mel patches (n, 96, 64)."""
        return self._mix(quantities(patches, self._bank))

    def __call__(
        self,
        sound,  # a wave (samples,) or (samples, channels), or log-mel patches (…, 96, 64)
        rate: int = RATE,  # samples per second, for a wave
    ) -> np.ndarray:
        """Features (…, dim) float32, one vector per second. Raises `AvbookError` for anything else,
        NaN and Inf."""
        sound = np.asarray(sound)
        if sound.shape[-2:] != (PATCH, BANDS):
            sound = log_mel(sound, rate)
        if not np.isfinite(sound).all():
            refuse(
                "NaN or Inf in the log-mel patches", "finite values; check the wave they came from"
            )
        patches = torch.from_numpy(np.ascontiguousarray(sound, dtype=np.float32))
        patches = patches.reshape(-1, PATCH, BANDS)
        with torch.no_grad():
            vectors = [self._features(some) for some in patches.split(32) if len(some)]
        found = torch.cat([torch.zeros(0, self.dim), *vectors])
        return found.reshape(*sound.shape[:-2], self.dim).numpy()
