"""Colours and textures of drawn things."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avbook.world.sdf import Patch, ripple, stripes

__all__ = [
    "hsv",
    "DARK",
    "LIGHT",
    "WHITE",
    "GREY",
    "SILVER",
    "GOLD",
    "BROWN",
    "RED",
    "BLUE",
    "GLASS",
    "PINK",
    "TEXTURES",
]


def hsv(
    hue: float,  # in turns: 0 red, 1/3 green, 2/3 blue
    saturation: float,  # 0 grey .. 1 pure
    value: float,  # 0 black .. 1 bright
) -> np.ndarray:
    """A colour's red, green and blue in 0..1, float32 (3,); saturation and value are cut to
    0..1."""
    saturation, value = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    offsets = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    dip = np.clip(np.minimum(offsets, 4 - offsets), 0, 1)
    return (value * (1 - saturation * dip)).astype(np.float32)


DARK, LIGHT, WHITE = hsv(0.65, 0.3, 0.16), hsv(0.11, 0.12, 0.93), hsv(0.1, 0.02, 0.98)
GREY, SILVER = hsv(0.6, 0.08, 0.5), hsv(0.6, 0.06, 0.78)
GOLD, BROWN = hsv(0.12, 0.65, 0.85), hsv(0.07, 0.6, 0.38)
RED, BLUE = hsv(0.0, 0.75, 0.8), hsv(0.56, 0.65, 0.85)
GLASS, PINK = hsv(0.54, 0.3, 0.9), hsv(0.98, 0.4, 0.92)


def _grain(p, vary):
    bent = p.v + np.float32(0.12) * ripple(p.u * np.float32(1.1))
    return ripple(bent * np.float32(3.1 + vary[6]))


def _fur(p, vary):
    wave = np.float32(0.5) * ripple(p.u * np.float32(2.3))
    return ripple(p.v * np.float32(2.6 + vary[6]) + wave)


def _patches(p, vary):
    across = ripple(p.u * np.float32(0.9) + np.float32(vary[6]))
    x = across + ripple(p.v * np.float32(1.2) + np.float32(vary[7]))
    return np.minimum(np.maximum((x - np.float32(1.05)) * np.float32(7), 0), 1)


def _bands(p, vary):
    period = np.float32(0.36 + 0.08 * vary[6])
    return stripes(p.v / period, p.pixel / period, 0.35)


def _gloss(p, vary):
    return np.minimum(np.maximum(np.float32(0.5) - (p.u + p.v) * np.float32(0.8), 0), 1)


# name -> the mark, 0..1 over a patch for an individual's `vary` (None: no mark), and the factor of
# the colour where the mark is 1: below 1 darker, above 1 brighter
TEXTURES: dict[str, tuple[Callable[[Patch, tuple[float, ...]], np.ndarray] | None, float]] = {
    "plain": (None, 1.0),
    "grain": (_grain, 0.72),
    "fur": (_fur, 0.66),
    "patches": (_patches, 0.45),
    "bands": (_bands, 0.62),
    "gloss": (_gloss, 1.25),
}
