"""Clustering baselines for the pseudo-labels: k-means, spectral clustering, random labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avbook.errors import AvbookError

__all__ = ["METHODS", "raw_features", "group", "nearest_mean"]

METHODS = ("kmeans", "spectral", "random")


def raw_features(
    split,  # of an AVE data set; only `audio` and `visual` are read
    batch_size: int = 256,
) -> Tensor:
    """The frozen extractors' features of each clip, (N, da + dv): means over seconds and positions,
    each modality scaled to length one."""
    parts = []
    for start in range(0, len(split), batch_size):
        batch = split.batch(range(start, min(start + batch_size, len(split))))
        parts.append(
            torch.cat(
                [
                    F.normalize(batch["audio"].mean(1), dim=-1),
                    F.normalize(batch["visual"].mean((1, 2, 3)), dim=-1),
                ],
                1,
            )
        )
    return torch.cat(parts)


def group(
    features: Tensor,  # (N, D)
    categories: int,  # number of groups
    method: str = "kmeans",  # "kmeans" or "spectral" on features of length one; "random"
    k: int = 30,  # neighbours in the graph of spectral clustering
    seed: int = 0,
) -> Tensor:
    """The group of each clip, (N,) from 0 to categories - 1. Raises `AvbookError` for an unknown
    method or too few clips."""
    if method not in METHODS:
        raise AvbookError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    if len(features) < categories:
        raise AvbookError(f"{len(features)} clips cannot make {categories} groups")
    if method == "random":
        return torch.from_numpy(np.random.default_rng(seed).integers(0, categories, len(features)))
    x = F.normalize(features.float(), dim=-1).numpy()
    if method == "kmeans":
        from sklearn.cluster import KMeans

        found = KMeans(categories, n_init=10, random_state=seed).fit_predict(x)
    else:
        from sklearn.cluster import SpectralClustering

        found = SpectralClustering(
            categories,
            affinity="nearest_neighbors",
            n_neighbors=min(k, len(x) - 1),
            random_state=seed,
        ).fit_predict(x)
    return torch.from_numpy(found.astype(np.int64))


def nearest_mean(
    features: Tensor,  # (N, D) of the grouped clips
    groups: Tensor,  # (N,)
    others: Tensor,  # (M, D) of clips to assign to a group
    categories: int,
    method: str = "kmeans",  # "random": assigned at random as well
    seed: int = 0,
) -> Tensor:
    """(M, categories) one-hot: the group whose mean has the largest cosine with the clip."""
    if method == "random":
        return F.one_hot(
            torch.from_numpy(np.random.default_rng((seed, 1)).integers(0, categories, len(others))),
            categories,
        ).float()
    x = F.normalize(features.float(), dim=-1)
    means = torch.zeros(categories, x.shape[1]).index_add_(
        0, groups, x
    )  # an empty group keeps the zero vector
    cosine = F.normalize(others.float(), dim=-1) @ F.normalize(means, dim=-1).T
    cosine[:, torch.bincount(groups, minlength=categories) == 0] = -2
    return F.one_hot(cosine.argmax(1), categories).float()
