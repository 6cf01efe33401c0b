"""CMLCL as a recipe (represent, then rounds of labels and localiser) and the baselines beside it,
in stages that runs share."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import write_text
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job
from avbook.experiments.recipe import Recipe, pick

_NET = {
    "width": 512,
    "heads": 4,
    "s_attn": True,
    "audio2visual": True,
    "visual2audio": True,
    "residual": True,
    "modality": "both",
}
_SELF = {
    "views": "dropout",
    "positives": "own",
    "tau": 1.0,
    "dec": True,
    "ins_audio": True,
    "ins_visual": True,
    "form": "soft",
    "momentum": 0.9,
    "sgd_momentum": 0.9,
}
_SELF_FIT = {"represent_epochs": 200, "represent_lr": 0.05}
_LABEL = {
    "categories": 28,
    "k": 30,
    "contrast": True,
    "entropy": True,
    "literal_sign": False,
    "kl_cap": "log C",
    "through_neighbours": True,
    "search": "exact",
}
_LABEL_FIT = {"annotate_epochs": 200, "annotate_lr": 0.05}
_LOCAL = {
    "gamma": "softmax",
    "temperature": 1.0,
    "soft_labels": False,
    "strangers": "none",
    "share": 0.3,
}
_LOCAL_FIT = {"epochs": 30, "lr": 5e-4, "weight_decay": 5e-4}
_SCORE = {"rounds": 3, "theta": 0.5, "naming": "train"}
_ALL = {"batch_size": 32, "precision": "no", "threads": 0}
_QUICK = {
    "width": 64,
    "k": 6,
    "represent_epochs": 12,
    "annotate_epochs": 20,
    "epochs": 10,
    "lr": 1e-3,
    "threads": 1,
}  # 6 of 680 clips, as 30 of 3,339


# ---------------------------------------------------------------------------------------- represent
def _represent(job: Job) -> Path:
    settings = pick(job.settings, _NET, _SELF, _SELF_FIT, _ALL)
    return job.stage("represent", settings, lambda folder: _make_features(job, folder))


def _unlabelled(split):
    """The split without anything but sound and picture."""
    return type(split)(split.name, split.ids, split.rows, split.stores, {}, split.device)


def _make_features(job: Job, folder: Path) -> None:
    """Trains the backbone without labels; keeps its weights and the features of every second of
    every split."""
    from avbook.training.device import seed_everything
    from avbook.training.weights import save_weights, write_tensors
    from avbook.unsupervised.representation import AVBackbone, pretrain, segment_features

    started, s = time.perf_counter(), job.settings
    network = {"hidden": s["width"], **pick(s, {name: 0 for name in _NET if name != "width"})}
    if s["represent_epochs"]:
        net, history = pretrain(
            _unlabelled(job.data.train),
            **network,
            **pick(s, _SELF),
            epochs=s["represent_epochs"],
            batch_size=s["batch_size"],
            lr=s["represent_lr"],
            precision=s["precision"],
            seed=job.seed,
            device=job.device,
            out=folder / "fit",
            progress=job.progress,
        )
    else:
        seed_everything(job.seed)
        net, history = (
            AVBackbone(
                **pick(data_dims(job.data), {"visual_dim": 0, "audio_dim": 0}), **network
            ).eval(),
            [],
        )
    features = {
        name: segment_features(net, _unlabelled(split), s["batch_size"], job.device)
        for name, split in job.data.splits.items()
    }
    _drop(folder / "fit")
    save_weights(net, folder / "net.safetensors")
    write_tensors(folder / "features.safetensors", features, {})
    _write_meta(folder, started, history)


def _device(job: Job):
    from avbook.training.device import default_device

    return default_device() if job.device == "auto" else job.device


def _write_meta(folder: Path, started: float, history: list[dict[str, Any]], **more) -> None:
    write_text(
        folder / "told.json",
        json.dumps({"seconds": time.perf_counter() - started, "history": _thinned(history), **more})
        + "\n",
    )


def _read_meta(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "told.json").read_text(encoding="utf-8"))


def _thinned(history: list[dict[str, Any]], most: int = 8) -> list[dict[str, float]]:
    """A few epochs of a history, first and last among them: their numbers alone, to six digits."""
    at = (
        sorted({round(k * (len(history) - 1) / max(most - 1, 1)) for k in range(most)})
        if history
        else []
    )
    out = []
    for k in at:
        entry = history[k]
        flat = {
            **{name: value for name, value in entry.items() if name != "losses"},
            **entry.get("losses", {}),
        }
        out.append(
            {
                name: float(f"{value:.6g}")
                for name, value in flat.items()
                if isinstance(value, (int, float)) and name not in ("val", "test", "seconds")
            }
        )
    return out


# ------------------------------------------------------------------------------------------- rounds
def _cap(text: str):
    """None for "none", "log C" as it is, else the number of nats: words, since options are read as
    JSON where they can be."""
    if text in ("none", "log C"):
        return None if text == "none" else text
    try:
        return float(text.removesuffix("nats"))
    except ValueError:
        raise AvbookError(
            f"kl_cap={text!r}: expected 'log C', 'none' or a number of nats, such as 10nats"
        ) from None


def _annotate(job: Job, source: str, features, gamma, number: int) -> Path:
    """The E step as a stage; `source` names what γ came from."""

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
            kl_cap=_cap(s["kl_cap"]),
            through_neighbours=s["through_neighbours"],
            method=s["search"],
            epochs=s["annotate_epochs"],
            batch_size=s["batch_size"],
            lr=s["annotate_lr"],
            seed=job.seed,
            device=job.device,
        )
        write_tensors(
            folder / "labels.safetensors",
            {"probabilities": found.probabilities, "labels": found.labels},
            {},
        )
        _write_meta(folder, started, found.history)

    return job.stage(
        f"labels-{number}",
        {"from": source, **pick(job.settings, {"width": 0}, _LABEL, _LABEL_FIT, _ALL)},
        make,
    )


def _read_labels(folder: Path):
    from avbook.training.weights import read_tensors
    from avbook.unsupervised.label_contrast import PseudoLabels

    tensors, _ = read_tensors(folder / "labels.safetensors")
    return PseudoLabels(**tensors, sets=None, net=None, history=_read_meta(folder)["history"])


def _localise(job: Job, labels: Path, features, annotation, number: int) -> Path:
    """The M step as a stage: weights, γ of train, and what scoring needs of val and test."""

    def make(folder: Path) -> None:
        from avbook.training.weights import save_weights, write_tensors
        from avbook.unsupervised.em import localise, maximisation, targets_of

        started, s = time.perf_counter(), job.settings
        net, result = maximisation(
            features,
            targets_of(annotation, s["soft_labels"]),
            hidden=s["width"],
            heads=s["heads"],
            tracks=2 if s["modality"] == "both" else 1,
            **pick(s, {name: 0 for name in _LOCAL if name != "soft_labels"}, _LOCAL_FIT),
            batch_size=s["batch_size"],
            precision=s["precision"],
            seed=job.seed,
            device=job.device,
            out=folder / "fit",
            progress=job.progress,
        )
        tensors = {
            f"{split}.{name}": part
            for split in features
            for name, part in localise(net, features[split]).items()
            if split != "train" or name == "gamma"
        }
        save_weights(net, folder / "net.safetensors")
        write_tensors(folder / "found.safetensors", tensors, {})
        _write_meta(folder, started, result.history)
        _drop(folder / "fit")

    return job.stage(
        f"localiser-{number}",
        {
            "from": labels.name,
            **pick(job.settings, {"width": 0, "heads": 0}, _LOCAL, _LOCAL_FIT, _ALL),
        },
        make,
    )


def _drop(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _read_found(folder: Path) -> dict[str, dict]:
    from avbook.training.weights import read_tensors

    found: dict[str, dict] = {}
    for key, tensor in read_tensors(folder / "found.safetensors")[0].items():
        split, name = key.split(".")
        found.setdefault(split, {})[name] = tensor
    return found


def _train_cmlcl(job: Job):
    """represent → labels 1 → localiser 1 → labels 2 → … : each a stage of its own."""
    from avbook.training.weights import read_tensors
    from avbook.unsupervised.em import em

    represented = _represent(job)
    features, _ = read_tensors(represented / "features.safetensors")
    folders: list[Path] = [represented]

    def e_step(number, gamma):
        folders.append(_annotate(job, folders[-1].name, features, gamma, number))
        return _read_labels(folders[-1])

    def m_step(number, annotation):
        folders.append(_localise(job, folders[-1], features, annotation, number))
        return _read_found(folders[-1])

    rounds = em(job.settings["rounds"], e_step, m_step)
    return _record(job, rounds, folders)


def _record(job: Job, rounds: list, folders: list[Path]):
    """The run's `Result` and what a record says besides. Labels are read here and nowhere
    before."""
    from avbook.unsupervised.em import changed_share, names_of, score_round, theta_sweep
    from avbook.unsupervised.localiser import decode_segments

    s, train, judged = (
        job.settings,
        job.data.train.labels,
        {"val": job.data.val.labels, "test": job.data.test.labels},
    )
    options = {"theta": s["theta"], "naming": s["naming"]}
    entries, told = [], [_read_meta(folder) for folder in folders]
    for number, round_ in enumerate(rounds, 1):
        figures = score_round(round_, train, judged["test"], **options)
        other = score_round(
            round_,
            train,
            judged["test"],
            theta=s["theta"],
            naming="judged" if s["naming"] == "train" else "train",
        )
        entries.append(figures | {"accuracy_other_naming": other["accuracy"]})
        if number > 1:
            entries[-1]["changed"] = changed_share(
                rounds[number - 2].annotation.labels, round_.annotation.labels
            )
    val = score_round(rounds[-1], train, judged["val"], split="val", **options)
    test = {name: value for name, value in entries[-1].items() if name != "changed"}
    sweep = theta_sweep(rounds[-1], train, judged["test"], naming=s["naming"])
    on_val = theta_sweep(rounds[-1], train, judged["val"], split="val", naming=s["naming"])
    names = names_of(rounds[-1], train, judged["test"], "test", s["naming"])
    last = rounds[-1].found["test"]
    predicted = decode_segments(
        last["segments"], last["gamma"], names, judged["test"].shape[-1] - 1, s["theta"]
    )
    gamma = last["gamma"] / last["gamma"].amax(1, keepdim=True)
    history = [
        {
            "epoch": number,
            "loss": told[2 * number]["history"][-1]["loss"],
            "losses": {},
            "val": None,
            "test": entry["accuracy"],
            "lr": s["lr"],
            "seconds": told[2 * number - 1]["seconds"] + told[2 * number]["seconds"],
        }
        for number, entry in enumerate(entries, 1)
    ]
    history[-1]["val"] = val["accuracy"]
    predictions = {
        "last": {"predicted": predicted, "gamma": np.round(255 * gamma.numpy())},
        "train": {
            f"labels{number}": round_.annotation.labels for number, round_ in enumerate(rounds, 1)
        },
    }
    more = {
        "rounds": [_short(entry) for entry in entries],
        "theta": {
            "test": {str(theta): round(value, 3) for theta, value in sweep.items()},
            "labels_would_choose": max(on_val, key=on_val.get),
        },
        "stages": {
            folder.name.rsplit("-seed", 1)[0].rsplit("-", 1)[0]: {
                "folder": f"stages/{folder.name}",
                **t,
            }
            for folder, t in zip(folders, told)
        },
    }
    return (
        _result(job, val, test, len(rounds), sum(t["seconds"] for t in told), history, predictions),
        more,
    )


def _short(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


def _result(
    job: Job, val: dict, test: dict, epochs: int, seconds: float, history: list, predictions: dict
):
    """Without labels there is nothing to select by: the three selections are the same last
    model."""
    import torch

    from avbook.training.device import device_name, peak_memory_mb, versions
    from avbook.training.loop import SELECTIONS, Result

    device = torch.device(_device(job))
    return Result(
        {"val": _short(val), "test": {name: _short(test) for name in SELECTIONS}},
        {name: epochs for name in SELECTIONS},
        seconds,
        peak_memory_mb(device),
        device_name(device),
        versions(),
        history,
        predictions,
        {},
    )


# ---------------------------------------------------------------------------------------- baselines
_CLUSTER = {"method": "kmeans", "features": "learned"}


def _train_cluster(job: Job):
    """Groups the training clips; a test clip goes to the nearest group's mean, in all its seconds.
    Nothing is background."""
    from avbook.training.weights import read_tensors
    from avbook.unsupervised.clustering import group, nearest_mean, raw_features
    from avbook.unsupervised.em import Round, score_round
    from avbook.unsupervised.label_contrast import PseudoLabels

    started, s = time.perf_counter(), job.settings
    if s["features"] == "learned":
        backbone = _CMLCL  # whose stage is shared
        folder = _represent(
            dataclasses.replace(
                job, recipe=backbone, store=job.store.parent.parent / backbone.name / "stages"
            )
        )
        features = {
            name: part.mean(1)
            for name, part in read_tensors(folder / "features.safetensors")[0].items()
        }
    elif s["features"] == "raw":
        features = {
            name: raw_features(_unlabelled(split)) for name, split in job.data.splits.items()
        }
    else:
        raise AvbookError(f"cluster: features={s['features']!r}: expected 'learned' or 'raw'")
    labels = group(features["train"], s["categories"], s["method"], s["k"], job.seed)
    found = {}
    for split in ("val", "test"):
        assigned = nearest_mean(
            features["train"], labels, features[split], s["categories"], s["method"], job.seed
        )
        seconds = job.data.splits[split].labels.shape[1]
        found[split] = {
            "video": assigned,
            "segments": assigned.unsqueeze(1).expand(-1, seconds, -1),
            "gamma": assigned.new_full((len(assigned), seconds), 1 / seconds),
        }
    import torch

    round_ = Round(
        PseudoLabels(
            torch.nn.functional.one_hot(labels, s["categories"]).float(),
            labels,
            sets=None,
            net=None,
            history=[],
        ),
        found,
    )
    train = job.data.train.labels
    val, test = (
        score_round(
            round_, train, job.data.splits[split].labels, split=split, theta=0.0, naming=s["naming"]
        )
        for split in ("val", "test")
    )
    other = score_round(
        round_,
        train,
        job.data.test.labels,
        theta=0.0,
        naming="judged" if s["naming"] == "train" else "train",
    )
    test["accuracy_other_naming"] = other["accuracy"]
    predictions = {"train": {"labels1": labels}}
    return _result(job, val, test, 1, time.perf_counter() - started, [], predictions), {}


_CMLCL = Recipe(
    "cmlcl",
    "ave",
    "CMLCL, without labels: features by telling clips apart, pseudo-labels by contrasting"
    " neighbours, localiser by EM",
    {
        **_NET,
        **_SELF,
        **_SELF_FIT,
        **_LABEL,
        **_LABEL_FIT,
        **_LOCAL,
        **_LOCAL_FIT,
        **_SCORE,
        **_ALL,
    },
    _QUICK,
    None,
    train=_train_cmlcl,
)
RECIPES = (
    _CMLCL,
    Recipe(
        "cluster",
        "ave",
        "k-means, spectral clustering or chance in place of CMLCL's labels, on raw or on its"
        " learned features",
        {
            **_CLUSTER,
            **_NET,
            **_SELF,
            **_SELF_FIT,
            "categories": 28,
            "k": 30,
            "naming": "train",
            **_ALL,
        },
        {
            name: value
            for name, value in _QUICK.items()
            if name in {**_NET, **_SELF_FIT, **_ALL, "k": 0}
        },
        None,
        train=_train_cluster,
    ),
)
