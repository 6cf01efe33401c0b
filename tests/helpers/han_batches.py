"""Batches, small networks and comparisons for the tests of HAN and MA."""

import torch

from avbook.experiments.released import RELEASED, _translate
from avbook.parsing.han import HAN

ATOL = 1e-5


def batch_of(arrays, dtype=torch.float32):
    names = {
        "audio": "in/audio",
        "visual_2d": "in/visual_res152",
        "visual_3d": "in/visual_st",
        "video_labels": "loss/target",
    }
    return {name: torch.from_numpy(arrays[key]).to(dtype) for name, key in names.items()}


def close(ours, theirs, atol=ATOL):
    torch.testing.assert_close(
        ours.detach(), torch.as_tensor(theirs), atol=atol, rtol=0, check_dtype=False
    )


def released_names(net, kind):
    back = {new: old for old, new in RELEASED[kind].names.items()}
    return {_translate(name, back): name for name, _ in net.named_parameters()}


def small(seed=0, **options):
    torch.manual_seed(seed)
    sizes = {
        "audio_dim": 6,
        "visual_2d_dim": 5,
        "visual_3d_dim": 4,
        "categories": 7,
        "width": 8,
        "hidden": 9,
    }
    return options.pop("kind", HAN)(**sizes, **options)


def random_batch(videos=3, seconds=4, frames=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {
        "audio": torch.randn(videos, seconds, 6, generator=g),
        "visual_2d": torch.randn(videos, seconds * frames, 5, generator=g),
        "visual_3d": torch.randn(videos, seconds, 4, generator=g),
        "video_labels": (torch.rand(videos, 7, generator=g) < 0.3).float(),
    }
