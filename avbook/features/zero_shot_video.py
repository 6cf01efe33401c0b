"""Videos to timelines without training, by the classes of YAMNet and EfficientNet-Lite0."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avbook.common.files import check_regular
from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.errors import AvbookError
from avbook.features.small_clip import SmallClip, read_small_clip
from avbook.features.timelines import Timeline, shown_name
from avbook.features.zero_shot import THRESHOLDS, coverage, smooth_scores, zero_shot_timeline
from avbook.features.zero_shot_classes import SIGHTS, SOUNDS, category_key

__all__ = ["FPS", "read_categories", "mapping_table", "Found", "ZeroShot"]

FPS = 2.0  # frames per second of the visual network
SETS = {"llp": LLP_CATEGORIES, "ave": AVE_CATEGORIES}


# --------------------------------------------------------------------------------------- categories
def read_categories(
    # "LLP", "AVE", names separated by semicolons (commas, if no name has one), or a .txt file with
    # one name per line; names are those of AVE, of LLP or of AudioSet's classes
    text: str,
) -> tuple[str | None, tuple[str, ...]]:
    """The task ("llp", "ave", None) and its categories. Raises `AvbookError` for an unknown name, a
    repeated one, and an empty list."""
    task = text.strip().lower()
    if task in SETS:
        return task, SETS[task]
    if text.endswith(".txt"):
        check_regular(text)
        lines = Path(text).read_text(encoding="utf-8", errors="replace").splitlines()
        parts = [line for line in lines if not line.startswith("#")]
    elif ";" in text or _is_known(text.strip()):
        parts = text.split(";")
    else:
        parts = text.split(",")
    names = [part.strip() for part in parts if part.strip()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        found = f"{twice[0]!r} twice" if twice else "no name"
        raise AvbookError(
            f"--categories {text!r}: found {found}; expected LLP, AVE, or names such as"
            " 'Speech; Violin, fiddle', each once"
        )
    coverage(names)
    return None, tuple(names)


def _is_known(name: str) -> bool:
    try:
        coverage([name])
    except AvbookError:
        return False
    return True


def mapping_table(
    categories: Sequence[str],  # of AVE or LLP, or names of AudioSet classes
) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """For each category the classes of AudioSet and of ImageNet that it maps to; empty if a network
    has none. Raises `AvbookError` for an unknown one."""
    coverage(categories)
    rows = []
    for name in categories:
        key = category_key(name)
        own = (name,) if key not in SOUNDS and coverage([name]).audio else ()
        rows.append((name, SOUNDS.get(key, own), SIGHTS.get(key, ())))
    return rows


# ----------------------------------------------------------------------------------------- networks
class Found(NamedTuple):
    """A video's timeline, and the small clip that it was made from."""

    timeline: Timeline
    small: SmallClip


class ZeroShot:
    """Both networks, loaded once. A call with a video returns `Found`: the `Timeline` of the
    categories and the small clip that it was made from.

    Raises `AvbookError` if a network's package is missing, for an unknown category and for options
    out of their range."""

    def __init__(
        self,
        categories: str | Sequence[str] = "LLP",  # as for `read_categories`, or the names
        threshold: float | None = None,  # for all modalities; None: `THRESHOLDS`
        smooth: int = 1,  # seconds of the median filter, odd
        # add "audio-visual" events, audible and visible; None: only for AVE, whose events are both
        joint: bool | None = None,
        device: str = "cpu",
    ):
        self.task: str | None
        self.categories: tuple[str, ...]
        if isinstance(categories, str):
            self.task, self.categories = read_categories(categories)
        else:
            coverage(categories)
            self.task, self.categories = None, tuple(categories)
        self.threshold: float | Mapping[str, float] = THRESHOLDS if threshold is None else threshold
        if threshold is not None and not 0 < threshold <= 1:
            raise AvbookError(f"threshold={threshold!r}: expected a number above 0, at most 1")
        smooth_scores(np.zeros((1, 1)), smooth)
        self.smooth = smooth
        self.joint = self.task == "ave" if joint is None else joint
        self.audio, self.visual = _networks(device)

    @property
    def extractors(self) -> dict[str, dict[str, Any]]:
        """The networks, as a feature folder describes them."""
        return {"audio": _described(self.audio), "visual": _described(self.visual)}

    def __call__(
        self,
        path: str | os.PathLike,  # a video, or an audio file
    ) -> Found:
        """The video's timeline and its small clip. Raises `AvbookError` for files that cannot be
        decoded."""
        small = read_small_clip(path, FPS)
        heard = self.audio.logits(small.log_mel)  # (T, 521)
        seen = None
        if len(small.clip.frames):
            seen = self.visual.logits(small.clip.frames, small.seconds)  # (T, 1000)
        events = zero_shot_timeline(
            heard,
            seen,
            categories=self.categories,
            threshold=self.threshold,
            smooth=self.smooth,
            joint=self.joint,
        )
        timeline = Timeline(
            video=shown_name(path),
            seconds=small.seconds,
            model="zero-shot",
            events=tuple(events),
            task=self.task,
            extractors=self.extractors,
            notes=small.clip.notes,
        )
        return Found(timeline, small)


def _networks(device: str):
    """YAMNet and EfficientNet-Lite0 on the device."""
    from avbook.features.lite0 import Lite0Extractor
    from avbook.features.yamnet import YamnetExtractor

    audio, visual = YamnetExtractor(), Lite0Extractor()
    for extractor in (audio, visual):
        extractor.net.to(device)
    return audio, visual


def _described(extractor) -> dict[str, Any]:
    from avbook.features import lite0, yamnet

    weights = {"yamnet": yamnet.SHA256, "efficientnet-lite0": lite0.SHA256}[extractor.name]
    return {
        "name": extractor.name,
        "version": "1",
        "weights": weights,
        "seed": extractor.seed,
        "dim": extractor.dim,
    }
