"""The world's three visual extractors, by random filters: maps, frame vectors and motion."""

from __future__ import annotations

import numpy as np
import torch

from avbook.features.frame_filters import FirstLayer, sample_frames
from avbook.features.protocols import check_positive, frames_as_tensor, per_second, refuse
from avbook.features.random_layers import RandomConvolution, RandomLayer, pooled

__all__ = ["FramesExtractor", "VisualExtractor", "FrameExtractor", "MotionExtractor"]


class FramesExtractor:
    """What the visual extractors share: checks, one clip at a time, the shape of the result."""

    name: str
    seed: int | None
    zeros = 0.65  # share of zeros aimed at on the calibration sample

    def __init__(self, dim: int, seed: int):
        self.dim, self.seed = check_positive(dim, "dim"), seed
        rng = np.random.default_rng([seed, 2])
        with torch.no_grad():
            self._first = FirstLayer(rng)
            self._build(rng, self._first.sample)
        del self._first.sample

    def _build(self, rng: np.random.Generator, sample: torch.Tensor) -> None:
        """The layers after the first one, calibrated on its maps of a sample."""
        raise NotImplementedError

    def _clip(self, maps: torch.Tensor, seconds: int) -> torch.Tensor:
        """The features of one clip from the first layer's maps of its frames."""
        raise NotImplementedError

    def __call__(
        self,
        frames,  # uint8 (…, seconds·fps, H, W, 3)
        seconds: int = 10,  # that the frames last
    ) -> np.ndarray:
        """Features as float32; leading axes are clips, taken one after the other. Frames of another
        type or shape raise `AvbookError`."""
        clips = frames_as_tensor(frames, seconds)
        with torch.no_grad():
            found = [self._clip(self._first(clip), seconds) for clip in clips]
        if not found:
            refuse(f"frames of shape {np.shape(frames)}", "at least one clip")
        return torch.stack(found).reshape(*np.shape(frames)[:-4], *found[0].shape).numpy()


class VisualExtractor(FramesExtractor):
    """A frozen, seeded network from frames to maps (T, 7, 7, dim), the mean over each second:
    sparse and never negative, like VGG-19's pool5.

    The bytes do not depend on batch size or threads. `dim=512` gives AVE's shape."""

    name = "avbook-visual"

    def __init__(
        self,
        dim: int = 64,  # length of the vector at each of the 49 positions
        seed: int = 0,  # of the weights
    ):
        super().__init__(dim, seed)

    def _build(self, rng, sample):
        self._layer = RandomConvolution(rng, sample, self.dim, self.zeros)

    def _clip(self, maps: torch.Tensor, seconds: int) -> torch.Tensor:
        found = self._layer(maps).permute(0, 2, 3, 1)  # (frames, 7, 7, dim)
        return per_second(found, seconds) * self._layer.gain


class FrameExtractor(FramesExtractor):
    """A frozen, seeded network from frames to one vector each, eight a second: (8·T, dim), dense
    and never negative, like ResNet-152's.

    A clip with fewer frames than eight a second has them repeated; of more frames, the nearest in
    time are taken."""

    name = "avbook-frame"

    def __init__(
        self,
        dim: int = 128,  # length of a feature vector; 2048 in the official LLP features
        seed: int = 0,  # of the weights
        per_second: int = 8,  # vectors per second
    ):
        self.per_second = check_positive(per_second, "per_second")
        super().__init__(dim, seed)

    def _build(self, rng, sample):
        self._layer = RandomConvolution(rng, sample, 128, self.zeros)
        self._mix = RandomLayer(rng, pooled(self._layer(sample)), self.dim, zeros=0.03)

    def _clip(self, maps: torch.Tensor, seconds: int) -> torch.Tensor:
        count = seconds * self.per_second
        nearest = (torch.arange(count) * 2 + 1) * len(maps) // (2 * count)
        return self._mix(pooled(self._layer(maps)))[nearest]


class MotionExtractor(FramesExtractor):
    """A frozen, seeded network from frames to one vector per second, (T, dim), in the place of
    R(2+1)D: half of it depends on changes only.

    Those dim // 2 numbers are zero for frames that do not change; the others mix change with what
    is there."""

    name = "avbook-motion"

    def __init__(
        self,
        dim: int = 64,  # length of a feature vector; 512 in the official LLP features
        seed: int = 0,  # of the weights
    ):
        super().__init__(dim, seed)

    def _build(self, rng, sample):
        still = torch.from_numpy(sample_frames(rng))
        steps = rng.integers(-3, 4, (len(still), 2)).tolist()
        moved = torch.stack([image.roll(step, (0, 1)) for image, step in zip(still, steps)])
        first = self._first(still)
        change = self._first(moved) - first
        self._still = RandomConvolution(rng, first, 64, self.zeros)
        self._change = RandomConvolution(rng, change, 128, self.zeros, centred=False)
        there, moves = pooled(self._still(first)), pooled(self._change(change))
        half = self.dim // 2
        self._moves = RandomLayer(rng, moves, half, zeros=0, centred=False)
        both = torch.cat([there, moves], 1)
        self._both = RandomLayer(rng, both, self.dim - half, zeros=0.1)

    def _clip(self, maps: torch.Tensor, seconds: int) -> torch.Tensor:
        # before the first frame nothing has changed
        change = torch.diff(maps, dim=0, prepend=maps[:1])
        moves, there = pooled(self._change(change)), pooled(self._still(maps))
        found = [self._moves(moves), self._both(torch.cat([there, moves], 1))]
        return per_second(torch.cat(found, 1), seconds)
