"""A timeline without training: YAMNet's and ImageNet's own classes mapped to AVE's and LLP's.

Audio events come from YAMNet's 521 AudioSet classes, visual ones from the 1000 of ImageNet.
Together they cover 25 of LLP's 25 categories and 26 of AVE's 28; `zero_shot_classes` has the
tables. Nothing here was fitted to AVE or LLP or evaluated on their clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from avbook.common.options import is_whole
from avbook.data.events import runs
from avbook.errors import AvbookError
from avbook.features.yamnet import audioset_names
from avbook.features.zero_shot_classes import AUDIOSET, IMAGENET, SIGHTS, SOUNDS, category_key

__all__ = [
    "THRESHOLDS",
    "Coverage",
    "TimelineEvent",
    "coverage",
    "audio_scores",
    "visual_scores",
    "smooth_scores",
    "timeline",
    "zero_shot_timeline",
]

# Scores from which a category counts as present: round numbers.
THRESHOLDS: Mapping[str, float] = {"audio": 0.2, "visual": 0.3, "audio-visual": 0.2}
MISSING = ("male speech man speaking", "female speech woman speaking")  # AVE's, in no table


class Coverage(NamedTuple):
    """The categories that each network covers, in the given order."""

    audio: tuple[str, ...]  # covered by a class of AudioSet
    visual: tuple[str, ...]  # covered by a class of ImageNet
    missing: tuple[str, ...]  # covered by neither: their scores are zero


class TimelineEvent(NamedTuple):
    """One category in one modality, in the seconds onset, onset + 1, …, offset - 1."""

    onset: int  # second
    offset: int  # second after the last one
    event: str  # the category
    score: float  # mean over these seconds, 0 to 1
    modality: str  # "audio", "visual" or "audio-visual"


def _sound_indices(
    category: str,  # of AVE or LLP, or the name of an AudioSet class
) -> list[int]:
    """The indices of the category's classes among YAMNet's 521; empty for categories that are known
    to be missing. Raises `AvbookError` for an unknown one."""
    key = category_key(category)
    if key in SOUNDS:
        return [AUDIOSET[name] for name in SOUNDS[key]]
    if key in MISSING:
        return []
    names = audioset_names()
    if category in names:
        return [names.index(category)]
    known = {name.casefold(): name for name in [*names, *SOUNDS]}
    near = [known[one] for one in get_close_matches(category.casefold(), known, n=2, cutoff=0.65)]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise AvbookError(
        f"category {category!r}: expected one of AVE or LLP, or a class of AudioSet (all: in Python"
        f" audioset_names()); your own names need labels and a model{hint}"
    )


def _sight_indices(
    category: str,
) -> list[int]:
    """The indices of the category's classes among ImageNet's 1000; empty if there are none."""
    found: list[int] = []
    for name in SIGHTS.get(category_key(category), ()):
        place = IMAGENET[name]
        found += [place] if isinstance(place, int) else list(place)
    return found


def coverage(
    categories: Sequence[str],  # of AVE or LLP, or names of AudioSet classes
) -> Coverage:
    """The categories that the two networks cover, and those missing. Raises `AvbookError` for an
    unknown one."""
    audio = tuple(name for name in categories if _sound_indices(name))
    visual = tuple(name for name in categories if _sight_indices(name))
    missing = tuple(name for name in categories if name not in audio and name not in visual)
    return Coverage(audio, visual, missing)


def _checked(
    logits,  # (…, classes)
    classes: int,
    network: str,
) -> np.ndarray:
    """The logits as float64. Raises `AvbookError` for another shape, NaN and Inf."""
    logits = np.asarray(logits)
    if not logits.ndim or logits.shape[-1] != classes:
        raise AvbookError(
            f"zero-shot: found logits of shape {logits.shape}; expected (…, {classes}) of {network}"
        )
    if not np.isfinite(logits).all():
        raise AvbookError(f"zero-shot: found NaN or Inf in the logits of {network}")
    return logits.astype(np.float64)


def audio_scores(
    logits,  # (…, 521) of YAMNet
    categories: Sequence[str],  # C of them: of AVE or LLP, or names of AudioSet classes
) -> np.ndarray:
    """The probability that a category is audible, (…, C) from 0 to 1: the largest sigmoid among its
    classes. Several may be high at once; a category without a class has 0. Raises `AvbookError`."""
    logits = _checked(logits, 521, "YAMNet")
    found = np.zeros((*logits.shape[:-1], len(categories)))
    for place, category in enumerate(categories):
        classes = _sound_indices(category)
        if classes:
            best = logits[..., classes].max(-1)
            found[..., place] = 0.5 * (1 + np.tanh(best / 2))  # the sigmoid, without overflow
    return found


def visual_scores(
    logits,  # (…, 1000) of ImageNet
    categories: Sequence[str],  # C of them
) -> np.ndarray:
    """The probability that a category is visible, (…, C) from 0 to 1: the sum of the softmax over
    its classes. Two objects in a frame share the 1; a category without a class has 0. Raises
    `AvbookError`."""
    logits = _checked(logits, 1000, "ImageNet")
    each = np.exp(logits - logits.max(-1, keepdims=True))
    each /= each.sum(-1, keepdims=True)
    found = np.zeros((*logits.shape[:-1], len(categories)))
    for place, category in enumerate(categories):
        found[..., place] = each[..., _sight_indices(category)].sum(-1)
    return found


def smooth_scores(
    scores,  # (T, C)
    window: int,  # odd number of seconds; 1: no smoothing
) -> np.ndarray:
    """The median over a window around each second, (T, C): with three seconds it removes a single
    second and fills a gap of one. The first and the last second are repeated at the ends. Raises
    `AvbookError`."""
    if not is_whole(window) or window < 1 or window % 2 == 0:
        raise AvbookError(f"smooth={window!r}: expected an odd number of seconds: 1, 3, 5, …")
    scores = np.asarray(scores)
    if window == 1 or not len(scores):
        return scores
    wide = np.pad(scores, [(window // 2, window // 2), (0, 0)], mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(wide, window, axis=0), axis=-1)


def timeline(
    scores: Mapping[str, np.ndarray],  # modality -> (T, C), one row per second
    categories: Sequence[str],  # C names
    threshold: float | Mapping[str, float] = THRESHOLDS,  # for all modalities, or by modality
    smooth: int = 1,  # seconds of the median filter
) -> list[TimelineEvent]:
    """The events in order of onset: runs of seconds whose score is at least the threshold. Raises
    `AvbookError`."""
    events = []
    for modality, table in scores.items():
        table = np.asarray(table)
        if table.ndim != 2 or table.shape[1] != len(categories):
            raise AvbookError(
                f"timeline: found {modality} scores of shape {table.shape}; expected"
                f" (T, {len(categories)}), one column per category"
            )
        try:
            least = threshold[modality] if isinstance(threshold, Mapping) else threshold
        except KeyError:
            raise AvbookError(
                f"timeline: no threshold for {modality!r}; expected one for each modality"
            ) from None
        if not 0 < least <= 1:
            raise AvbookError(f"threshold={least!r}: expected a number above 0, at most 1")
        table = smooth_scores(table, smooth)
        for column, category in zip(table.T, categories):
            for onset, offset in runs(column >= least):
                score = float(column[onset:offset].mean())
                events.append(TimelineEvent(onset, offset, category, score, modality))
    return sorted(events, key=lambda event: (event.onset, event.offset, event.event))


def zero_shot_timeline(
    audio_logits=None,  # (T, 521) of YAMNet for each second; None: no audio
    visual_logits=None,  # (T, 1000) of ImageNet for each second; None: no video
    *,
    categories: Sequence[str],  # of AVE or LLP, or names of AudioSet classes
    threshold: float | Mapping[str, float] = THRESHOLDS,  # for all modalities, or by modality
    smooth: int = 1,  # seconds of the median filter
    joint: bool = False,  # add AVE's "audio-visual": both modalities, the lower score
) -> list[TimelineEvent]:
    """The timeline of one clip from the logits of both networks: `audio_scores` and
    `visual_scores`, then `timeline`. Raises `AvbookError` if both are missing, or if their lengths
    differ."""
    scores = {}
    if audio_logits is not None:
        scores["audio"] = audio_scores(audio_logits, categories)
    if visual_logits is not None:
        scores["visual"] = visual_scores(visual_logits, categories)
    if not scores:
        raise AvbookError("zero-shot: found no logits; expected those of audio or video")
    lengths = {modality: len(table) for modality, table in scores.items()}
    if len(set(lengths.values())) > 1:
        raise AvbookError(f"zero-shot: found {lengths} seconds; expected the same number for both")
    if joint and len(scores) == 2:
        scores["audio-visual"] = np.minimum(scores["audio"], scores["visual"])
    return timeline(scores, categories, threshold, smooth)
