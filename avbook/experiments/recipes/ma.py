"""HAN and MA as recipes, and a rule that predicts without a model.

HAN trains in one stage, MA in three: a base model, labels refined with it, and a model trained from
scratch on those labels."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import check_regular, write_text
from avbook.common.options import check_choice
from avbook.common.schema import Schema, read_json
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job
from avbook.experiments.outputs import (
    check_labels,
    check_shape,
    read_predictions,
    without_nan,
    write_predictions,
)
from avbook.experiments.recipe import Recipe, pick
from avbook.experiments.recipes.ma_options import (
    Contrast,
    Events,
    HANOptions,
    MAOptions,
    Network,
    ParsingSchedule,
    RefinedTargets,
    Refining,
    RuleOptions,
    Targets,
)
from avbook.experiments.schemas import Epoch, Metrics

__all__ = ["RECIPES", "predict_by_rule"]


# ----------------------------------------------------------------------------------------- building
_DIMS = ("categories", "audio_dim", "visual_2d_dim", "visual_3d_dim")


def _build_han(settings: dict[str, Any], dims: dict[str, int]) -> tuple:
    from avbook.parsing.han import HAN, HANMethod

    net = HAN(**pick(dims, _DIMS), **pick(settings, Network))
    return net, HANMethod(**pick(settings, Targets, Events))


def _build_ma(settings: dict[str, Any], dims: dict[str, int]) -> tuple:
    from avbook.parsing.ma import MA, MAMethod

    net = MA(**pick(dims, _DIMS), **pick(settings, Network))
    return net, MAMethod(**pick(settings, Contrast, RefinedTargets, Targets, Events))


# ------------------------------------------------------------------------------------------- stages
def _train_ma(job: Job) -> tuple:
    """base → refine → retrain. Without refinement the base is the result; refinement by ground
    truth or by a rule needs no base."""
    s = job.settings
    _check_modality(s)
    if s["refine"] in ("truth", "speech"):
        refined = job.stage(
            "refine",
            {"refine": s["refine"]},
            lambda folder: _refine_without_network(job, folder),
        )
        return _retrain(job, refined, {})
    base = job.stage(
        "base",
        pick(s, Network, Contrast, Targets, Events, ParsingSchedule),
        lambda folder: _make_base(job, folder),
    )
    if s["refine"] == "none":
        job.folder.mkdir(parents=True, exist_ok=True)
        for name in ("val_selected", "last"):
            check_regular(base / f"{name}.safetensors")
            shutil.copy(base / f"{name}.safetensors", job.folder)
        return _load_result(job, base), {}
    refined = job.stage(
        "refine",
        {"base": base.name, **pick(s, Refining)},
        lambda folder: _refine_with_base(job, base, folder),
    )
    result = _load_result(job, base)
    told = {"seconds": result.seconds, "epochs": result.epochs, "metrics": result.metrics}
    return _retrain(job, refined, {"base": told})


def _check_modality(s: dict[str, Any]) -> None:
    """Raises `AvbookError` for a single modality with an option that needs both."""
    if s["modality"] == "both":
        return
    if s["contrast"]:
        raise AvbookError(
            f"modality={s['modality']} and contrast=true: the contrast compares both modalities;"
            " expected contrast=false with one of them"
        )
    if s["refine"] in ("both", "audio", "visual"):
        raise AvbookError(
            f"modality={s['modality']} and refine={s['refine']}: the labels are refined by"
            " exchanging streams between clips; expected refine=none, truth or speech with one"
            " of them"
        )


def _retrain(
    job: Job,
    refined: Path,  # folder of the refined labels
    stages: dict[str, Any],  # the record's entries on the earlier stages
) -> tuple:
    """A model trained from scratch on the refined labels in a folder."""
    from avbook.parsing.refinement import with_targets
    from avbook.training.device import seed_everything

    data = with_targets(job.data, _load_refinement(job, refined))
    told = _read_told(refined / "refine.json", _Told)
    seed_everything(job.seed)
    net, method = _build_ma(job.settings, data_dims(job.data))
    return job.fit(net, method, data), {"stages": {**stages, "refine": told}}


def _load_refinement(job: Job, folder: Path):
    from avbook.parsing.refinement import load_refinement

    path = folder / "refinement.npz"
    check_regular(path)
    refinement = load_refinement(folder)
    for name in ("labels", "audio", "visual"):
        shape = (len(job.data.train), len(job.data.categories))
        check_labels(path, name, getattr(refinement, name), shape)
    return refinement


def _make_base(job: Job, folder: Path) -> None:
    from avbook.training.device import seed_everything

    seed_everything(job.seed)
    net, method = _build_ma(job.settings, data_dims(job.data))
    result = job.fit(net, method, out=folder)
    write_predictions(folder / "predictions.npz", result.predictions, job.made)
    write_text(folder / "result.json", json.dumps(without_nan(result.to_record())))


def _load_result(job: Job, folder: Path):
    """The `Result` of a base model, without its weights."""
    from avbook.training.loop import SELECTIONS, Result

    path, test = folder / "predictions.npz", job.data.test
    predictions = read_predictions(path, job.made)
    for selection in SELECTIONS:
        found = predictions.get(selection)
        for track, labels in (("audio", test.audio_labels), ("visual", test.visual_labels)):
            values = found.get(track) if isinstance(found, dict) else None
            check_shape(path, f"{selection}.{track}", values, labels.shape)
    record = _read_told(folder / "result.json", _Base)
    return Result(
        **{name: record[name] for name in _Base.model_fields}, predictions=predictions, weights={}
    )


class _Base(Schema):
    """`Result.to_record()`."""

    metrics: Metrics
    epochs: dict[str, int]
    seconds: float
    peak_memory_mb: float
    device: str
    versions: dict[str, str]
    history: list[Epoch]


class _Told(Schema):
    """A refinement's own report."""

    folder: str
    seconds: float
    labels: int
    dropped: dict[str, int]
    errors: dict[str, list[float]]


def _read_told(path: Path, schema: type[Schema]) -> dict[str, Any]:
    what = "what its stage wrote"
    return read_json(path, schema, what, f"remove {path.parent} to make it again")


# --------------------------------------------------------------------------------------- refinement
def _refine_with_base(job: Job, base: Path, folder: Path) -> None:
    """Refines the training labels with the base model of the last epoch, as released."""
    from avbook.parsing.refinement import refine
    from avbook.training.device import default_device
    from avbook.training.weights import load_weights

    started, s = time.perf_counter(), job.settings
    net, _ = _build_ma(s, data_dims(job.data))
    check_regular(base / "last.safetensors")
    load_weights(net, base / "last.safetensors")
    net.to(default_device() if job.device == "auto" else job.device)
    found = refine(
        net,
        job.data.train,
        job.data.categories,
        partners=s["partners"],
        errors=s["errors"],
        modality=s["refine"],
        threshold=s["refine_threshold"],
        seed=job.seed,
    )
    _keep_refinement(job, found, folder, started)


def _refine_without_network(job: Job, folder: Path) -> None:
    """Refines the training labels without a network: by the world's ground truth, an upper bound,
    or by the rule that Speech is never visible."""
    from avbook.parsing.refinement import Refinement

    started, train, kind = time.perf_counter(), job.data.train, job.settings["refine"]
    labels = train.video_labels > 0  # (N, C)
    if kind == "truth":
        held = _labels_by_truth(train, labels)
    else:
        held = _labels_by_speech(job.data.categories, labels)
    found = Refinement(
        ids=np.asarray(train.ids),
        categories=tuple(job.data.categories),
        labels=labels,
        audio=held["audio"],
        visual=held["visual"],
        partners=np.full((len(labels), 1), -1),
        probabilities={track: there.astype(np.float32) for track, there in held.items()},
        errors={track: np.ones(labels.shape[1]) for track in held},
        options={"modality": kind},
    )
    _keep_refinement(job, found, folder, started)


def _labels_by_truth(train, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The labels (N,C) that occur in each modality, known only in a world."""
    if train.audio_labels is None:
        raise AvbookError(
            "refine='truth': the ground truth of each modality is unknown for these training clips;"
            " only a world has it"
        )
    heard = (train.audio_labels > 0).any(1)  # (N, T, C) -> (N, C)
    seen = (train.visual_labels > 0).any(1)
    return {"audio": labels & heard, "visual": labels & seen}


def _labels_by_speech(categories, labels: np.ndarray) -> dict[str, np.ndarray]:
    """All labels (N,C) for audio, and all except Speech for visual."""
    if "Speech" not in categories:
        raise AvbookError(
            f"refine='speech': there is no Speech among {', '.join(categories)}; expected LLP's"
            " categories"
        )
    return {"audio": labels, "visual": labels & (np.array(categories) != "Speech")}


def _keep_refinement(job: Job, found, folder: Path, started: float) -> None:
    """Saves a refinement and its report for the run's record."""
    from avbook.parsing.refinement import refinement_scores, save_refinement

    train, counts = job.data.train, found.counts()
    save_refinement(found, folder)
    told = {
        "folder": f"stages/{folder.name}",
        "seconds": time.perf_counter() - started,
        "labels": int(found.labels.sum()),
        "dropped": {track: int(counts[f"dropped_{track}"].sum()) for track in ("audio", "visual")},
        "errors": {track: [float(e) for e in values] for track, values in found.errors.items()},
    }
    if train.audio_labels is not None:  # only a world has the ground truth of its training clips
        scores = refinement_scores(found, train.audio_labels, train.visual_labels)
        told["scores"] = {
            track: {name: None if math.isnan(value) else value for name, value in figures.items()}
            for track, figures in scores.items()
        }
    write_text(folder / "refine.json", json.dumps(told) + "\n")


# --------------------------------------------------------------------------------- without learning
def predict_by_rule(
    # "nothing", or "weak-label": the video's own label in every second of both modalities
    rule: str,
    split,  # a split of LLP with labels for each second
) -> dict[str, np.ndarray]:
    """Booleans `audio` and `visual` (N, T, C). The weak label is the evaluated video's own, which a
    method would have to predict."""
    check_choice("rule", rule, ("nothing", "weak-label"))
    shape = split.audio_labels.shape  # (N, T, C)
    if rule == "nothing":
        everywhere = np.zeros(shape, dtype=bool)
    else:
        everywhere = np.broadcast_to(np.asarray(split.video_labels)[:, None] > 0, shape)
    return {track: everywhere.copy() for track in ("audio", "visual")}


def _apply_rule(job: Job) -> tuple:
    """The scores of a rule, the same under every selection since there are no epochs."""
    import torch

    from avbook.metrics.llp import llp_scores
    from avbook.training.device import peak_memory_mb, versions
    from avbook.training.loop import SELECTIONS, Result

    started, predicted, scores = time.perf_counter(), {}, {}
    for name in ("val", "test"):
        split = getattr(job.data, name)
        found = predicted[name] = predict_by_rule(job.settings["rule"], split)
        scores[name] = llp_scores(
            found["audio"], found["visual"], split.audio_labels, split.visual_labels
        )
    result = Result(
        metrics={"val": scores["val"], "test": dict.fromkeys(SELECTIONS, scores["test"])},
        epochs=dict.fromkeys(SELECTIONS, 0),
        seconds=time.perf_counter() - started,
        peak_memory_mb=peak_memory_mb(torch.device("cpu")),
        device="cpu",
        versions=versions(),
        history=[],
        predictions=dict.fromkeys(SELECTIONS, predicted["test"]),
        weights={},
    )
    return result, {}


# ------------------------------------------------------------------------------------------ recipes
_QUICK = {"width": 128, "hidden": 128, "lr": 1e-3, "decay_every": 20, "threads": 1}

RECIPES = (
    Recipe(
        name="han",
        task="llp",
        about="HAN: hybrid attention and attentive pooling, from video-level labels",
        settings=HANOptions,
        quick=_QUICK,
        build=_build_han,
    ),
    Recipe(
        name="ma",
        task="llp",
        about="MA: HAN with temporal contrast, retrained on labels refined by exchanging streams",
        settings=MAOptions,
        quick=_QUICK,
        build=_build_ma,
        train=_train_ma,
    ),
    Recipe(
        name="rule",
        task="llp",
        about=(
            "no model: an empty prediction, or the video's own label in every second of both"
            " modalities"
        ),
        settings=RuleOptions,
        quick={},
        train=_apply_rule,
    ),
)
