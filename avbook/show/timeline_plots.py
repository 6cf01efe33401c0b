"""Timelines: ground truth and predictions as bars over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Patch, Rectangle

from avbook.data.events import SECONDS, masks
from avbook.errors import AvbookError
from avbook.show.style import HATCHES, PALETTE, WIDTH, array, axes, styled

__all__ = ["timeline_tracks", "timeline_bars"]


def timeline_tracks(
    row,  # one row of `timeline_bars`
    names: Sequence[str] | None,  # class names
    seconds: int | None,  # T, for events
) -> tuple[list[tuple[str | None, np.ndarray]], bool]:
    """([(class or None, (T,) heights in 0..1) for each lane], whether they share one)."""
    tracks: list[tuple[str | None, np.ndarray]]
    if isinstance(row, (list, tuple)) and all(hasattr(event, "onset") for event in row):
        length = seconds or max([SECONDS, *(event.offset for event in row)])
        tracks = [(name, mask.astype(float)) for name, mask in masks(row, length).items()]
        return tracks or [(None, np.zeros(length))], False
    row = array(row)
    if row.ndim not in (1, 2) or not row.size or row.dtype.kind not in "biuf":
        raise AvbookError(
            f"a timeline row has shape {row.shape}: expected (T,) labels, a (T,) mask, a (T, C)"
            " mask or events"
        )
    classes = row.ndim == 1 and row.dtype.kind in "iu" and names is not None
    if not classes and not ((row >= 0) & (row <= 1)).all():
        raise AvbookError(
            f"a timeline row of shape {row.shape} holds values outside 0..1: class indices need"
            " names=, strengths must be probabilities"
        )

    def called(index: int) -> str:
        return names[index] if names is not None and index < len(names) else f"class {index}"

    if row.ndim == 2:
        tracks = [
            (called(index), row[:, index].astype(float))
            for index in np.flatnonzero(row.any(0)).tolist()
        ]
    elif classes and names is not None:
        tracks = [
            (names[index], (row == index).astype(float))
            for index in dict.fromkeys(row.tolist())
            if 0 <= index < len(names)
        ]
    else:
        tracks = [(None, row.astype(float))]
    return tracks or [(None, np.zeros(len(row)))], classes


@styled
def timeline_bars(
    rows: Mapping[
        str, object
    ],  # row name -> (T,) class indices, (T,) mask, (T,) strengths, (T, C) mask, or events
    # class names; an index beyond them is background and stays empty
    names: Sequence[str] | None = None,
    seconds: int | None = None,  # T; only needed where events alone do not tell, 10 by default
    title: str | None = None,  # above the figure
    # row or class name -> colour, to keep colours equal over figures
    colours: Mapping[str, str] | None = None,
    ax=None,  # axes to draw on
):
    """Axes with one bar chart in time for each row: truth above, predictions below, seconds along
    the bottom.

    Class indices (with `names`) share a lane, coloured by class; a (T, C) mask or events get one
    lane per class; strengths between 0 and 1 are drawn as heights. Raises `AvbookError` on other
    shapes and values."""
    tracks = {name: timeline_tracks(row, names, seconds) for name, row in rows.items()}
    seconds = max(len(heights) for found, _ in tracks.values() for _, heights in found)
    lanes = {name: 1 if shared else len(found) for name, (found, shared) in tracks.items()}
    ax = axes(ax, WIDTH, 0.75 + 0.42 * sum(lanes.values()) + (0.3 if title else 0))
    keys = {
        key: i
        for i, key in enumerate(
            dict.fromkeys(
                label or name for name, (found, _) in tracks.items() for label, _ in found
            )
        )
    }
    top, ticks = 0.0, []
    legend: dict[str, Patch] = {}
    for name, (found, shared) in tracks.items():
        for lane, (label, heights) in enumerate(found):
            key, y = label or name, top + (0 if shared else lane)
            look: dict[str, Any] = {
                "facecolor": (colours or {}).get(key, PALETTE[keys[key] % 8]),
                "hatch": HATCHES[keys[key] // 8 % 4],
                "edgecolor": "white",
                "lw": 0,
            }
            if lane == 0 or not shared:
                ax.add_patch(Rectangle((0, y - 0.38), seconds, 0.76, color="#F2F2F2", lw=0))
            ax.bar(
                np.arange(len(heights)) + 0.5,
                0.76 * heights,
                1.0,
                bottom=y - 0.38 + 0.76 * (1 - heights),
                **look,
            )
            legend |= {label: Patch(**look)} if label else {}
        ticks.append(top + (lanes[name] - 1) / 2)
        top += lanes[name] + 0.25
    ax.vlines(np.arange(1, seconds), -0.5, top - 0.75, color="white", lw=1)
    ax.set(
        xlim=(0, seconds),
        ylim=(top - 0.7, -0.55),
        xlabel="time (s)",
        xticks=np.arange(0, seconds + 1, max(1, seconds // 10)),
        yticks=ticks,
        yticklabels=list(tracks),
        title=title,
    )
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if legend:
        ax.legend(
            legend.values(),
            legend,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.02),
            handlelength=1,
            borderaxespad=0.3,
        )
    return ax
