"""The opened extractors of a plan: which part of a video each needs, and the features it makes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from avbook.common.options import is_whole
from avbook.data.spec import AVE_SPEC, LLP_SPEC, find_spec
from avbook.errors import AvbookError
from avbook.features.extractors import SIDE, FrameExtractor, VisualExtractor
from avbook.features.folder_plan import FeaturePlan, plan_features
from avbook.features.lite0 import SHA256 as LITE0_SHA256, Lite0Extractor
from avbook.features.official import (
    R2Plus1DExtractor,
    ResNet152Extractor,
    VGG19Extractor,
    VGGishExtractor,
)
from avbook.features.projection import project
from avbook.features.resizing import resize_area
from avbook.features.trained import (
    FILTERS,
    TrainedFrameExtractor,
    TrainedVisualExtractor,
    extractor_weights,
)
from avbook.features.yamnet import SHA256 as YAMNET_SHA256, YamnetExtractor

__all__ = ["SoundExtraction", "PictureExtraction", "Extraction", "open_plan", "plan_of"]

LITE0_RATE = 4  # frames a second for AVE's layout; LLP's has eight vectors a second
EDGE = 0.1  # share of its length by which a video may deviate and still be sampled officially
SEEDS = {
    "visual_3d": 1
}  # seeds of the projections other than 0: two projections of one network must differ
PROJECTED = re.compile(r"-p\d+-s\d+$")  # name suffix of projected features


# ------------------------------------------------------------------------------------------ sound
@dataclass(frozen=True)
class SoundExtraction:
    """What an audio extractor needs of a video, and the features it makes."""

    extract: Callable[..., np.ndarray]
    mono: bool  # the channels' mean at 16 kHz; otherwise all channels as stored

    def __call__(
        self,
        samples: np.ndarray,  # (T·rate, channels) int16
        rate: int,  # samples per second
    ) -> np.ndarray:
        """Features (T, dim) float32."""
        if self.mono:
            return self.extract(samples[:, 0].astype(np.float32) / 32768)
        return self.extract(samples, rate)


# ---------------------------------------------------------------------------------------- frames
class PictureExtraction(ABC):
    """What a visual extractor needs of a video, and the features it makes."""

    rate: int | None = None  # frames per second by time; None: by frame numbers
    edge: float = 0.0  # part read after the clip's end, as a share of its length

    @abstractmethod
    def shrink(
        self,
        frame: np.ndarray,  # (H, W, 3) uint8
    ) -> np.ndarray:
        """The part of a frame that is kept until all have arrived: all have one shape."""

    @abstractmethod
    def finish(
        self,
        frames: Sequence[np.ndarray],  # shrunk
        seconds: int,  # T
    ) -> dict[str, np.ndarray]:
        """Name of the features -> the features of the clip, float32."""

    def choose(
        self,
        count: int,  # number of frames
        length: float,  # their duration in seconds
        seconds: int,  # T
    ) -> np.ndarray:
        """The numbers of the frames that are used, in order."""
        return np.arange(count)


class _Lite0Maps(PictureExtraction):
    rate = LITE0_RATE

    def __init__(self, extract: Lite0Extractor):
        self.extract = extract

    def shrink(self, frame):
        return self.extract.resize(frame)

    def _by_second(self, frames, seconds):
        step = len(frames) // seconds
        for second in range(seconds):
            yield np.stack(frames[second * step : (second + 1) * step])

    def finish(self, frames, seconds):
        made = [self.extract.from_resized(one, 1) for one in self._by_second(frames, seconds)]
        return {"visual": np.concatenate(made)}


class _Lite0Vectors(_Lite0Maps):
    rate = LLP_SPEC.frames_per_second

    def finish(self, frames, seconds):
        """The mean over positions of each frame, and their mean over each second."""
        found = [
            self.extract.from_resized(one, len(one)).mean((1, 2))
            for one in self._by_second(frames, seconds)
        ]
        each = np.stack(found)  # (T, 8, 1280)
        return {"visual_2d": each.reshape(-1, each.shape[-1]), "visual_3d": each.mean(1)}


class _World(PictureExtraction):
    def __init__(self, task: str, extractors: Mapping[str, Callable[..., np.ndarray]]):
        self.rate, self.extractors = find_spec(task).frames_per_second, extractors

    def shrink(self, frame):
        return resize_area(frame, SIDE, SIDE)

    def finish(self, frames, seconds):
        clip = np.stack(frames)
        return {name: extract(clip, seconds) for name, extract in self.extractors.items()}


class _Official(PictureExtraction):
    """The official sampling, which spreads the whole video over T seconds.

    If a video stream is more than a tenth too short, its last frame fills the missing part; if it
    is more than a tenth too long, its first T seconds are used. This keeps the streams aligned."""

    edge = EDGE

    def __init__(self, extract: VGG19Extractor | ResNet152Extractor):
        self.extract = extract

    def choose(self, count, length, seconds):
        if length >= seconds * (1 - EDGE):
            return self.extract.indices(count, seconds)
        spread = round(count * seconds / length)
        return np.minimum(self.extract.indices(spread, seconds), count - 1)


class _VGG19(_Official):
    def shrink(self, frame):
        return self.extract.resize(frame)

    def finish(self, frames, seconds):
        return {"visual": self.extract.from_resized(np.stack(frames), seconds)}


class _ResNetAndR2Plus1D(_Official):
    rate = LLP_SPEC.frames_per_second

    def __init__(self, extract: ResNet152Extractor, motion: R2Plus1DExtractor):
        super().__init__(extract)
        self.motion = motion

    def shrink(self, frame):
        """The inputs of both networks, one after the other."""
        both = (self.extract.resize(frame), self.motion.resize(frame))
        return np.concatenate([small.reshape(-1) for small in both])

    def finish(self, frames, seconds):
        pixels, found, start = np.stack(frames), {}, 0
        for name, extract in (("visual_2d", self.extract), ("visual_3d", self.motion)):
            size = 3 * extract.side**2
            small = pixels[:, start : start + size].reshape(-1, extract.side, extract.side, 3)
            found[name] = extract.from_resized(small, seconds)
            start += size
        return found


# ---------------------------------------------------------------------------------------- opening
@dataclass(frozen=True)
class Extraction:
    """The extractors of a plan, ready to run."""

    plan: FeaturePlan
    sound: SoundExtraction
    picture: PictureExtraction
    described: dict[str, dict[str, Any]]  # as in `features.json`: name, version, weights, …
    source_dims: dict[str, int]  # by features: the width before a projection

    def finish(
        self,
        name: str,  # name of the features
        array: np.ndarray,  # (…, source_dim)
    ) -> np.ndarray:
        """The features as they are stored: projected if the plan says so."""
        told = self.described[name]
        if told["dim"] == self.source_dims[name]:
            return np.ascontiguousarray(array, np.float32)
        return project(array, told["dim"], told["seed"])


@lru_cache(maxsize=2)
def open_plan(
    plan: FeaturePlan,
) -> Extraction:
    """The extractors with their weights on the plan's device. Raises `AvbookError` if a file is
    missing or another one, or a package is not installed."""
    weights = dict(plan.weights)
    sound, heard = _open_sound(plan, weights)
    picture, seen = _open_picture(plan, weights)
    described = {"audio": heard, **seen}
    dims = {name: one["dim"] for name, one in described.items()}
    if plan.project:
        for feature in find_spec(plan.task).features:
            described[feature.name] = _projected(feature, described[feature.name])
    return Extraction(plan, sound, picture, described, dims)


def _projected(feature, told: dict[str, Any]) -> dict[str, Any]:
    dim, seed = feature.channels, SEEDS.get(feature.name, 0)
    if told["dim"] == dim:
        return told
    return told | {"name": f"{told['name']}-p{dim}-s{seed}", "seed": seed, "dim": dim}


def _told(name: str, dim: int, weights: str | None, version: str = "1") -> dict[str, Any]:
    return {"name": name, "version": version, "weights": weights, "seed": None, "dim": dim}


def _open_filters(plan: FeaturePlan, names: Sequence[str], path: str | None):
    """The world's extractors by the features they make, and their description."""
    usual = {feature.name: feature.world_channels for feature in find_spec(plan.task).features}
    dims = {**usual, **dict(plan.dims)}
    trained = plan.filters == "trained"
    options = {"weights": path} if trained else {}
    made = {name: FILTERS[plan.filters][name](dims[name], **options) for name in names}
    hash_ = extractor_weights(path).hash if trained else None
    told = {n: _told(one.name, one.dim, hash_) | {"seed": one.seed} for n, one in made.items()}
    return made, told


def _told_official(extract) -> dict[str, Any]:
    return _told(extract.name, extract.dim, extract.weights_hash, str(extract.recipe))


def _open_sound(plan: FeaturePlan, weights: Mapping[str, str]):
    """The extraction, and its description."""
    if plan.audio == "vggish":
        vggish = VGGishExtractor(weights["vggish"], plan.any_weights)
        vggish.net.to(plan.device)
        return SoundExtraction(vggish, mono=False), _told_official(vggish)
    if plan.audio == "yamnet":
        extract = YamnetExtractor(weights.get("yamnet"))
        extract.net.to(plan.device)
        told = _told(extract.name, extract.dim, YAMNET_SHA256)
        return SoundExtraction(extract, mono=True), told
    made, told = _open_filters(plan, ["audio"], weights.get("world"))
    return SoundExtraction(made["audio"], mono=True), told["audio"]


def _open_picture(plan: FeaturePlan, weights: Mapping[str, str]):
    """The extraction, and the description of each kind of features."""
    if plan.visual == "lite0":
        return _open_lite0(plan, weights.get("lite0"))
    if plan.visual == "world":
        return _open_world(plan, weights.get("world"))
    if plan.visual == "vgg19":
        vgg19 = VGG19Extractor(weights["vgg19"], plan.any_weights)
        vgg19.net.to(plan.device)
        return _VGG19(vgg19), {"visual": _told_official(vgg19)}
    resnet = ResNet152Extractor(weights["resnet152"], plan.any_weights)
    motion = R2Plus1DExtractor(weights["r2plus1d_18"], plan.any_weights)
    for extract in (resnet, motion):
        extract.net.to(plan.device)
    told = {"visual_2d": _told_official(resnet), "visual_3d": _told_official(motion)}
    return _ResNetAndR2Plus1D(resnet, motion), told


def _open_lite0(plan: FeaturePlan, path: str | None):
    extract = Lite0Extractor(path)
    extract.net.to(plan.device)
    if plan.task == AVE_SPEC.task:
        told = _told(extract.name, extract.dim, LITE0_SHA256)
        return _Lite0Maps(extract), {"visual": told}
    names = {"visual_2d": f"{extract.name}-pooled", "visual_3d": f"{extract.name}-pooled-second"}
    return _Lite0Vectors(extract), {
        features: _told(name, extract.dim, LITE0_SHA256) for features, name in names.items()
    }


def _open_world(plan: FeaturePlan, path: str | None):
    names = [feature.name for feature in find_spec(plan.task).features if feature.name != "audio"]
    made, told = _open_filters(plan, names, path)
    return _World(plan.task, made), told


# ------------------------------------------------------------------------------- of a description
VISUAL_NAMES = {
    "efficientnet-lite0": "lite0",
    "efficientnet-lite0-pooled": "lite0",
    VGG19Extractor.name: "vgg19",
    ResNet152Extractor.name: "resnet152+r2plus1d",
    VisualExtractor.name: "world",
    FrameExtractor.name: "world",
    TrainedVisualExtractor.name: "world",
    TrainedFrameExtractor.name: "world",
}
AUDIO_NAMES = {
    "yamnet": "yamnet",
    VGGishExtractor.name: "vggish",
    "avbook-audio": "world",
    "avbook-audio-trained": "world",
}
RANDOM_NAMES = {"avbook-audio", VisualExtractor.name, FrameExtractor.name}


def plan_of(
    task: str,  # "ave" or "llp"
    extractors: Mapping[str, Any],  # as in `features.json` and run records
    weights: Sequence = (),  # files, as for `plan_features`
    device: str = "auto",
) -> FeaturePlan:
    """The plan that makes the described features, for new videos of a trained model. Raises
    `AvbookError` if no extractor makes them, or the weights differ."""
    told = {name: one if isinstance(one, Mapping) else {} for name, one in extractors.items()}
    names = {name: str(one.get("name")) for name, one in told.items()}
    seen = PROJECTED.sub("", names.get("visual") or names.get("visual_2d") or "")
    heard = PROJECTED.sub("", names.get("audio", ""))
    if seen not in VISUAL_NAMES or heard not in AUDIO_NAMES:
        raise AvbookError(
            f"extractors {', '.join(names.values()) or 'none'}: cannot be applied to videos;"
            f" expected one of {', '.join(AUDIO_NAMES)} and one of {', '.join(VISUAL_NAMES)}"
        )
    projected = any(PROJECTED.search(name) for name in names.values())
    visual, audio = VISUAL_NAMES[seen], AUDIO_NAMES[heard]
    plan = plan_features(task, visual, audio, weights, projected, any_weights=True, device=device)
    plan = _with_filters(plan, told, bool(RANDOM_NAMES & {heard, seen}))
    for name, one in open_plan(plan).described.items():
        other = [key for key in one if one[key] != told.get(name, {}).get(key)]
        if other:
            raise AvbookError(
                f"{name} features of {one['name']} have {other[0]} {one[other[0]]}, but those"
                f" described have {told.get(name, {}).get(other[0])}; give the same weights with"
                " --weights"
            )
    return plan


def _with_filters(
    plan: FeaturePlan,
    told: Mapping[str, Mapping[str, Any]],  # description of each kind of features
    random: bool,  # whether an extractor has the world's random filters
) -> FeaturePlan:
    """The plan with the described filters of the world and widths of features."""
    if random and "world" in dict(plan.weights):
        raise AvbookError(
            f"{dict(plan.weights)['world']}: weights of the world's trained filters, but those"
            " described are the random ones, which need none; leave it out"
        )
    dims = []
    for feature in find_spec(plan.task).features:
        dim: Any = told.get(feature.name, {}).get("dim")
        choice = plan.audio if feature.name == "audio" else plan.visual
        if choice == "world" and is_whole(dim) and 0 < dim != feature.world_channels:
            dims.append((feature.name, int(dim)))
    return replace(plan, filters="random" if random else "trained", dims=tuple(dims))
