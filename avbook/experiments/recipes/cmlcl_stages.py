"""The stages of CMLCL: features, then pseudo-labels and a localiser in each round.

Each stage is a folder, shared by all runs that agree in the settings it depends on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from avbook.common.files import write_text
from avbook.common.schema import Schema, read_json
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job
from avbook.experiments.memory import check_memory
from avbook.experiments.outputs import read_stage_tensors, without_nan
from avbook.experiments.recipe import pick
from avbook.experiments.recipes.cmlcl_options import (
    Backbone,
    Batches,
    Labels,
    LabelsFit,
    Localiser,
    LocaliserFit,
    Pretext,
    PretextFit,
    read_kl_cap,
)

__all__ = [
    "pretrain_stage",
    "labels_stage",
    "localiser_stage",
    "read_features",
    "read_labels",
    "read_found",
    "read_meta",
    "unlabelled",
]


# ---------------------------------------------------------------------------------------- features
def pretrain_stage(job: Job) -> Path:
    """The stage `represent`: a backbone trained without labels, and its features."""
    settings = pick(job.settings, Backbone, Pretext, PretextFit, Batches)

    def make(folder: Path) -> None:
        # SGD holds a weight, its gradient and one moment
        check_memory(job.recipe.name, lambda: _backbone(job), job.device, copies=3)
        _make_features(job, folder)

    return job.stage("represent", settings, make)


def unlabelled(
    split,  # split of an AVE data set
):
    """The split with audio and visual features only."""
    return type(split)(split.name, split.ids, split.rows, split.stores, {}, split.device)


def _make_features(job: Job, folder: Path) -> None:
    """Trains the backbone without labels; stores its weights and the features of every second of
    every split."""
    from avbook.training.weights import save_weights, write_tensors
    from avbook.unsupervised.pretraining import segment_features

    started, s = time.perf_counter(), job.settings
    net, history = _trained_backbone(job, folder) if s["represent_epochs"] else _new_backbone(job)
    features = {
        name: segment_features(net, unlabelled(split), s["batch_size"], job.device)
        for name, split in job.data.splits.items()
    }
    _drop_checkpoint(folder)
    save_weights(net, folder / "net.safetensors")
    write_tensors(folder / "features.safetensors", features, {})
    _write_meta(folder, started, history)


def _network_options(settings: dict[str, Any]) -> dict[str, Any]:
    """The backbone's options under the names of `AVBackbone`'s arguments."""
    options = pick(settings, Backbone)
    return {"hidden": options.pop("width"), **options}


def _trained_backbone(job: Job, folder: Path) -> tuple:
    """The backbone after its pretext tasks, and its history."""
    from avbook.unsupervised.pretraining import pretrain

    s = job.settings
    return pretrain(
        unlabelled(job.data.train),
        **_network_options(s),
        **pick(s, Pretext),
        epochs=s["represent_epochs"],
        batch_size=s["batch_size"],
        lr=s["represent_lr"],
        precision=s["precision"],
        seed=job.seed,
        device=job.device,
        out=folder / "fit",
        progress=job.progress,
    )


def _new_backbone(job: Job) -> tuple:
    """The untrained backbone, and an empty history."""
    from avbook.training.device import seed_everything

    seed_everything(job.seed)
    return _backbone(job).eval(), []


def _backbone(job: Job):
    from avbook.unsupervised.representation import AVBackbone

    dims = pick(data_dims(job.data), ("visual_dim", "audio_dim"))
    return AVBackbone(**dims, **_network_options(job.settings))


def read_features(job: Job, folder: Path) -> dict[str, Any]:
    """The features of a finished stage, f̃ (N,T,D) by split; raises `AvbookError` if they do not
    belong to the job's data."""
    s = job.settings
    width = s["width"] * (2 if s["modality"] == "both" else 1)
    seconds = data_dims(job.data)["seconds"]
    shapes = {name: (len(split), seconds, width) for name, split in job.data.splits.items()}
    return read_stage_tensors(folder / "features.safetensors", shapes)


# ------------------------------------------------------------------------------------------ E step
def labels_stage(
    job: Job,
    source: str,  # name of the folder of γ
    features: dict[str, Any],  # features by split
    gamma,  # (N, T) of train; None in the first round
    number: int,  # number of the round, from 1
) -> Path:
    """The stage `labels-N`, the E step: pseudo-labels of the training clips."""
    settings = pick(job.settings, ("width",), Labels, LabelsFit, Batches)

    def make(folder: Path) -> None:
        from avbook.training.weights import write_tensors
        from avbook.unsupervised.em import expectation

        started, s = time.perf_counter(), job.settings
        found = expectation(
            features["train"],
            gamma,
            hidden=s["width"],
            categories=s["categories"],
            k=s["k"],
            contrast=s["contrast"],
            entropy=s["entropy"],
            literal_sign=s["literal_sign"],
            kl_cap=read_kl_cap(s["kl_cap"]),
            through_neighbours=s["through_neighbours"],
            method=s["search"],
            epochs=s["annotate_epochs"],
            batch_size=s["batch_size"],
            lr=s["annotate_lr"],
            seed=job.seed,
            device=job.device,
        )
        tensors = {"probabilities": found.probabilities, "labels": found.labels}
        write_tensors(folder / "labels.safetensors", tensors, {})
        _write_meta(folder, started, found.history)

    return job.stage(f"labels-{number}", {"from": source, **settings}, make)


def read_labels(job: Job, folder: Path):
    """The `PseudoLabels` of a finished stage, without the network."""
    from avbook.unsupervised.label_contrast import PseudoLabels

    clips, categories = len(job.data.train), job.settings["categories"]
    path = folder / "labels.safetensors"
    shapes = {"probabilities": (clips, categories), "labels": (clips,)}
    tensors = read_stage_tensors(path, shapes)
    if not 0 <= int(tensors["labels"].min()) <= int(tensors["labels"].max()) < categories:
        raise AvbookError(
            f"{path}: labels are not below {categories}; remove {folder} to make it again"
        )
    return PseudoLabels(
        probabilities=tensors["probabilities"],
        labels=tensors["labels"],
        sets=None,
        net=None,
        history=read_meta(folder)["history"],
    )


# ------------------------------------------------------------------------------------------ M step
def localiser_stage(
    job: Job,
    source: str,  # name of the folder of the pseudo-labels
    features: dict[str, Any],  # features by split
    annotation,  # the pseudo-labels
    number: int,  # number of the round, from 1
) -> Path:
    """The stage `localiser-N`, the M step: weights, γ of train, and the outputs on val and test
    needed for scoring."""
    settings = pick(job.settings, ("width", "heads"), Localiser, LocaliserFit, Batches)

    def make(folder: Path) -> None:
        from avbook.training.weights import save_weights, write_tensors
        from avbook.unsupervised.em import maximisation, targets_of

        started, s = time.perf_counter(), job.settings
        options = pick(s, Localiser, LocaliserFit)
        soft = options.pop("soft_labels")
        net, result = maximisation(
            features,
            targets_of(annotation, soft),
            hidden=s["width"],
            heads=s["heads"],
            tracks=2 if s["modality"] == "both" else 1,
            **options,
            batch_size=s["batch_size"],
            precision=s["precision"],
            seed=job.seed,
            device=job.device,
            out=folder / "fit",
            progress=job.progress,
        )
        tensors = _found_tensors(net, features)
        save_weights(net, folder / "net.safetensors")
        write_tensors(folder / "found.safetensors", tensors, {})
        _write_meta(folder, started, result.history)
        _drop_checkpoint(folder)

    return job.stage(f"localiser-{number}", {"from": source, **settings}, make)


def _found_tensors(net, features: dict[str, Any]) -> dict[str, Any]:
    """The localiser's outputs, as `SPLIT.NAME`; for train, γ only."""
    from avbook.unsupervised.em import localise

    tensors = {}
    for split, part in features.items():
        for name, tensor in localise(net, part).items():
            if split != "train" or name == "gamma":
                tensors[f"{split}.{name}"] = tensor
    return tensors


def read_found(job: Job, folder: Path) -> dict[str, dict]:
    """The outputs of a finished stage's localiser, by split and name."""
    categories, seconds = job.settings["categories"], data_dims(job.data)["seconds"]
    shapes: dict[str, tuple] = {}
    for split, part in job.data.splits.items():
        clips = len(part)
        shapes[f"{split}.gamma"] = (clips, seconds)
        if split != "train":
            shapes[f"{split}.segments"] = (clips, seconds, categories)
            shapes[f"{split}.video"] = (clips, categories)
    tensors = read_stage_tensors(folder / "found.safetensors", shapes)
    found: dict[str, dict] = {}
    for key in shapes:
        split, name = key.split(".")
        found.setdefault(split, {})[name] = tensors[key]
    return found


# ------------------------------------------------------------------------------------------- cost
class _Told(Schema):
    seconds: float
    history: list[dict[str, float | None]]


def read_meta(folder: Path) -> dict[str, Any]:
    """A stage's own report: `seconds`, and a few epochs of its `history`."""
    advice = f"remove {folder} to make it again"
    return read_json(folder / "told.json", _Told, "what its stage wrote", advice)


def _write_meta(folder: Path, started: float, history: list[dict[str, Any]]) -> None:
    told = {"seconds": time.perf_counter() - started, "history": without_nan(_thinned(history))}
    write_text(folder / "told.json", json.dumps(told) + "\n")


def _thinned(history: list[dict[str, Any]], most: int = 8) -> list[dict[str, float]]:
    """A few epochs of a history, including the first and the last: their numbers only, to six
    digits."""
    if not history:
        return []
    last = len(history) - 1
    at = sorted({round(k * last / max(most - 1, 1)) for k in range(most)})
    return [_numbers(history[k]) for k in at]


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    """The numbers of an epoch, including its losses, without scores and seconds."""
    flat = {name: value for name, value in entry.items() if name != "losses"}
    flat |= entry.get("losses", {})
    return {
        name: float(f"{value:.6g}")
        for name, value in flat.items()
        if isinstance(value, (int, float)) and name not in ("val", "test", "seconds")
    }


def _drop_checkpoint(folder: Path) -> None:
    shutil.rmtree(folder / "fit", ignore_errors=True)
