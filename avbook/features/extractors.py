"""Frozen feature extractors: a second of audio to 128 numbers, of video to a 7×7 map of vectors.

The extractors of the world have random filters (`audio_extractor`, `frame_extractors`);
`NetExtractor` makes an extractor of a network of your own. `protocols` says what every extractor
has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from avbook.features.audio_extractor import AudioExtractor, patterns, quantities
from avbook.features.frame_extractors import FrameExtractor, MotionExtractor, VisualExtractor
from avbook.features.frame_filters import both_scales, first_filters, look
from avbook.features.logmel import log_mel, log_mel_stream
from avbook.features.protocols import SIDE, Extractor, check_positive, per_second, refuse

__all__ = [
    "Extractor",
    "NetExtractor",
    # audio
    "log_mel",
    "log_mel_stream",
    "patterns",
    "quantities",
    "AudioExtractor",
    # visual
    "SIDE",
    "first_filters",
    "look",
    "both_scales",
    "per_second",
    "VisualExtractor",
    "FrameExtractor",
    "MotionExtractor",
]


class NetExtractor:
    """A trained network as an extractor: `prepare` makes its input, the network runs frozen in
    batches, `finish` shapes the output."""

    def __init__(
        self,
        net: torch.nn.Module,  # stays on the device it is on
        name: str,  # what world.json and run records call it
        dim: int,  # length of its feature vectors: the last axis of the result
        prepare: Callable[..., Any],  # (media, **options) -> input tensor (n, …)
        # (output tensor, **options) -> (…, dim); None: the output as it is
        finish: Callable[..., Any] | None = None,
        batch: int = 32,  # inputs at a time
    ):
        self.net, self.name, self.dim = net.eval(), name, check_positive(dim, "dim")
        self.seed = None
        self.prepare, self.finish = prepare, finish
        self.batch = check_positive(batch, "batch")

    def __call__(
        self,
        media,  # what `prepare` takes
        **options,  # for `prepare` and `finish`, such as rate or seconds
    ) -> np.ndarray:
        """Features as float32. Raises `AvbookError` where the last axis is not `dim` or a value is
        NaN or Inf."""
        devices = [weights.device for weights in self.net.parameters()]
        device = devices[0] if devices else torch.device("cpu")
        with torch.inference_mode():
            parts = self.prepare(media, **options).split(self.batch)
            found = torch.cat([self.net(part.to(device)).float().cpu() for part in parts])
            found = self.finish(found, **options) if self.finish else found
        if found.shape[-1] != self.dim:
            refuse(
                f"{self.name} giving {tuple(found.shape)}",
                f"a last axis of {self.dim}; check dim and finish",
            )
        if not torch.isfinite(found).all():
            refuse(f"NaN or Inf from {self.name}", "finite features; check its weights and prepare")
        return found.numpy()
