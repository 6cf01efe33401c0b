"""The baselines of CMLCL as a recipe: k-means, spectral clustering, random labels."""

from __future__ import annotations

import dataclasses
import time

from avbook.experiments.job import Job
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes.cmlcl import RECIPES as CMLCL_RECIPES
from avbook.experiments.recipes.cmlcl_options import ClusterOptions
from avbook.experiments.recipes.cmlcl_record import other_naming, result_of
from avbook.experiments.recipes.cmlcl_stages import pretrain_stage, read_features, unlabelled

__all__ = ["RECIPES"]


def _train_cluster(job: Job) -> tuple:
    """Clusters the training clips; a test clip gets the cluster with the nearest mean, in all its
    seconds. No second is background."""
    from avbook.unsupervised.clustering import group
    from avbook.unsupervised.em import score_round

    started, s = time.perf_counter(), job.settings
    features = _clip_features(job)
    labels = group(features["train"], s["categories"], s["method"], s["k"], job.seed)
    round_ = _round_of(job, features, labels)

    def scores(split, naming):
        train, judged = job.data.train.labels, job.data.splits[split].labels
        return score_round(round_, train, judged, split=split, theta=0.0, naming=naming)

    val, test = (scores(split, s["naming"]) for split in ("val", "test"))
    test["accuracy_other_naming"] = scores("test", other_naming(s["naming"]))["accuracy"]
    seconds = time.perf_counter() - started
    return result_of(job, val, test, 1, seconds, [], {"train": {"labels1": labels}}), {}


def _clip_features(job: Job) -> dict:
    """A vector per clip (N,D), by split: from CMLCL's backbone, whose stage is shared, or from the
    extractors."""
    from avbook.unsupervised.clustering import raw_features

    if job.settings["features"] == "raw":
        return {name: raw_features(unlabelled(split)) for name, split in job.data.splits.items()}
    (cmlcl,) = CMLCL_RECIPES
    store = job.store.parent.parent / cmlcl.name / "stages"
    folder = pretrain_stage(dataclasses.replace(job, recipe=cmlcl, store=store))
    return {name: part.mean(1) for name, part in read_features(job, folder).items()}


def _round_of(job: Job, features: dict, labels):
    """The clustering as a `Round`: labels of train, and of val and test by the nearest mean."""
    from torch.nn.functional import one_hot

    from avbook.unsupervised.clustering import nearest_mean
    from avbook.unsupervised.em import Round
    from avbook.unsupervised.label_contrast import PseudoLabels

    s, found = job.settings, {}
    for split in ("val", "test"):
        assigned = nearest_mean(  # (N, C)
            features["train"], labels, features[split], s["categories"], s["method"], job.seed
        )
        seconds = job.data.splits[split].labels.shape[1]
        found[split] = {
            "video": assigned,
            "segments": assigned.unsqueeze(1).expand(-1, seconds, -1),  # (N, T, C)
            "gamma": assigned.new_full((len(assigned), seconds), 1 / seconds),
        }
    probabilities = one_hot(labels, s["categories"]).float()
    return Round(PseudoLabels(probabilities, labels, sets=None, net=None, history=[]), found)


RECIPES = (
    Recipe(
        name="cluster",
        task="ave",
        about=(
            "k-means, spectral clustering or random labels instead of CMLCL's, on raw or on its"
            " learned features"
        ),
        settings=ClusterOptions,
        quick={"width": 64, "k": 6, "represent_epochs": 12, "bank": "features", "threads": 1},
        train=_train_cluster,
    ),
)
