"""AVE's and LLP's official features from a video: official sampling, preprocessing and networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from avbook.common.options import check_int
from avbook.errors import AvbookError
from avbook.features.extractors import NetExtractor
from avbook.features.logmel import BANDS, PATCH, RATE, log_mel
from avbook.features.official_weights import load_published
from avbook.features.resizing import (
    centre_crop,
    resize_opencv,
    resize_pillow,
    resize_short_side,
)

__all__ = [
    "ave_frame_indices",
    "llp_frame_indices",
    "PixelInput",
    "OfficialExtractor",
    "VGG19Extractor",
    "VGGishExtractor",
    "ResNet152Extractor",
    "R2Plus1DExtractor",
]

AVE_RATE = 16  # frames per second, over which AVE's features are averaged
LLP_RATE = 8  # frames per second of LLP's features, and per clip of R(2+1)D
CAFFE_MEAN = (103.939, 116.779, 123.68)  # ImageNet's mean: blue, green, red, from 0 to 255
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std, from 0 to 1
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))


# ----------------------------------------------------------------------------------------- sampling
def ave_frame_indices(
    count: int,  # number of frames of the video, at its own rate
    seconds: int = 10,  # duration
) -> np.ndarray:
    """The frames that AVE's script uses: 16 per second, (16·seconds,) integers.

    A second is `count // seconds` frames, so up to `seconds - 1` frames at the end are never used.
    Frame i of second l is int(l·interval + i/16·interval): with 16·seconds frames it uses each one,
    with fewer it repeats some. Raises `AvbookError` for fewer frames than seconds."""
    check_int(seconds=(seconds, 1), count=(count, 1))
    interval = count // seconds
    if not interval:
        raise AvbookError(
            f"features: found {count} frames for {seconds} seconds; expected at least one per"
            " second: check `seconds`, and whether the whole video was decoded"
        )
    second, step = np.mgrid[:seconds, :AVE_RATE]
    return (second * interval + step * interval // AVE_RATE).reshape(-1)


def llp_frame_indices(
    count: int,  # number of frames of the video, sampled at 8 per second
    seconds: int = 10,  # duration
) -> np.ndarray:
    """The frames, among those at 8 per second, that LLP's scripts use: (8·seconds,) integers from
    first to last. Of the 82 that ffmpeg often gives for 10 s they use 80.

    round(linspace(0, count − 1, 8·seconds)), with halves rounded to even."""
    check_int(seconds=(seconds, 1), count=(count, 1))
    return np.round(np.linspace(0, count - 1, LLP_RATE * seconds)).astype(np.int64)


# -------------------------------------------------------------------------------------------- input
class PixelInput(nn.Module):
    """From uint8 pixels to a network's input: channels second, scaled, normalised by mean and
    standard deviation."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        mean: tuple[float, ...],  # of each channel, in output order
        deviation: tuple[float, ...] = (1.0, 1.0, 1.0),
        scale: float = 1.0,  # pixels are divided by it first
        reverse: bool = False,  # RGB to BGR
    ):
        super().__init__()
        self.scale, self.reverse = scale, reverse
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(
        self,
        pixels: torch.Tensor,  # (n, …, H, W, 3) uint8 RGB
    ) -> torch.Tensor:
        """(n, 3, …, H, W) float32."""
        values = pixels.flip(-1) if self.reverse else pixels
        values = (values.float() / self.scale - self.mean) / self.deviation
        return values.movedim(-1, 1).contiguous()


# --------------------------------------------------------------------------------------- extractors
class OfficialExtractor:
    """The common base of the four official extractors: the weight file and its identification.

    Attributes: `name` (network and layer), `dim`, `seed` (None), `version` (of the recipe, then the
    first digits of the file's SHA-256), `weights_hash` (the SHA-256, 64 hexadecimal digits),
    `weights_file` (its name), `published` (whether the hash is a published one) and `net`, which
    runs on its own device: `extractor.net.to("cuda")` moves it."""

    kind: str  # key of `official_weights.PUBLISHED`
    name: str
    dim: int
    recipe = 1  # increased when the same file would give other features
    seed: int | None = None

    def __init__(
        self,
        weights: str | os.PathLike,  # path of the published file, named in `PUBLISHED`
        any_weights: bool = False,  # accept weights in the same layout with an unpublished hash
        batch: int = 8,  # inputs at a time: images, seconds of audio, or clips of 8 frames
    ):
        check_int(batch=(batch, 1))
        loaded = load_published(self.kind, weights, any_weights)
        self.weights_hash, self.weights_file = loaded.sha256, loaded.file
        self.published = loaded.published
        self.version = f"{self.recipe}-{self.weights_hash[:12]}"
        self.net = nn.Sequential(self._input(), loaded.net).eval()
        self._run: Callable[..., np.ndarray] = NetExtractor(
            self.net, self.name, self.dim, self._prepare, self._finish, batch
        )

    def _input(self) -> nn.Module:
        """The module in front of the network."""
        return nn.Identity()

    def _prepare(self, media: Any, **options: Any) -> torch.Tensor:
        """The network's inputs (n, …) from the media."""
        raise NotImplementedError

    def _finish(self, found: torch.Tensor, **options: Any) -> torch.Tensor:
        """The features (…, dim) from the network's outputs (n, …)."""
        return found


class VGGishExtractor(OfficialExtractor):
    """AVE's and LLP's audio features: VGGish's last layer after its ReLU, (T, 128), one vector per
    second, without PCA and quantisation."""

    kind, name, dim = "vggish", "vggish-fc2", 128

    def __call__(
        self,
        sound,  # a wave (samples,) or (samples, channels), or log-mel patches (…, 96, 64)
        rate: int = RATE,  # samples per second, for a wave
    ) -> np.ndarray:
        """Features (…, 128) float32. int16 is divided by 32768, channels are averaged, the wave is
        cut into whole seconds, then resampled to 16 kHz (`log_mel`). Raises `AvbookError` for other
        input, NaN and Inf."""
        sound = np.asarray(sound)
        if sound.shape[-2:] != (PATCH, BANDS):
            sound = log_mel(sound, rate)
        if not np.issubdtype(sound.dtype, np.floating) or not np.isfinite(sound).all():
            raise AvbookError(
                f"features: found log-mel patches of type {sound.dtype} with NaN or Inf, or not"
                " floats; expected finite floats; check the wave they came from"
            )
        found = self._run(sound.reshape(-1, PATCH, BANDS))
        return found.reshape(*sound.shape[:-2], self.dim)

    def _prepare(self, media: np.ndarray, **options: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(media, dtype=np.float32))


class _FrameExtractor(OfficialExtractor):
    """The common base of the three frame extractors: checks, and one video at a time."""

    side: int  # height and width of the network's input in pixels

    def __call__(
        self,
        frames,  # uint8 RGB (…, count, H, W, 3); leading axes are videos
        seconds: int = 10,  # duration of a video's frames
    ) -> np.ndarray:
        """Features as float32, (…, T, 7, 7, 512), (…, 8·T, 2048) or (…, T, 512). Raises
        `AvbookError` for frames of another type or shape."""
        frames = np.asarray(frames)
        if frames.ndim < 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise AvbookError(
                f"features: found frames of shape {frames.shape}; expected (…, frames, height,"
                " width, 3), colours last and no axis empty"
            )
        if frames.dtype != np.uint8:
            raise AvbookError(
                f"features: found frames of type {frames.dtype}; expected uint8 from 0 to 255:"
                " scale and convert them"
            )
        videos = frames.reshape(-1, *frames.shape[-4:])
        found = np.stack([self._run(video, seconds=seconds) for video in videos])
        return found.reshape(*frames.shape[:-4], *found.shape[1:])

    def from_resized(
        self,
        frames: np.ndarray,  # (16·T or 8·T, side, side, 3) uint8: chosen by `indices`
        seconds: int = 10,  # T
    ) -> np.ndarray:
        """Features of one video whose frames were already chosen and shrunk by `resize`: for a
        decoder that should not hold all of them."""
        return self._run(frames, seconds=seconds, chosen=True)

    def _prepare(
        self, media: np.ndarray, seconds: int = 10, chosen: bool = False, **options: Any
    ) -> torch.Tensor:
        if chosen:
            return torch.from_numpy(np.ascontiguousarray(media))
        resized = [self.resize(media[index]) for index in self.indices(len(media), seconds)]
        return torch.from_numpy(np.stack(resized))

    def indices(
        self,
        count: int,  # number of frames of the video
        seconds: int,  # duration
    ) -> np.ndarray:
        """The numbers of the frames that are used."""
        return llp_frame_indices(count, seconds)

    def resize(
        self,
        frame: np.ndarray,  # (H, W, 3) uint8
    ) -> np.ndarray:
        """The frame as (side, side, 3) uint8."""
        raise NotImplementedError


class VGG19Extractor(_FrameExtractor):
    """AVE's visual features: VGG-19's `block5_pool`, the mean over 16 frames of each second, (T, 7,
    7, 512).

    `frames` are all frames of the video, or those of `ave_frame_indices`. They are resized to
    224×224 as in OpenCV (`cv2.resize`, bilinear), without keeping the aspect ratio; BGR minus the
    mean, not scaled."""

    kind, name, dim, side = "vgg19", "vgg19-block5_pool", 512, 224

    def _input(self) -> nn.Module:
        return PixelInput(CAFFE_MEAN, reverse=True)

    def indices(self, count: int, seconds: int) -> np.ndarray:
        return ave_frame_indices(count, seconds)

    def resize(self, frame: np.ndarray) -> np.ndarray:
        return resize_opencv(frame, self.side, self.side)

    def _finish(self, found: torch.Tensor, **options: Any) -> torch.Tensor:
        maps = found.unflatten(0, (-1, AVE_RATE)).double().mean(1)  # AVE's script adds in float64
        return maps.permute(0, 2, 3, 1).float()


class ResNet152Extractor(_FrameExtractor):
    """LLP's 2D visual features: ResNet-152 without `fc`, (8·T, 2048), one vector per frame.

    `frames` are sampled at 8 per second. Shorter side 256 as in Pillow and torchvision (bilinear
    with antialiasing), centre crop 224×224, ImageNet's mean and standard deviation. The authors
    stored each frame as a JPEG first; that loss is not reproduced."""

    kind, name, dim, side = "resnet152", "resnet152-avgpool", 2048, 224
    short_side = 256  # pixels, before the crop

    def _input(self) -> nn.Module:
        return PixelInput(*IMAGENET, scale=255.0)

    def resize(self, frame: np.ndarray) -> np.ndarray:
        return centre_crop(resize_short_side(frame, self.short_side), self.side)


class R2Plus1DExtractor(_FrameExtractor):
    """LLP's 3D visual features: R(2+1)D-18 without `fc`, (T, 512), one vector per clip of 8 frames.

    `frames` are sampled at 8 per second. Resized to 112×112 as in Pillow and torchvision (bilinear
    with antialiasing), without keeping the aspect ratio; Kinetics' mean and standard deviation.
    JPEG as for ResNet-152."""

    kind, name, dim, side = "r2plus1d_18", "r2plus1d_18-avgpool", 512, 112

    def _input(self) -> nn.Module:
        return PixelInput(*KINETICS, scale=255.0)

    def resize(self, frame: np.ndarray) -> np.ndarray:
        return resize_pillow(frame, self.side, self.side)

    def _prepare(
        self, media: np.ndarray, seconds: int = 10, chosen: bool = False, **options: Any
    ) -> torch.Tensor:
        return super()._prepare(media, seconds, chosen).unflatten(0, (-1, LLP_RATE))
