"""What an extractor of features is, as a protocol, and the checks of its options and frames."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch

from avbook.common.options import is_whole
from avbook.errors import AvbookError
from avbook.features.resizing import resize_area

__all__ = [
    "SIDE",
    "Extractor",
    "refuse",
    "check_positive",
    "check_frames",
    "frames_as_tensor",
    "per_second",
]

SIDE = 56  # pixels a side of the frames that the world's extractors take


@runtime_checkable
class Extractor(Protocol):
    """What avbook asks of anything that computes features: three attributes and a call that returns
    a float32 array.

    Audio: a wave or log-mel patches (…, 96, 64) → (…, dim). Visual: uint8 frames (…, T·fps, H, W,
    3) → (…, T, 7, 7, dim) or, without positions, (…, T, dim)."""

    name: str  # as it stands in `world.json` and run records
    dim: int  # the length of a feature vector
    seed: int | None  # of the frozen weights; None for trained ones

    def __call__(self, media, **options) -> np.ndarray: ...


def refuse(
    found: str,  # what came in
    wanted: str,  # what was expected and what to do
) -> NoReturn:
    """Raises the one-line `AvbookError` for bad input."""
    raise AvbookError(f"features: found {found}; expected {wanted}")


def check_positive(
    value: Any,  # what was given
    name: str,  # of the option
) -> int:
    """The value as an int if it is a whole number above zero; otherwise raises `AvbookError`."""
    if not is_whole(value) or value < 1:
        refuse(f"{name}={value!r}", "a whole number above zero")
    return int(value)


def check_frames(
    frames,  # (…, frames, H, W, 3) uint8
    seconds: int,  # that they last
) -> np.ndarray:
    """The frames as an array. Raises `AvbookError` for another type or shape, and where seconds
    do not have the same number of frames."""
    frames = np.asarray(frames)
    if frames.ndim < 4 or frames.shape[-1] != 3 or min(frames.shape[-3:-1]) < 8:
        refuse(
            f"frames of shape {frames.shape}",
            "(…, frames, height, width, 3), colours last, at least 8 pixels a side",
        )
    if frames.dtype != np.uint8:
        refuse(f"frames of type {frames.dtype}", "uint8 from 0 to 255; scale and convert them")
    if not frames.shape[-4] or frames.shape[-4] % check_positive(seconds, "seconds"):
        refuse(
            f"{frames.shape[-4]} frames for {seconds} seconds",
            "the same number of frames in every second",
        )
    return frames


def frames_as_tensor(
    frames,  # (…, frames, H, W, 3) uint8
    seconds: int,  # that they last
) -> torch.Tensor:
    """The frames as uint8 (clips, frames, 56, 56, 3); `resize_area` scales other sizes. Raises
    `AvbookError` as `check_frames` does."""
    frames = check_frames(frames, seconds)
    clips = np.ascontiguousarray(frames).reshape(-1, *frames.shape[-4:])
    if clips.size and clips.shape[-3:-1] != (SIDE, SIDE):
        clips = np.array([[resize_area(f, SIDE, SIDE) for f in clip] for clip in clips])
    return torch.from_numpy(clips)


def per_second(
    values: torch.Tensor,  # (frames, …)
    seconds: int,  # that they last
) -> torch.Tensor:
    """The mean over the frames of each second, (seconds, …)."""
    return values.unflatten(0, (seconds, -1)).mean(1)
