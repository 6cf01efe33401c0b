"""A batch of made-up AVE clips for the tests of AVEL, CMRAN and PSP."""

import torch
from torch.nn import functional as F


def clip_batch(batch=3, seconds=4, categories=2, grid=(2, 2), seed=0):
    """Features of 6 and 5 numbers, labels of each second with the background last, their shares."""
    g = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, categories + 1, (batch, seconds), generator=g)
    labels = F.one_hot(classes, categories + 1).float()
    return {
        "audio": torch.randn(batch, seconds, 6, generator=g),
        "visual": torch.rand(batch, seconds, *grid, 5, generator=g),
        "labels": labels,
        "video_labels": labels.mean(1),
    }
