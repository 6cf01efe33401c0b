"""Counts of the real annotations, which sampled scripts follow, and the functions that count.

The tables hold sums only (no video, no id). `count_ave`, `count_llp` and `count_spans` made them
from the official files, and a test repeats that if the files are present. The same functions count
sampled clips for a comparison. The sampler uses `AVE_COUNTS` and `LLP_COUNTS`; `SPAN_COUNTS` is
held out."""

from __future__ import annotations

from collections import Counter

import numpy as np

from avbook.data.events import runs

__all__ = [
    "AVE_COUNTS",
    "LLP_COUNTS",
    "count_ave",
    "count_llp",
    "chain_counts",
    "together",
    "SPAN_COUNTS",
    "count_spans",
]


def chain_counts(
    masks: np.ndarray | list,  # (N, T) bool, one row per span pattern
) -> list[int]:
    """Starts and switches of span patterns: [starts on, starts off, on→on, on→off, off→on,
    off→off], summed over the rows."""
    masks = np.asarray(masks, bool).reshape(-1, np.shape(masks)[-1] if len(masks) else 10)
    now, then = masks[:, 1:], masks[:, :-1]
    return [
        int(n)
        for n in (
            masks[:, 0].sum(),
            (~masks[:, 0]).sum(),
            (then & now).sum(),
            (then & ~now).sum(),
            (~then & now).sum(),
            (~then & ~now).sum(),
        )
    ]


def count_ave(
    clips,  # AVE clips of ten seconds, the main source first
    categories: list[str],  # class names in order
) -> dict:
    """Per class: videos, videos whose event fills the clip, event seconds; over all classes: the
    table of onsets against offsets (11, 11)."""
    index = {name: i for i, name in enumerate(categories)}
    videos, full, seconds, joint = (
        np.zeros(shape, int) for shape in (len(index), len(index), len(index), (11, 11))
    )
    for clip in clips:
        on = np.flatnonzero(clip.sources[0].heard & clip.sources[0].seen)
        onset, offset = (int(on[0]), int(on[-1]) + 1) if len(on) else (0, 0)
        c = index[clip.sources[0].category]
        videos[c] += 1
        full[c] += offset - onset == clip.seconds
        seconds[c] += offset - onset
        joint[onset, offset] += 1
    return {
        "videos": videos.tolist(),
        "full": full.tolist(),
        "seconds": seconds.tolist(),
        "joint": joint.tolist(),
    }


def together(
    labels,  # rows [videos, class, class, …], as returned by `count_llp`
    classes: int,
) -> np.ndarray:
    """Videos with both labels, (C, C); on the diagonal those with the one label."""
    table = np.zeros((classes, classes), int)
    for videos, *chosen in labels:
        table[np.ix_(chosen, chosen)] += videos
    return table


def count_llp(
    clips,  # LLP clips of ten seconds
    categories: list[str],  # class names in order
) -> dict:
    """The labels of videos; then, per class, how its sources split by modality, fill the clip,
    coincide and switch.

    `labels`: rows [videos, class, class, …], one for each set of labels. Per class, over its
    sources: `modality` [audio only, visual only, both]; `filled` [audio only, of those all ten
    seconds; visual only, of those all ten]; `both` [both fill the clip, only the audio does, only
    the visual does, neither]; `same` (of neither, those with equal spans); `audio_chain` and
    `visual_chain`: `chain_counts` of the patterns that do not fill the clip. `quiet`: all seconds,
    those without an audible source, those without a visible one."""
    index = {name: i for i, name in enumerate(categories)}
    sets: Counter[tuple[int, ...]] = Counter()
    quiet = np.zeros(3, int)
    modality, filled, both, same = (np.zeros((len(index), k), int) for k in (3, 4, 4, 1))
    partial: dict[str, list[list[np.ndarray]]] = {
        "audio_chain": [[] for _ in index],
        "visual_chain": [[] for _ in index],
    }
    for clip in clips:
        sets[tuple(sorted({index[name] for name in clip.labels}))] += 1
        loud, shown = (
            np.any([getattr(s, what) for s in clip.sources] or [[False] * clip.seconds], axis=0)
            for what in ("heard", "seen")
        )
        quiet += clip.seconds, (~loud).sum(), (~shown).sum()
        for source in clip.sources:
            c, heard, seen = index[source.category], source.heard, source.seen
            if heard.any() and seen.any():
                modality[c, 2] += 1
                both[c, 2 * (not heard.all()) + (not seen.all())] += 1
                same[c] += not heard.all() and not seen.all() and bool((heard == seen).all())
            elif heard.any() or seen.any():
                only = int(seen.any())
                modality[c, only] += 1
                filled[c, 2 * only : 2 * only + 2] += (1, (heard | seen).all())
            for key, mask in (("audio_chain", heard), ("visual_chain", seen)):
                if mask.any() and not mask.all():
                    partial[key][c].append(mask)
    tables = {
        "modality": modality,
        "filled": filled,
        "both": both,
        "same": same[:, 0],
        "quiet": quiet,
    }
    chains = {key: [chain_counts(rows) for rows in per_class] for key, per_class in partial.items()}
    return (
        {"labels": [[videos, *chosen] for chosen, videos in sorted(sets.items())]}
        | {k: v.tolist() for k, v in tables.items()}
        | chains
    )


# Tables: AVE, all 4,143 videos (class order of `AVE_CATEGORIES`); `videos` per split.
# fmt: off
AVE_COUNTS: dict[str, list] = {
    "videos_train":
        [152, 142, 137, 148, 152, 141, 144, 151, 138, 131, 146, 112, 82, 81, 150, 142, 128, 147, 80,
        67, 57, 128, 48, 52, 144, 89, 124, 126],
    "videos_val":
        [18, 17, 17, 18, 18, 17, 17, 18, 17, 16, 18, 13, 10, 9, 18, 17, 16, 18, 10, 8, 6, 16, 6, 6,
        18, 10, 15, 15],
    "videos_test":
        [18, 17, 17, 18, 18, 17, 17, 18, 17, 16, 18, 13, 10, 9, 18, 17, 16, 18, 10, 8, 6, 16, 6, 6,
        18, 10, 15, 15],
    "videos":
        [188, 176, 171, 184, 188, 175, 178, 187, 172, 163, 182, 138, 102, 99, 186, 176, 160, 183,
        100, 83, 69, 160, 60, 64, 180, 109, 154, 156],
    "full":
        [142, 48, 35, 136, 84, 96, 113, 153, 162, 147, 115, 116, 69, 78, 179, 159, 154, 178, 80, 32,
        36, 96, 17, 11, 28, 47, 107, 132],
    "seconds":
        [1641, 1147, 1018, 1614, 1371, 1397, 1462, 1713, 1666, 1546, 1409, 1242, 830, 896, 1827,
        1686, 1575, 1809, 886, 554, 522, 1288, 348, 317, 1078, 761, 1290, 1459],
    "joint":
        [[1, 0, 54, 71, 83, 74, 91, 56, 49, 21, 2750], [0, 0, 0, 9, 11, 8, 4, 9, 7, 2, 74], [0, 0,
        0, 0, 9, 7, 11, 8, 11, 4, 60], [0, 0, 0, 0, 0, 20, 15, 8, 6, 7, 72], [0, 0, 0, 0, 0, 0, 10,
        12, 7, 6, 82], [0, 0, 0, 0, 0, 0, 0, 9, 7, 8, 98], [0, 0, 0, 0, 0, 0, 0, 0, 17, 5, 92], [0,
        0, 0, 0, 0, 0, 0, 0, 0, 10, 92], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 76], [0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
}
# fmt: on

# LLP: labels of the 10,000 training videos; labels and spans of the 1,849 evaluation videos (val
# and test).
# fmt: off
LLP_COUNTS: dict[str, list] = {
    "labels_train":
        [[366, 0, 1], [1, 0, 1, 18], [247, 0, 2], [1, 0, 2, 3], [2, 0, 2, 6], [10, 0, 2, 11], [7, 0,
        2, 24], [668, 0, 3], [6, 0, 3, 4], [1, 0, 3, 11], [2, 0, 3, 12], [1, 0, 3, 15], [1, 0, 3,
        24], [164, 0, 4], [135, 0, 5], [320, 0, 6], [102, 0, 7], [66, 0, 8], [2, 0, 8, 17], [2, 0,
        8, 18], [26, 0, 9], [11, 0, 9, 13], [61, 0, 10], [2, 0, 10, 11], [1, 0, 10, 13], [2, 0, 10,
        20], [497, 0, 11], [1, 0, 11, 13], [1, 0, 11, 16], [6, 0, 11, 20], [3, 0, 11, 24], [204, 0,
        12], [571, 0, 13], [1, 0, 13, 16], [1, 0, 13, 20], [104, 0, 14], [89, 0, 15], [43, 0, 16],
        [85, 0, 17], [3, 0, 17, 18], [312, 0, 18], [146, 0, 19], [227, 0, 20], [62, 0, 21], [251, 0,
        22], [78, 0, 23], [96, 0, 24], [253, 1], [4, 1, 18], [215, 2], [1, 2, 6], [38, 2, 11], [7,
        2, 24], [51, 3], [5, 3, 4], [1, 3, 8], [6, 3, 11], [3, 3, 12], [2, 3, 13], [3, 3, 14], [1,
        3, 15], [2, 3, 18], [1, 3, 19], [1, 3, 21], [4, 3, 22], [1, 3, 24], [16, 4], [1, 4, 20],
        [208, 5], [132, 6], [116, 7], [218, 8], [1, 8, 17], [9, 8, 18], [41, 9], [1, 9, 10], [9, 9,
        11], [3, 9, 11, 13], [1, 9, 11, 20], [497, 9, 13], [4, 9, 13, 16], [1, 9, 13, 20], [3, 9,
        16], [5, 9, 20], [17, 10], [45, 10, 11], [10, 10, 11, 13], [1, 10, 11, 20], [36, 10, 13],
        [1, 10, 13, 20], [1, 10, 16], [8, 10, 20], [350, 11], [28, 11, 13], [21, 11, 16], [129, 11,
        20], [1, 11, 22], [9, 11, 24], [228, 12], [218, 13], [9, 13, 16], [61, 13, 20], [1, 13, 24],
        [388, 14], [55, 15], [361, 16], [1, 16, 20], [130, 17], [2, 17, 18], [1, 17, 19], [76, 18],
        [439, 19], [58, 20], [36, 21], [174, 22], [213, 23], [39, 24]],
    "labels_judged":
        [[9, 0], [57, 0, 1], [1, 0, 1, 2], [2, 0, 1, 2, 24], [1, 0, 1, 3], [4, 0, 1, 11], [1, 0, 1,
        12], [1, 0, 1, 12, 18], [10, 0, 1, 18], [2, 0, 1, 19], [21, 0, 2], [11, 0, 2, 6], [11, 0, 2,
        6, 24], [1, 0, 2, 9, 10, 13, 20, 24], [6, 0, 2, 11], [2, 0, 2, 11, 20], [1, 0, 2, 11, 20,
        24], [3, 0, 2, 11, 24], [2, 0, 2, 13], [1, 0, 2, 13, 24], [1, 0, 2, 15], [1, 0, 2, 18, 24],
        [19, 0, 2, 24], [134, 0, 3], [1, 0, 3, 4], [2, 0, 3, 6], [1, 0, 3, 8], [1, 0, 3, 11], [3, 0,
        3, 14], [2, 0, 3, 15], [1, 0, 3, 18], [1, 0, 3, 24], [42, 0, 4], [1, 0, 4, 7], [2, 0, 4,
        12], [1, 0, 4, 15], [50, 0, 5], [1, 0, 5, 11], [40, 0, 6], [6, 0, 6, 24], [22, 0, 7], [9, 0,
        8], [1, 0, 8, 15], [1, 0, 8, 19], [5, 0, 9], [1, 0, 9, 10, 13], [1, 0, 9, 10, 20], [1, 0, 9,
        11, 13, 24], [2, 0, 9, 13], [2, 0, 9, 20], [9, 0, 10], [1, 0, 10, 11], [1, 0, 10, 13, 20],
        [1, 0, 10, 20, 24], [44, 0, 11], [5, 0, 11, 13], [1, 0, 11, 15], [1, 0, 11, 16], [1, 0, 11,
        16, 24], [3, 0, 11, 18], [13, 0, 11, 20], [1, 0, 11, 20, 24], [9, 0, 11, 24], [37, 0, 12],
        [72, 0, 13], [1, 0, 13, 16], [2, 0, 13, 20], [2, 0, 13, 20, 24], [32, 0, 14], [1, 0, 14,
        15], [15, 0, 15], [11, 0, 16], [1, 0, 16, 24], [21, 0, 17], [41, 0, 18], [21, 0, 19], [1, 0,
        19, 24], [37, 0, 20], [3, 0, 20, 24], [13, 0, 21], [37, 0, 22], [30, 0, 23], [20, 0, 24],
        [44, 1], [1, 1, 3], [1, 1, 11], [1, 1, 13], [1, 1, 16, 18], [3, 1, 18], [4, 1, 19], [14, 2],
        [2, 2, 6], [2, 2, 6, 24], [13, 2, 11], [1, 2, 11, 13, 20, 24], [1, 2, 11, 20, 24], [6, 2,
        11, 24], [1, 2, 12, 19, 24], [1, 2, 13], [1, 2, 19, 24], [7, 2, 24], [10, 3], [1, 3, 4], [1,
        3, 4, 10], [1, 3, 4, 12], [1, 3, 11], [1, 3, 12], [2, 3, 13], [3, 3, 14], [1, 3, 22], [5,
        4], [2, 4, 14], [14, 5], [7, 6], [13, 7], [33, 8], [11, 9], [1, 9, 10, 11], [3, 9, 10, 11,
        20], [1, 9, 10, 13], [1, 9, 10, 20], [3, 9, 11], [2, 9, 11, 13], [1, 9, 11, 13, 20], [1, 9,
        11, 16, 20], [1, 9, 11, 20], [71, 9, 13], [1, 9, 13, 16], [6, 9, 13, 20], [2, 9, 13, 24],
        [1, 9, 16], [3, 9, 20], [2, 10], [4, 10, 11], [3, 10, 11, 13, 20], [9, 10, 11, 20], [3, 10,
        13], [1, 10, 20], [1, 10, 24], [57, 11], [1, 11, 12], [2, 11, 13], [2, 11, 13, 20], [5, 11,
        16], [2, 11, 16, 20], [32, 11, 20], [4, 11, 20, 24], [1, 11, 22], [10, 11, 24], [53, 12],
        [29, 13], [2, 13, 16], [1, 13, 16, 20], [10, 13, 20], [58, 14], [10, 15], [50, 16], [1, 16,
        20], [1, 16, 24], [23, 17], [21, 18], [72, 19], [5, 20], [6, 21], [38, 22], [26, 23], [6,
        24]],
    "modality":
        [[765, 2, 223], [2, 29, 104], [77, 5, 49], [13, 22, 135], [3, 19, 40], [4, 1, 59], [4, 15,
        62], [6, 0, 30], [1, 0, 44], [23, 7, 93], [8, 2, 34], [83, 1, 186], [7, 5, 86], [40, 7,
        186], [6, 1, 92], [7, 0, 25], [21, 1, 61], [3, 1, 41], [4, 9, 71], [9, 2, 93], [13, 17,
        131], [8, 0, 11], [13, 1, 62], [0, 1, 55], [57, 6, 71]],
    "filled":
        [[765, 98, 2, 0], [2, 2, 29, 15], [77, 20, 5, 4], [13, 1, 22, 19], [3, 0, 19, 16], [4, 4, 1,
        1], [4, 0, 15, 0], [6, 4, 0, 0], [1, 1, 0, 0], [23, 19, 7, 3], [8, 5, 2, 1], [83, 30, 1, 0],
        [7, 2, 5, 4], [40, 32, 7, 4], [6, 4, 1, 0], [7, 2, 0, 0], [21, 16, 1, 0], [3, 2, 1, 1], [4,
        3, 9, 4], [9, 7, 2, 1], [13, 13, 17, 13], [8, 2, 0, 0], [13, 4, 1, 1], [0, 0, 1, 1], [57, 7,
        6, 1]],
    "both":
        [[27, 16, 0, 180], [80, 7, 6, 11], [23, 3, 2, 21], [31, 2, 84, 18], [4, 0, 27, 9], [47, 6,
        1, 5], [2, 2, 1, 57], [5, 7, 8, 10], [22, 8, 7, 7], [62, 12, 15, 4], [23, 3, 7, 1], [57, 18,
        0, 111], [33, 3, 42, 8], [95, 19, 55, 17], [59, 11, 15, 7], [4, 0, 3, 18], [44, 5, 8, 4],
        [19, 6, 14, 2], [39, 12, 14, 6], [69, 10, 2, 12], [64, 11, 48, 8], [2, 1, 2, 6], [21, 4, 13,
        24], [17, 0, 30, 8], [21, 5, 2, 43]],
    "same":
        [126, 4, 11, 0, 0, 2, 38, 0, 3, 1, 0, 102, 1, 4, 3, 15, 1, 1, 2, 5, 2, 1, 17, 0, 26],
    "audio_chain":
        [[397, 450, 2516, 929, 902, 3276], [12, 5, 84, 16, 8, 45], [17, 63, 239, 55, 84, 342], [43,
        71, 385, 128, 138, 375], [17, 22, 92, 55, 58, 146], [4, 2, 22, 4, 2, 26], [22, 40, 149, 76,
        71, 262], [11, 9, 89, 19, 15, 57], [11, 3, 60, 12, 7, 47], [11, 12, 122, 15, 18, 52], [4, 7,
        41, 8, 7, 43], [77, 87, 787, 123, 148, 418], [25, 30, 200, 61, 66, 168], [38, 42, 419, 49,
        64, 188], [7, 17, 97, 9, 17, 93], [12, 14, 92, 35, 31, 76], [6, 11, 85, 7, 14, 47], [9, 8,
        69, 14, 14, 56], [8, 13, 84, 12, 13, 80], [7, 9, 72, 9, 12, 51], [28, 28, 281, 47, 58, 118],
        [7, 7, 45, 17, 13, 51], [32, 14, 259, 43, 34, 78], [11, 27, 155, 24, 34, 129], [31, 64, 272,
        74, 84, 425]],
    "visual_chain":
        [[102, 96, 537, 209, 175, 861], [23, 9, 158, 26, 14, 90], [3, 22, 80, 13, 27, 105], [17, 6,
        116, 25, 20, 46], [7, 5, 56, 9, 10, 33], [6, 5, 39, 8, 6, 46], [30, 44, 171, 100, 90, 305],
        [9, 8, 83, 11, 10, 49], [10, 5, 74, 13, 9, 39], [11, 9, 89, 15, 12, 64], [1, 4, 17, 2, 4,
        22], [57, 73, 595, 94, 122, 359], [4, 8, 51, 5, 10, 42], [21, 18, 165, 31, 27, 128], [14, 5,
        97, 16, 15, 43], [10, 8, 70, 24, 20, 48], [6, 4, 34, 9, 5, 42], [5, 3, 44, 7, 6, 15], [12,
        11, 115, 14, 17, 61], [13, 10, 105, 20, 17, 65], [9, 14, 86, 13, 15, 93], [2, 5, 29, 5, 6,
        23], [20, 8, 148, 25, 17, 62], [4, 4, 40, 5, 5, 22], [14, 39, 139, 40, 47, 251]],
    "quiet": [18490, 1898, 3622],
}
# fmt: on


# -------------------------------------------------------------------------------------------- spans
def count_spans(
    clips,  # LLP clips of ten seconds, their seconds annotated
    categories,  # C class names in order
) -> dict:
    """What a list of labels leaves open, over clips and the classes that they list.

    `labels` (C, 4): listed labels that are [audible only, visible only, both, neither] somewhere in
    the clip; `seconds` (C, 4): the ten seconds of each of those labels, the same way; `unlisted`
    (C,): classes that occur without being listed. Over events, the maximal runs of a class:
    `lengths_audio`, `lengths_visual` (11,). Over classes both audible and visible in a clip:
    `starts`, `ends` (19,), the first (last) visible second minus the first (last) audible one, from
    -9 to 9; `matched` (C, 4): their number, and those with the same first second, with the same
    last one, with the same seconds."""
    index = {name: i for i, name in enumerate(categories)}
    labels, seconds, matched = (np.zeros((len(index), 4), int) for _ in range(3))
    unlisted, lengths, ends = (
        np.zeros(len(index), int),
        np.zeros((2, 11), int),
        np.zeros((2, 19), int),
    )
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
                first, last = (
                    np.array([np.flatnonzero(mask)[at] for mask in (heard, seen)]) for at in (0, -1)
                )
                ends[0, first[1] - first[0] + 9] += 1
                ends[1, last[1] - last[0] + 9] += 1
                matched[c] += 1, first[0] == first[1], last[0] == last[1], (heard == seen).all()
    tables = {
        "labels": labels,
        "seconds": seconds,
        "unlisted": unlisted,
        "lengths_audio": lengths[0],
        "lengths_visual": lengths[1],
        "starts": ends[0],
        "ends": ends[1],
        "matched": matched,
    }
    return {"videos": len(clips)} | {name: table.tolist() for name, table in tables.items()}


def _kind(heard, seen):
    """0 audible only, 1 visible only, 2 both, 3 neither."""
    return np.where(heard, np.where(seen, 2, 0), np.where(seen, 1, 3))


# LLP's 1,849 evaluation clips, validation and test (class order of `LLP_CATEGORIES`).
# fmt: off
SPAN_COUNTS: dict = {
    "videos": 1849,
    "labels":
        [[752, 2, 217, 19], [2, 27, 104, 1], [74, 5, 49, 4], [13, 21, 134, 1], [2, 15, 39, 1], [4,
        1, 59, 1], [4, 14, 61, 2], [6, 0, 30, 0], [1, 0, 44, 0], [23, 5, 93, 1], [8, 2, 34, 1], [81,
        1, 180, 3], [7, 5, 86, 0], [39, 6, 186, 1], [6, 1, 92, 0], [7, 0, 25, 0], [21, 1, 59, 0],
        [3, 1, 40, 0], [4, 7, 71, 0], [9, 2, 92, 0], [13, 16, 126, 0], [8, 0, 11, 0], [13, 1, 62,
        1], [0, 1, 55, 0], [52, 6, 69, 2]],
    "seconds":
        [[4086, 19, 1031, 4764], [54, 252, 940, 94], [439, 53, 347, 481], [87, 660, 815, 128], [18,
        327, 172, 53], [76, 19, 522, 33], [43, 80, 233, 454], [103, 60, 172, 25], [41, 36, 347, 26],
        [272, 87, 809, 52], [85, 55, 277, 33], [708, 7, 1289, 646], [66, 250, 605, 59], [480, 250,
        1497, 93], [82, 87, 779, 42], [42, 17, 153, 108], [233, 37, 508, 32], [44, 84, 308, 4], [87,
        137, 558, 38], [121, 25, 820, 64], [188, 296, 1021, 45], [53, 15, 62, 60], [126, 46, 489,
        109], [3, 162, 367, 28], [304, 50, 387, 549]],
    "unlisted": [19, 2, 3, 2, 6, 0, 2, 0, 0, 2, 0, 8, 0, 2, 0, 0, 2, 1, 2, 1, 6, 0, 0, 0, 7],
    "lengths_audio": [0, 710, 550, 416, 322, 200, 158, 160, 126, 117, 1319],
    "lengths_visual": [0, 223, 200, 170, 143, 87, 101, 74, 72, 46, 1365],
    "starts": [11, 8, 15, 16, 21, 36, 31, 60, 83, 1624, 35, 24, 22, 9, 13, 15, 12, 4, 5],
    "ends": [3, 11, 8, 15, 17, 23, 24, 32, 37, 1645, 55, 45, 40, 24, 21, 17, 18, 7, 2],
    "matched":
        [[223, 186, 181, 153], [104, 100, 90, 84], [49, 40, 43, 34], [135, 74, 83, 31], [40, 19, 21,
        4], [59, 53, 55, 49], [62, 50, 51, 40], [30, 18, 13, 5], [44, 39, 33, 25], [93, 83, 76, 63],
        [34, 26, 27, 23], [186, 172, 176, 159], [86, 54, 63, 34], [186, 143, 150, 99], [92, 76, 83,
        62], [25, 20, 21, 19], [61, 50, 54, 45], [41, 30, 30, 20], [71, 52, 57, 41], [93, 89, 84,
        74], [131, 99, 106, 66], [11, 9, 5, 3], [62, 53, 50, 38], [55, 30, 39, 17], [71, 59, 54,
        47]],
}
# fmt: on
