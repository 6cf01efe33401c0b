"""Explorers of the metrics: ground truth is given, the reader paints a prediction, and all scores
follow, for AVE and for LLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avbook.data.events import runs
from avbook.errors import AvbookError
from avbook.metrics.ave import ave_pair, plurality
from avbook.metrics.llp import llp_masks
from avbook.show.explorers.base import Explorer, figure_image, frame_sheet
from avbook.show.plots import timeline_bars

__all__ = ["paint_ave", "paint_llp", "MOST_BRUSHES"]

MOST_BRUSHES = 9  # categories, one for each digit key


def paint_ave(
    labels,  # (N, T) class indices, or (N, T, C+1) one-hot; background last
    names: Sequence[str],  # C categories, without background
    clips: Sequence[str],  # N names to choose from
    *,
    frames=None,  # N arrays (T, H, W, 3) uint8
    # method -> (N, T) class indices of its predictions, to start from
    predicted: Mapping[str, Any] | None = None,
) -> Explorer:
    """Paint one class for each segment: the nine scores of `ave_scores` for this clip and for all
    painted ones, what each counts, and what the last stroke changed.

    The categories to paint with are those that are true or predicted. Raises `AvbookError` for
    more than nine, and for shapes that disagree."""
    background = len(names)
    _, truth, _ = ave_pair(labels, labels, background)
    methods = {
        name: ave_pair(values, truth, background)[0] for name, values in (predicted or {}).items()
    }
    _check_clips(clips, frames, len(truth))
    # in the order of the classes, which decides ties of the most frequent one
    used = np.unique(np.concatenate([truth, *methods.values()]))
    used = used[used < background]
    if not 1 <= len(used) <= MOST_BRUSHES:
        raise AvbookError(
            f"{len(used)} categories are true or predicted in {len(truth)} clips: expected 1 to"
            f" {MOST_BRUSHES}, one for each digit key; show fewer clips"
        )
    of_brush = np.full(background + 1, len(used))
    of_brush[used] = np.arange(len(used))
    truth = of_brush[truth]
    methods = {name: of_brush[values] for name, values in methods.items()}
    shown = [
        {
            "name": name,
            "truth": truth[n].tolist(),
            "presets": _ave_presets(truth[n], len(used), {m: methods[m][n] for m in methods}),
            "frames": _sheet(frames, n),
        }
        for n, name in enumerate(clips)
    ]
    rows = {"ground truth": truth[0]} | {name: values[0] for name, values in methods.items()}
    brushes = [names[index] for index in used]
    ax = timeline_bars(rows, names=brushes, title=clips[0])
    return Explorer(
        "paint_ave",
        "Paint a prediction for AVE",
        {"clips": shown, "names": brushes},
        figure_image(ax.figure),
        f"{clips[0]}: {' and '.join(rows)} as bars over {truth.shape[1]} segments.",
    )


def paint_llp(
    audio,  # (N, T, C) of zeros and ones: which classes are heard
    visual,  # (N, T, C): which are seen
    names: Sequence[str],  # C classes
    clips: Sequence[str],  # N names to choose from
    *,
    frames=None,  # N arrays (T, H, W, 3) uint8
    # method -> (audio, visual) predictions, (N, T, C) each, to start from
    predicted: Mapping[str, tuple[Any, Any]] | None = None,
) -> Explorer:
    """Paint what is heard and what is seen: the ten scores of `llp_scores` for this clip and for
    all painted ones, which events match, the counts of each class, and what the last stroke
    changed.

    A clip has rows for its classes, those that a method predicts in it, and one that is absent.
    Raises `AvbookError` for shapes that disagree."""
    methods = predicted or {}
    given: list[tuple[Any, Any]] = [*methods.values()]
    true_audio, true_visual = llp_masks(audio, visual, audio, visual)[:2]
    pairs = [llp_masks(*pair, audio, visual)[:2] for pair in given]
    if len(names) != true_audio.shape[1]:
        raise AvbookError(f"{len(names)} class names for {true_audio.shape[1]} classes")
    _check_clips(clips, frames, len(true_audio))
    truth = np.stack([true_audio, true_visual], axis=1).astype(int)  # (N, 2, C, T)
    painted = [np.stack(pair, axis=1).astype(int) for pair in pairs]
    anywhere = [c for c in range(len(names)) if truth[:, :, c].any()]
    shown = []
    for n, name in enumerate(clips):
        active = np.any([one[n].any((0, 2)) for one in (truth, *painted)], axis=0)
        absent = [c for c in (*anywhere, *range(len(names))) if not active[c]][:1]
        classes = [*np.flatnonzero(active), *absent]
        starts = _llp_presets(truth[n][:, classes])
        starts += [
            _preset(method, f"The prediction of {method}.", one[n][:, classes])
            for method, one in zip(methods, painted)
        ]
        shown.append(
            {
                "name": name,
                "names": [names[c] for c in classes],
                "truth": _lanes(truth[n][:, classes]),
                "presets": starts,
                "frames": _sheet(frames, n),
            }
        )
    first = {"audio, true": truth[0, 0], "visual, true": truth[0, 1]}
    for method, one in zip(methods, painted):
        first |= {f"audio, {method}": one[0, 0], f"visual, {method}": one[0, 1]}
    rows = {name: mask.T for name, mask in first.items()}
    ax = timeline_bars(rows, names=names, title=clips[0])
    return Explorer(
        "paint_llp",
        "Paint a prediction for LLP",
        {"clips": shown},
        figure_image(ax.figure),
        f"{clips[0]}: what is heard and what is seen as bars over {truth.shape[-1]} segments"
        + "".join(f", and the prediction of {method}" for method in methods)
        + ".",
    )


# ----------------------------------------------------------------------------------------- presets
def _ave_presets(
    truth: np.ndarray,  # (T,) brush indices; `background` is their number
    background: int,
    methods: Mapping[str, np.ndarray],  # name -> (T,)
) -> list[dict[str, Any]]:
    """Predictions to start from, the initial one first; `lanes` is None where the clip has no such
    one."""
    category = int(plurality(truth[None], background)[0])
    event = truth != background
    late = np.concatenate([[background], truth[:-1]])
    other = np.where(event, (truth + 1) % max(background, 1), background)
    everywhere = np.full_like(truth, category) if category >= 0 else None
    starts = {
        "background everywhere": ("Background in all segments.", np.full_like(truth, background)),
        "ground truth": ("The ground truth.", truth),
        "category everywhere": (
            "The true category in all segments: nothing is localised.",
            everywhere,
        ),
        "one second late": ("The event begins and ends one second late.", late),
        "wrong category": (
            "The span is right, the category wrong.",
            other if event.any() and background > 1 else None,
        ),
    }
    starts |= {name: (f"The prediction of {name}.", values) for name, values in methods.items()}
    return [
        _preset(name, words, None if lane is None else lane[None])
        for name, (words, lane) in starts.items()
    ]


def _llp_presets(
    truth: np.ndarray,  # (2, C, T) zeros and ones: audio, then visual
) -> list[dict[str, Any]]:
    """Predictions to start from: the ground truth, and the same with one thing changed."""
    late = np.zeros_like(truth)
    late[..., 1:] = truth[..., :-1]
    listed = np.broadcast_to(truth.any((0, 2), keepdims=True), truth.shape).astype(int)
    return [
        _preset("ground truth", "The ground truth.", truth),
        _preset("nothing", "An empty prediction.", np.zeros_like(truth)),
        _preset(
            "audio in both",
            "What is heard is also predicted as seen.",
            np.stack([truth[0], truth[0]]),
        ),
        _preset(
            "classes everywhere", "The clip's classes in all segments of both modalities.", listed
        ),
        _preset("one second late", "Each event begins and ends one second late.", late),
        _preset(
            "one event split", "The longest event has lost its middle second.", _split_event(truth)
        ),
        _preset(
            "one second too long", "The shortest event has one second more.", _longer_event(truth)
        ),
    ]


def _events(truth: np.ndarray) -> list[tuple[int, tuple[int, int, int]]]:
    """(length, (lane, onset, offset)) of all events, audio before visual."""
    lanes = truth.reshape(-1, truth.shape[-1])
    return [(b - a, (lane, a, b)) for lane, mask in enumerate(lanes) for a, b in runs(mask)]


def _split_event(truth: np.ndarray) -> np.ndarray | None:
    """The masks without the middle second of the longest event of three or more."""
    found = [event for event in _events(truth) if event[0] >= 3]
    if not found:
        return None
    _, (lane, onset, offset) = max(found, key=lambda event: event[0])
    changed = truth.copy()
    changed.reshape(-1, truth.shape[-1])[lane, (onset + offset) // 2] = 0
    return changed


def _longer_event(truth: np.ndarray) -> np.ndarray | None:
    """The masks with a second after the shortest event that has room for it."""
    flat = truth.reshape(-1, truth.shape[-1])
    after = np.pad(flat, ((0, 0), (0, 2)), constant_values=0)
    found = [
        event
        for event in _events(truth)
        if event[1][2] < truth.shape[-1] and not after[event[1][0], event[1][2] + 1]
    ]
    if not found:
        return None
    _, (lane, _, offset) = min(found, key=lambda event: event[0])
    changed = truth.copy()
    changed.reshape(-1, truth.shape[-1])[lane, offset] = 1
    return changed


def _preset(name: str, words: str, masks: np.ndarray | None) -> dict[str, Any]:
    return {"name": name, "words": words, "lanes": None if masks is None else _lanes(masks)}


def _lanes(masks: np.ndarray) -> list[list[int]]:
    """All rows in time, of (1, T) classes or of (2, C, T) masks: audio and visual of each class."""
    rows = masks if masks.ndim == 2 else masks.swapaxes(0, 1).reshape(-1, masks.shape[-1])
    return rows.tolist()


# ------------------------------------------------------------------------------------------- clips
def _check_clips(clips: Sequence[str], frames, count: int) -> None:
    for name, given in (("clips", clips), ("frames", frames)):
        if given is not None and len(given) != count:
            raise AvbookError(
                f"{name} has {len(given)} entries for {count} clips: expected one each"
            )


def _sheet(frames, n: int) -> dict[str, Any] | None:
    return None if frames is None else frame_sheet(frames[n])
