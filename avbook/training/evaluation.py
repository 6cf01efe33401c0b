"""Evaluation: a method's predictions on a split and their scores, without gradients or dropout."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avbook.errors import AvbookError
from avbook.training.batches import batches_of
from avbook.training.checkpoints import EpochEval, Run
from avbook.training.device import default_device, gather_rows
from avbook.training.protocols import HasPredict, Method, Split
from avbook.training.weights import some_of

__all__ = ["predict_all", "evaluate", "evaluate_epoch"]


def predict_all(
    net: nn.Module,
    method: HasPredict,
    split: Split,
    batch_size: int,
    device: torch.device,
    accelerator: Any = None,  # None: one process, full precision
    workers: int = 0,  # processes that read batches ahead
) -> Tensor | dict[str, Tensor]:
    """`method.predict` on every row of a split, in order: (N, …) on the CPU, one tensor or several
    by name.

    The network is in eval mode meanwhile and in its former mode afterwards. Several processes
    share the rows, and each gets all predictions."""
    process, processes = 0, 1
    if accelerator:
        process, processes = accelerator.process_index, accelerator.num_processes
    shares = np.array_split(np.arange(len(split)), processes)
    mine = shares[process]
    if len(mine) == 0:
        mine = np.arange(1)  # a process without rows still takes part in the exchange
    batches = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
    was_training = net.training
    net.eval()
    found: list[Any] = []  # tensors, or dicts of them
    try:
        with torch.inference_mode(), accelerator.autocast() if accelerator else nullcontext():
            for batch in batches_of(split, batches, device, workers):
                found.append(method.predict(net, batch))
    finally:
        net.train(was_training)
    if isinstance(found[0], dict):
        return {
            name: gather_rows(torch.cat([part[name] for part in found]), shares, accelerator)
            for name in found[0]
        }
    return gather_rows(torch.cat(found), shares, accelerator)


def evaluate(
    net: nn.Module,
    method: Method,  # its `predict` and `score` are used
    split: Split,
    batch_size: int = 128,
    device: str | torch.device = "auto",
) -> tuple[dict[str, float], Tensor | dict[str, Tensor]]:
    """The method's scores on a split, and the predictions they were computed from (in order, on the
    CPU)."""
    device = default_device() if device == "auto" else torch.device(device)
    predictions = predict_all(net.to(device), method, split, batch_size, device)
    return method.score(predictions, split), predictions


def evaluate_epoch(run: Run) -> EpochEval:
    """Scores on validation and test after this epoch, with its weights and test predictions.

    Raises `AvbookError` where the monitored score is missing or NaN, or a weight is not finite."""
    device, monitor = run.accelerator.device, run.method.monitor
    # without gradients there is memory for more rows at a time
    batch_size = run.options["batch_size"]
    batch_size = max(batch_size, 128) if device.type == "cpu" else 4 * batch_size
    scores: dict[str, dict[str, float]] = {}
    predictions = None
    for name in ("val", "test"):
        source = run.sources[name]
        predictions = predict_all(
            run.net, run.method, source, batch_size, device, run.accelerator, run.workers
        )
        found = run.method.score(predictions, getattr(run.data, name))
        scores[name] = {key: float(value) for key, value in found.items()}
        monitored = scores[name].get(monitor)
        if monitored is None or np.isnan(monitored):
            raise AvbookError(
                f"epoch {run.epoch}: {type(run.method).__name__}.score gives {monitor!r} as"
                f" {monitored} on {name}; expected a number, since it chooses the epoch (there are"
                f" {', '.join(found)})"
            )
    weights = {name: tensor.detach().clone() for name, tensor in run.net.state_dict().items()}
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise AvbookError(
            f"epoch {run.epoch}: the weights are not finite ({some_of(broken)}); try a smaller lr"
            f" than {run.options['lr']:g}, or less weight_decay"
        )
    return EpochEval(run.epoch, scores["val"], scores["test"], weights, predictions)
