"""A split of made-up clips, for what draws and explores: all of its clips are one batch."""

import numpy as np
import torch
from torch.nn import functional as F

LABELS = ("labels", "video_labels", "audio_labels", "visual_labels")


def ave_clips(n=6, seconds=10, seed=0):
    """A batch of AVE with three categories: an event in the first half, or none."""
    g = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 4, (n, 1), generator=g).expand(n, seconds).clone()
    classes[:, seconds // 2 :] = 3  # background from the middle on
    return {
        "audio": torch.randn(n, seconds, 6, generator=g),
        "visual": torch.rand(n, seconds, 2, 2, 5, generator=g),
        "labels": F.one_hot(classes, 4).float(),
    }


class MadeSplit:
    """What is read of a split: its length, rows, ids, labels as arrays, and batches."""

    def __init__(self, batch):
        self.all = batch
        self.rows = self.ids = np.arange(len(next(iter(batch.values()))))
        for name in batch.keys() & set(LABELS):
            setattr(self, name, batch[name].numpy())

    def __len__(self):
        return len(self.rows)

    def batch(self, rows):
        rows = rows if isinstance(rows, slice) else list(rows)
        return {name: part[rows] for name, part in self.all.items()}
