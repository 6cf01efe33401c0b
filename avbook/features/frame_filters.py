"""The first layer of the world's visual extractors: edges, colours and surfaces at two scales."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from avbook.features.protocols import SIDE

__all__ = ["first_filters", "look", "both_scales", "sample_frames", "FirstLayer"]


def first_filters() -> torch.Tensor:
    """Whole weights (19, 3, 5, 5): three colour blobs, six orientations of light in two phases, two
    of each colour contrast."""
    light, red_green, blue_yellow = (1, 2, 1), (2, -2, 0), (-1, -1, 2)
    y, x = np.mgrid[-2:3, -2:3]
    blob = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 16
    bell = np.exp(-(x**2 + y**2) / 4)

    def wave(turn, phase):
        along = (x * np.cos(turn) + y * np.sin(turn)) / 4.5
        pattern = np.round(12 * bell * np.cos(2 * np.pi * along + phase))
        pattern[2, 2] -= pattern.sum()  # zero on a plain surface
        return pattern

    bank = []
    for colour in (light, red_green, blue_yellow):
        bank.append(np.multiply.outer(colour, np.round(blob)))
    for phase in (0, np.pi / 2):
        for k in range(6):
            bank.append(np.multiply.outer(light, wave(k * np.pi / 6, phase)))
    for colour in (red_green, blue_yellow):
        for k in (0, 1):
            bank.append(np.multiply.outer(colour, wave(k * np.pi / 2, np.pi / 2)))
    return torch.tensor(np.stack(bank), dtype=torch.float32)


def look(
    pixels: torch.Tensor,  # (n, 3, s, s)
    bank: torch.Tensor,  # from `first_filters`
) -> torch.Tensor:
    """One scale: (n, 16, s/2, s/2), never negative: six oriented contrasts, four edges of colour,
    six surface colours."""
    found = F.conv2d(pixels, bank, stride=2, padding=2)
    contrast = (
        found[:, 3:9].abs() + found[:, 9:15].abs()
    )  # both phases: an edge counts at any place
    light, colour = found[:, :1] - 4 * 128 * 16, found[:, 1:3]
    surface = torch.cat([light, -light, colour, -colour], 1)
    return torch.cat([contrast, found[:, 15:].abs(), F.relu(surface)], 1)


def both_scales(
    frames: torch.Tensor,  # (n, 56, 56, 3) uint8
    bank: torch.Tensor,  # from `first_filters`
) -> torch.Tensor:
    """(n, 32, 14, 14) whole numbers: `look` at the frame, summed 2×2, and at its half-size copy."""
    pixels = frames.permute(0, 3, 1, 2).float().contiguous()
    fine = (F.avg_pool2d(look(pixels, bank), 2, divisor_override=1) / 4).floor()
    coarse = look(F.avg_pool2d(pixels, 2, divisor_override=1).div(4).floor(), bank)
    return torch.cat([fine, coarse], 1)


def sample_frames(
    rng: np.random.Generator,  # where they come from
    count: int = 48,  # how many
) -> np.ndarray:
    """Images (count, 56, 56, 3) uint8 of overlapping discs and bars in random colours, to set
    thresholds by."""
    y, x = np.mgrid[:SIDE, :SIDE]
    images = np.empty((count, SIDE, SIDE, 3))
    for image in images:
        image[:] = rng.uniform(20, 230, 3)
        for _ in range(24):
            across, down = rng.uniform(0, SIDE), rng.uniform(0, SIDE)
            radius, turn = rng.uniform(2, 16), rng.uniform(0, np.pi)
            u = (x - across) * np.cos(turn) + (y - down) * np.sin(turn)
            v = (y - down) * np.cos(turn) - (x - across) * np.sin(turn)
            if rng.random() < 0.5:
                inside = u**2 + v**2 < radius**2  # a disc
            else:
                inside = (abs(u) < radius) & (abs(v) < radius / 4)  # a bar
            colour = rng.uniform(0, 255, 3)
            stripes = 30 * np.sin(u[inside] * rng.uniform(0.3, 2))[:, None]
            image[inside] = colour + stripes
        image += rng.standard_normal((SIDE, SIDE, 1)) * rng.uniform(0, 12)
    return np.clip(images, 0, 255).astype(np.uint8)


class FirstLayer:
    """The first layer that all visual extractors share: frames (n, 56, 56, 3) → whole-number maps
    (n, 32, 14, 14).

    Square roots, in units of each map's mean on a sample: 16 is an ordinary value, 255 the
    largest."""

    def __init__(self, rng: np.random.Generator):
        self._bank = first_filters()
        raw = both_scales(torch.from_numpy(sample_frames(rng)), self._bank)
        mean = raw.double().mean((0, 2, 3)).clamp(min=1)
        self._unit = 2.0 ** mean.log2().round().float()[:, None, None]
        self.sample = self._scale(raw)

    def _scale(self, maps: torch.Tensor) -> torch.Tensor:
        return ((maps / self._unit).sqrt() * 16).round().clamp(max=255)

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        return self._scale(both_scales(frames, self._bank))
