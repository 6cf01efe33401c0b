"""Timelines by a trained model: clips of a feature folder, decoded as in its recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from avbook.data.base import Dataset, Split
from avbook.data.description import VideoReport, read_video_reports
from avbook.data.events import runs
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.models import TrainedModel
from avbook.experiments.unlabelled import UnlabelledClips
from avbook.features.official import (
    OfficialExtractor,
    R2Plus1DExtractor,
    ResNet152Extractor,
    VGG19Extractor,
    VGGishExtractor,
)
from avbook.features.official_weights import PUBLISHED
from avbook.features.timelines import Timeline, events_within
from avbook.features.zero_shot import TimelineEvent, smooth_scores
from avbook.training.batches import batches_of
from avbook.training.weights import differences, some_of

__all__ = [
    "OFFICIAL",
    "RANDOM",
    "WORLD",
    "check_extractors",
    "clip_names",
    "folder_timelines",
    "EventFinder",
]

Clips = Dataset | UnlabelledClips
OFFICIAL: dict[str, dict[str, type[OfficialExtractor]]] = {  # of the published features
    "ave": {"audio": VGGishExtractor, "visual": VGG19Extractor},
    "llp": {
        "audio": VGGishExtractor,
        "visual_2d": ResNet152Extractor,
        "visual_3d": R2Plus1DExtractor,
    },
}
WORLD = {  # a world's extractors with trained filters, named as in a folder made from its videos
    "ave": {"audio": "avbook-audio-trained", "visual": "avbook-visual-trained"},
    "llp": {
        "audio": "avbook-audio-trained",
        "visual_2d": "avbook-frame-trained",
        "visual_3d": "avbook-motion-trained",
    },
}
RANDOM = {  # and with random filters
    task: {feature: name.removesuffix("-trained") for feature, name in names.items()}
    for task, names in WORLD.items()
}


# ----------------------------------------------------------------------------------- the same space
def check_extractors(
    model: TrainedModel,
    data: Clips,  # the features to apply it to
) -> None:
    """Raises `AvbookError` if the features come from other extractors than those of the model's
    training data: features of the same shape need not be comparable."""
    if data.hash == model.data["hash"]:
        return
    trained = model.data.get("features"), model.data.get("kind")
    found = data.filters, data.kind
    fault = _other_extractors(model.task, trained, found)
    sizes = data_dims(data)
    names = [name for name in sizes if name.endswith("_dim") or name == "positions"]
    if fault is None:
        other = [n for n in names if model.dims.get(n, sizes[n]) != sizes[n]]
        told = [f"{name} {model.dims[name]}, here {sizes[name]}" for name in other]
        fault = "; ".join(told) or None
    if fault is not None:
        raise AvbookError(
            f"{data.folder}: features of other extractors than those that {model.where} was trained"
            f" on ({fault}); extract them with those, or train a model on these"
        )


def _other_extractors(
    task: str,
    trained: tuple[dict | None, str | None],  # extractors and kind of the model's data
    found: tuple[dict | None, str | None],  # extractors and kind of the folder
) -> str | None:
    """How the extractors differ; None if they agree, or if neither side stores any."""
    (own, own_kind), (here, here_kind) = trained, found
    told = f"{_named(own, own_kind)} in training, here {_named(here, here_kind)}"
    filters = _world_filters(task, *trained)
    if filters is not None and filters == _world_filters(task, *found):
        return None
    if own is None and here is None:
        return told if "world" in (own_kind, here_kind) and own_kind != here_kind else None
    if own is None or here is None:
        said, other = (own, here_kind) if here is None else (here, own_kind)
        return None if other == "official" and _are_official(task, said or {}) else told
    if own.keys() == here.keys():
        differing = differences(own, here, was="in training", now="here")
        return some_of(differing) if differing else None
    return told


def _are_official(task: str, said: Mapping[str, Any]) -> bool:
    """Whether the extractors are the networks of the published features, with the published weights
    as far as their names contain a hash."""
    for modality, extractor in OFFICIAL[task].items():
        entry = said.get(modality)
        if not isinstance(entry, dict) or entry.get("name") != extractor.name:
            return False
        files = PUBLISHED[extractor.kind].files
        known = [digits.partition(":")[2] for digits in files.values() if digits[:3] == "sha"]
        weights = str(entry.get("weights") or "")
        if known and not any(weights.startswith(digits) for digits in known):
            return False
    return set(said) == set(OFFICIAL[task])


def _world_filters(task: str, said: Mapping[str, Any] | None, kind: str | None) -> str | None:
    """The hash of the world's trained filters, or "random", if these are the extractors; else
    None."""
    if said is None:
        return "random" if kind == "world" else None
    if said.get("filters") == "trained":
        return str(said.get("weights"))
    entries = {n: e for n, e in said.items() if isinstance(e, dict)}
    names = {name: entry.get("name") for name, entry in entries.items()}
    if names == RANDOM[task]:
        return "random" if all(entry.get("seed") == 0 for entry in entries.values()) else None
    weights = {str(entry.get("weights")) for entry in entries.values()}
    return weights.pop() if names == WORLD[task] and len(weights) == 1 else None


def _named(said: Mapping[str, Any] | None, kind: str | None) -> str:
    """The extractors in a few words."""
    if said is None:
        words = {"official": "the published features", "world": "the world's random filters"}
        return words.get(kind or "", "unknown extractors")
    if "filters" in said:
        return f"the world's {said['filters']} filters {said.get('weights', '')}".strip()
    names = [e.get("name", "?") if isinstance(e, dict) else str(e) for e in said.values()]
    return " and ".join(names)


# ---------------------------------------------------------------------------------------- the clips
def clip_names(
    data: Clips,
) -> dict[str, list[str]]:
    """The names of each split's clips, unique in the data set: the id, followed by the row if
    several clips share a video."""
    times = Counter(str(name) for split in data.splits.values() for name in split.ids)
    return {
        name: [
            str(id) if times[str(id)] == 1 else f"{id}-row-{row}"
            for id, row in zip(split.ids, split.rows)
        ]
        for name, split in data.splits.items()
    }


def folder_timelines(
    model: TrainedModel,  # from `read_model`
    data: Clips,  # from `open_clips`, or a data set of the model's task
    names: Collection[str] | None = None,  # of the clips, as in `clip_names`; None: all
    *,
    # lowest probability; None: the recipe's (for AVE none: the largest wins)
    threshold: float | None = None,
    smooth: int = 1,  # seconds of the median filter on the probabilities, odd
    batch_size: int = 32,
    device: str = "cpu",
) -> Iterator[Timeline]:
    """The timeline of each clip, in the order of the splits and their clips, with the notes of
    feature extraction, and without events after the video's end.

    AVE: the largest of C+1 softmax probabilities in each second, without background;
    "audio-visual". LLP: "audio" and "visual", if both second and clip reach the threshold. Raises
    `AvbookError` for features of other extractors, unknown categories and options out of range."""
    check_extractors(model, data)
    find = EventFinder(model, _categories(model, data), threshold, smooth, device)
    reports = read_video_reports(data.folder)
    for split, known in _wanted(data, names):
        rows = np.arange(len(split))
        batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        found: list[list[TimelineEvent]] = []
        for at, batch in zip(batches, batches_of(split, batches, torch.device(device))):
            _check_finite(data, batch, [known[row] for row in at])
            found += find(batch)
        seconds = int(split.stores["audio"].shape[1])
        for name, clip_id, events in zip(known, split.ids, found):
            about = reports.get(str(clip_id), VideoReport(seconds, ()))
            kept = events_within(events, about.length)
            yield Timeline(name, seconds, find.name, kept, model.task, data.filters, about.notes)


def _check_finite(data: Clips, batch: Mapping[str, torch.Tensor], names: list[str]) -> None:
    """Raises `AvbookError` for features with NaN or infinity."""
    for feature, values in batch.items():
        wrong = ~values.flatten(1).isfinite().all(1)
        if wrong.any():
            name = names[int(wrong.nonzero()[0])]
            raise AvbookError(
                f"{data.folder}: NaN or infinity in the {feature} features of {name!r}; extract"
                " them again"
            )


def _categories(model: TrainedModel, data: Clips) -> tuple[str, ...]:
    """The model's own categories; those of the folder if the model was trained on it."""
    if model.categories is not None:
        return model.categories
    if data.hash == model.data["hash"]:
        return data.categories
    raise AvbookError(
        f"{model.where}: does not store its categories (an older run); run it"
        " again, or give the folder that it was trained on"
    )


def _wanted(data: Clips, names: Collection[str] | None) -> Iterator[tuple[Split, list[str]]]:
    """Each split reduced to the requested clips, with their names; `AvbookError` for an unknown
    name."""
    known = clip_names(data)
    if names is not None:
        there = {name for of_split in known.values() for name in of_split}
        missing = [name for name in names if name not in there]
        if missing:
            some = ", ".join(sorted(there)[:3])
            raise AvbookError(
                f"{data.folder}: no features of {missing[0]!r} ({len(missing)} missing); it has"
                f" {some}, …"
            )
    for split_name, split in data.splits.items():
        at = [k for k, name in enumerate(known[split_name]) if names is None or name in names]
        if at:
            yield split.subset(at), [known[split_name][k] for k in at]


# ----------------------------------------------------------------------------------------- decoding
class EventFinder:
    """A trained network with its recipe's decoding; a call with a batch of features returns the
    events of each clip.

    Raises `AvbookError` for options out of range."""

    def __init__(
        self,
        model: TrainedModel,
        categories: tuple[str, ...],  # of the network's outputs
        threshold: float | None = None,  # lowest probability; None: the recipe's
        smooth: int = 1,  # seconds of the median filter on the probabilities, odd
        device: str = "cpu",
    ):
        smooth_scores(np.zeros((1, 1)), smooth)
        if threshold is not None and not 0 < threshold <= 1:
            raise AvbookError(f"threshold={threshold!r}: expected a number above 0, at most 1")
        self.name = model.name  # the name in timelines
        self._model, self._categories = model, categories
        self._threshold, self._smooth = threshold, smooth
        self._net = model.net.to(device).eval()
        self._decode = _decode_ave if model.task == "ave" else _decode_llp

    def __call__(
        self,
        batch: Mapping[str, torch.Tensor],  # from a data set of the task, on the device
    ) -> list[list[TimelineEvent]]:
        """The events of each clip in the order of their onsets."""
        with torch.inference_mode():
            out = self._net(batch)
            return self._decode(self._model, out, self._categories, self._threshold, self._smooth)


def _decode_ave(
    model: TrainedModel,
    out: Mapping[str, torch.Tensor],  # outputs of the network
    categories: tuple[str, ...],
    threshold: float | None,
    smooth: int,
) -> list[list[TimelineEvent]]:
    """The events of each clip: a second has one category or none."""
    logits = out["scores"].float().cpu().numpy()  # (B, T, C+1)
    shares = out["scores"].float().softmax(-1).cpu().numpy()
    found = []
    for clip_logits, clip_shares in zip(logits, shares):
        smoothed = smooth_scores(clip_shares, smooth)
        # rounded probabilities may be equal although the scores differ
        best = (clip_logits if smooth == 1 else smoothed).argmax(-1)  # (T,)
        chosen = best[:, None] == np.arange(len(categories))  # (T, C): background is beyond
        scores = smoothed[:, : len(categories)]
        mask = chosen & (scores >= (threshold or 0))
        found.append(_events({"audio-visual": (scores, mask)}, categories))
    return found


def _decode_llp(
    model: TrainedModel,
    out: Mapping[str, torch.Tensor],
    categories: tuple[str, ...],
    threshold: float | None,
    smooth: int,
) -> list[list[TimelineEvent]]:
    """The events of each clip in each modality, filtered as in the recipe."""
    from avbook.parsing.han import decode_predictions

    least = model.settings["threshold"] if threshold is None else threshold
    smoothed = dict(out)
    for name in ("segment_audio", "segment_visual"):
        if name in out:
            each = [smooth_scores(clip, smooth) for clip in out[name].float().cpu().numpy()]
            smoothed[name] = torch.from_numpy(np.stack(each)).to(out[name].device)
    kept = decode_predictions(smoothed, model.settings["filter"], least)
    tables = {}
    for name, mask in kept.items():  # audio, visual
        if f"segment_{name}" in smoothed:
            scores = smoothed[f"segment_{name}"].cpu().numpy()
            tables[name] = scores, mask.cpu().numpy() > 0  # (B, T, C) each
    clips = range(len(out["video"]))
    return [
        _events({name: (s[k], m[k]) for name, (s, m) in tables.items()}, categories) for k in clips
    ]


def _events(
    tables: Mapping[str, tuple[np.ndarray, np.ndarray]],  # modality -> scores, mask, (T, C) each
    categories: tuple[str, ...],
) -> list[TimelineEvent]:
    """The runs of seconds in the masks, each with its mean score, in order of onset."""
    found = []
    for modality, (scores, mask) in tables.items():
        for place, category in enumerate(categories):
            for onset, offset in runs(mask[:, place]):
                score = float(scores[onset:offset, place].mean())
                found.append(TimelineEvent(onset, offset, category, score, modality))
    return sorted(found, key=lambda event: (event.onset, event.offset, event.event))
