"""A seeded orthonormal projection, which maps features to the width that a model expects."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from avbook.common.options import check_seed, is_whole
from avbook.errors import AvbookError
from avbook.features.protocols import Extractor

__all__ = ["projection", "project", "ProjectedExtractor"]


@functools.lru_cache(maxsize=8)
def projection(
    source: int,  # width of the features
    dim: int,  # width of the result
    seed: int = 0,
) -> np.ndarray:
    """A random matrix (source, dim), float32, read-only, with orthonormal columns if dim ≤ source,
    else orthonormal rows.

    It is the Q of the QR decomposition of a matrix of standard normal numbers (float64, NumPy's
    PCG64), with the sign of each column chosen so that R's diagonal is positive: without that rule
    Q is unique only up to signs, and LAPACK libraries differ. Thus every machine gets the same
    matrix, up to the last bits of float32. It is uniformly distributed over all such matrices
    (Mezzadri, 2007, "How to generate random matrices from the classical compact groups")."""
    for name, value in (("source", source), ("dim", dim)):
        if not is_whole(value) or value < 1:
            raise AvbookError(f"projection: {name}={value!r}; expected a whole number above zero")
    check_seed(seed)
    long, short = max(source, dim), min(source, dim)
    normal = np.random.default_rng([seed, source, dim]).standard_normal((long, short))
    q, r = np.linalg.qr(normal)
    q = (q * np.where(np.diag(r) < 0, -1.0, 1.0)).astype(np.float32)  # (long, short)
    matrix = np.ascontiguousarray(q if source >= dim else q.T)
    matrix.flags.writeable = False
    return matrix


def project(
    features,  # (…, source)
    dim: int,  # width of the result
    seed: int = 0,  # seed of the matrix; features of two seeds are not comparable
) -> np.ndarray:
    """The features in `dim` dimensions, (…, dim) float32: `features @ projection(source, dim)`.

    If dim ≥ source, all lengths and distances are kept; otherwise they shrink by about sqrt(dim /
    source), the same factor for all up to chance, and are not scaled back. A zero vector stays
    zero. Raises `AvbookError` for NaN, Inf, and input without a last axis."""
    features = np.asarray(features)
    if not features.ndim or not np.issubdtype(features.dtype, np.floating):
        raise AvbookError(
            f"project: found {features.dtype} of shape {features.shape}; expected floats (…, n)"
        )
    if not np.isfinite(features).all():
        raise AvbookError("project: found NaN or Inf; expected finite features")
    return features.astype(np.float32) @ projection(features.shape[-1], dim, seed)


class ProjectedExtractor:
    """An extractor whose vectors are projected to another width. The name shows it:
    `yamnet-p128-s0` is YAMNet, projected to 128 dimensions with seed 0.

    The same shape is not the same feature space: a model trained on VGGish's 128 numbers cannot use
    these."""

    def __init__(
        self,
        extractor: Extractor,  # the extractor whose features are projected
        dim: int,  # width of the result
        seed: int = 0,  # seed of the projection
    ):
        projection(extractor.dim, dim, seed)  # an invalid option fails here
        self.extractor, self.dim = extractor, int(dim)
        self.seed: int | None = int(seed)
        self.name = f"{extractor.name}-p{dim}-s{seed}"
        self.weights_hash: str | None = getattr(extractor, "weights_hash", None)

    def __call__(
        self,
        media,  # as for the extractor
        **options: Any,  # for the extractor, such as rate or seconds
    ) -> np.ndarray:
        """Features (…, dim) float32. Raises `AvbookError` as the extractor does."""
        return project(self.extractor(media, **options), self.dim, self.seed or 0)
