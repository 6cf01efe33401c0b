"""A comparison of trained and random filters: `python tools/compare_filters.py` writes
nbs/appendix_world/filters.json, which the page on trained extractors shows.

The clips of the small world of AVE, second version, seed 0, are rendered once and passed to both
kinds of extractors. About five minutes on two cores."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from avbook.common.system import cores
from avbook.common.workers import in_processes
from avbook.data.events import AVE_CATEGORIES
from avbook.features.trained import FILTERS, extractor_weights
from avbook.metrics.clustering import cluster_scores
from avbook.world.build import SIZES, clip_features, world_dims
from avbook.world.clips import SECOND, sample_scripts

OUT = Path(__file__).resolve().parent.parent / "nbs/appendix_world/filters.json"
INPUTS = {"picture": ("visual",), "sound": ("audio",), "both": ("audio", "visual")}
SEEDS = 5  # runs of k-means


def features_of(clip, dims):
    """Features by filters and modality, (T, D); visual features as the mean over positions."""
    found = {}
    for filters in FILTERS:
        made = clip_features(clip, "ave", dims, filters)
        found[filters] = {"audio": made["audio"], "visual": made["visual"].mean((1, 2))}
    return found


def stacked(found, filters, names):
    """(N, T, D), each feature standardised over all seconds, so that no modality dominates."""
    parts = []
    for name in names:
        part = np.stack([one[filters][name] for one in found])
        parts.append((part - part.mean((0, 1))) / (part.std((0, 1)) + 1e-6))
    return np.concatenate(parts, -1)


def purity(features, truth, seed):
    """Purity of k-means with as many clusters as categories, in percent."""
    from sklearn.cluster import KMeans

    groups = KMeans(len(AVE_CATEGORIES), n_init=10, random_state=seed).fit_predict(features)
    return cluster_scores(groups, truth)["purity"]


def neighbours(features, truth):
    """Share of clips whose nearest other clip, by cosine, has their category, in percent."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    near = unit @ unit.T
    np.fill_diagonal(near, -2)
    return 100 * float((truth[near.argmax(1)] == truth).mean())


def probe(features, events, labels, train):
    """Accuracy of a linear classifier on single event seconds of the test clips, in percent."""
    from sklearn.linear_model import LogisticRegression

    def seconds(rows):
        here = events[rows]
        return features[rows][here], np.repeat(labels[rows], here.sum(1))

    fit = LogisticRegression(C=0.01, max_iter=300).fit(*seconds(train))
    return 100 * float(fit.score(*seconds(~train)))


def main():
    """Renders, compares, writes."""
    counts = SIZES["ave"]["small"]
    clips = sample_scripts("ave", sum(counts), 0, counts, SECOND["ave"])
    clips = [clip for clip in clips if clip.split != "val"]
    labels = np.array([AVE_CATEGORIES.index(clip.labels[0]) for clip in clips])
    events = np.stack([clip.sources[0].event for clip in clips])
    train = np.array([clip.split == "train" for clip in clips])
    call = partial(features_of, dims=world_dims("ave"))
    found = list(in_processes(call, clips, cores(), threads=1, at_once=64))
    rows = {}
    for filters in FILTERS:
        for name, names in INPUTS.items():
            features = stacked(found, filters, names)
            videos = features[train].mean(1)
            scores = [purity(videos, labels[train], seed) for seed in range(SEEDS)]
            rows[f"{filters} {name}"] = {
                "probe": probe(features, events, labels, train),
                "purity": [round(score, 2) for score in scores],
                "neighbours": neighbours(videos, labels[train]),
            }
            print(filters, name, rows[f"{filters} {name}"])
    told = {
        "clips": {"train": int(train.sum()), "test": int((~train).sum())},
        "weights": extractor_weights().hash,
        "command": "python tools/compare_filters.py",
        "rows": rows,
    }
    OUT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
