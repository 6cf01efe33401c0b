"""Matrices: similarity maps and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avbook.errors import AvbookError
from avbook.show.style import PALETTE, SHARES, SIGNED, WIDTH, array, axes, styled

__all__ = ["similarity_map", "confusion"]


@styled
def similarity_map(
    matrix,  # (rows, columns)
    threshold: float | None = None,  # entries at or below it are marked as pruned
    event=None,  # (T,) mask of event seconds: drawn as a bar along both axes
    x: str = "audio segment (s)",  # what the columns are
    y: str = "visual segment (s)",  # what the rows are
    title: str | None = None,  # above the axes
    values: bool | None = None,  # write each value into its cell; by default up to 6 × 6
    limits: tuple[float, float] | None = None,  # ends of the colour scale, to compare maps
    ax=None,  # axes to draw on
):
    """Axes with a matrix of similarities as a heat map: white is zero; pruned entries carry a small
    cross."""
    matrix = array(matrix).astype(float)
    if matrix.ndim != 2:
        raise AvbookError(
            f"similarity_map() got shape {matrix.shape}: expected one matrix (rows, columns)"
        )
    ax = axes(ax, WIDTH, 3.9)
    signed, bound = matrix.min() < 0, max(float(np.abs(matrix).max()), 1e-12)
    low, high = limits or ((-bound, bound) if signed else (0, bound))
    image = ax.imshow(matrix, cmap=SIGNED if signed else SHARES, vmin=low, vmax=high)
    colours = image.cmap(image.norm(matrix))
    dark = colours[..., :3] @ (0.299, 0.587, 0.114) < 0.5
    if threshold is not None:
        row, column = np.nonzero(matrix <= threshold)
        ax.scatter(column, row, marker="x", s=22, color=PALETTE[3], lw=1.3)
    if values if values is not None else matrix.size <= 36:
        for (i, j), value in np.ndenumerate(matrix):
            ax.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=9.5,
                color="white" if dark[i, j] else "black",
            )
    edge = -0.5 if event is None else -1.4
    if event is not None:
        on = np.flatnonzero(array(event))
        for place in (
            (on, np.full(len(on), edge / 2 - 0.25)),
            (np.full(len(on), edge / 2 - 0.25), on),
        ):
            ax.scatter(*place, marker="s", s=45, color=PALETTE[1])

    def ticks(n: int) -> np.ndarray:
        return np.arange(0, n, max(1, -(-n // 10)))

    ax.set(
        xlabel=x,
        ylabel=y,
        xticks=ticks(matrix.shape[1]),
        yticks=ticks(matrix.shape[0]),
        xlim=(edge, matrix.shape[1] - 0.5),
        ylim=(matrix.shape[0] - 0.5, edge),
    )
    ax.set_title(title, pad=8)
    ax.figure.colorbar(image, ax=ax, shrink=0.85)
    return ax


@styled
def confusion(
    matrix,  # (C, C) counts, rows true, columns predicted
    names: Sequence[str],  # C class names
    normalise: bool = True,  # each row to shares of its class
    title: str | None = None,  # above the axes
    ax=None,  # axes to draw on
):
    """Axes with a confusion matrix as a heat map, in percent of each true class (or in counts)."""
    matrix, count = array(matrix).astype(float), len(names)
    if matrix.shape != (count, count):
        raise AvbookError(
            f"confusion() got a matrix of shape {matrix.shape} and {count} names: expected"
            f" ({count}, {count})"
        )
    shown = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1) if normalise else matrix
    ax = axes(ax, WIDTH, min(6.6, 2.4 + 0.28 * count))
    image = ax.imshow(shown, cmap=SHARES, vmin=0, vmax=100 if normalise else None)
    for (i, j), value in np.ndenumerate(shown) if count <= 12 else ():
        if value >= 0.5:
            ax.text(
                j,
                i,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=9.5,
                color="white" if value > 0.55 * shown.max() else "black",
            )
    ax.set(
        xlabel="predicted",
        ylabel="true",
        xticks=range(count),
        yticks=range(count),
        xticklabels=names,
        yticklabels=names,
        title=title,
    )
    ax.tick_params(labelsize=10.5 if count <= 12 else 8)
    ax.tick_params(axis="x", rotation=90)
    ax.figure.colorbar(
        image,
        ax=ax,
        shrink=0.7,
        label="% of the true class" if normalise else "segments",
    )
    return ax
