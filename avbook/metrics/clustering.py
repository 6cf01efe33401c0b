"""Scores of a clustering against the categories: purity, NMI, ARI, Hungarian accuracy."""

from __future__ import annotations

import numpy as np

from avbook.errors import AvbookError
from avbook.metrics.bootstrap import finite

__all__ = ["cluster_table", "cluster_scores"]


def cluster_table(
    clusters,  # (N,) pseudo-category of each video
    categories,  # (N,) true category of each video
) -> np.ndarray:
    """(K, C) counts of videos: rows are pseudo-categories, columns true categories."""
    clusters, categories = finite("clusters", clusters), finite("categories", categories)
    if clusters.shape != categories.shape or clusters.ndim != 1 or not clusters.size:
        raise AvbookError(
            f"clusters are {clusters.shape} and categories {categories.shape}: "
            "expected (N,) indices of the same videos, N >= 1"
        )
    from sklearn.metrics.cluster import contingency_matrix

    return contingency_matrix(clusters, categories).astype(np.int64)


def cluster_scores(
    clusters,  # (N,) pseudo-category of each video
    categories,  # (N,) true category of each video
) -> dict[str, float]:
    """Purity, NMI (arithmetic mean), ARI and Hungarian accuracy, all times 100; ARI may be
    negative."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    table = cluster_table(clusters, categories)
    groups, truth = np.asarray(clusters), np.asarray(categories)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return {
        "purity": float(100 * table.max(1).sum() / len(truth)),
        "nmi": 100 * float(normalized_mutual_info_score(truth, groups)),
        "ari": 100 * float(adjusted_rand_score(truth, groups)),
        "hungarian": float(100 * matched / len(truth)),
    }
