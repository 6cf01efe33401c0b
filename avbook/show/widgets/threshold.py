"""Widget of PSP's threshold τ: the pairs of one clip that survive it, and the prediction."""

__all__ = [
    "cutting_at",
    "clip_at",
    "draw_tau",
    "draw_taus",
    "world_frames",
    "import_widgets",
    "rows_offered",
    "png_bytes",
    "tau_explorer",
]

from contextlib import contextmanager
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import torch

from avbook.errors import AvbookError
from avbook.show.plots import SHARES, WIDTH, array, similarity_map, styled, timeline_bars


@contextmanager
def cutting_at(
    net,  # a `PSP` that cuts by a threshold
    tau: float,  # between 0 and 1
):
    """The network in eval mode with another threshold; afterwards its own threshold and mode are
    restored. `AvbookError` for a network without a threshold or a τ outside 0..1."""
    propagation = getattr(net, "propagation", None)
    if propagation is None or getattr(propagation, "prune", None) not in (
        "psp",
        "sapsp",
    ):
        found = f"{type(net).__name__} with prune={getattr(propagation, 'prune', None)!r}"
        raise AvbookError(
            f"{found}: expected a PSP with prune='psp' or 'sapsp', the variants with a threshold"
        )
    if not isinstance(tau, (int, float)) or not 0 <= tau <= 1:
        raise AvbookError(
            f"tau={tau!r}: expected a number from 0 to 1, the affinity above which a pair is kept"
        )
    before, training = propagation.tau, net.training
    propagation.tau = tau
    try:
        yield net.eval()
    finally:
        propagation.tau = before
        net.train(training)


def clip_at(
    net,  # a `PSP`
    batch,  # of clips: `audio`, `visual`, `labels`
    tau: float,  # threshold
    row: int = 0,  # which clip of the batch
) -> dict[str, np.ndarray]:
    """`beta_va`, `gamma_va` (T,T), `truth`, `predicted` and the mask `event` (T,) of one clip;
    `AvbookError` where there is no such clip."""
    if missing := [name for name in ("audio", "visual", "labels") if name not in batch]:
        raise AvbookError(
            f"a batch with {', '.join(batch) or 'nothing'} lacks {missing[0]}: expected audio,"
            " visual and labels, as AVE's splits give"
        )
    if not 0 <= row < len(batch["labels"]):
        raise AvbookError(
            f"row={row}: the batch holds {len(batch['labels'])} clips, expected 0 to"
            f" {len(batch['labels']) - 1}"
        )
    one = {
        name: batch[name][row : row + 1].to(next(net.parameters()).device)
        for name in ("audio", "visual")
    }
    with cutting_at(net, tau), torch.inference_mode():
        out = net(one)
    truth = array(batch["labels"][row]).argmax(-1)
    return {
        "beta_va": array(out["beta_va"][0]),
        "gamma_va": array(out["gamma_va"][0]),
        "truth": truth,
        "predicted": array(out["scores"][0]).argmax(-1),
        "event": truth != batch["labels"].shape[-1] - 1,
    }


@styled
def draw_tau(
    net,  # a trained `PSP`
    batch,  # of clips: `audio`, `visual`, `labels`
    tau: float,  # threshold
    names,  # the categories, without background
    row: int = 0,  # which clip of the batch
    frames=None,  # (T, H, W, 3) uint8, one a second, drawn above
):
    """Figure of one clip at one τ: the affinities of all pairs (removed ones crossed), the
    propagated ones, ground truth and prediction."""
    clip = clip_at(net, batch, tau, row)
    event, seconds = clip["event"], len(clip["event"])
    if frames is not None and len(frames) != seconds:
        raise AvbookError(f"{len(frames)} frames for a clip of {seconds} s: expected one a second")
    figure = plt.figure(figsize=(WIDTH, 4.9 if frames is None else 5.8), layout="constrained")
    heights = (3.2, 1.2) if frames is None else (0.8, 3.2, 1.2)
    *strip, maps, below = figure.subfigures(len(heights), 1, height_ratios=heights)
    for t, ax in enumerate(strip[0].subplots(1, seconds) if strip else ()):
        ax.imshow(frames[t])
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{t} s", color="black" if event[t] else "#999999")
    left, right = maps.subplots(1, 2)
    kept, empty = clip["gamma_va"] > 0, int((clip["gamma_va"] <= 0).all(-1).sum())
    pairs = {"limits": (0, 0.3), "event": event}
    similarity_map(clip["beta_va"], tau, title="all pairs (× is removed)", ax=left, **pairs)
    similarity_map(clip["gamma_va"], title="propagated", y="", ax=right, **pairs)
    rows = {"ground truth": clip["truth"], "PSP": clip["predicted"]}
    timeline_bars(rows, names=names, ax=below.subplots())
    correct = int((clip["predicted"] == clip["truth"]).sum())
    figure.suptitle(
        f"τ = {tau:.3f}: {kept.sum()} of {kept.size} pairs kept, {empty} segments without any;"
        f" {correct} of {seconds} segments correct",
        x=0.01,
        ha="left",
        fontsize="medium",
    )
    return figure


@styled
def draw_taus(
    net,  # a trained `PSP`
    batch,  # of clips: `audio`, `visual`, `labels`
    taus,  # thresholds, one map each
    names,  # the categories, without background
    row: int = 0,  # which clip of the batch
):
    """Figure of one clip at several τ: the propagated affinities of each, and below them the ground
    truth with every prediction."""
    clips = {tau: clip_at(net, batch, tau, row) for tau in taus}
    first = clips[taus[0]]
    figure = plt.figure(figsize=(WIDTH, 4.6), layout="constrained")
    maps, below = figure.subfigures(2, 1, height_ratios=(2.4, 2.2))
    for ax, (tau, clip) in zip(np.atleast_1d(maps.subplots(1, len(clips))), clips.items()):
        ax.imshow(clip["gamma_va"], cmap=SHARES, vmin=0, vmax=0.3)
        ax.set(title=f"τ = {tau:g}: {(clip['gamma_va'] > 0).sum()} pairs", xlabel="audio segment")
    figure.axes[0].set_ylabel("visual segment")
    rows = {"ground truth": first["truth"]}
    rows |= {f"τ = {tau:g}": clip["predicted"] for tau, clip in clips.items()}
    timeline_bars(rows, names=names, ax=below.subplots())
    return figure


def world_frames(data, split, row: int):
    """(T, 96, 96, 3) frames of a clip of a world, one a second; None for any other data."""
    if data.kind != "world" or not (data.folder / "scripts.jsonl").is_file():
        return None
    from avbook.world.build import open_clip
    from avbook.world.video import render_frames

    return render_frames(open_clip(data.folder, int(split.rows[row])), size=96, fps=1)


def import_widgets(
    without: str,  # the drawing that does without
):
    """The package ipywidgets; where it is missing, `AvbookError` says how to do without."""
    try:
        import ipywidgets
    except ImportError:
        raise AvbookError(
            "ipywidgets is not installed: `pip install ipywidgets`, or draw single states with"
            f" {without}"
        ) from None
    return ipywidgets


def rows_offered(
    clips,  # rows to choose from
    size: int,  # clips in the split
    split: str,  # its name
) -> list[int]:
    """The rows as integers; `AvbookError` where there are none, or one is not of the split."""
    rows = [int(row) for row in clips]
    if not rows or not 0 <= min(rows) <= max(rows) < size:
        raise AvbookError(
            f"clips={rows}: expected rows of the {split} split, 0 to {size - 1}, at least one"
        )
    return rows


def png_bytes(
    figure,  # of matplotlib; it is closed
) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=80)
    plt.close(figure)
    return file.getvalue()


def tau_explorer(
    net,  # a trained `PSP`
    data,  # an `AVE` data set
    split: str = "test",  # "train", "val" or "test"
    # rows of the split to choose from; None: the first twelve with both event and background
    clips=None,
    tau: float = 0.095,  # where the slider starts
):
    """A widget: choose a clip, move τ, see `draw_tau`. Needs a running kernel, and raises
    `AvbookError` where ipywidgets is missing."""
    widgets = import_widgets("draw_tau")
    source = getattr(data, split)
    background = source.labels[..., -1] > 0.5
    rows = rows_offered(
        np.flatnonzero(background.any(1) & ~background.all(1))[:12] if clips is None else clips,
        len(source),
        split,
    )

    def called(row: int) -> str:
        return data.categories[source.labels[row, :, :-1].sum(0).argmax()]

    clip = widgets.Dropdown(
        options=[(f"{row}: {called(row)}, {(~background[row]).sum()} s", row) for row in rows],
        description="clip",
    )
    slider = widgets.FloatSlider(
        tau,
        min=0,
        max=0.3,
        step=0.005,
        description="τ",
        readout_format=".3f",
        continuous_update=False,
    )
    image = widgets.Image(format="png")

    def redraw(_=None):
        frames = world_frames(data, source, clip.value)
        image.value = png_bytes(
            draw_tau(
                net,
                source.batch([clip.value]),
                slider.value,
                data.categories,
                frames=frames,
            )
        )

    for control in (clip, slider):
        control.observe(redraw, "value")
    redraw()  # before anything is shown: says what is wrong with the network
    return widgets.VBox([widgets.HBox([clip, slider]), image])
