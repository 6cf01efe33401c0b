"""Explorer of MA's label refinement: two clips exchange their audio, and labels lose their
support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avbook.errors import AvbookError
from avbook.parsing.refinement import Refinement, filter_labels, refinement_scores
from avbook.show.explorers.base import (
    Explorer,
    audio_samples,
    figure_image,
    frame_sheet,
    rounded,
)
from avbook.show.widgets.swap import draw_swap, swap_at, verdict
from avbook.show.widgets.threshold import rows_offered, world_frames

__all__ = ["explore_swap", "THRESHOLDS"]

THRESHOLDS = np.round(np.arange(2, 19) / 20, 2)  # 0.1 to 0.9 in steps of 0.05
EXCHANGED = ("p_a_v", "p_a_a", "p_v_v", "p_v_a")  # changed stream, branch


def explore_swap(
    net,  # the base model of the refinement: HAN or MA with both modalities
    data,  # an `LLP` data set whose training clips are annotated by modality, such as a world
    refinement: Refinement,  # of its training split, by `net`
    clips: Sequence[int],  # rows of the training split to choose from, two or more, with labels
) -> Explorer:
    """Choose two clips, exchange their audio, see and hear both, move the threshold: which labels
    are dropped from each stream, and which of them correctly, in the pair and in the whole split.

    Probabilities of all ordered pairs are computed here, what is dropped in the browser. Raises
    `AvbookError` for rows outside the split, given twice or without a label, clips without
    annotation by modality and a refinement of other clips."""
    split = data.train
    rows = rows_offered(clips, len(split), "train")
    _check(split, refinement, rows)
    batch = split.batch(rows)
    shown = [_clip(net, data, refinement, rows, batch, at) for at in range(len(rows))]
    frames = [world_frames(data, split, row) for row in rows[:2]]
    found = swap_at(net, batch, 0, 1, refinement.errors)
    figure = draw_swap(
        net,
        batch,
        data.categories,
        errors=refinement.errors,
        frames=None if frames[0] is None else frames,
    )
    names = [data.categories[c] for c in np.flatnonzero(found["labels"])]
    return Explorer(
        "swap",
        "Explorer of exchanged audio",
        {
            "clips": shown,
            "seconds": split.audio_labels.shape[1],
            "thresholds": rounded(THRESHOLDS),
            "paper": 0.5,
            "all": _whole_split(split, refinement),
        },
        figure_image(figure),
        f"Clip {rows[0]} ({', '.join(names)}) as it is and after an exchange with clip {rows[1]}:"
        " the probabilities of its labels by both branches and the level below which a label is"
        f" dropped. {verdict(found, data.categories)}.",
    )


def _check(split, refinement: Refinement, rows: list[int]) -> None:
    if len(set(rows)) < max(2, len(rows)):
        raise AvbookError(f"clips={rows}: expected two or more different rows")
    if [str(i) for i in split.ids] != [str(i) for i in refinement.ids]:
        raise AvbookError(
            f"the refinement has {len(refinement.ids)} clips that are not the {len(split)} of the"
            " training split: refine this split"
        )
    if not set(EXCHANGED) <= set(refinement.probabilities):
        raise AvbookError("the refinement found no partner for any clip: nothing was exchanged")
    if alone := [row for row in rows if not refinement.labels[row].any()]:
        raise AvbookError(f"the clip of row {alone[0]} has no label: expected one at least")
    if (
        getattr(split, "audio_labels", None) is None
        or getattr(split, "visual_labels", None) is None
    ):
        raise AvbookError(
            "the training clips have no labels by modality, so right and wrong cannot be told:"
            " expected a world"
        )


def _clip(net, data, refinement, rows, batch, at: int) -> dict[str, Any]:
    """One clip as the script reads it, with its probabilities beside each partner; lists over its
    labels."""
    split, row = data.train, rows[at]
    own = np.flatnonzero(refinement.labels[row])
    occurs = {"heard": split.audio_labels[row] > 0, "seen": split.visual_labels[row] > 0}  # (T, C)
    drawn = int(refinement.partners[row, 0])
    frames, audio = _media(data, row)
    one: dict[str, Any] = {
        "row": row,
        "labels": [data.categories[c] for c in own],
        "partner": rows.index(drawn) if drawn in rows else None,
        "before": {m: rounded(refinement.probabilities[m][row, own]) for m in ("visual", "audio")},
        "errors": {m: rounded(refinement.errors[m][own], 6) for m in ("visual", "audio")},
        "pairs": [],
        "frames": frames,
        "audio": audio,
    }
    for name, mask in occurs.items():
        one[name] = rounded(mask[:, own].T.astype(int))
    for other in range(len(rows)):
        pair = None
        if other != at:
            found = swap_at(net, batch, at, other)
            pair = {name: rounded(found[name][own], 6) for name in EXCHANGED}
        one["pairs"].append(pair)
    return one


def _media(data, row: int) -> tuple[dict | None, dict | None]:
    """Two frames a second and the audio of a clip of a world; None for any other data."""
    if world_frames(data, data.train, row) is None:
        return None, None
    from avbook.world.audio import render_sound
    from avbook.world.build import open_clip
    from avbook.world.video import render_frames

    clip = open_clip(data.folder, int(data.train.rows[row]))
    sheet = frame_sheet(render_frames(clip, size=80, fps=2), quality=45)
    return sheet, audio_samples(render_sound(clip), stored=8_000)


def _whole_split(split, refinement: Refinement) -> dict[str, Any]:
    """`refinement_scores` at every threshold; None where there is nothing to divide by."""
    scores: dict[str, list] = {"visual": [], "audio": []}
    found = refinement.probabilities
    for threshold in THRESHOLDS:
        kept: dict[str, Any] = {}
        for name, changed in (("visual", "a"), ("audio", "v")):
            both = found[f"p_{changed}_a"], found[f"p_{changed}_v"]
            kept[name] = filter_labels(
                refinement.labels, *both, refinement.errors[name], float(threshold)
            )
        one = replace(refinement, **kept)
        at = refinement_scores(one, split.audio_labels, split.visual_labels)
        for name, values in at.items():
            numbers = {key: None if np.isnan(v) else round(v, 4) for key, v in values.items()}
            scores[name].append(numbers)
    partners, labels = refinement.partners.shape[1], int(refinement.labels.sum())
    return {"clips": len(split), "partners": partners, "labels": labels} | scores
