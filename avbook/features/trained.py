"""Trained feature extractors: small networks with integer weights, the same bytes on every machine.
The package includes the weights; `avbook.world.training` trains them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from avbook.common.files import check_regular
from avbook.errors import AvbookError
from avbook.features.audio_extractor import AudioExtractor
from avbook.features.frame_extractors import FrameExtractor, MotionExtractor, VisualExtractor
from avbook.features.frame_filters import FirstLayer, first_filters
from avbook.features.logmel import LOG_OFFSET
from avbook.features.protocols import check_positive, per_second
from avbook.features.random_layers import RandomLayer, calibrate, random_integers

__all__ = [
    "WEIGHTS",
    "VERSION",
    "LAYERS",
    "SAMPLES",
    "Layer",
    "WholeConvolution",
    "levels",
    "pooled_sound",
    "sound_network",
    "picture_network",
    "change_network",
    "convolutions",
    "ExtractorWeights",
    "extractor_weights",
    "trained_eye",
    "TrainedAudioExtractor",
    "TrainedVisualExtractor",
    "TrainedFrameExtractor",
    "TrainedMotionExtractor",
    "FILTERS",
]

WEIGHTS = Path(__file__).with_name("extractors.safetensors")
VERSION = 1  # of the networks below: a file of another one does not fit them
LARGEST = 255  # of an activation
EXACT = 2**24  # whole numbers up to here are exact in float32, in any order of adding


@dataclass(frozen=True)
class Layer:
    """The form of a convolution: channels in and out, kernel size, stride and padding."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int


# The networks' layers in order; the last one of "sound" is applied to the pooled maps.
LAYERS = {
    "sound": (
        Layer(1, 16, 5, 2, 2),  # (96, 64) -> (48, 32)
        Layer(16, 32, 3, 2, 1),  # (24, 16)
        Layer(32, 48, 3, 2, 1),  # (12, 8)
        Layer(48, 64, 3, 2, 1),  # (6, 4)
        Layer(512, 128, 1, 1, 0),
    ),
    "picture": (
        Layer(32, 48, 3, 1, 1),  # (14, 14)
        Layer(48, 64, 4, 2, 1),  # (7, 7)
        Layer(64, 64, 3, 1, 1),
    ),
    "change": (
        Layer(32, 48, 4, 2, 1),  # (7, 7)
        Layer(48, 64, 3, 1, 1),
    ),
}
# Outputs of the networks on samples of the corpus, which calibrate wider and narrower variants.
SAMPLES = {"position": 64, "picture": 128, "change": 128}


@dataclass(frozen=True)
class WholeConvolution:
    """A rectified convolution of integers: max(0, sums + offset) / 2**shift, rounded, at most
    255."""

    form: Layer
    weights: torch.Tensor  # (out, in·kernel·kernel) float32, integer values
    offset: torch.Tensor  # (out, 1)
    scale: torch.Tensor  # (out, 1), powers of two

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        n, _, height, width = maps.shape
        form = self.form
        # one matrix product, since some convolution libraries use inexact transforms
        columns = F.unfold(maps, form.kernel, padding=form.padding, stride=form.stride)
        sums = self.weights @ columns + self.offset
        found = (sums.clamp(min=0) * self.scale).round().clamp(max=LARGEST)
        rows = (height + 2 * form.padding - form.kernel) // form.stride + 1
        return found.view(n, form.outputs, rows, -1)


def levels(
    patches: torch.Tensor,  # (n, 96, 64) log-mel
) -> torch.Tensor:
    """The patches in integer steps of 0.43 dB from silence, (n, 1, 96, 64), 0 to 255."""
    steps = ((patches.double() - np.log(LOG_OFFSET)) * 20).round().clamp(0, LARGEST)
    return steps.float()[:, None]


def pooled_sound(
    maps: torch.Tensor,  # (n, 64, 6, 4)
) -> torch.Tensor:
    """(n, 512, 1, 1): the mean over time (of six, divided by eight) and the maximum, by band."""
    mean = (maps.sum(2) / 8).floor()
    return torch.cat([mean, maps.amax(2)], 1).flatten(1)[:, :, None, None]


def sound_network(
    layers,  # five, as in `LAYERS["sound"]`
    inputs: torch.Tensor,  # from `levels`
) -> torch.Tensor:
    """(n, 128)."""
    *convolutions, last = layers
    for layer in convolutions:
        inputs = layer(inputs)
    return last(pooled_sound(inputs)).flatten(1)


def picture_network(
    layers,  # three, as listed in LAYERS
    maps: torch.Tensor,  # of the first layer, (n, 32, 14, 14)
) -> torch.Tensor:
    """(n, 64, 7, 7)."""
    for layer in layers:
        maps = layer(maps)
    return maps


change_network = picture_network  # two layers, on the change of the first layer's maps


@dataclass(frozen=True)
class ExtractorWeights:
    """The networks of one weight file, ready to run."""

    hash: str  # of all numbers in it
    networks: dict[str, list[WholeConvolution]]
    unit: torch.Tensor  # (32, 1, 1): the first layer's scale for each of its maps
    gain: dict[str, torch.Tensor]  # by network, (128,) or (64,): powers of two
    sample: dict[str, torch.Tensor] = field(repr=False)  # float32, by name of SAMPLES


def _shapes():
    """The name, type and shape of every array in a weight file; -1 for a free length."""
    found = {"eye.shift": (torch.int8, (32,))}
    for network, forms in LAYERS.items():
        for k, form in enumerate(forms):
            name = f"{network}.{k}"
            shape = (form.outputs, form.inputs, form.kernel, form.kernel)
            found[f"{name}.weight"] = (torch.int8, shape)
            found[f"{name}.offset"] = (torch.int32, (form.outputs,))
            found[f"{name}.shift"] = (torch.int8, (form.outputs,))
    found |= {"sound.gain": (torch.int8, (128,)), "picture.gain": (torch.int8, (64,))}
    found |= {f"sample.{name}": (torch.int16, (-1, size)) for name, size in SAMPLES.items()}
    return found


def _checked(path, arrays, meta):
    advice = "reinstall avbook, or train the extractors again with `avbook extractors`"
    version = (meta or {}).get("version")
    if version != str(VERSION):
        raise AvbookError(
            f"{path}: weights of extractors of version {version or 'none'}; this avbook has"
            f" version {VERSION}; {advice}"
        )
    shapes = _shapes()
    for name in sorted(shapes.keys() | arrays.keys()):
        kind, shape = shapes.get(name, (None, None))
        found = arrays.get(name)
        if found is None or kind is None:
            what = "missing" if found is None else "not part of the extractors"
            raise AvbookError(f"{path}: {name} is {what}; {advice}")
        fits = found.dim() == len(shape) and all(k in (-1, n) for k, n in zip(shape, found.shape))
        if found.dtype != kind or not fits or not found.numel():
            raise AvbookError(
                f"{path}: {name} is {found.dtype} of shape {tuple(found.shape)}; expected {kind}"
                f" of shape {shape}; {advice}"
            )


def _check_samples(path, arrays):
    """The samples of frames and of their change belong together, row by row."""
    frames, changes = (len(arrays[f"sample.{name}"]) for name in ("picture", "change"))
    if frames != changes:
        raise AvbookError(
            f"{path}: `sample.change` has {changes} rows and `sample.picture` {frames}; expected"
            " the same number; train the extractors again with `avbook extractors`"
        )


def convolutions(
    arrays,  # of a weight file, by name
    network: str,  # a key of LAYERS
) -> list[WholeConvolution]:
    """The layers of one network. Raises AvbookError if float32 cannot add its sums exactly."""
    found = []
    for k, form in enumerate(LAYERS[network]):
        name = f"{network}.{k}"
        weights = arrays[f"{name}.weight"].flatten(1).float()
        offset = arrays[f"{name}.offset"].float()
        if (weights.abs().sum(1) * LARGEST + offset.abs()).max() >= EXACT:
            raise AvbookError(
                f"{name} has sums of {EXACT} and more, which float32 does not hold exactly; train"
                " it with smaller weights"
            )
        scale = 2.0 ** -arrays[f"{name}.shift"].float()
        found.append(WholeConvolution(form, weights, offset[:, None], scale[:, None]))
    return found


def extractor_weights(
    # path of a weight file; None: $AVBOOK_EXTRACTORS, else the package's own
    path: str | os.PathLike | None = None,
) -> ExtractorWeights:
    """The trained networks. Raises AvbookError if the file is missing, damaged, of another version,
    or holds numbers that float32 cannot add exactly."""
    return _read(Path(path or os.environ.get("AVBOOK_EXTRACTORS") or WEIGHTS).expanduser())


@lru_cache(maxsize=4)
def _read(path: Path) -> ExtractorWeights:
    from safetensors import SafetensorError, safe_open

    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise AvbookError(
            f"{path}: not a safetensors file ({error}); reinstall avbook, or train the extractors"
            " again with `avbook extractors`"
        ) from None
    _checked(path, arrays, meta)
    _check_samples(path, arrays)
    digest = hashlib.sha256(str(VERSION).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].numpy().tobytes())
    try:
        networks = {network: convolutions(arrays, network) for network in LAYERS}
    except AvbookError as error:
        raise AvbookError(f"{path}: {error}") from None
    return ExtractorWeights(
        digest.hexdigest()[:8],
        networks,
        2.0 ** arrays["eye.shift"].float()[:, None, None],
        {name: 2.0 ** -arrays[f"{name}.gain"].float() for name in ("sound", "picture")},
        {name: arrays[f"sample.{name}"].float() for name in SAMPLES},
    )


class _TrainedFirstLayer(FirstLayer):
    def __init__(self, unit: torch.Tensor):
        self._bank, self._unit = first_filters(), unit


def trained_eye(weights: ExtractorWeights) -> FirstLayer:
    """The first layer of the visual extractors, with the scale that the networks were trained
    on: frames (n, 56, 56, 3) uint8 to maps (n, 32, 14, 14)."""
    return _TrainedFirstLayer(weights.unit)


def _rng(use, dim):
    return np.random.default_rng([use, dim])


class TrainedAudioExtractor(AudioExtractor):
    """A frozen network, trained to classify what is audible in a second: sparse and never negative,
    like VGGish's features. The bytes do not depend on batch size or threads."""

    def __init__(
        self,
        dim: int = 128,  # length of a feature vector: no other is possible
        weights: str | os.PathLike | None = None,  # a weights file; None: the package's
    ):
        if dim != 128:
            raise AvbookError(f"features: found dim={dim!r}; expected 128, the trained network's")
        self.name, self.dim, self.seed = "avbook-audio-trained", dim, None
        self._weights = extractor_weights(weights)

    def _features(self, patches):
        found = sound_network(self._weights.networks["sound"], levels(patches))
        return found * self._weights.gain["sound"]


class _Trained:
    """What the trained visual extractors share: the weights and the first layer."""

    def __init__(self, dim, weights):
        self.dim, self.seed = check_positive(dim, "dim"), None
        self._weights = extractor_weights(weights)
        self._first = trained_eye(self._weights)
        with torch.no_grad():
            self._set(self._weights.sample)

    def _set(self, sample):
        """Calibrates the random layers after the networks on their outputs for the corpus."""

    def _look(self, maps):
        return picture_network(self._weights.networks["picture"], maps)


class TrainedVisualExtractor(_Trained, VisualExtractor):
    """A frozen network, trained to classify what is visible in a frame, from frames to maps (T, 7,
    7, dim), the mean over each second: sparse and never negative, like VGG-19's pool5.

    The network has 64 channels; for another `dim` (512 gives AVE's shape) random integer weights
    mix them at each position."""

    name = "avbook-visual-trained"

    def __init__(
        self,
        dim: int = 64,  # width at each of the 49 positions
        weights: str | os.PathLike | None = None,  # a weight file; None: the package's
    ):
        super().__init__(dim, weights)

    def _set(self, sample):
        if self.dim == SAMPLES["position"]:
            return
        self._mixing = torch.from_numpy(
            random_integers(_rng(3, self.dim), (self.dim, SAMPLES["position"]), keep=0.25)
        )
        drive = sample["position"] @ self._mixing.T
        threshold, self._gain = calibrate(drive, self.zeros)
        self._threshold = threshold.clamp(min=0)

    def _clip(self, maps, seconds):
        found = self._look(maps).permute(0, 2, 3, 1)
        if self.dim == SAMPLES["position"]:
            return per_second(found, seconds) * self._weights.gain["picture"]
        found = F.relu(found @ self._mixing.T - self._threshold)
        return per_second(found, seconds) * self._gain


class TrainedFrameExtractor(_Trained, FrameExtractor):
    """A frozen network, trained to classify what is visible in a frame, from frames to one vector
    each, eight a second: (8·T, dim), dense and never negative, like ResNet-152's."""

    name = "avbook-frame-trained"

    def __init__(
        self,
        dim: int = 128,  # width of the features; 2048 in the official LLP features
        weights: str | os.PathLike | None = None,  # a weight file; None: the package's
        per_second: int = 8,  # vectors per second
    ):
        self.per_second = check_positive(per_second, "per_second")
        super().__init__(dim, weights)

    def _set(self, sample):
        self._layer = self._look
        self._mix = RandomLayer(_rng(4, self.dim), sample["picture"], self.dim, zeros=0.03)


class TrainedMotionExtractor(_Trained, MotionExtractor):
    """A frozen network, trained to classify what moves, from frames to one vector per second, (T,
    dim), in the place of R(2+1)D: half of it depends on changes only.

    Those dim // 2 numbers are zero for frames that do not change; the others mix change with what
    is there."""

    name = "avbook-motion-trained"

    def __init__(
        self,
        dim: int = 64,  # width of the features; 512 in the official LLP features
        weights: str | os.PathLike | None = None,  # a weight file; None: the package's
    ):
        super().__init__(dim, weights)

    def _set(self, sample):
        rng, half = _rng(5, self.dim), self.dim // 2
        moves = sample["change"]
        self._still = self._look
        self._moves = RandomLayer(rng, moves, half, zeros=0, centred=False)
        both = torch.cat([sample["picture"], moves], 1)
        self._both = RandomLayer(rng, both, self.dim - half, zeros=0.1)

    def _change(self, maps):
        return change_network(self._weights.networks["change"], maps)


# the world's extractors with "random" or "trained" filters, by the name of their features
FILTERS: dict[str, dict[str, Callable[..., Any]]] = {
    "random": {
        "audio": AudioExtractor,
        "visual": VisualExtractor,
        "visual_2d": FrameExtractor,
        "visual_3d": MotionExtractor,
    },
    "trained": {
        "audio": TrainedAudioExtractor,
        "visual": TrainedVisualExtractor,
        "visual_2d": TrainedFrameExtractor,
        "visual_3d": TrainedMotionExtractor,
    },
}
