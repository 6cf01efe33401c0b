"""Resizing of frames: bilinear, to the pixel as OpenCV and as Pillow do it, and by area."""

from __future__ import annotations

import numpy as np

__all__ = ["resize_opencv", "resize_pillow", "resize_short_side", "centre_crop", "resize_area"]

OPENCV_ONE = 2048  # 1 in OpenCV's weights: 11 bits
PILLOW_BITS = 22  # after the point in Pillow's weights


# ------------------------------------------------------------------------------------------- OpenCV
def resize_opencv(
    frame: np.ndarray,  # (H, W, channels) uint8
    height: int,  # pixels that come out
    width: int,  # pixels that come out
) -> np.ndarray:
    """The frame as (height, width, channels) uint8, as `cv2.resize(frame, (width, height))`.

    Each pixel is a weighted mean of the four nearest ones, whatever the sizes, so that pixels are
    skipped where a frame shrinks to less than half (no antialiasing). Source: OpenCV's fixed-point
    INTER_LINEAR for uint8, the default of `cv2.resize`, which AVE's script calls."""
    if frame.shape[:2] == (height, width):
        return frame
    rows, weights_down = _nearest_two(frame.shape[0], height)
    columns, weights_across = _nearest_two(frame.shape[1], width)
    # beyond the first and last column OpenCV takes that column whole; of rows it weighs one twice,
    # which rounds differently
    outside = (columns < 0) | (columns >= frame.shape[1])
    weights_across[outside] = 0
    weights_across[outside[:, ::-1]] = OPENCV_ONE
    columns = columns.clip(0, frame.shape[1] - 1)
    rows = rows.clip(0, frame.shape[0] - 1)

    def across(row: np.ndarray) -> np.ndarray:
        """(height, W, channels) -> (height, width, channels), 2048 times as large."""
        left = row[:, columns[:, 0]] * weights_across[:, 0, None]
        return left + row[:, columns[:, 1]] * weights_across[:, 1, None]

    frame = frame.astype(np.int32)
    above, below = across(frame[rows[:, 0]]), across(frame[rows[:, 1]])
    down = weights_down[:, :, None, None]
    total = ((above >> 4) * down[:, 0] >> 16) + ((below >> 4) * down[:, 1] >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _nearest_two(
    size: int,  # pixels there are
    wanted: int,  # pixels that come out
) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel that comes out: the two nearest ones, (wanted, 2), which may lie outside, and
    their weights (wanted, 2), whole numbers that sum to 2048."""
    centre = ((np.arange(wanted) + 0.5) * (size / wanted) - 0.5).astype(np.float32)
    first = np.floor(centre)
    share = centre - first
    weights = np.stack([np.float32(1) - share, share], axis=1) * np.float32(OPENCV_ONE)
    pair = first.astype(np.int64)[:, None] + np.arange(2)
    return pair, np.rint(weights).astype(np.int32)


# ------------------------------------------------------------------------------------------- Pillow
def resize_pillow(
    frame: np.ndarray,  # (H, W, channels) uint8
    height: int,  # pixels that come out
    width: int,  # pixels that come out
) -> np.ndarray:
    """The frame as (height, width, channels) uint8, as Pillow's `resize((width, height), BILINEAR)`
    and torchvision's `Resize` of a Pillow image.

    Where a frame shrinks, each pixel is a mean over all the pixels it covers, with triangular
    weights (antialiasing). First along rows, then along columns, rounded to uint8 after each.
    Source: Pillow's fixed-point resampling, which LLP's scripts call. Pillow 13 takes the columns
    first where a frame shrinks in height and grows in width: there a pixel may differ by 1."""
    if frame.shape[1] != width:
        frame = _weighted(frame.swapaxes(0, 1), width).swapaxes(0, 1)
    return _weighted(frame, height) if frame.shape[0] != height else frame


def _weighted(
    frame: np.ndarray,  # (size, other, channels) uint8
    wanted: int,  # rows that come out
) -> np.ndarray:
    """Weighted means of the frame's rows, (wanted, other, channels) uint8."""
    rows, weights = _triangles(len(frame), wanted)
    frame = frame.astype(np.int32)
    total = np.full((wanted, *frame.shape[1:]), 1 << (PILLOW_BITS - 1), np.int32)
    for tap in range(rows.shape[1]):
        total += frame[rows[:, tap]] * weights[:, tap, None, None]
    return (total >> PILLOW_BITS).clip(0, 255).astype(np.uint8)


def _triangles(
    size: int,  # rows there are
    wanted: int,  # rows that come out
) -> tuple[np.ndarray, np.ndarray]:
    """For each row that comes out: those it is made of, (wanted, taps), and their weights (wanted,
    taps), whole numbers that sum to about 2^22; those of no part weigh 0."""
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
    side: int,  # pixels of the shorter side that comes out
) -> np.ndarray:
    """The frame with its aspect kept, uint8, as torchvision's `Resize(side)` of a Pillow image: the
    longer side is rounded down."""
    height, width = frame.shape[:2]
    short = min(height, width)
    return resize_pillow(frame, int(side * height / short), int(side * width / short))


def centre_crop(
    frame: np.ndarray,  # (H, W, channels), at least `side` pixels a side
    side: int,  # pixels of both sides that come out
) -> np.ndarray:
    """The middle (side, side, channels), as torchvision's `CenterCrop`: a half pixel is rounded to
    the even one."""
    top = round((frame.shape[0] - side) / 2)
    left = round((frame.shape[1] - side) / 2)
    return frame[top : top + side, left : left + side]


# -------------------------------------------------------------------------------------------- area
def resize_area(
    frame: np.ndarray,  # (H, W, channels) uint8
    height: int,  # pixels that come out
    width: int,  # pixels that come out
) -> np.ndarray:
    """The frame as (height, width, channels) uint8: each pixel is the mean of what it covers, parts
    of pixels by their area, rounded half up. All sums are of whole numbers, so the bytes are the
    same on every machine.

    The world draws each pixel as the mean of its square, so a frame of 224 pixels made smaller in
    this way is all but the frame drawn at 56; bilinear means are softer (Pillow) or skip pixels
    (OpenCV)."""
    if frame.shape[:2] == (height, width):
        return frame
    whole = frame.shape[0] * frame.shape[1]  # the sum of all weights
    total = _covered(_covered(frame.astype(np.int64), height).swapaxes(0, 1), width).swapaxes(0, 1)
    return ((2 * total + whole) // (2 * whole)).astype(np.uint8)


def _covered(
    frame: np.ndarray,  # (size, other, channels) int64
    wanted: int,  # rows that come out
) -> np.ndarray:
    """Sums of the frame's rows, (wanted, other, channels), each row weighted by how much of it is
    covered in 1/wanted of a row: the weights sum to the number of rows."""
    size = len(frame)
    edges = np.arange(wanted + 1) * size  # of the rows that come out; one that goes in is `wanted`
    first = edges[:-1] // wanted
    taps = int((-(-edges[1:] // wanted) - first).max())
    total = np.zeros((wanted, *frame.shape[1:]), np.int64)
    for tap in range(taps):
        row = first + tap
        upper = np.minimum(edges[1:], (row + 1) * wanted)
        weight = (upper - np.maximum(edges[:-1], row * wanted)).clip(min=0)
        total += frame[row.clip(max=size - 1)] * weight[:, None, None]
    return total
