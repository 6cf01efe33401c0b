"""How the events of LLP lie in time and between sound and picture: counted from the real annotations, or from any clips.

`SPAN_COUNTS` holds sums only (no video, no id). `count_spans` made it from the official files, and a test makes it again wherever
those are at hand. `counts` has the tables that sampled scripts follow; what is here, no sampler has seen.
"""
from __future__ import annotations

import numpy as np

from .timeline import runs

__all__ = ["SPAN_COUNTS", "count_spans"]


def count_spans(
    clips,  # LLP clips of ten seconds, their seconds annotated
    categories,  # C class names in order
) -> dict:
    """What a list of labels hides, over clips and the classes they list.

    `labels` (C, 4): listed labels that are [heard only, seen only, both, neither] somewhere in the clip; `seconds` (C, 4): the ten
    seconds of each of those labels, the same way; `unlisted` (C,): classes that occur without being listed. Over events, the maximal
    runs of a class: `lengths_audio`, `lengths_visual` (11,). Over classes both heard and seen in a clip: `starts`, `ends` (19,), the
    first (last) second in view minus the first (last) one heard, from -9 to 9; `matched` (C, 4): those in all, with the same first
    second, with the same last one, with the same seconds.
    """
    index = {name: i for i, name in enumerate(categories)}
    labels, seconds, matched = (np.zeros((len(index), 4), int) for _ in range(3))
    unlisted, lengths, ends = np.zeros(len(index), int), np.zeros((2, 11), int), np.zeros((2, 19), int)
    for clip in clips:
        found = {source.category: (source.heard, source.seen) for source in clip.sources}
        for name in set(clip.labels) | set(found):
            c, nothing = index[name], np.zeros(clip.seconds, bool)
            heard, seen = found.get(name, (nothing, nothing))
            for track, mask in enumerate((heard, seen)):
                np.add.at(lengths[track], [stop - start for start, stop in runs(mask)], 1)
            if name in clip.labels:
                labels[c, _kind(heard.any(), seen.any())] += 1
                np.add.at(seconds[c], _kind(heard, seen), 1)
            else:
                unlisted[c] += 1
            if heard.any() and seen.any():
                first, last = (np.array([np.flatnonzero(mask)[at] for mask in (heard, seen)]) for at in (0, -1))
                ends[0, first[1] - first[0] + 9] += 1
                ends[1, last[1] - last[0] + 9] += 1
                matched[c] += 1, first[0] == first[1], last[0] == last[1], (heard == seen).all()
    tables = {"labels": labels, "seconds": seconds, "unlisted": unlisted, "lengths_audio": lengths[0], "lengths_visual": lengths[1],
              "starts": ends[0], "ends": ends[1], "matched": matched}
    return {"videos": len(clips)} | {name: table.tolist() for name, table in tables.items()}


def _kind(heard, seen):
    """0 heard only, 1 seen only, 2 both, 3 neither."""
    return np.where(heard, np.where(seen, 2, 0), np.where(seen, 1, 3))


# LLP's 1,849 judged clips, validation and test (class order of `LLP_CATEGORIES`).
SPAN_COUNTS: dict = {
    "videos": 1849,
    "labels": [[752, 2, 217, 19], [2, 27, 104, 1], [74, 5, 49, 4], [13, 21, 134, 1], [2, 15, 39, 1], [4, 1, 59, 1], [4, 14, 61, 2], [6, 0, 30, 0], [1,
        0, 44, 0], [23, 5, 93, 1], [8, 2, 34, 1], [81, 1, 180, 3], [7, 5, 86, 0], [39, 6, 186, 1], [6, 1, 92, 0], [7, 0, 25, 0], [21, 1, 59, 0], [3,
        1, 40, 0], [4, 7, 71, 0], [9, 2, 92, 0], [13, 16, 126, 0], [8, 0, 11, 0], [13, 1, 62, 1], [0, 1, 55, 0], [52, 6, 69, 2]],
    "seconds": [[4086, 19, 1031, 4764], [54, 252, 940, 94], [439, 53, 347, 481], [87, 660, 815, 128], [18, 327, 172, 53], [76, 19, 522, 33], [43, 80,
        233, 454], [103, 60, 172, 25], [41, 36, 347, 26], [272, 87, 809, 52], [85, 55, 277, 33], [708, 7, 1289, 646], [66, 250, 605, 59], [480, 250,
        1497, 93], [82, 87, 779, 42], [42, 17, 153, 108], [233, 37, 508, 32], [44, 84, 308, 4], [87, 137, 558, 38], [121, 25, 820, 64], [188, 296,
        1021, 45], [53, 15, 62, 60], [126, 46, 489, 109], [3, 162, 367, 28], [304, 50, 387, 549]],
    "unlisted": [19, 2, 3, 2, 6, 0, 2, 0, 0, 2, 0, 8, 0, 2, 0, 0, 2, 1, 2, 1, 6, 0, 0, 0, 7],
    "lengths_audio": [0, 710, 550, 416, 322, 200, 158, 160, 126, 117, 1319],
    "lengths_visual": [0, 223, 200, 170, 143, 87, 101, 74, 72, 46, 1365],
    "starts": [11, 8, 15, 16, 21, 36, 31, 60, 83, 1624, 35, 24, 22, 9, 13, 15, 12, 4, 5],
    "ends": [3, 11, 8, 15, 17, 23, 24, 32, 37, 1645, 55, 45, 40, 24, 21, 17, 18, 7, 2],
    "matched": [[223, 186, 181, 153], [104, 100, 90, 84], [49, 40, 43, 34], [135, 74, 83, 31], [40, 19, 21, 4], [59, 53, 55, 49], [62, 50, 51, 40],
        [30, 18, 13, 5], [44, 39, 33, 25], [93, 83, 76, 63], [34, 26, 27, 23], [186, 172, 176, 159], [86, 54, 63, 34], [186, 143, 150, 99], [92, 76,
        83, 62], [25, 20, 21, 19], [61, 50, 54, 45], [41, 30, 30, 20], [71, 52, 57, 41], [93, 89, 84, 74], [131, 99, 106, 66], [11, 9, 5, 3], [62, 53,
        50, 38], [55, 30, 39, 17], [71, 59, 54, 47]],
}
