"""Timelines of videos by a trained model: its extractors make the features on the fly, as `avbook
features` would."""

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
    model: TrainedModel,  # from `read_model`
    videos: Iterable[str | os.PathLike],  # files of the videos
    # weight files of extractors that need one: by their names, or "NETWORK=FILE"
    weights: Sequence = (),
    *,
    seconds: int | None = None,  # T, to which each video is cut or padded; None: its own length
    threshold: float | None = None,  # lowest probability of an event; None: the recipe's
    smooth: int = 1,  # seconds of the median filter on the probabilities, odd
    device: str = "cpu",  # device of extractors and network
) -> Iterator[Timeline]:
    """The timeline of each video, in order, decoded as in `folder_timelines`.

    The features are bit-identical to those that `extract_folder` would write. Raises `AvbookError`
    as `VideoTimelines` does, and for the first unusable video."""
    if isinstance(videos, (str, os.PathLike)):
        raise AvbookError(
            f"videos={str(videos)!r}: expected a list of videos, also for a single one"
        )
    find = VideoTimelines(
        model, weights, seconds=seconds, threshold=threshold, smooth=smooth, device=device
    )
    for video in videos:
        yield find(video)


class VideoTimelines:
    """A trained model and its extractors, opened once; a call with a video returns its `Timeline`.

    Raises `AvbookError` if the run does not store its extractors or categories, if nothing makes
    such features from a video, if a weight file or a package is missing or wrong, and for options
    out of range."""

    def __init__(
        self,
        model: TrainedModel,  # from `read_model`
        weights: Sequence = (),  # this and the following as for `video_timelines`
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
                f"{model.where}: does not store its categories (an older run); run it again"
            )
        self.model, self.seconds, self.device = model, seconds, device
        self.find = EventFinder(model, model.categories, threshold, smooth, device)
        self.extraction = _open(model, weights, device)

    def __call__(
        self,
        path: str | os.PathLike,  # a video
    ) -> Timeline:
        """The video's timeline, with notes on the file. Raises `AvbookError` if the file is not a
        video, has no video stream, or is longer than a minute without `seconds`."""
        try:
            seconds = self.seconds or self._length(path)
            with one_thread():  # as in `extract_folder`: last bits depend on it
                made = video_features(path, self.extraction, seconds)
            tensors = {name: torch.from_numpy(array) for name, array in made.arrays.items()}
            (events,) = self.find({n: array[None].to(self.device) for n, array in tensors.items()})
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise AvbookError(f"{path}: out of memory; use fewer seconds of it") from None
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
        if announced is None:  # as in a recorded live stream
            announced = read_clip(path, 1, transform=lambda frame: frame[:1, :1]).seconds
        seconds = whole_seconds(announced)
        if seconds > LONGEST:
            usual = self.model.dims.get("seconds", find_spec(self.model.task).seconds)
            raise AvbookError(
                f"{path}: {seconds} s, but the model was trained on clips of {usual} s; give"
                f" --seconds {seconds} if intended, or --seconds {usual} for the first {usual}"
            )
        return seconds


# ----------------------------------------------------------------------------- which extractors
def _open(model: TrainedModel, weights: Sequence, device: str) -> Extraction:
    """The model's extractors; every error message names the model."""
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
    weights: Sequence = (),  # files, as for `plan_features`
    device: str = "auto",
) -> FeaturePlan:
    """The plan of the extractors that the model was trained on. Raises `AvbookError` if the run
    does not store them, if no extractor makes such features, or if the weights are missing or
    wrong."""
    said, kind = model.data.get("features"), model.data.get("kind")
    if said is None and kind == "official":
        kinds = tuple(e.kind for name, e in OFFICIAL[model.task].items() if name != "audio")
        visual = next(choice for choice, networks in VISUAL.items() if networks == kinds)
        return plan_features(model.task, visual, "vggish", weights, device=device)
    if said is None and kind != "world":
        raise AvbookError(
            "the run does not store its extractors; give a folder of such features instead of"
            " the videos (--features FOLDER)"
        )
    if said is None or "filters" in said:
        said = _world_described(model, said)
    return plan_of(model.task, said, weights, device)


def _world_described(model: TrainedModel, said: dict[str, Any] | None) -> dict[str, Any]:
    """The world's extractors as a folder of features describes them."""
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
