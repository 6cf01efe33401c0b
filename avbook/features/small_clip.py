"""A video shrunk during decoding: frames of 224×224 for a network, thumbnails, log-mel."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from avbook.common.options import check_int
from avbook.features.decode import Clip, read_clip
from avbook.features.logmel import RATE, log_mel
from avbook.features.media import open_media
from avbook.features.yamnet import OFFSET

__all__ = ["SIDE", "Thumbnail", "SmallClip", "read_small_clip"]

SIDE = 224  # height and width of the frames in pixels


class Thumbnail(NamedTuple):
    """A frame in the video's own aspect ratio."""

    time: float  # seconds
    picture: np.ndarray  # (height, width, 3) uint8


@dataclass(frozen=True)
class SmallClip:
    """A decoded video whose frames were resized to squares, one after the other."""

    clip: Clip  # frames (F, 224, 224, 3), none without a video stream
    size: tuple[int, int]  # width and height of the video as displayed; (0, 0): no video

    @property
    def seconds(self) -> int:
        """T, whole seconds."""
        return self.clip.segments

    @cached_property
    def log_mel(self) -> np.ndarray:
        """YAMNet's patches of the audio (T, 96, 64), 100 frames a second of which 96 are kept."""
        return log_mel(self.clip.wave, RATE, OFFSET)

    def thumbnails(
        self,
        most: int = 20,  # from the middles of equal parts; one per second if T is smaller
        height: int = 120,  # pixels
    ) -> list[Thumbnail]:
        """Frames across the clip in their own aspect ratio; [] without a video stream."""
        check_int(most=(most, 1), height=(height, 1))
        if not len(self.clip.frames):
            return []
        parts = min(most, self.seconds)
        wanted = (np.arange(parts) + 0.5) * self.seconds / parts
        places = np.abs(self.clip.times[:, None] - wanted).argmin(0)  # (parts,)
        width = max(1, round(height * self.size[0] / self.size[1]))
        return [
            Thumbnail(float(time), _resized(self.clip.frames[place], height, width))
            for time, place in zip(self.clip.times[places], places)
        ]


def read_small_clip(
    path: str | os.PathLike,  # a video, or an audio file
    fps: float = 2.0,  # frames per second
    seconds: int | None = None,  # length of the clip, cut or padded; None: as it is
) -> SmallClip:
    """The decoded video with about T·fps small frames: a minute at 2 frames a second takes 18 MB.

    Raises `AvbookError` as `read_clip` does."""
    size = (0, 0)

    def shrink(frame: np.ndarray) -> np.ndarray:
        nonlocal size
        size = frame.shape[1], frame.shape[0]
        return _resized(frame, SIDE, SIDE)

    clip = read_clip(path, fps, seconds=seconds, picture=_has_picture(path), transform=shrink)
    return SmallClip(clip, size)


def _has_picture(path: str | os.PathLike) -> bool:
    """False for an audio file; True for anything else, so that its faults are reported."""
    with open_media(path) as media:
        return media.video is not None or media.audio is None or "video" in media.unknown


def _resized(
    frame: np.ndarray,  # (H, W, 3) uint8
    height: int,
    width: int,
) -> np.ndarray:
    """The frame at that size (bilinear, antialiased), uint8."""
    pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    found = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    return found[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
