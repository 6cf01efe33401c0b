"""Splits of videos, stratified by label and seeded, with every label in training."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

from avbook.common.options import check_seed
from avbook.data.spec import SPLITS
from avbook.errors import AvbookError

__all__ = ["SHARES", "check_shares", "stratified_splits"]

SHARES = (0.7, 0.1, 0.2)  # shares of train, val and test
NOTHING = ""  # stands for the label of a video without one


def check_shares(
    shares: Sequence[float | str],  # of train, val and test, or one string: "0.7,0.1,0.2"
) -> tuple[Fraction, ...]:
    """The shares as exact numbers; raises `AvbookError` unless they are three positive numbers with
    sum 1."""
    if isinstance(shares, str):
        shares = shares.split(",")
    try:
        floats = [float(share) for share in shares]
    except ValueError:  # not a number
        floats = []
    if len(floats) == len(SPLITS) and min(floats) > 0 and abs(sum(floats) - 1) < 1e-6:
        exact = [Fraction(str(share)) for share in shares]
    else:
        told = ",".join(str(share)[:20] for share in shares)
        raise AvbookError(
            f"split {told}: expected three shares above 0 with sum 1, of the videos for"
            " training, validation and test, such as 0.7,0.1,0.2"
        )
    return tuple(share / sum(exact) for share in exact)


def stratified_splits(
    labels: Mapping[str, Collection[str]],  # video -> its labels; none: background
    shares: Sequence[float | str] = SHARES,  # shares of train, val and test
    seed: int = 0,
    fixed: Mapping[str, str] | None = None,  # video -> its split, for videos that are not drawn
) -> dict[str, list[str]]:
    """Split -> its videos, sorted. The result depends on the seed, not on the order of videos and
    labels; with other videos the draw differs, so videos may change their splits.

    Each split gets about its share of the videos with each label, and of all videos. Every label is
    in train, and val and test each have a video with a label. Raises `AvbookError` for invalid
    shares or seed, and for too few videos."""
    exact = check_shares(shares)
    check_seed(seed)
    fixed = fixed or {}
    order = sorted(_order(labels, seed), key=lambda video: video not in fixed)
    chosen: dict[str, str] = {}  # video -> its split
    # how far each split is below its share so far: per label, and over all videos (None)
    lacks: defaultdict[str | None, list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    trained: set[str] = set()
    for video in order:
        kinds: list[str | None] = [None, *(sorted(labels[video]) or [NOTHING])]
        for kind in kinds:
            lacks[kind] = [lack + share for lack, share in zip(lacks[kind], exact)]
        if video in fixed:
            at = SPLITS.index(fixed[video])
            trained |= set(labels[video]) if at == 0 else set()
        elif set(labels[video]) <= trained:
            wanted = [sum(lacks[kind][at] for kind in kinds) for at in range(3)]
            at = max(reversed(range(3)), key=lambda place: wanted[place])
        else:
            at = 0
            trained |= set(labels[video])
        for kind in kinds:
            lacks[kind][at] -= 1
        chosen[video] = SPLITS[at]
    for split in ("val", "test"):
        _fill(split, chosen, labels, order, fixed)
    _check_trained(chosen, labels)
    return {split: sorted(v for v in order if chosen[v] == split) for split in SPLITS}


def _order(labels: Mapping[str, Collection[str]], seed: int) -> list[str]:
    """The videos with the rarest label first, grouped by label, otherwise at random."""
    count = Counter(label for some in labels.values() for label in (set(some) or {NOTHING}))

    def place(video: str) -> tuple[int, str, bytes]:
        rarest = min((count[label], label) for label in (labels[video] or [NOTHING]))
        word = f"{seed}\n{unicodedata.normalize('NFC', video)}"
        return (*rarest, hashlib.sha256(word.encode()).digest())

    return sorted(labels, key=place)


def _fill(
    split: str,  # val or test
    chosen: dict[str, str],  # video -> its split; changed
    labels: Mapping[str, Collection[str]],
    order: list[str],  # all videos
    fixed: Mapping[str, str],  # videos that may not be moved
) -> None:
    """Moves a video with a label into the split if it has none."""
    labelled = [video for video in order if labels[video]]
    sizes = Counter(chosen[video] for video in labelled)
    if sizes[split]:
        return
    trained = Counter(label for v in labelled if chosen[v] == "train" for label in set(labels[v]))

    def may_go(video: str) -> bool:
        if chosen[video] == "train":
            return all(trained[label] > 1 for label in labels[video])
        return sizes[chosen[video]] > 1

    free = [video for video in reversed(labelled) if video not in fixed and may_go(video)]
    if free:
        chosen[max(free, key=lambda video: sizes[chosen[video]])] = split
    elif fixed:
        raise AvbookError(
            f"no video with an event is left for {split}: assign one to it, or label more videos"
        )
    else:
        _spare_two(chosen, labels, labelled)


def _check_trained(chosen: Mapping[str, str], labels: Mapping[str, Collection[str]]) -> None:
    """Raises `AvbookError` if the given assignment of videos to splits leaves a label out of
    train."""
    trained = {label for video in chosen if chosen[video] == "train" for label in labels[video]}
    missing = sorted({label for some in labels.values() for label in some} - trained)
    if missing:
        raise AvbookError(
            f"no video with {missing[0]!r} is in train ({len(missing)} such); every event needs a"
            " video for training: assign one of its videos to train"
        )


def _spare_two(
    chosen: dict[str, str],  # video -> its split; changed
    labels: Mapping[str, Collection[str]],
    labelled: list[str],  # videos with a label
) -> None:
    """Puts one video into val, one into test and all others into train, which keeps every label;
    `AvbookError` if no two videos can be spared."""
    count = Counter(label for video in labelled for label in set(labels[video]))
    spare = [video for video in labelled if all(count[label] > 1 for label in labels[video])]
    for val, test in combinations(spare, 2):
        both = Counter([*set(labels[val]), *set(labels[test])])
        if all(count[label] > times for label, times in both.items()):
            chosen.update(dict.fromkeys(chosen, "train") | {val: "val", test: "test"})
            return
    raise AvbookError(
        f"{len(labelled)} videos with an event are too few to split: every event needs a video"
        " for training, and one video each must be left for validation and test; label more"
        " videos of the same events"
    )
