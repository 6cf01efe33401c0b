"""Resizing of frames: bilinear, pixel-identical to OpenCV and to Pillow, and by area."""

from __future__ import annotations

import numpy as np

__all__ = ["resize_opencv", "resize_pillow", "resize_short_side", "centre_crop", "resize_area"]

OPENCV_ONE = 2048  # the value 1 in OpenCV's weights: 11 bits
PILLOW_BITS = 22  # fractional bits in Pillow's weights


# ------------------------------------------------------------------------------------------- OpenCV
def resize_opencv(
    frame: np.ndarray,  # (H, W, channels) uint8
    height: int,  # output pixels
    width: int,  # output pixels
) -> np.ndarray:
    """The frame as (height, width, channels) uint8, as `cv2.resize(frame, (width, height))`.

    Each pixel is a weighted mean of the four nearest ones at any scale, so pixels are skipped when
    a frame shrinks to less than half (no antialiasing). Source: OpenCV's fixed-point INTER_LINEAR
    for uint8, the default of `cv2.resize`, which AVE's script calls."""
    if frame.shape[:2] == (height, width):
        return frame
    rows, weights_down = _nearest_two(frame.shape[0], height)
    columns, weights_across = _nearest_two(frame.shape[1], width)
    # beyond the first and last column OpenCV uses that column alone; for rows it weights one twice,
    # which rounds differently
    outside = (columns < 0) | (columns >= frame.shape[1])
    weights_across[outside] = 0
    weights_across[outside[:, ::-1]] = OPENCV_ONE
    columns = columns.clip(0, frame.shape[1] - 1)
    rows = rows.clip(0, frame.shape[0] - 1)

    def across(row: np.ndarray) -> np.ndarray:
        """(height, W, channels) -> (height, width, channels), scaled by 2048."""
        left = row[:, columns[:, 0]] * weights_across[:, 0, None]
        return left + row[:, columns[:, 1]] * weights_across[:, 1, None]

    frame = frame.astype(np.int32)
    above, below = across(frame[rows[:, 0]]), across(frame[rows[:, 1]])
    down = weights_down[:, :, None, None]
    total = ((above >> 4) * down[:, 0] >> 16) + ((below >> 4) * down[:, 1] >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _nearest_two(
    size: int,  # input pixels
    wanted: int,  # output pixels
) -> tuple[np.ndarray, np.ndarray]:
    """For each output pixel: the two nearest input pixels, (wanted, 2), which may lie outside, and
    their weights (wanted, 2), integers that sum to 2048."""
    centre = ((np.arange(wanted) + 0.5) * (size / wanted) - 0.5).astype(np.float32)
    first = np.floor(centre)
    share = centre - first
    weights = np.stack([np.float32(1) - share, share], axis=1) * np.float32(OPENCV_ONE)
    pair = first.astype(np.int64)[:, None] + np.arange(2)
    return pair, np.rint(weights).astype(np.int32)


# ------------------------------------------------------------------------------------------- Pillow
def resize_pillow(
    frame: np.ndarray,  # (H, W, channels) uint8
    height: int,  # output pixels
    width: int,  # output pixels
) -> np.ndarray:
    """The frame as (height, width, channels) uint8, as Pillow's `resize((width, height), BILINEAR)`
    and torchvision's `Resize` of a Pillow image.

    Where a frame shrinks, each pixel is a mean over all the pixels it covers, with triangular
    weights (antialiasing). First along rows, then along columns, rounded to uint8 after each.
    Source: Pillow's fixed-point resampling, which LLP's scripts call. Pillow 13 processes the
    columns first if a frame shrinks in height and grows in width: then a pixel may differ by 1."""
    if frame.shape[1] != width:
        frame = _weighted(frame.swapaxes(0, 1), width).swapaxes(0, 1)
    return _weighted(frame, height) if frame.shape[0] != height else frame


def _weighted(
    frame: np.ndarray,  # (size, other, channels) uint8
    wanted: int,  # output rows
) -> np.ndarray:
    """Weighted means of the frame's rows, (wanted, other, channels) uint8."""
    rows, weights = _triangles(len(frame), wanted)
    frame = frame.astype(np.int32)
    total = np.full((wanted, *frame.shape[1:]), 1 << (PILLOW_BITS - 1), np.int32)
    for tap in range(rows.shape[1]):
        total += frame[rows[:, tap]] * weights[:, tap, None, None]
    return (total >> PILLOW_BITS).clip(0, 255).astype(np.uint8)


def _triangles(
    size: int,  # input rows
    wanted: int,  # output rows
) -> tuple[np.ndarray, np.ndarray]:
    """For each output row: its input rows, (wanted, taps), and their weights (wanted, taps),
    integers that sum to about 2^22; unused taps have weight 0."""
    scale = size / wanted
    reach = max(scale, 1.0)  # rows on each side
    centre = (np.arange(wanted) + 0.5) * scale
    first = (centre - reach + 0.5).astype(np.int64).clip(min=0)
    end = (centre + reach + 0.5).astype(np.int64).clip(max=size)
    rows = first[:, None] + np.arange((end - first).max())
    weights = (1 - np.abs((rows + 0.5 - centre[:, None]) / reach)).clip(min=0)
    weights[rows >= end[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    whole = (weights * (1 << PILLOW_BITS) + 0.5).astype(np.int32)
    return rows.clip(max=size - 1), whole


# -------------------------------------------------------------------------------------- torchvision
def resize_short_side(
    frame: np.ndarray,  # (H, W, channels) uint8
    side: int,  # pixels of the shorter output side
) -> np.ndarray:
    """The frame with its aspect ratio kept, uint8, as torchvision's `Resize(side)` of a Pillow
    image: the longer side is rounded down."""
    height, width = frame.shape[:2]
    short = min(height, width)
    return resize_pillow(frame, int(side * height / short), int(side * width / short))


def centre_crop(
    frame: np.ndarray,  # (H, W, channels), at least `side` pixels per side
    side: int,  # pixels of both output sides
) -> np.ndarray:
    """The middle (side, side, channels), as torchvision's `CenterCrop`: a half pixel is rounded to
    even."""
    top = round((frame.shape[0] - side) / 2)
    left = round((frame.shape[1] - side) / 2)
    return frame[top : top + side, left : left + side]


# -------------------------------------------------------------------------------------------- area
def resize_area(
    frame: np.ndarray,  # (H, W, channels) uint8
    height: int,  # output pixels
    width: int,  # output pixels
) -> np.ndarray:
    """The frame as (height, width, channels) uint8: each pixel is the mean of the area it covers,
    parts of pixels weighted by their area, rounded half up. All sums are of integers, so the bytes
    are the same on every machine.

    The world renders each pixel as the mean of its square, so a frame of 224 pixels shrunk in this
    way nearly equals the frame rendered at 56; bilinear means are softer (Pillow) or skip pixels
    (OpenCV)."""
    if frame.shape[:2] == (height, width):
        return frame
    whole = frame.shape[0] * frame.shape[1]  # the sum of all weights
    total = _covered(_covered(frame.astype(np.int64), height).swapaxes(0, 1), width).swapaxes(0, 1)
    return ((2 * total + whole) // (2 * whole)).astype(np.uint8)


def _covered(
    frame: np.ndarray,  # (size, other, channels) int64
    wanted: int,  # output rows
) -> np.ndarray:
    """Sums of the frame's rows, (wanted, other, channels), each row weighted by its covered part in
    units of 1/wanted of a row: the weights sum to the number of rows."""
    size = len(frame)
    edges = np.arange(wanted + 1) * size  # edges of the output rows; an input row is `wanted` long
    first = edges[:-1] // wanted
    taps = int((-(-edges[1:] // wanted) - first).max())
    total = np.zeros((wanted, *frame.shape[1:]), np.int64)
    for tap in range(taps):
        row = first + tap
        upper = np.minimum(edges[1:], (row + 1) * wanted)
        weight = (upper - np.maximum(edges[:-1], row * wanted)).clip(min=0)
        total += frame[row.clip(max=size - 1)] * weight[:, None, None]
    return total
