"""Widget of swapped soundtracks: exchange the audio of two clips, see the probabilities change."""

__all__ = [
    "PANELS",
    "swap_at",
    "what_is_true",
    "verdict",
    "draw_swap",
    "draw_swaps",
    "world_sound",
    "fair_partners",
    "swap_explorer",
]

import wave
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import torch

from avbook.errors import AvbookError
from avbook.parsing.refinement import clip_probabilities, filter_labels, swap_modalities
from avbook.show.plots import PALETTE, WIDTH, array, styled
from avbook.show.widgets.threshold import (
    import_widgets,
    png_bytes,
    rows_offered,
    world_frames,
)


def swap_at(
    net,  # HAN or MA with both modalities
    batch,  # of clips: `audio`, `visual_2d`, `visual_3d`, `video_labels`
    first: int = 0,  # row of the clip that is asked about
    second: int = 1,  # row of its partner
    errors=None,  # E_c: `audio` and `visual` (C,), as a `Refinement` has them; None: 1 everywhere
    threshold: float = 0.5,  # of the probabilities divided by E_c
) -> dict[str, np.ndarray]:
    """The first clip's probabilities and labels when it exchanges a modality with the second, (C,)
    each; `AvbookError` for a row outside the batch.

    `before_audio`, `before_visual`; after the exchange `p_a_v`, `p_a_a` (its own frames, the
    partner's audio) and `p_v_v`, `p_v_a` (its own audio, the partner's frames); `falls_audio`,
    `falls_visual`, the probabilities below which a label is dropped; `labels`, `shared` with the
    partner, and the kept ones: `audio`, `visual`."""
    needed = ("audio", "visual_2d", "visual_3d", "video_labels")
    if missing := [name for name in needed if name not in batch]:
        raise AvbookError(
            f"a batch with {', '.join(batch) or 'nothing'} lacks {missing[0]}: expected"
            f" {', '.join(needed)}, as LLP's splits give"
        )
    if (
        not hasattr(net, "encode")
        or getattr(getattr(net, "projection", None), "modality", None) != "both"
    ):
        raise AvbookError(
            f"{type(net).__name__} has one modality: expected a HAN or MA with"
            " modality='both', whose modalities can be exchanged"
        )
    size = len(batch["video_labels"])
    if first == second or not all(0 <= row < size for row in (first, second)):
        raise AvbookError(
            f"first={first}, second={second}: expected two different rows of a batch of {size}"
            " clips"
        )
    training, device = net.training, next(net.parameters()).device
    pair = {name: batch[name][[first, second]].to(device) for name in needed[:3]}
    try:
        with torch.inference_mode():
            encoded = net.eval().encode(pair)
            before = clip_probabilities(net, encoded, np.array([0, 1]), np.array([0, 1]))
            after = swap_modalities(net, encoded, np.array([[1], [0]]))
    finally:
        net.train(training)
    labels = array(batch["video_labels"])[[first, second]] > 0
    e = {
        name: np.ones(labels.shape[1]) if errors is None else np.asarray(errors[name], float)
        for name in ("audio", "visual")
    }
    found = {
        "labels": labels[0],
        "shared": labels[0] & labels[1],
        "before_audio": before[0][0],
        "before_visual": before[1][0],
    }
    found |= {name: value[0] for name, value in after.items()}
    found |= {f"falls_{name}": threshold * e[name] for name in e}
    for name, changed in (("audio", "v"), ("visual", "a")):
        found[name] = filter_labels(
            labels[:1],
            after[f"p_{changed}_a"][:1],
            after[f"p_{changed}_v"][:1],
            e[name],
            threshold,
        )[0]
    return found


def what_is_true(batch, row: int, category: int) -> str:
    """ "audio-visual", "audio only", "visual only" or "neither" by the labels of the segments;
    empty for a batch without these."""
    if "audio_labels" not in batch or "visual_labels" not in batch:
        return ""
    heard, seen = (
        bool((array(batch[f"{modality}_labels"])[row, :, category] > 0).any())
        for modality in ("audio", "visual")
    )
    return {
        (True, True): "audio-visual",
        (True, False): "audio only",
        (False, True): "visual only",
        (False, False): "neither",
    }[heard, seen]


def verdict(found: dict, names) -> str:
    """One line: which labels the exchange drops, and a warning where the two clips share one."""
    parts = []
    for modality in ("visual", "audio"):
        dropped = np.flatnonzero(found["labels"] & ~found[modality])
        parts.append(f"{modality}: {', '.join(names[c] for c in dropped) or 'none'}")
    line = f"Dropped labels, {'; '.join(parts)}"
    shared = [names[c] for c in np.flatnonzero(found["shared"])]
    if shared:
        line += f" (unsuitable partner: both clips have {', '.join(shared)})"
    return line


PANELS = {
    "as it is": ("before_visual", "before_audio", None),
    "its frames, the partner's audio": ("p_a_v", "p_a_a", "falls_visual"),
    "its audio, the partner's frames": ("p_v_v", "p_v_a", "falls_audio"),
}


@styled
def draw_swap(
    net,  # a trained HAN or MA
    batch,  # of clips: `audio`, `visual_2d`, `visual_3d`, `video_labels`
    names,  # the C categories
    first: int = 0,  # row of the clip that is asked about
    second: int = 1,  # row of its partner
    errors=None,  # E_c: `audio` and `visual` (C,); None: 1 everywhere
    frames=None,  # two of (T, H, W, 3) uint8, of the clip and of its partner, drawn above
):
    """Figure of one exchange: the probabilities of the clip's labels by both branches before and
    after, the level below which a label is dropped, and the labels that are."""
    found = swap_at(net, batch, first, second, errors)
    rows = np.flatnonzero(found["labels"]).tolist()
    if not rows:
        raise AvbookError(
            f"the clip of row {first} has no label: expected a clip with at least one"
        )
    figure = plt.figure(figsize=(WIDTH, 5.6 if frames is None else 7.0), layout="constrained")
    heights = (5.6,) if frames is None else (1.4, 5.6)
    *strip, below = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))
    if frames is not None:
        grid = strip[0].subplots(2, len(frames[0]), squeeze=False)
        for line, name, shown in zip(grid, ("clip", "partner"), frames):
            _show_frames(line, name, shown)
    labels = [f"{names[c]}\n{what_is_true(batch, first, c)}".strip() for c in rows]
    panels = below.subplots(3, 1, sharex=True)
    for ax, (title, keys) in zip(panels, PANELS.items()):
        _draw_panel(ax, found, rows, keys)
        ax.set(title=title, ylim=(0, 1), xlim=(-0.7, len(rows) - 0.3))
    panels[-1].set_xticks(range(len(rows)), labels)
    panels[1].set_ylabel("probability of the label")
    below.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(verdict(found, names), x=0.01, ha="left", fontsize="medium")
    return figure


def _show_frames(line, name: str, frames) -> None:
    for ax, frame in zip(line, frames):
        ax.imshow(frame)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name)


def _draw_panel(ax, found: dict, rows: list[int], keys: tuple) -> None:
    """Two bars a label, one a branch, and the level below which the label is dropped."""
    visual, audio, falls = keys
    place = np.arange(len(rows))
    ax.bar(place - 0.19, found[visual][rows], 0.36, color=PALETTE[0], label="visual branch")
    ax.bar(place + 0.19, found[audio][rows], 0.36, color=PALETTE[1], label="audio branch")
    if falls:
        level = found[falls][rows]
        name = "dropped below"
        ax.hlines(level, place - 0.42, place + 0.42, color=PALETTE[3], lw=3, label=name)


@styled
def draw_swaps(
    net,  # a trained HAN or MA
    batch,  # of clips: the one that is asked about first, then its partners
    names,  # the C categories
    errors=None,  # E_c: `audio` and `visual` (C,); None: 1 everywhere
    # whose labels are examined: "visual" (own frames, the partners' audio) or "audio"
    modality: str = "visual",
):
    """Figure of one clip and many partners: for each of its labels the probabilities by both
    branches with each partner, and the level below which it is dropped."""
    if modality not in ("audio", "visual"):
        raise AvbookError(
            f"modality={modality!r}: expected 'audio' or 'visual', the one whose labels are"
            " examined"
        )
    if len(batch["video_labels"]) < 2:
        raise AvbookError("a batch of one clip: expected the clip and at least one partner")
    partners = range(1, len(batch["video_labels"]))
    found = [swap_at(net, batch, 0, k, errors) for k in partners]
    changed = "a" if modality == "visual" else "v"
    rows = np.flatnonzero(found[0]["labels"]).tolist()
    size = (WIDTH, 0.9 + 1.9 * len(rows))
    figure, axes = plt.subplots(len(rows), 1, figsize=size, sharex=True, squeeze=False)
    for ax, c in zip(axes[:, 0], rows):
        for key, branch, colour, mark in (("v", "visual", 0, "o"), ("a", "audio", 1, "s")):
            heights = [one[f"p_{changed}_{key}"][c] for one in found]
            ax.plot(partners, heights, mark, color=PALETTE[colour], label=f"{branch} branch")
        level = found[0][f"falls_{modality}"][c]
        ax.axhline(level, color=PALETTE[3], lw=3, label="dropped below")
        dropped = sum(not one[modality][c] for one in found)
        true = what_is_true(batch, 0, c)
        ax.set(
            title=f"{names[c]}{', ' * bool(true)}{true}: dropped with {dropped} of {len(found)}",
            ylim=(0, 1),
            xticks=partners,
        )
    axes[-1, 0].set_xlabel("partner")
    axes[0, 0].set_ylabel("probability")
    handles = axes[-1, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


def world_sound(data, split, row: int):
    """The audio of a clip of a world as the bytes of a WAV file, 8 kHz; None for any other data."""
    if data.kind != "world" or not (data.folder / "scripts.jsonl").is_file():
        return None
    from avbook.world.audio import render_sound
    from avbook.world.build import open_clip

    samples, file = (
        render_sound(open_clip(data.folder, int(split.rows[row])), rate=8000),
        BytesIO(),
    )
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, len(samples), "NONE", "not compressed"))
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def fair_partners(labels: np.ndarray, row: int, most: int = 12) -> list[int]:
    """Up to `most` rows of (N, C) labels that share none with the row's, the first ones."""
    return [
        int(other)
        for other in np.flatnonzero(~(labels & labels[row]).any(1) & labels.any(1))[:most]
    ]


def swap_explorer(
    net,  # a trained HAN or MA
    data,  # an `LLP` data set
    split: str = "train",  # "train", "val" or "test"
    # rows of the split to choose the first clip from; None: the first twelve with two labels or
    # more
    clips=None,
    errors=None,  # E_c: `audio` and `visual` (C,), as `refine` finds them; None: 1 everywhere
):
    """A widget: choose a clip and a partner, see `draw_swap`. Needs a running kernel, and raises
    `AvbookError` where ipywidgets is missing."""
    widgets = import_widgets("draw_swap")
    source = getattr(data, split)
    labels = np.asarray(source.video_labels) > 0
    rows = rows_offered(
        np.flatnonzero(labels.sum(1) > 1)[:12] if clips is None else clips,
        len(source),
        split,
    )
    if alone := [row for row in rows if not fair_partners(labels, row)]:
        raise AvbookError(
            f"clips={rows}: no clip of the {split} split is without the labels of row {alone[0]};"
            " leave that row out"
        )

    def called(row: int) -> tuple[str, int]:
        names = ", ".join(data.categories[c] for c in np.flatnonzero(labels[row]))
        return f"{row}: {names}", row

    first = widgets.Dropdown(options=[called(row) for row in rows], description="clip")
    second = widgets.Dropdown(
        options=[called(row) for row in fair_partners(labels, rows[0])],
        description="partner",
    )
    image, sounds = widgets.Image(format="png"), widgets.HBox()

    def redraw(_=None):
        pair = [first.value, second.value]
        frames = [world_frames(data, source, row) for row in pair]
        image.value = png_bytes(
            draw_swap(
                net,
                source.batch(pair),
                data.categories,
                errors=errors,
                frames=None if frames[0] is None else frames,
            )
        )
        waves = {
            "its own audio": world_sound(data, source, pair[0]),
            "the partner's audio": world_sound(data, source, pair[1]),
        }
        sounds.children = [
            part
            for name, sound in waves.items()
            if sound
            for part in (
                widgets.Label(name),
                widgets.Audio(value=sound, format="wav", autoplay=False, loop=False),
            )
        ]

    def other_clip(_):
        second.unobserve(redraw, "value")  # its options change: one drawing, not two
        second.options = [called(row) for row in fair_partners(labels, first.value)]
        second.observe(redraw, "value")
        redraw()

    first.observe(other_clip, "value")
    second.observe(redraw, "value")
    redraw()  # before anything is shown: says what is wrong with the network
    return widgets.VBox([widgets.HBox([first, second]), image, sounds])
