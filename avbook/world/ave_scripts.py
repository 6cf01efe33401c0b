"""Scripts of AVE's kind: sampled by the counts of the real annotations, or read from the files."""

import numpy as np

from avbook.data.annotations import read_annotations, read_ave_orders, wanted
from avbook.data.events import AVE_CATEGORIES, SECONDS, runs
from avbook.data.spec import AVE_SPEC, SPLITS
from avbook.data.statistics import AVE_COUNTS
from avbook.world.draws import (
    apportion,
    check_whole,
    random_stream,
    sample_latents,
    sample_main_latents,
    sample_recording,
    shares,
    world_id,
)
from avbook.world.levers import SECOND, Levers
from avbook.world.script import Clip, Source

__all__ = [
    "tilted",
    "ave_spans",
    "around_event",
    "other_sources",
    "sample_ave",
    "sample_background",
    "read_ave",
]


def tilted(
    joint: np.ndarray,  # (11, 11) counts of onset against offset
    mean: float,  # seconds
) -> np.ndarray:
    """Shares (11, 11) whose mean length is `mean`: the counts times exp(rate · length), of all
    tables with that mean the nearest to the counts' in relative entropy."""
    length = np.arange(11)[None] - np.arange(11)[:, None]
    possible = joint * (length > 0)
    low, high = -4.0, 4.0
    for _ in range(60):
        rate = (low + high) / 2
        weights = possible * np.exp(rate * np.clip(length, 0, 10))
        if (weights * length).sum() < mean * weights.sum():
            low = rate
        else:
            high = rate
    return weights / weights.sum()


def ave_spans(
    category: int,  # class index
) -> np.ndarray:
    """Shares (11, 11) of onset against offset for events of a class.

    They fill the clip as often as the class's real events do. The others follow the joint table of
    all classes, tilted so that their mean length is that of the class."""
    n, full, seconds = (AVE_COUNTS[key][category] for key in ("videos", "full", "seconds"))
    partial = np.array(AVE_COUNTS["joint"], float)
    partial[0, 10] = 0
    table = tilted(partial, (seconds - 10 * full) / max(n - full, 1)) * (1 - full / n)
    table[0, 10] = full / n
    return table


def around_event(
    rng: np.random.Generator,
    event: np.ndarray,  # (T,) bool
    levers: Levers,
) -> tuple[np.ndarray, np.ndarray]:
    """When the main source is heard and when it is seen, (T,) bool each: both in the event. Outside
    it is heard unseen, seen unheard, or neither; one change a side at most."""
    heard, seen = event.copy(), event.copy()
    for start, stop in runs(~event):
        change = stop - start > 1 and rng.random() < 0.3
        middle = int(rng.integers(start + 1, stop)) if change else stop
        for begin, end in ((start, middle), (middle, stop)):
            chance = rng.random()
            heard[begin:end] |= chance < levers.off_screen
            chance -= levers.off_screen
            seen[begin:end] |= 0 <= chance < levers.in_silence
    return heard, seen


def _stretch(rng, seconds=SECONDS):
    """A run of seconds (T,) bool: the whole clip half of the time, else a random piece."""
    mask = np.ones(seconds, bool)
    if rng.random() < 0.5:
        length = int(rng.integers(2, seconds))
        start = int(rng.integers(0, seconds - length + 1))
        mask[:start] = mask[start + length :] = False
    return mask


def other_sources(
    rng: np.random.Generator,
    taken: set[int],  # class indices that are in the clip already
    decoys: float,  # chance of a silent object in view
    intruders: float,  # chance of an off-screen sound
    levers: Levers,
) -> list[Source]:
    """At most one silent object in view and one off-screen sound, of two classes that are not yet
    taken: of one class, they would make an event that the labels do not have."""
    nothing, sources = np.zeros(SECONDS, bool), []
    weights = np.array(AVE_COUNTS["videos"], float)
    for place, chance in (("seen", decoys), ("heard", intruders)):
        if rng.random() < chance:
            weights[list(taken)] = 0
            c = int(rng.choice(len(weights), p=shares(weights)))
            taken = taken | {c}
            masks = {"heard": nothing, "seen": nothing} | {place: _stretch(rng)}
            sources.append(Source(AVE_CATEGORIES[c], **masks, **sample_latents(rng, levers)))
    return sources


def _ave_clip(rng, category, event, id, split, levers):
    heard, seen = around_event(rng, event, levers)
    # the recording is drawn last in the first version, and before the main source in the second
    recording = sample_recording(rng, levers) if levers.quality is not None else None
    latents = sample_main_latents(rng, levers, recording)
    main = Source(AVE_CATEGORIES[category], heard, seen, **latents)
    others = other_sources(rng, {category}, levers.decoys, levers.intruders, levers)
    recording = recording or sample_recording(rng, levers)
    labels = (AVE_CATEGORIES[category],)
    return Clip(id, (main, *others), split=split, labels=labels, **recording)


def sample_ave(
    n: int,  # how many clips
    seed: int,
    splits: tuple[int, ...],  # of them for train, val, test
    levers: Levers,
) -> list[Clip]:
    """Clips grouped by class, as the rows of Annotations.txt are."""
    rng = random_stream(seed, "ave", n, 1)
    counts = np.stack(
        [
            apportion(k, AVE_COUNTS[f"videos_{split}"], least=split == "train")
            for k, split in zip(splits, SPLITS)
        ]
    )
    clips: list[Clip] = []
    for c in range(len(AVE_CATEGORIES)):
        spans = ave_spans(c).ravel()
        for split in rng.permutation(np.repeat(SPLITS, counts[:, c])):
            own = random_stream(seed, "ave", len(clips))
            onset, offset = divmod(int(own.choice(121, p=spans)), 11)
            event = (np.arange(SECONDS) >= onset) & (np.arange(SECONDS) < offset)
            id = world_id(seed, "ave", len(clips))
            clips.append(_ave_clip(own, c, event, id, str(split), levers))
    return clips


def sample_background(
    n: int,  # how many
    seed: int = 0,
    levers: Levers | None = None,  # how hard they are; None: as in the world
) -> list[Clip]:
    """Clips without an event, the weak setting's negatives: no source is heard and seen at once. No
    labels; all in `train`. Raises AvbookError for a number below 0."""
    check_whole(n=n, seed=seed)
    clips, levers = [], levers or SECOND["ave"]
    for i in range(n):
        rng = random_stream(seed, "background", i)
        sources = tuple(other_sources(rng, set(), 0.7, 0.7, levers))
        recording = sample_recording(rng, levers)
        clips.append(Clip(world_id(seed, "background", i), sources, labels=(), **recording))
    return clips


def read_ave(
    folder,  # with the official annotation files
    seed: int,  # of what the files do not say
    levers: Levers,
) -> list[Clip]:
    """A clip for each row of Annotations.txt, in its order. Raises AvbookError on missing or
    malformed files."""
    files = [*AVE_SPEC.span_files.values(), *AVE_SPEC.split_files.values()]
    rows = read_annotations(wanted(folder, files)[0])
    splits = np.empty(len(rows), object)
    for split, order in read_ave_orders(folder, len(rows)).items():
        splits[order] = split
    clips, second = [], np.arange(SECONDS)
    for i, row in enumerate(rows):
        rng = random_stream(seed, "ave", i, 2)
        c = AVE_CATEGORIES.index(row.category)
        event = (second >= row.onset) & (second < row.offset)
        clips.append(_ave_clip(rng, c, event, row.id, splits[i], levers))
    return clips
