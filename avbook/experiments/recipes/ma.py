"""HAN and MA as recipes: HAN in one stage, MA in three (a base model, labels refined with it, a
model trained anew on those labels).

Beside them `rule`, what is predicted without learning anything."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import write_text
from avbook.errors import AvbookError
from avbook.experiments.datasets import data_dims
from avbook.experiments.job import Job, write_predictions
from avbook.experiments.recipe import Recipe, pick

_NET = {
    "width": 512,
    "hidden": 512,
    "dropout": 0.1,
    "average": "before",
    "pool": "attention",
    "normalise": False,
    "modality": "both",
}
_TARGETS = {"smoothing_audio": 0.0, "smoothing_visual": 0.1}
_EVENTS = {"filter": "video", "threshold": 0.5}
_CONTRAST = {"contrast": True, "tau": 0.2, "direction": "code", "smoothing": 0.1, "weight": 1.0}
_REFINED = {"aliased_targets": False, "smooth_dropped": False}
_REFINE = {"refine": "both", "partners": 1, "errors": "code", "refine_threshold": 0.5}
_FIT = {
    "epochs": 40,
    "batch_size": 16,
    "lr": 3e-4,
    "decay_every": 10,
    "decay": 0.1,
    "decay_until": 1000,
    "weight_decay": 0.0,
    "precision": "no",
    "threads": 0,
}
_QUICK = {"width": 128, "hidden": 128, "lr": 1e-3, "decay_every": 20, "threads": 1}
_DIMS = ("categories", "audio_dim", "visual_2d_dim", "visual_3d_dim")


def _build_han(settings: dict[str, Any], dims: dict[str, int]):
    from avbook.parsing.han import HAN, HANMethod

    return HAN(**{name: dims[name] for name in _DIMS}, **pick(settings, _NET)), HANMethod(
        **pick(settings, _TARGETS, _EVENTS)
    )


def _build_ma(settings: dict[str, Any], dims: dict[str, int]):
    from avbook.parsing.ma import MA, MAMethod

    return (
        MA(**{name: dims[name] for name in _DIMS}, **pick(settings, _NET)),
        MAMethod(**pick(settings, _CONTRAST, _REFINED, _TARGETS, _EVENTS)),
    )


# ------------------------------------------------------------------------------------------- stages
def _train_ma(job: Job):
    """base → refine → retrain. Without refinement the base is the result; refinement by the truth
    or by a rule needs none."""
    s = job.settings
    if s["refine"] in ("truth", "speech"):
        return _retrain(
            job,
            job.stage(
                "refine", {"refine": s["refine"]}, lambda folder: _make_sure_refinement(job, folder)
            ),
            {},
        )
    base = job.stage(
        "base",
        pick(s, _NET, _CONTRAST, _TARGETS, _EVENTS, _FIT),
        lambda folder: _make_base(job, folder),
    )
    if s["refine"] == "none":
        for name in ("val_selected", "last"):
            job.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(base / f"{name}.safetensors", job.folder)
        return _load_result(base), {}
    refined = job.stage(
        "refine",
        {"base": base.name, **pick(s, _REFINE)},
        lambda folder: _make_refinement(job, base, folder),
    )
    return _retrain(job, refined, {"base": _told(_load_result(base))})


def _retrain(job: Job, refined: Path, stages: dict[str, Any]):
    """A model trained from scratch on the refined labels in a folder."""
    from avbook.parsing.refinement import load_refinement, with_targets
    from avbook.training.device import seed_everything

    seed_everything(job.seed)
    net, method = _build_ma(job.settings, data_dims(job.data))
    result = job.fit(net, method, with_targets(job.data, load_refinement(refined)))
    return result, {
        "stages": (
            stages | {"refine": json.loads((refined / "refine.json").read_text(encoding="utf-8"))}
        )
    }


def _make_base(job: Job, folder: Path) -> None:
    from avbook.training.device import seed_everything

    seed_everything(job.seed)
    net, method = _build_ma(job.settings, data_dims(job.data))
    result = job.fit(net, method, out=folder)
    write_predictions(folder / "predictions.npz", result.predictions)
    write_text(folder / "result.json", json.dumps(result.to_record()))


def _load_result(folder: Path):
    from avbook.training.loop import Result

    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        predictions: dict[str, Any] = {}
        for key in arrays:
            selection, _, track = key.partition(".")
            predictions.setdefault(selection, {})[track] = arrays[key]
    return Result(
        **json.loads((folder / "result.json").read_text(encoding="utf-8")),
        predictions=predictions,
        weights={},
    )


def _told(result) -> dict[str, Any]:
    return {"seconds": result.seconds, "epochs": result.epochs, "metrics": result.metrics}


def _make_refinement(job: Job, base: Path, folder: Path) -> None:
    """Refines the training labels with the base model of the last epoch, as released."""
    from avbook.parsing.refinement import refine
    from avbook.training.device import default_device
    from avbook.training.weights import load_weights

    started, s = time.perf_counter(), job.settings
    net, _ = _build_ma(s, data_dims(job.data))
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


def _make_sure_refinement(job: Job, folder: Path) -> None:
    """Refines the training labels without any network: by what the world knows of them, an upper
    bound; or by one rule, Speech is never in view."""
    from avbook.parsing.refinement import Refinement

    started, train, names, kind = (
        time.perf_counter(),
        job.data.train,
        job.data.categories,
        job.settings["refine"],
    )
    labels = train.video_labels > 0
    if kind == "truth":
        if train.audio_labels is None:
            raise AvbookError(
                "refine='truth': nobody knows what these training clips hold in each track; only a"
                " world does"
            )
        held = {
            track: labels & (getattr(train, f"{track}_labels") > 0).any(1)
            for track in ("audio", "visual")
        }
    else:
        if "Speech" not in names:
            raise AvbookError(
                f"refine='speech': there is no Speech among {', '.join(names)}; expected LLP's"
                " categories"
            )
        held = {"audio": labels, "visual": labels & (np.array(names) != "Speech")}
    certain = {track: there.astype(np.float32) for track, there in held.items()}
    found = Refinement(
        np.asarray(train.ids),
        tuple(names),
        labels,
        **held,
        partners=np.full((len(labels), 1), -1),
        probabilities=certain,
        errors={track: np.ones(labels.shape[1]) for track in held},
        options={"modality": kind},
    )
    _keep_refinement(job, found, folder, started)


def _keep_refinement(job: Job, found, folder: Path, started: float) -> None:
    """Saves a refinement and, beside it, what the run's record tells of it."""
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
    if train.audio_labels is not None:  # only a world knows what its training clips hold
        told["scores"] = {
            track: {name: None if value != value else value for name, value in scores.items()}
            for track, scores in refinement_scores(
                found, train.audio_labels, train.visual_labels
            ).items()
        }
    write_text(folder / "refine.json", json.dumps(told) + "\n")


# --------------------------------------------------------------------------------- without learning
def predict_by_rule(
    # "nothing", or "weak-label": what the video's own label says, in every second of both tracks
    rule: str,
    split,  # of LLP, its seconds labelled
) -> dict[str, np.ndarray]:
    """Booleans `audio` and `visual` (N, T, C). The weak label is the judged video's own, which a
    method has to find."""
    if rule not in ("nothing", "weak-label"):
        raise AvbookError(f"rule={rule!r}: expected nothing or weak-label")
    everywhere = np.broadcast_to(
        np.asarray(split.video_labels)[:, None] > 0, split.audio_labels.shape
    )
    return {track: everywhere & (rule == "weak-label") for track in ("audio", "visual")}


def _apply_rule(job: Job):
    """The scores of a rule, the same under every selection since no epoch is chosen."""
    import torch

    from avbook.metrics.llp import llp_scores
    from avbook.training.device import peak_memory_mb, versions
    from avbook.training.loop import SELECTIONS, Result

    started, scores = time.perf_counter(), {}
    for name in ("val", "test"):
        split = getattr(job.data, name)
        predicted = predict_by_rule(job.settings["rule"], split)
        scores[name] = llp_scores(
            predicted["audio"], predicted["visual"], split.audio_labels, split.visual_labels
        )
    metrics = {"val": scores["val"], "test": dict.fromkeys(SELECTIONS, scores["test"])}
    return (
        Result(
            metrics,
            dict.fromkeys(SELECTIONS, 0),
            time.perf_counter() - started,
            peak_memory_mb(torch.device("cpu")),
            "cpu",
            versions(),
            history=[],
            predictions=dict.fromkeys(SELECTIONS, predicted),
            weights={},
        ),
        {},
    )


RECIPES = (
    Recipe(
        "han",
        "llp",
        "HAN: hybrid attention and attentive pooling, from labels of the whole video",
        {**_NET, **_TARGETS, **_EVENTS, **_FIT},
        _QUICK,
        _build_han,
    ),
    Recipe(
        "ma",
        "llp",
        "MA: HAN with temporal contrast, retrained on labels refined by swapping tracks",
        {
            **_NET,
            **_CONTRAST,
            **_REFINE,
            **_REFINED,
            **_TARGETS,
            **_EVENTS,
            "filter": "modality",
            **_FIT,
        },
        _QUICK,
        _build_ma,
        train=_train_ma,
    ),
    Recipe(
        "rule",
        "llp",
        "no model: nothing is predicted, or the video's own label in every second of both tracks",
        {"rule": "nothing", "threads": 0},
        {},
        train=_apply_rule,
    ),
)
