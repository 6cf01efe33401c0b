"""The report of a run without labels: scores of each round, a sweep over θ, its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avbook.experiments.job import Job
from avbook.experiments.recipes.cmlcl_stages import read_meta

__all__ = ["record_of", "result_of", "other_naming"]


def record_of(
    job: Job,
    rounds: list,  # one `Round` each
    folders: dict[str, Path],  # folders of the stages, by name, in order
) -> tuple:
    """The run's `Result` and further fields of its record. Labels are read here for the first
    time."""
    from avbook.unsupervised.em import score_round

    s, last = job.settings, rounds[-1]
    told = {name: read_meta(folder) for name, folder in folders.items()}
    entries = _score_rounds(job, rounds)
    train = job.data.train.labels
    val = score_round(
        last, train, job.data.val.labels, split="val", theta=s["theta"], naming=s["naming"]
    )
    test = {name: value for name, value in entries[-1].items() if name != "changed"}
    history = [
        {
            "epoch": number,
            "loss": _last_loss(told[f"localiser-{number}"]),
            "losses": {},
            "val": None,
            "test": entry["accuracy"],
            "lr": s["lr"],
            "seconds": sum(told[f"{step}-{number}"]["seconds"] for step in ("labels", "localiser")),
        }
        for number, entry in enumerate(entries, 1)
    ]
    history[-1]["val"] = val["accuracy"]
    more = {
        "rounds": [_six_digits(entry) for entry in entries],
        "theta": _sweep_theta(job, last),
        "stages": {
            name: {"folder": f"stages/{folder.name}", **told[name]}
            for name, folder in folders.items()
        },
    }
    seconds = sum(part["seconds"] for part in told.values())
    return result_of(job, val, test, len(rounds), seconds, history, _predictions(job, rounds)), more


def _last_loss(told: dict[str, Any]) -> float | None:
    """The loss of the last epoch that a stage reports."""
    return told["history"][-1].get("loss") if told["history"] else None


def _score_rounds(job: Job, rounds: list) -> list[dict[str, float]]:
    """The scores of each round on test; from the second on, also how many clips changed their
    label."""
    from avbook.unsupervised.em import changed_share, score_round

    s, train, test = job.settings, job.data.train.labels, job.data.test.labels
    entries = []
    for number, round_ in enumerate(rounds, 1):
        entry = score_round(round_, train, test, theta=s["theta"], naming=s["naming"])
        other = score_round(round_, train, test, theta=s["theta"], naming=other_naming(s["naming"]))
        entry["accuracy_other_naming"] = other["accuracy"]
        if number > 1:
            before = rounds[number - 2].annotation.labels
            entry["changed"] = changed_share(before, round_.annotation.labels)
        entries.append(entry)
    return entries


def other_naming(naming: str) -> str:
    """The other way to name pseudo-categories."""
    return "judged" if naming == "train" else "train"


def _sweep_theta(job: Job, last) -> dict[str, Any]:
    """Test accuracy for each θ, and the θ that labels of the validation split would select."""
    from avbook.unsupervised.em import theta_sweep

    train, naming = job.data.train.labels, job.settings["naming"]
    on_test = theta_sweep(last, train, job.data.test.labels, naming=naming)
    on_val = theta_sweep(last, train, job.data.val.labels, split="val", naming=naming)
    return {
        "test": {str(theta): round(value, 3) for theta, value in on_test.items()},
        "labels_would_choose": max(on_val, key=on_val.__getitem__),
    }


def _predictions(job: Job, rounds: list) -> dict[str, dict[str, Any]]:
    """The last round's events and γ (scaled to 255) on test, and every round's labels of train."""
    from avbook.unsupervised.em import names_of
    from avbook.unsupervised.localiser import decode_segments

    s, labels, found = job.settings, job.data.test.labels, rounds[-1].found["test"]
    names = names_of(rounds[-1], job.data.train.labels, labels, "test", s["naming"])
    background = labels.shape[-1] - 1
    gamma = found["gamma"] / found["gamma"].amax(1, keepdim=True)  # (N, T), maximum of a clip 1
    return {
        "last": {
            "predicted": decode_segments(
                found["segments"], found["gamma"], names, background, s["theta"]
            ),
            "gamma": np.round(255 * gamma.numpy()),
        },
        "train": {
            f"labels{number}": round_.annotation.labels for number, round_ in enumerate(rounds, 1)
        },
    }


def result_of(
    job: Job,
    val: dict[str, float],
    test: dict[str, float],
    epochs: int,
    seconds: float,
    history: list[dict[str, Any]],
    predictions: dict[str, Any],
):
    """The `Result`. Without labels there is no selection: all three selections are the last
    model."""
    import torch

    from avbook.training.device import default_device, device_name, peak_memory_mb, versions
    from avbook.training.loop import SELECTIONS, Result

    device = torch.device(default_device() if job.device == "auto" else job.device)
    return Result(
        metrics={
            "val": _six_digits(val),
            "test": {name: _six_digits(test) for name in SELECTIONS},
        },
        epochs=dict.fromkeys(SELECTIONS, epochs),
        seconds=seconds,
        peak_memory_mb=peak_memory_mb(device),
        device=device_name(device),
        versions=versions(),
        history=history,
        predictions=predictions,
        weights={},
    )


def _six_digits(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in figures.items()}
