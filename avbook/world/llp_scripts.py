"""Scripts of LLP's kind: sampled by the counts of the real annotations, or read from the files."""

from collections.abc import Sequence

import numpy as np

from avbook.data.annotations import read_spans, read_videos, wanted
from avbook.data.events import LLP_CATEGORIES, SECONDS
from avbook.data.labels import span_masks
from avbook.data.spec import LLP_SPEC, SPLITS
from avbook.data.statistics import LLP_COUNTS
from avbook.world.draws import (
    random_stream,
    sample_latents,
    sample_recording,
    shares,
    world_id,
)
from avbook.world.levers import Levers
from avbook.world.script import Clip, Source

__all__ = ["chain_pattern", "llp_spans", "sample_llp", "read_llp"]

CHAINS = ("audio_chain", "visual_chain")  # tables of `LLP_COUNTS`
SMOOTHING = 4.0  # videos: the weight that the shares of all classes have beside a class's counts


def _counted(rng, counts, pool):
    """An index drawn by `counts`, smoothed towards the shares of `pool`."""
    weights = np.asarray(counts, float) + SMOOTHING * shares(np.asarray(pool, float) + 1e-9)
    return int(rng.choice(len(weights), p=shares(weights)))


def _smoothed_share(of_class, of_all, c):
    """How often something happened to class `c`, smoothed towards all classes: counts of it, and
    counts of the occasions, (C,) each."""
    pooled = of_class.sum() / of_all.sum()
    return (of_class[c] + SMOOTHING * pooled) / (of_all[c] + SMOOTHING)


def chain_pattern(
    rng: np.random.Generator,
    key: str,  # "audio_chain" or "visual_chain"
    c: int,  # class index
) -> np.ndarray:
    """A pattern (T,) bool, neither empty nor full: from second to second it switches on and off at
    the rates of the class, smoothed towards those of all classes."""
    pool = np.array(LLP_COUNTS[key], float)
    counts = pool[c] + 8 * shares(pool.sum(0)) * 10
    begin, stay, enter = (counts[k] / counts[k : k + 2].sum() for k in (0, 2, 4))
    while True:
        draws = rng.random(SECONDS)
        mask = np.zeros(SECONDS, bool)
        mask[0] = draws[0] < begin
        for t in range(1, SECONDS):
            mask[t] = draws[t] < (stay if mask[t - 1] else enter)
        if mask.any() and not mask.all():
            return mask


def llp_spans(
    rng: np.random.Generator,
    c: int,  # class index
) -> tuple[np.ndarray, np.ndarray]:
    """When class `c` is heard and when it is seen, (T,) bool each, given that the video bears its
    label."""
    table = {key: np.array(LLP_COUNTS[key]) for key in ("modality", "filled", "both", "same")}
    everywhere, nowhere = np.ones(SECONDS, bool), np.zeros(SECONDS, bool)
    kind = _counted(rng, table["modality"][c], table["modality"].sum(0))
    if kind < 2:  # heard only, seen only
        videos, full = table["filled"][:, 2 * kind : 2 * kind + 2].T
        fills = rng.random() < _smoothed_share(full, videos, c)
        mask = everywhere if fills else chain_pattern(rng, CHAINS[kind], c)
        return (mask, nowhere) if kind == 0 else (nowhere, mask)
    # 0: both fill the clip, 1: only what is heard does, 2: only what is seen does, 3: neither
    filling = _counted(rng, table["both"][c], table["both"].sum(0))
    heard = everywhere if filling in (0, 1) else chain_pattern(rng, CHAINS[0], c)
    if filling == 3 and rng.random() < _smoothed_share(table["same"], table["both"][:, 3], c):
        return heard, heard
    seen = everywhere if filling in (0, 2) else chain_pattern(rng, CHAINS[1], c)
    return (heard, seen) if (heard & seen).any() else llp_spans(rng, c)


def _label_set(rng, split):
    """Class indices of one video: the set of labels of a real video of the split, drawn by how
    often it occurs."""
    sets = LLP_COUNTS["labels_train" if split == "train" else "labels_judged"]
    ends = np.cumsum([row[0] for row in sets])
    return sets[int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))][1:]


def _llp_clip(rng, labels: Sequence[int], id, split, levers, file_name=""):
    sources = []
    for c in labels:
        heard, seen = llp_spans(rng, c)
        sources.append(Source(LLP_CATEGORIES[c], heard, seen, **sample_latents(rng, levers)))
    recording = sample_recording(rng, levers)
    return Clip(id, tuple(sources), split=split, file_name=file_name, **recording)


def sample_llp(
    n: int,  # how many clips
    seed: int,
    splits: tuple[int, ...],  # of them for train, val, test
    levers: Levers,
) -> list[Clip]:
    """Clips in the order of their splits."""
    clips: list[Clip] = []
    for split in np.repeat(SPLITS, splits):
        rng = random_stream(seed, "llp", len(clips))
        labels = _label_set(rng, str(split))
        id = world_id(seed, "llp", len(clips))
        clips.append(_llp_clip(rng, labels, id, str(split), levers))
    return clips


def read_llp(
    folder,  # with the official annotation files
    seed: int,  # of what the files do not say
    levers: Levers,
) -> list[Clip]:
    """A clip for each row of the three lists of videos, in their order. Raises AvbookError on
    missing or malformed files."""
    files = [*LLP_SPEC.split_files.values(), *LLP_SPEC.span_files.values()]
    *lists, heard, seen = wanted(folder, files)
    dense = {
        "heard": span_masks(read_spans(heard, inverted=True)),
        "seen": span_masks(read_spans(seen, inverted=True)),
    }
    clips: list[Clip] = []
    for split, path in zip(SPLITS, lists):
        for name, labels, _ in read_videos(path):
            rng = random_stream(seed, "llp", len(clips), 2)
            if split == "train":
                indices = [LLP_CATEGORIES.index(label) for label in labels]
                clips.append(_llp_clip(rng, indices, name[:11], split, levers, name))
            else:
                masks = {key: dense[key].get(name, {}) for key in dense}
                clips.append(_annotated_clip(rng, name, labels, masks, split, levers))
    return clips


def _annotated_clip(rng, name, labels, masks, split, levers):
    """A clip whose seconds are all annotated: masks hold, for heard and seen, a (T,) mask a class.
    Classes without a second have no source, though the video may bear their label."""
    nothing = np.zeros(SECONDS, bool)
    sources = []
    for c in dict.fromkeys((*labels, *masks["heard"], *masks["seen"])):
        heard, seen = (masks[key].get(c, nothing) for key in ("heard", "seen"))
        if heard.any() or seen.any():
            sources.append(Source(c, heard, seen, **sample_latents(rng, levers)))
    recording = sample_recording(rng, levers)
    return Clip(name[:11], tuple(sources), split=split, labels=labels, file_name=name, **recording)
