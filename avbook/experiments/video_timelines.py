"""Timelines of videos by a trained model: features as `avbook features` makes them, made on the fly
by the extractors that the model was trained on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from avbook.common.options import check_int
from avbook.common.system import lacks_memory
from avbook.common.tensors import one_thread
from avbook.data.spec import find_spec
from avbook.errors import AvbookError
from avbook.experiments.models import TrainedModel
from avbook.experiments.trained_timelines import OFFICIAL, RANDOM, WORLD, EventFinder
from avbook.features.decode import read_clip
from avbook.features.folder import LONGEST
from avbook.features.folder_extraction import Extraction, open_plan, plan_of
from avbook.features.folder_plan import VISUAL, FeaturePlan, plan_features
from avbook.features.folder_video import announced_seconds, video_features, whole_seconds
from avbook.features.timelines import Timeline, events_within, shown_name

__all__ = ["VideoTimelines", "video_timelines", "model_plan"]


def video_timelines(
    model: TrainedModel,  # as `read_model` gives it
    videos: Iterable[str | os.PathLike],  # their files
    # weight files of extractors that need one: by their names, or "NETWORK=FILE"
    weights: Sequence = (),
    *,
    seconds: int | None = None,  # T: each video is cut or padded to it; None: as long as it is
    threshold: float | None = None,  # smallest probability of an event; None: the recipe's
    smooth: int = 1,  # seconds of the median filter on the probabilities, odd
    device: str = "cpu",  # of extractors and network
) -> Iterator[Timeline]:
    """The timeline of each video, in their order, decoded as `folder_timelines` decodes clips.

    The features are those that `extract_folder` would write, to the bit. Raises `AvbookError` as
    `VideoTimelines` does, and for the first video that cannot be used."""
    if isinstance(videos, (str, os.PathLike)):
        raise AvbookError(f"videos={str(videos)!r}: expected a list of videos, also of one")
    find = VideoTimelines(
        model, weights, seconds=seconds, threshold=threshold, smooth=smooth, device=device
    )
    for video in videos:
        yield find(video)


class VideoTimelines:
    """A trained model and its extractors, opened once: called with a video it gives its `Timeline`.

    Raises `AvbookError` where the run does not say its extractors or categories, where nothing
    makes such features of a video, where a weight file or a package is missing or another one, and
    for options out of range."""

    def __init__(
        self,
        model: TrainedModel,  # as `read_model` gives it
        weights: Sequence = (),  # as `video_timelines` takes this and the following
        *,
        seconds: int | None = None,
        threshold: float | None = None,
        smooth: int = 1,
        device: str = "cpu",
    ):
        if seconds is not None:
            check_int(seconds=(seconds, 1))
        if model.categories is None:
            raise AvbookError(
                f"{model.where}: does not say its categories (a run of before they were kept); run"
                " it again"
            )
        self.model, self.seconds, self.device = model, seconds, device
        self.find = EventFinder(model, model.categories, threshold, smooth, device)
        self.extraction = _open(model, weights, device)

    def __call__(
        self,
        path: str | os.PathLike,  # a video
    ) -> Timeline:
        """The video's timeline, with notes on what was odd in the file. Raises `AvbookError` for
        what is no video, has no picture or is longer than a minute without `seconds`."""
        try:
            seconds = self.seconds or self._length(path)
            with one_thread():  # as `extract_folder` does: last bits depend on it
                made = video_features(path, self.extraction, seconds)
            tensors = {name: torch.from_numpy(array) for name, array in made.arrays.items()}
            (events,) = self.find({n: array[None].to(self.device) for n, array in tensors.items()})
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise AvbookError(f"{path}: memory ended; take fewer seconds of it") from None
        return Timeline(
            video=shown_name(path),
            seconds=seconds,
            model=self.find.name,
            events=events_within(events, made.length),
            task=self.model.task,
            extractors=self.extraction.described,
            notes=made.notes,
        )

    def _length(self, path: str | os.PathLike) -> int:
        """T of the video."""
        announced = announced_seconds(path)
        if announced is None:  # as of a stream that was recorded while it came
            announced = read_clip(path, 1, transform=lambda frame: frame[:1, :1]).seconds
        seconds = whole_seconds(announced)
        if seconds > LONGEST:
            usual = self.model.dims.get("seconds", find_spec(self.model.task).seconds)
            raise AvbookError(
                f"{path}: {seconds} s, but the model was trained on clips of {usual} s; give"
                f" --seconds {seconds} if that is meant, or --seconds {usual} for the first {usual}"
            )
        return seconds


# ----------------------------------------------------------------------------- which extractors
def _open(model: TrainedModel, weights: Sequence, device: str) -> Extraction:
    """The model's extractors; every fault names the model."""
    try:
        extraction = open_plan(model_plan(model, weights, device))
    except AvbookError as error:
        raise AvbookError(f"{model.where}: its features cannot be made: {error}") from None
    for name, told in extraction.described.items():
        size = model.dims.get(f"{name}_dim", told["dim"])
        if size != told["dim"]:
            raise AvbookError(
                f"{model.where}: takes {name} features of {size} numbers, but its extractor"
                f" {told['name']} makes {told['dim']}; the file was changed: export it again"
            )
    return extraction


def model_plan(
    model: TrainedModel,
    weights: Sequence = (),  # files, as `plan_features` takes them
    device: str = "auto",
) -> FeaturePlan:
    """The plan of the extractors that the model was trained on. Raises `AvbookError` where the run
    does not say them, where no extractor makes such features, or the weights are missing or
    others."""
    said, kind = model.data.get("features"), model.data.get("kind")
    if said is None and kind == "official":
        kinds = tuple(e.kind for name, e in OFFICIAL[model.task].items() if name != "audio")
        visual = next(choice for choice, networks in VISUAL.items() if networks == kinds)
        return plan_features(model.task, visual, "vggish", weights, device=device)
    if said is None and kind != "world":
        raise AvbookError(
            "the run does not say by which extractors; give a folder of such features instead of"
            " the videos (--features FOLDER)"
        )
    if said is None or "filters" in said:
        said = _world_described(model, said)
    return plan_of(model.task, said, weights, device)


def _world_described(model: TrainedModel, said: dict[str, Any] | None) -> dict[str, Any]:
    """The world's extractors as a folder of features names them."""
    random = said is None or said.get("filters") == "random"
    names = (RANDOM if random else WORLD)[model.task]
    shared = {"version": "1", "weights": None, "seed": 0}
    if not random and said is not None:
        shared |= {"weights": said.get("weights"), "seed": None}
    return {
        feature.name: {
            "name": names[feature.name],
            "dim": model.dims.get(f"{feature.name}_dim", feature.world_channels),
            **shared,
        }
        for feature in find_spec(model.task).features
    }
