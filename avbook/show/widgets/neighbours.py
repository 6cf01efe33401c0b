"""Widget of neighbours: the clips most and least similar to a clip, with a slider over how many."""

__all__ = ["event_middles", "clip_frames", "draw_neighbours", "neighbours_explorer"]

import matplotlib.pyplot as plt
import numpy as np

from avbook.errors import AvbookError
from avbook.show.plots import GREY, PALETTE, WIDTH, styled
from avbook.show.widgets.threshold import import_widgets, png_bytes, rows_offered
from avbook.unsupervised.neighbours import ContrastiveSets, contrastive_sets, unit_rows


def event_middles(
    split,  # of AVE: `labels` (N,T,C+1), background last
) -> np.ndarray:
    """The segment in the middle of each clip's event, (N,); for a clip without an event, the middle
    segment."""
    event = np.asarray(split.labels)[..., -1] < 0.5
    seconds = [np.flatnonzero(row) if row.any() else np.arange(len(row)) for row in event]
    return np.array([where[len(where) // 2] for where in seconds])


def clip_frames(
    data,  # an `AVE` data set
    split,  # one of its splits
    rows,  # which clips of the split
    size: int = 80,  # pixels, in width and height
) -> list:
    """A frame (size,size,3) uint8 for each clip of a world, from the middle of its event; None for
    each clip of any other data."""
    if data.kind != "world" or not (data.folder / "scripts.jsonl").is_file():
        return [None for _ in rows]
    from avbook.world.build import open_clip
    from avbook.world.video import render_at

    middles = event_middles(split)
    return [
        render_at(
            open_clip(data.folder, int(split.rows[row])),
            [middles[row] + 0.5],
            size=size,
        )[0]
        for row in rows
    ]


@styled
def draw_neighbours(
    data,  # an `AVE` data set
    split,  # one of its splits
    features,  # (N, D) tensor, one vector for each clip of the split
    row: int,  # the clip
    k: int = 5,  # how many of each
    sets: ContrastiveSets | None = None,  # of these features, with at least k; None: found here
):
    """Figure with the clip, its k most similar and its k most dissimilar others as frames;
    `AvbookError` where there is no such clip or k."""
    if len(features) != len(split) or not 0 <= row < len(split):
        raise AvbookError(
            f"row={row} of {len(features)} feature vectors and {len(split)} clips: expected one"
            " vector for each clip, and a row from 0"
        )
    sets = contrastive_sets(features, k) if sets is None else sets
    if not 1 <= k <= sets.k:
        raise AvbookError(f"k={k}: expected 1 to {sets.k}, the size of the sets")
    near, far = sets.affinity[row, :k].tolist(), sets.repulsion[row, :k].tolist()
    unit = unit_rows(features)
    kinds = np.asarray(split.labels)[..., :-1].sum(1).argmax(1)
    images = dict(zip([row, *near, *far], clip_frames(data, split, [row, *near, *far])))
    size = (WIDTH, 2 * WIDTH / (k + 1) + 1.6)
    figure, axes = plt.subplots(2, k + 1, figsize=size, squeeze=False)
    axes[1, 0].axis("off")
    for ax, other in zip([axes[0, 0], *axes[0, 1:], *axes[1, 1:]], [row, *near, *far]):
        image = images[other]
        ax.imshow(np.full((8, 8, 3), 235, np.uint8) if image is None else image)
        same = kinds[other] == kinds[row]
        ax.spines[:].set(
            visible=True,
            color=PALETTE[2] if same else GREY,
            linewidth=3.5 if same else 1,
        )
        ax.set(xticks=[], yticks=[])
        name = f"clip {other}" if image is None else data.categories[kinds[other]].split(",")[0]
        ax.set_xlabel(
            name if other == row else f"{name}\n{float(unit[row] @ unit[other]):+.2f}",
            fontsize=8 if k > 4 else 9,
        )
    for ax, text in zip(
        (axes[0, 0], axes[0, 1], axes[1, 1]),
        ("the clip", "most similar", "most dissimilar"),
    ):
        ax.set_title(text)

    def agree(group: list[int]) -> int:
        return sum(kinds[other] == kinds[row] for other in group)

    figure.suptitle(
        f"K = {k}: {agree(near)} of the nearest and {agree(far)} of the farthest have the clip's"
        " category",
        x=0.01,
        ha="left",
        fontsize="medium",
    )
    return figure


def neighbours_explorer(
    data,  # an `AVE` data set
    features,  # (N, D) tensor, one vector for each clip of the split
    split: str = "train",  # "train", "val" or "test"
    clips=None,  # rows of the split to choose from; None: the first clip of each category
    k: int = 3,  # where the slider starts
    most: int = 10,  # where it ends
):
    """A widget: choose a clip, move K, see `draw_neighbours`. Needs a running kernel, and raises
    `AvbookError` where ipywidgets is missing."""
    widgets = import_widgets("draw_neighbours")
    source = getattr(data, split)
    kinds = np.asarray(source.labels)[..., :-1].sum(1).argmax(1)
    rows = rows_offered(
        np.unique(kinds, return_index=True)[1] if clips is None else clips,
        len(source),
        split,
    )
    sets = contrastive_sets(features, most)  # once; a smaller K is the beginning of a larger one
    clip = widgets.Dropdown(
        options=[(f"{row}: {data.categories[kinds[row]]}", row) for row in rows],
        description="clip",
    )
    slider = widgets.IntSlider(k, min=1, max=most, description="K", continuous_update=False)
    image = widgets.Image(format="png")

    def redraw(_=None):
        image.value = png_bytes(
            draw_neighbours(data, source, features, clip.value, slider.value, sets)
        )

    for control in (clip, slider):
        control.observe(redraw, "value")
    redraw()  # before anything is shown: says what is wrong with the features
    return widgets.VBox([widgets.HBox([clip, slider]), image])
