"""The stages of CMLCL: features, then pseudo-labels and a localiser in each round.

Each is a folder that all runs share which agree in what it depends on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from avbook.common.files import write_text
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job
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
    return job.stage("represent", settings, lambda folder: _make_features(job, folder))


def unlabelled(
    split,  # of an AVE data set
):
    """The split without anything but sound and picture."""
    return type(split)(split.name, split.ids, split.rows, split.stores, {}, split.device)


def _make_features(job: Job, folder: Path) -> None:
    """Trains the backbone without labels; keeps its weights and the features of every second of
    every split."""
    from avbook.training.weights import save_weights, write_tensors
    from avbook.unsupervised.representation import segment_features

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
    """The backbone's options under the names that `AVBackbone` gives them."""
    options = pick(settings, Backbone)
    return {"hidden": options.pop("width"), **options}


def _trained_backbone(job: Job, folder: Path) -> tuple:
    """The backbone after its pretext tasks, and its history."""
    from avbook.unsupervised.representation import pretrain

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
    """The backbone as initialised, and an empty history."""
    from avbook.training.device import seed_everything
    from avbook.unsupervised.representation import AVBackbone

    seed_everything(job.seed)
    dims = pick(data_dims(job.data), ("visual_dim", "audio_dim"))
    return AVBackbone(**dims, **_network_options(job.settings)).eval(), []


def read_features(folder: Path) -> dict[str, Any]:
    """The features of a finished stage, f̃ (N,T,D) by split."""
    from avbook.training.weights import read_tensors

    return read_tensors(folder / "features.safetensors")[0]


# ------------------------------------------------------------------------------------------ E step
def labels_stage(
    job: Job,
    source: str,  # name of the folder that γ came from
    features: dict[str, Any],  # by split
    gamma,  # (N, T) of train; None in the first round
    number: int,  # of the round, from 1
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


def read_labels(folder: Path):
    """The `PseudoLabels` of a finished stage, without the network."""
    from avbook.training.weights import read_tensors
    from avbook.unsupervised.label_contrast import PseudoLabels

    tensors, _ = read_tensors(folder / "labels.safetensors")
    return PseudoLabels(**tensors, sets=None, net=None, history=read_meta(folder)["history"])


# ------------------------------------------------------------------------------------------ M step
def localiser_stage(
    job: Job,
    source: str,  # name of the folder of the pseudo-labels
    features: dict[str, Any],  # by split
    annotation,  # the pseudo-labels
    number: int,  # of the round, from 1
) -> Path:
    """The stage `localiser-N`, the M step: weights, γ of train, and what scoring needs of val and
    test."""
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
    """What the localiser gives, as `SPLIT.NAME`; of train, γ alone."""
    from avbook.unsupervised.em import localise

    tensors = {}
    for split, part in features.items():
        for name, tensor in localise(net, part).items():
            if split != "train" or name == "gamma":
                tensors[f"{split}.{name}"] = tensor
    return tensors


def read_found(folder: Path) -> dict[str, dict]:
    """What the localiser of a finished stage gives, by split and name."""
    from avbook.training.weights import read_tensors

    found: dict[str, dict] = {}
    for key, tensor in read_tensors(folder / "found.safetensors")[0].items():
        split, name = key.split(".")
        found.setdefault(split, {})[name] = tensor
    return found


# ------------------------------------------------------------------------------------------- cost
def read_meta(folder: Path) -> dict[str, Any]:
    """What a stage tells of itself: `seconds`, and a few epochs of its `history`."""
    return json.loads((folder / "told.json").read_text(encoding="utf-8"))


def _write_meta(folder: Path, started: float, history: list[dict[str, Any]]) -> None:
    told = {"seconds": time.perf_counter() - started, "history": _thinned(history)}
    write_text(folder / "told.json", json.dumps(told) + "\n")


def _thinned(history: list[dict[str, Any]], most: int = 8) -> list[dict[str, float]]:
    """A few epochs of a history, first and last among them: their numbers alone, to six digits."""
    if not history:
        return []
    last = len(history) - 1
    at = sorted({round(k * last / max(most - 1, 1)) for k in range(most)})
    return [_numbers(history[k]) for k in at]


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    """The numbers of an epoch, its losses among them, without scores and seconds."""
    flat = {name: value for name, value in entry.items() if name != "losses"}
    flat |= entry.get("losses", {})
    return {
        name: float(f"{value:.6g}")
        for name, value in flat.items()
        if isinstance(value, (int, float)) and name not in ("val", "test", "seconds")
    }


def _drop_checkpoint(folder: Path) -> None:
    shutil.rmtree(folder / "fit", ignore_errors=True)
