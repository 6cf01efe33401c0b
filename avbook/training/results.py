"""The result of a run: three selections of an epoch, their scores, predictions and weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from avbook.training.checkpoints import EpochEval, Run
from avbook.training.device import device_name, peak_memory_mb
from avbook.training.weights import write_tensors

__all__ = ["SELECTIONS", "update_best", "Result", "finish"]

SELECTIONS = ("val_selected", "last", "test_selected")


def update_best(
    kept: dict[str, EpochEval],  # the evaluation kept for each selection, changed in place
    look: EpochEval,  # the newest
    monitor: str,  # the score that decides; larger is better
) -> None:
    """Enters the newest evaluation as `last` and, where its score is strictly better, as
    `val_selected` and `test_selected`: of equal scores the first is kept."""
    kept["last"] = look
    for name, split in (("val_selected", "val"), ("test_selected", "test")):
        best = kept.get(name)
        if best is None or getattr(look, split)[monitor] > getattr(best, split)[monitor]:
            kept[name] = look


@dataclass
class Result:
    """What a run came to: its scores under three selections, its history, its cost."""

    metrics: dict[str, Any]  # "val": scores of the epoch chosen on it; "test": those by selection
    epochs: dict[str, int]  # by selection: val_selected, last, test_selected; counted from 1
    seconds: float  # of training and evaluation, over all sittings
    peak_memory_mb: float  # on CUDA the card's, else the process's largest resident size so far
    device: str
    versions: dict[str, str]
    # per epoch: epoch, loss, losses, val, test, lr, seconds
    history: list[dict[str, Any]] = field(repr=False)
    predictions: dict[str, Any] = field(repr=False)  # by selection, of the test split
    weights: dict[str, dict[str, Tensor]] = field(repr=False)  # by selection, on the CPU

    def to_record(self) -> dict[str, Any]:
        """Everything but predictions and weights, as JSON can hold it."""
        names = ["metrics", "epochs", "seconds", "peak_memory_mb", "device", "versions", "history"]
        return {name: getattr(self, name) for name in names}


def finish(run: Run) -> Result:
    """The run's result. Where it has a folder, the weights of each selection are written there as
    `SELECTION.safetensors`."""
    kept, device = run.kept, run.accelerator.device
    weights = {
        name: {key: tensor.cpu() for key, tensor in kept[name].weights.items()}
        for name in SELECTIONS
    }
    if run.file is not None and run.accelerator.is_main_process:
        for name in SELECTIONS:
            meta = {
                "class": type(run.net).__name__,
                "selection": name,
                "epoch": kept[name].epoch,
                "val": kept[name].val,
                "test": kept[name].test,
            }
            write_tensors(run.file.with_name(f"{name}.safetensors"), weights[name], meta)
    run.accelerator.wait_for_everyone()
    test = {name: kept[name].test for name in SELECTIONS}
    return Result(
        metrics={"val": kept["val_selected"].val, "test": test},
        epochs={name: kept[name].epoch for name in SELECTIONS},
        seconds=run.seconds,
        peak_memory_mb=peak_memory_mb(device),
        device=device_name(device),
        versions=run.versions,
        history=run.history,
        predictions={name: kept[name].predictions for name in SELECTIONS},
        weights=weights,
    )
