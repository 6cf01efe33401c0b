"""Random rectified layers with whole-number weights: every sum is exact in float32.

A layer's thresholds are set on a calibration sample, so that each unit is zero on a given share of
it. Since whole numbers below 2^24 add exactly in float32, a layer gives the same bytes on every
machine."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["random_integers", "calibrate", "pooled", "RandomLayer", "RandomConvolution"]


def random_integers(
    rng: np.random.Generator,  # where the weights come from
    shape: tuple[int, ...],  # of the array
    keep: float,  # share of weights that are not zero
    largest: int = 3,  # magnitude of the largest weight
) -> np.ndarray:
    """Random whole weights, float32, from ±1 to ±largest, and zero where not kept."""
    size = rng.integers(1, largest + 1, shape) * rng.choice([-1, 1], shape)
    return (size * (rng.random(shape) < keep)).astype(np.float32)


def calibrate(
    drive: torch.Tensor,  # (samples, units) weighted sums on the calibration sample
    zeros: float,  # share of the sample at which a unit should be zero
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each unit a whole threshold, the `zeros` quantile of its sums, and a power of two that
    brings their spread near 1."""
    threshold = np.quantile(drive.numpy(), zeros, axis=0, method="nearest")
    spread = np.maximum(drive.double().numpy().std(axis=0, ddof=1), 1)
    gain = 2.0 ** -np.round(np.log2(spread))
    return torch.from_numpy(threshold.round()).float(), torch.from_numpy(gain).float()


def pooled(
    maps: torch.Tensor,  # (n, units, 7, 7)
) -> torch.Tensor:
    """The sum over positions and seven times the largest value, (n, 2·units) whole numbers."""
    return torch.cat([maps.sum((2, 3)), maps.amax((2, 3)) * 7], 1)


class RandomLayer:
    """A random rectified layer on vectors of whole numbers: (n, quantities) → (n, dim), sparse,
    never negative."""

    def __init__(
        self,
        rng: np.random.Generator,
        sample: torch.Tensor,  # (samples, quantities) to set thresholds by
        dim: int,
        zeros: float,  # share of zeros aimed at
        keep: float = 0.15,  # share of weights that are not zero
        centred: bool = True,  # subtract the sample's mean; otherwise zero in, zero out
    ):
        self.centre = sample.double().mean(0).round().float() * centred
        spread = sample.double().std(0).clamp(min=1) / 16
        self.spread = 2.0 ** -spread.log2().round().float()
        self.weights = torch.from_numpy(random_integers(rng, (sample.shape[1], dim), keep))
        threshold, self.gain = calibrate(self.drive(sample), zeros)
        self.threshold = threshold * centred

    def drive(self, quantities: torch.Tensor) -> torch.Tensor:
        """The weighted sums before threshold and rectification, whole numbers."""
        steps = ((quantities - self.centre) * self.spread).round().clamp(-127, 127)
        return steps @ self.weights

    def __call__(self, quantities: torch.Tensor) -> torch.Tensor:
        return F.relu(self.drive(quantities) - self.threshold) * self.gain


class RandomConvolution:
    """A random rectified convolution: maps (n, 32, 14, 14) → whole numbers (n, units, 7, 7), mostly
    zero. Half of the units have 4×4 kernels, the others add the same weight at all 16 places."""

    def __init__(
        self,
        rng: np.random.Generator,
        sample: torch.Tensor,  # (samples, 32, 14, 14) to set thresholds by
        units: int,
        zeros: float,  # share of zeros aimed at
        centred: bool = True,  # subtract the sample's mean; otherwise zero in, zero out
    ):
        half, channels = units // 2, sample.shape[1]
        shapes = random_integers(rng, (half, channels, 4, 4), keep=0.2)
        textures = random_integers(rng, (units - half, channels, 1, 1), keep=0.25)
        textures = textures * np.ones((4, 4), np.float32)
        self.weights = torch.from_numpy(np.concatenate([shapes, textures]))
        centre = sample.double().mean((0, 2, 3)).round().float()
        self.centre = centre[:, None, None] * centred
        drive = self.drive(sample).permute(0, 2, 3, 1).reshape(-1, units)
        threshold, self.gain = calibrate(drive, zeros)
        if not centred:
            threshold = threshold.clamp(min=0)
        self.threshold = threshold[:, None, None]

    def drive(self, maps: torch.Tensor) -> torch.Tensor:
        """The weighted sums before threshold and rectification, whole numbers."""
        return F.conv2d(maps - self.centre, self.weights, stride=2, padding=1)

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        return F.relu(self.drive(maps) - self.threshold).clamp(max=2**16)
