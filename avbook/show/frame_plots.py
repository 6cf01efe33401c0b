"""Frames of a clip in a row, and attention laid over them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.textpath import TextPath

from avbook.errors import AvbookError
from avbook.show.style import GREY, HEAT, PALETTE, WIDTH, array, styled

__all__ = ["one_a_second", "frame_grid", "frames_strip", "attention_over_frames"]


def one_a_second(
    frames,  # (T * fps, H, W, 3)
    seconds: int | None = None,  # T
) -> np.ndarray:
    """The middle frame of each second, (T, H, W, 3); all frames where `seconds` is not given."""
    frames = array(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise AvbookError(f"frames have shape {frames.shape}: expected (frames, height, width, 3)")
    if seconds is None:
        return frames
    if seconds < 1 or len(frames) % seconds:
        raise AvbookError(f"{len(frames)} frames do not divide into {seconds} s")
    fps = len(frames) // seconds
    return frames[fps // 2 :: fps]


def frame_grid(captions: Sequence[str], columns: int, event, title: str | None, extra: float = 0.0):
    """(figure, an axes for each caption) in rows of `columns`; event seconds get a thick vermilion
    border, others a thin grey one. The longest caption sets the size of all, at least 8 points."""
    columns = min(columns, len(captions))
    rows = -(-len(captions) // columns)
    size = WIDTH, rows * (WIDTH / columns + 0.28) + extra + (0.35 if title else 0)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    lines = [line for line in "\n".join(captions).split("\n") if line.strip()]
    widest = max(
        (TextPath((0, 0), line, size=1).get_extents().width for line in lines),
        default=1,
    )
    points = np.clip(0.96 * 72 * WIDTH / columns / widest, 8, plt.rcParams["axes.labelsize"])
    for ax in grid.flat[len(captions) :]:
        ax.remove()
    for t, (ax, caption) in enumerate(zip(grid.flat, captions)):
        on = event is not None and bool(array(event)[t])
        ax.spines[:].set(
            visible=event is not None,
            color=PALETTE[3] if on else GREY,
            linewidth=3.5 if on else 1,
        )
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(caption, labelpad=2, fontsize=points)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure, grid.flat[: len(captions)]


@styled
def frames_strip(
    frames,  # (T, H, W, 3) uint8, or (T * fps, H, W, 3) with `seconds`
    seconds: int | None = None,  # T: show the middle frame of each second
    event=None,  # (T,) mask: these frames get a coloured border
    labels: Sequence[str] | None = None,  # a caption for each frame; seconds by default
    columns: int = 5,  # frames in a row
    title: str | None = None,  # above the figure
):
    """Figure with frames side by side, captioned by their second."""
    frames = one_a_second(frames, seconds)
    captions = labels or [f"{t} s" for t in range(len(frames))]
    figure, grid = frame_grid(captions, columns, event, title)
    for ax, frame in zip(grid, frames):
        ax.imshow(frame)
    return figure


@styled
def attention_over_frames(
    frames,  # (T, H, W, 3) uint8, or (T * fps, H, W, 3) with `seconds`
    attention,  # (T, h, w), or (T, h * w) for a square grid; sums to one over positions
    seconds: int | None = None,  # T: show the middle frame of each second
    event=None,  # (T,) mask: these frames get a coloured border
    columns: int = 5,  # frames in a row
    title: str | None = None,  # above the figure
):
    """Figure with the attention of each second laid over its frame, one colour scale for all; 1 is
    uniform attention."""
    frames, attention = one_a_second(frames, seconds), array(attention).astype(float)
    if attention.ndim == 2:
        side = int(round(attention.shape[1] ** 0.5))
        if side * side != attention.shape[1]:
            raise AvbookError(
                f"attention has shape {attention.shape}: {attention.shape[1]} positions are not a"
                " square grid; pass (T, h, w)"
            )
        attention = attention.reshape(len(attention), side, side)
    if attention.ndim != 3 or len(attention) != len(frames):
        raise AvbookError(
            f"attention of shape {attention.shape} does not fit {len(frames)} frames: expected"
            f" ({len(frames)}, h, w)"
        )
    relative = attention * attention[0].size  # 1 everywhere when attention is uniform
    highest = max(2.0, float(relative.max()))
    captions = [f"{t} s" for t in range(len(frames))]
    figure, grid = frame_grid(captions, columns, event, title, extra=0.7)
    height, width = frames.shape[1:3]
    for t, (ax, frame) in enumerate(zip(grid, frames)):
        ax.imshow(frame.mean(-1), cmap="gray", vmin=0, vmax=255)
        image = ax.imshow(
            relative[t],
            cmap=HEAT,
            vmin=0,
            vmax=highest,
            interpolation="bilinear",
            alpha=0.6,
            extent=(0, width, height, 0),
        )
        ax.set(xlim=(0, width), ylim=(height, 0))
    below = {"location": "bottom", "shrink": 0.5, "aspect": 30}
    figure.colorbar(image, ax=list(grid), label="attention (1 = uniform)", **below)
    return figure
