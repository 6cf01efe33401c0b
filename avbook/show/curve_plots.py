"""Curves of training, intervals of results, and features in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from avbook.errors import AvbookError
from avbook.show.style import DASHES, HALO, MARKERS, PALETTE, WIDTH, array, axes, styled

__all__ = ["history_table", "curves", "intervals", "tsne_scatter"]


def history_table(
    history,  # list of dicts (nested ones too), or a dict of lists
) -> dict[str, np.ndarray]:
    """Name -> numbers over epochs; a nested entry {"loss": {"ce": …}} is called "loss.ce", missing
    ones are NaN."""
    if isinstance(history, Mapping):
        return {str(name): array(values).astype(float) for name, values in history.items()}

    def flat(row, prefix=""):
        for name, value in row.items():
            if isinstance(value, Mapping):
                yield from flat(value, f"{prefix}{name}.")
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                yield f"{prefix}{name}", float(value)

    rows = [dict(flat(row)) for row in history]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


@styled
def curves(
    # list of dicts, one an epoch; or a dict name -> (E,) values, or (seeds, E) for a mean and a
    # band
    history,
    keys: Sequence[str] | None = None,  # which to draw, in this order; all by default
    x: str = "epoch",  # label of the horizontal axis; or a name in the history to plot against
    y: str = "",  # label of the vertical axis, with its unit
    marks: Mapping[str, float] | None = None,  # name -> position of a vertical line
    names: Mapping[str, str] | None = None,  # key -> name in the legend
    log: bool = False,  # logarithmic vertical axis
    title: str | None = None,  # above the axes
    ax=None,  # axes to draw on
):
    """Axes with a line for each key, in its own colour and dash; bands are one standard
    deviation over seeds."""
    table = history_table(history)
    missing = [key for key in keys or () if key not in table]
    if missing:
        raise AvbookError(
            f"curves() was asked for {missing[0]!r}, and the history has only {', '.join(table)}"
        )
    ax = axes(ax, WIDTH, 3.4)
    position = table.get(x)
    for i, key in enumerate(keys or [name for name in table if name != x]):
        values = np.atleast_2d(table[key])
        where = position if position is not None else np.arange(1, values.shape[1] + 1)
        mean = values.mean(0)
        ax.plot(
            where,
            mean,
            color=PALETTE[i % 8],
            ls=DASHES[i // 8 % 8 if len(table) > 8 else i % 8],
            label=(names or {}).get(key, key),
        )
        if len(values) > 1:
            ax.fill_between(
                where,
                mean - values.std(0, ddof=1),
                mean + values.std(0, ddof=1),
                color=PALETTE[i % 8],
                alpha=0.18,
                lw=0,
            )
    for name, at in (marks or {}).items():
        ax.axvline(at, color="#666666", lw=1.2, ls=":")
        ax.annotate(
            name,
            (at, 1),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=10,
            color="#444444",
            path_effects=HALO,
        )
    if position is None:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=x, ylabel=y, title=title, yscale="log" if log else "linear")
    ax.grid(axis="y", color="#E6E6E6")
    ax.legend()
    return ax


@styled
def intervals(
    rows: Mapping[str, tuple[float, float, float]],  # name -> (mean, low, high)
    x: str = "",  # label of the horizontal axis, with its unit
    zero: bool = False,  # a line at zero, for differences
    title: str | None = None,  # above the axes
    ax=None,  # axes to draw on
):
    """Axes with a dot and an interval for each row, first row on top, the mean written beside
    it."""
    ax = axes(ax, WIDTH, 0.9 + 0.38 * len(rows) + (0.3 if title else 0))
    for i, (mean, low, high) in enumerate(rows.values()):
        ax.plot([low, high], [i, i], color=PALETTE[0], lw=2.5, solid_capstyle="butt")
        ax.plot([mean], [i], "o", color=PALETTE[0], ms=7)
        ax.annotate(
            f"{round(mean, 1) + 0.0:.1f}",
            (mean, i),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            path_effects=HALO,
        )
    if zero:
        ax.axvline(0, color="#444444", lw=1.2, ls="--")
    ax.set(
        yticks=range(len(rows)),
        yticklabels=list(rows),
        ylim=(len(rows) - 0.5, -0.7),
        xlabel=x,
        title=title,
    )
    ax.grid(axis="x", color="#E6E6E6")
    ax.tick_params(axis="y", length=0)
    return ax


@styled
def tsne_scatter(
    features,  # (N, D); drawn as they are where D is 2
    labels,  # (N,) class indices
    names: Sequence[str] | None = None,  # class names
    perplexity: float = 30.0,  # of t-SNE; lowered for few points
    seed: int = 0,  # of t-SNE, and of the subset that is drawn
    limit: int = 1500,  # at most so many points
    title: str | None = None,  # above the axes
    ax=None,  # axes to draw on
):
    """Axes with the points in two dimensions (t-SNE), a colour and a marker for each class; axes
    have no unit."""
    features, labels = array(features).astype(np.float32), array(labels).astype(int)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise AvbookError(
            f"tsne_scatter() got features {features.shape} and labels {labels.shape}: expected (N,"
            " D) and (N,)"
        )
    if len(features) > limit:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:limit])
        features, labels = features[chosen], labels[chosen]
    if features.shape[1] != 2:
        from sklearn.manifold import TSNE

        perplexity = min(perplexity, max(1.0, (len(features) - 1) / 3))
        features = TSNE(
            perplexity=perplexity, init="pca", random_state=seed, n_jobs=1
        ).fit_transform(features)
    classes, many = np.unique(labels), len(np.unique(labels)) > 12
    ax = axes(ax, WIDTH, 6.2 if many else 4.2)
    for i, index in enumerate(classes):
        points = features[labels == index]
        name = names[index] if names is not None and index < len(names) else f"class {index}"
        ax.scatter(
            *points.T,
            s=20,
            color=PALETTE[i % 8],
            marker=MARKERS[i // 8 % 8 if len(classes) > 8 else i % 8],
            alpha=0.75,
            lw=0,
            label=name,
        )
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(True)
    place = (
        {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, -0.01),
            "ncols": 3,
            "fontsize": 8.5,
        }
        if many
        else {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    )
    ax.legend(handletextpad=0.2, columnspacing=0.6, **place)
    return ax
