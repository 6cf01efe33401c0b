"""What surrounds the sources in a frame: the camera's path, the background, bars and the light."""

from __future__ import annotations

from typing import Any

import numpy as np

from avbook.world.actors import stream
from avbook.world.canvas import hsv
from avbook.world.clips import Clip
from avbook.world.sdf import ripple, sine, stripes

__all__ = ["BARRED", "PATTERNS", "camera_path", "background", "draw_bars", "expose"]

BARRED = 0.3  # share of the clips that are seen through bars
PATTERNS = ("waves", "stripes", "checks", "dots", "folds", "bricks")  # of a background


def camera_path(
    clip: Clip,
    times: np.ndarray,  # (F,) seconds
    strength: float,  # times the clip's shake
) -> np.ndarray:
    """Offset of everything in the frame, (2, F) in frame widths: a sum of slow waves."""
    r = stream(clip.seed, 23).random(12)
    path = np.zeros((2, len(times)))
    for k in range(6):
        reach = 0.035 * float(clip.shake) * strength * (0.4 + 0.6 * r[k])
        path[k % 2] += reach * sine((0.25 + 0.2 * k) * times + r[6 + k])
    return path


def _grid(
    size: int,
    camera: np.ndarray,  # (2, F)
    parallax: float = 1.0,  # above 1 for what is nearer to the camera
) -> tuple[np.ndarray, np.ndarray]:
    """Scene coordinates of the pixels in frame widths: u (F, 1, size), v (F, size, 1)."""
    at = (np.arange(size) + 0.5) / size
    u, v = at - parallax * camera[0][:, None], at - parallax * camera[1][:, None]
    return u.astype(np.float32)[:, None, :], v.astype(np.float32)[:, :, None]


def _pattern(
    kind: int,  # index into PATTERNS
    u: np.ndarray,
    v: np.ndarray,
    pixel: Any,  # float32 as the next two, so that all sums are: size of a pixel in frame widths
    period: Any,  # in frame widths
    tilt: Any,
) -> np.ndarray:
    """Share of the second colour in each pixel, 0..1."""
    a, b, w = u / period, v / period, pixel / period
    if kind == 0:
        return ripple(a + tilt * b)
    if kind == 1:
        return stripes(b + tilt * a, w * (1 + abs(tilt)))
    if kind == 2:
        across, down = stripes(a, w), stripes(b, w)
        return across + down - 2 * across * down
    if kind == 3:
        return ripple(a + np.float32(0.5) * b) * ripple(b - np.float32(0.5) * a)
    if kind == 4:
        return ripple(b + np.float32(0.06) / period * ripple(u * np.float32(2.1)))
    row = np.floor(b * 2)
    upright = stripes(a + np.float32(0.5) * row, w, 0.12)
    return np.maximum(upright, stripes(b * 2, w * 2, 0.14))


def background(
    clip: Clip,
    camera: np.ndarray,  # (2, F)
    size: int,  # width and height in pixels
    strength: float,  # of the pattern's contrast
) -> np.ndarray:
    """A patterned wall above a floor, in two muted colours: (F, 3, size, size) float32."""
    r = stream(clip.seed, 37).random(16)
    near = hsv(r[0], 0.03 + 0.17 * r[1], 0.42 + 0.25 * r[2])
    far = hsv(r[0] + 0.25 * (r[3] - 0.5), 0.03 + 0.17 * r[4], 0.42 + 0.25 * r[5])
    u, v = _grid(size, camera)
    kind, pixel = int(r[8] * 6), np.float32(1 / size)
    period, tilt = np.float32(0.12 + 0.2 * r[6]), np.float32(0.8 * (2 * r[7] - 1))
    mark = _pattern(kind, u, v, pixel, period, tilt)
    mark = mark * np.float32((0.12 + 0.43 * r[9]) * strength)
    edge = np.float32(0.55 + 0.3 * r[10])  # where the wall meets the floor
    below = np.minimum(np.maximum(np.float32(0.5) + (v - edge) * np.float32(size), 0), 1)
    floor = below * np.float32(0.5 * r[11])
    mark = mark + (1 - mark) * floor + (v - np.float32(0.5)) * np.float32(0.3 * r[12])
    mark = np.minimum(np.maximum(mark, 0), 1)
    planes = np.empty((camera.shape[1], 3, size, size), np.float32)
    for k in range(3):
        planes[:, k] = mark * (far[k] - near[k]) + near[k]
    return planes


def draw_bars(
    planes: np.ndarray,  # (F, 3, size, size) float32, painted over in place
    clip: Clip,
    camera: np.ndarray,  # (2, F)
    strength: float,  # times BARRED
) -> None:
    """Paints posts or rails over frames, if the clip has them. They are nearer to the camera than
    the sources, so shake moves them more."""
    r = stream(clip.seed, 41).random(9)
    if r[0] >= BARRED * strength:
        return
    size = planes.shape[-1]
    u, v = _grid(size, camera, 1.6)
    if r[1] < 0.3:
        u, v = v, u
    tilt, gap, width = 0.5 * (2 * r[2] - 1), 0.3 + 0.4 * r[3], 0.025 + 0.04 * r[4]
    slanted = u + np.float32(tilt) * (v - np.float32(0.5)) - np.float32(r[5])
    across = slanted * np.float32(1 / gap)
    pixel: Any = np.float32((1 + abs(tilt)) / size / gap)
    ink = stripes(across, pixel, width / gap)
    colour = hsv(r[6], 0.5 * r[7], 0.1 + 0.6 * r[8])
    for k in range(3):
        planes[:, k] += ink * (colour[k] - planes[:, k])


def expose(
    planes: np.ndarray,  # (F, 3, size, size) float32
    clip: Clip,
    strength: float,  # of the light's deviation
) -> np.ndarray:
    """The finished frames, (F, size, size, 3) uint8, brighter or darker and tinted by the clip's
    seed."""
    r = stream(clip.seed, 53).random(4)
    gains = (1 + (0.2 * r[0] - 0.11) * strength) * (1 + 0.04 * (2 * r[1:] - 1) * strength)
    frames = np.empty((len(planes), *planes.shape[2:], 3), np.uint8)
    for k in range(3):
        plane = planes[:, k] * np.float32(255 * gains[k])
        plane += np.float32(0.5)
        frames[..., k] = np.minimum(np.maximum(plane, 0, out=plane), 255, out=plane)
    return frames
