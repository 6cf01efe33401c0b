"""CMLCL as a recipe: features without labels, then rounds of pseudo-labels and localiser."""

from __future__ import annotations

from pathlib import Path

from avbook.experiments.job import Job
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes.cmlcl_options import CMLCLOptions
from avbook.experiments.recipes.cmlcl_record import record_of
from avbook.experiments.recipes.cmlcl_stages import (
    labels_stage,
    localiser_stage,
    pretrain_stage,
    read_features,
    read_found,
    read_labels,
)

__all__ = ["RECIPES"]


def _train_cmlcl(job: Job) -> tuple:
    """represent → labels-1 → localiser-1 → labels-2 → …: each is a stage of its own."""
    from avbook.unsupervised.em import em

    represented = pretrain_stage(job)
    features = read_features(job, represented)
    folders: dict[str, Path] = {"represent": represented}  # folders of the stages done so far

    def e_step(number, gamma):
        source = folders[f"localiser-{number - 1}"] if number > 1 else represented
        folder = labels_stage(job, source.name, features, gamma, number)
        folders[f"labels-{number}"] = folder
        return read_labels(job, folder)

    def m_step(number, annotation):
        source = folders[f"labels-{number}"]
        folder = localiser_stage(job, source.name, features, annotation, number)
        folders[f"localiser-{number}"] = folder
        return read_found(job, folder)

    rounds = em(job.settings["rounds"], e_step, m_step)
    return record_of(job, rounds, folders)


RECIPES = (
    Recipe(
        name="cmlcl",
        task="ave",
        about=(
            "CMLCL, without labels: features from instance discrimination, pseudo-labels from"
            " label contrast, localiser by EM"
        ),
        settings=CMLCLOptions,
        quick={
            "width": 64,
            "k": 6,  # of 680 clips, like 30 of 3,339
            "represent_epochs": 12,
            "bank": "features",  # random ones would be a quarter of the bank after 12 epochs
            "annotate_epochs": 20,
            "epochs": 10,
            "lr": 1e-3,
            "threads": 1,
        },
        train=_train_cmlcl,
    ),
)
