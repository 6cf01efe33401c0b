"""Figures of the demo: training curves, a test clip with its prediction, pairs kept by PSP."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Any

from avbook.common.files import written_whole
from avbook.errors import AvbookError
from avbook.show.style import styled

__all__ = [
    "clip_figure",
    "clips_figure",
    "streams_figure",
    "draw_figures",
    "trained",
    "pick_example",
]


def trained(
    recipe_name: str,  # such as "psp-full"
    where: str,  # the data, as for `--data`
    out: str | os.PathLike = "runs",
    *,
    preset: str | None = None,
    options: dict[str, Any] | None = None,
    seed: int = 0,
):
    """The network of a finished run with the weights selected on validation, in eval mode, its data
    set and its record."""
    from avbook.experiments.datasets import default_preset
    from avbook.experiments.keys import record_path
    from avbook.experiments.models import load_model
    from avbook.experiments.recipe import resolve_settings
    from avbook.experiments.recipes import find_recipe
    from avbook.experiments.records import read_record

    recipe = find_recipe(recipe_name)
    preset = preset or default_preset(where)
    data = recipe.open_data(where)
    _, changed = resolve_settings(recipe, preset, options or {})
    path = record_path(out, recipe, preset, changed, data, seed)
    if not path.exists():
        raise AvbookError(
            f"{path}: no such record; run it first with `avbook run {recipe.name} --data"
            f" {quote(where)} --seed {seed} --out {quote(str(out))}`"
        )
    return load_model(path), data, read_record(path)


def pick_example(
    labels,  # (N, T, C+1), one-hot, background last
    predicted,  # (N, T)
) -> int:
    """The row of a clip worth showing: its event fills part of it, and the prediction has the right
    category but some wrong segments."""
    import numpy as np

    truth = np.asarray(labels).argmax(-1)
    background = np.asarray(labels).shape[-1] - 1
    seconds = (truth != background).sum(1)
    right = (truth == np.asarray(predicted)).mean(1)
    named = ((truth == np.asarray(predicted)) & (truth != background)).any(1)
    candidates = np.flatnonzero(named & (seconds >= 3) & (seconds <= truth.shape[1] - 2))
    if not len(candidates):
        return int(right.argmax())
    return int(candidates[np.argsort(-right[candidates], kind="stable")[len(candidates) // 3]])


def clip_figure(
    clip,  # a `Clip` of the world
    rows: dict[
        str, Any
    ],  # name -> (T,) class indices, as for `plots.timeline_bars`: ground truth, predictions
    names,  # the categories; an index beyond them is background
    title: str | None = None,
):
    """A figure of a clip of the world on one time axis: a frame per second, the log-mel
    spectrogram, and the labels below."""
    frames, patches = _streams(clip)
    return streams_figure(frames, patches, rows, names, clip.seconds, title)


@styled
def streams_figure(
    frames,  # (n, H, W, 3) uint8, shown beside each other; None: without frames
    log_mel,  # (T, 96, 64); None: without audio
    rows: dict[str, Any],  # as for `plots.timeline_bars`
    names,  # the categories; an index beyond them is background
    seconds: int,  # T
    title: str | None = None,
):
    """A figure of any clip on one time axis: frames, the log-mel spectrogram, and the labels
    below."""
    import matplotlib.pyplot as plt

    from avbook.show.plots import WIDTH, timeline_tracks

    tracks = [timeline_tracks(row, names, seconds) for row in rows.values()]
    height = 0.32 + 0.34 * sum(1 if shared else len(found) for found, shared in tracks)
    streams = [stream for stream in (frames, log_mel) if stream is not None]
    figure, axes = plt.subplots(
        len(streams) + 1,
        1,
        figsize=(WIDTH, 0.3 + 0.9 * len(streams) + height + 0.3 * bool(title)),
        height_ratios=(*(0.9 for _ in streams), height),
        gridspec_kw={"hspace": 0.12},
        squeeze=False,
    )
    _draw_streams(axes[:, 0], frames, log_mel, rows, names, seconds, title)
    legend = axes[-1, 0].get_legend()
    if legend:  # below, so that the time axis keeps the whole width
        handles, texts = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
        legend.remove()
        figure.legend(handles, texts, loc="outside lower center", ncols=min(3, len(texts)))
    return figure


@styled
def clips_figure(
    clips: list[
        tuple
    ],  # arguments of `clip_figure` for each clip: the `Clip`, its rows of labels, a title
    names,  # the categories; an index beyond them is background
):
    """A figure of several clips of the world, one below the other, each as in `clip_figure` but
    flatter."""
    import matplotlib.pyplot as plt

    from avbook.show.plots import WIDTH

    heights = [1.25 + 0.3 * len(rows) for _, rows, _ in clips]
    # by hand, since the legends beside the frames would squeeze a layout that makes room for them
    figure = plt.figure(figsize=(WIDTH, sum(heights)), layout="none")
    blocks = figure.add_gridspec(
        len(clips),
        1,
        height_ratios=heights,
        hspace=0.3,
        left=0.07,
        right=0.74,
        top=1 - 0.25 / sum(heights),
        bottom=0.5 / sum(heights),
    )
    for block, (clip, rows, title) in zip(blocks, clips):
        lines = block.subgridspec(3, 1, height_ratios=(0.7, 0.45, 0.3 * len(rows)), hspace=0.1)
        places = [figure.add_subplot(line) for line in lines]
        frames, patches = _streams(clip)
        _draw_streams(places, frames, patches, rows, names, clip.seconds, title)
    for ax in figure.axes[:-1]:
        ax.set(xticks=[], xlabel="")
    for seen, labels in zip(figure.axes[::3], figure.axes[2::3]):  # three axes per clip
        legend = labels.get_legend()
        if legend:  # beside the frames, where many names do not overlap the next clip
            handles, texts = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
            legend.remove()
            seen.legend(
                handles,
                texts,
                loc="upper left",
                bbox_to_anchor=(1.0, 1.05),
                handlelength=1,
                borderaxespad=0.3,
                fontsize=9,
            )
    return figure


def _streams(clip) -> tuple[Any, Any]:
    """A frame a second and the log-mel spectrogram of a clip of the world."""
    from avbook.features.logmel import log_mel
    from avbook.world.audio import render_sound
    from avbook.world.video import render_frames

    return render_frames(clip, size=112, fps=1), log_mel(render_sound(clip))


def _draw_streams(axes, frames, log_mel, rows, names, seconds: int, title: str | None) -> None:
    """Draws frames, spectrogram and labels into axes of the same width, one after the other."""
    import numpy as np

    from avbook.show import plots

    *streams, labels = axes
    if frames is not None:
        ax = streams[0]
        ax.imshow(np.concatenate(list(frames), axis=1), extent=(0, seconds, 0, 1), aspect="auto")
        for place in range(1, len(frames)):
            ax.axvline(place * seconds / len(frames), color="white", lw=2)
    if log_mel is not None:
        bands = np.asarray(log_mel).reshape(-1, 64).T
        extent = (0, seconds, 0, 1)
        streams[-1].imshow(bands, origin="lower", extent=extent, aspect="auto", cmap="magma")
    drawn = ["frames"] * (frames is not None) + ["audio"] * (log_mel is not None)
    for ax, name in zip(streams, drawn):
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    plots.timeline_bars(rows, names=names, seconds=seconds, ax=labels)
    if title:
        axes[0].set_title(title, loc="left")


@styled
def draw_figures(
    where: str,  # the data, as for `--data`
    out: str | os.PathLike = "runs",
) -> list[Path]:
    """The PNG files drawn from the run of `psp-full`, seed 0: training curves, a clip's timeline,
    its frames, its similarity maps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import torch

    from avbook.show import plots

    net, data, record = trained("psp-full", where, out)
    folder = Path(out) / "figures"
    drawn: list[Path] = []

    def keep(figure, name: str) -> None:
        path = folder / f"{name}.png"
        with written_whole(path) as partial:
            figure.savefig(partial, dpi=150, bbox_inches="tight", facecolor="white")
        plt.close(figure)
        drawn.append(path)

    history = {name: [entry[name] for entry in record["history"]] for name in ("val", "test")}
    keep(
        plots.curves(
            history,
            y="accuracy (%)",
            marks={"chosen": record["epochs"]["val_selected"]},
            names={"val": "validation", "test": "test (not used)"},
            title=f"PSP, full supervision ({data.kind}: {data.name})",
        ).figure,
        "training",
    )

    with torch.inference_mode():
        batches = [
            net(data.test.batch(range(i, min(i + 64, len(data.test)))))
            for i in range(0, len(data.test), 64)
        ]
    outputs = {
        name: torch.cat([b[name] for b in batches])
        for name in ("scores", "attention", "beta_va", "gamma_va")
    }
    row = pick_example(data.test.labels, outputs["scores"].argmax(-1))
    truth, predicted = data.test.labels[row].argmax(-1), outputs["scores"][row].argmax(-1)
    event = truth != len(data.categories)
    clip_id = data.test.ids[row]
    if data.kind != "world":
        keep(
            plots.timeline_bars(
                {"truth": truth, "PSP": predicted},
                names=data.categories,
                title=f"Test clip {clip_id} ({data.kind})",
            ).figure,
            "timeline",
        )

    figure, axes = plt.subplots(1, 2, figsize=(plots.WIDTH, 3.2))
    plots.similarity_map(
        outputs["beta_va"][row],
        threshold=net.propagation.tau,
        event=event,
        title="shares of all pairs (× is cut)",
        ax=axes[0],
    )
    plots.similarity_map(
        outputs["gamma_va"][row], event=event, title="what is propagated", ax=axes[1]
    )
    keep(figure, "pairs")

    if data.kind == "world":
        from avbook.world.build import open_clip
        from avbook.world.video import render_frames

        clip = open_clip(data.folder, clip_id)
        keep(
            clip_figure(
                clip,
                {"truth": truth, "PSP": predicted},
                data.categories,
                f"Test clip {clip_id} of the world",
            ),
            "clip",
        )
        frames = render_frames(clip, size=160, fps=1)
        keep(
            plots.attention_over_frames(
                frames,
                outputs["attention"][row],
                event=event,
                title="Audio-guided attention (framed: seconds of the event)",
            ),
            "attention",
        )
    return drawn
