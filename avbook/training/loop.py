"""The training loop: epochs, evaluation, three selections, checkpoints that continue exactly.

`fit` trains; what it is made of stands in `steps`, `evaluation`, `results`, `checkpoints` and
`device`, and can be imported from here too."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from avbook.errors import AvbookError
from avbook.training.batches import source_of
from avbook.training.checkpoints import Run, identity, resume_run, save_run, write_waiting
from avbook.training.device import (
    broadcast_weights,
    default_device,
    retain_freed_memory,
    seed_everything,
    start_accelerator,
    versions,
)
from avbook.training.evaluation import evaluate, evaluate_epoch, predict_all
from avbook.training.protocols import Data, HasEpochStart, Method
from avbook.training.results import SELECTIONS, Result, finish, update_best
from avbook.training.steps import (
    epoch_batches,
    lr_factor,
    make_optimizer,
    shard_batch,
    shuffled_batches,
    train_epoch,
    what_went_wrong,
)
from avbook.training.weights import load_weights, save_weights

__all__ = [
    "fit",
    "start_run",
    "train",
    "one_epoch",
    # steps
    "shuffled_batches",
    "shard_batch",
    "lr_factor",
    "make_optimizer",
    "train_epoch",
    "epoch_batches",
    "what_went_wrong",
    # evaluation
    "predict_all",
    "evaluate",
    "evaluate_epoch",
    # results
    "SELECTIONS",
    "update_best",
    "Result",
    "finish",
    # device, weights
    "default_device",
    "seed_everything",
    "save_weights",
    "load_weights",
]


def fit(
    # built by the caller, after `seed_everything(seed)` where its first weights are to depend on
    # the seed
    net: nn.Module,
    method: Method,  # `loss`, `predict`, `score`, `monitor`, and what `protocols` lists besides
    data: Data,  # with splits `train`, `val`, `test`
    *,
    epochs: int,
    batch_size: int = 128,  # rows a step, over all processes together
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    optimizer: str = "adam",  # "adam", "adamw" or "sgd"
    schedule: tuple | str | None = None,  # of the learning rate, as `lr_factor` takes it
    clip: float | None = None,  # largest norm of the gradient
    seed: int = 0,  # of the order of the data and of dropout
    device: str = "auto",  # "auto", "cpu", "cuda" or "mps"
    precision: str = "no",  # "no", "bf16" or "fp16"
    # epochs from one evaluation on validation and test to the next; the last epoch always has one
    eval_every: int = 1,
    out: str | os.PathLike | None = None,  # folder for the checkpoint and the selected weights
    resume: bool = True,  # continue from a checkpoint in `out`
    # whose weights the network has in the end; or "last", "test_selected"
    select: str = "val_selected",
    # hold the data on the device; None: where it easily fits on a CUDA card
    keep_on_device: bool | None = None,
    workers: int = 0,  # processes that read batches ahead
    progress: bool = True,  # a bar, on a terminal
) -> Result:
    """Trains the network and gives the run's `Result`: scores, epochs and test predictions under
    three selections, history, cost. The network ends in eval mode.

    The method's loss must be a mean over rows. On the CPU an interrupted run that is continued has
    exactly the numbers of one that was not interrupted. Raises `AvbookError` for options that make
    no sense, a checkpoint of another run, and a loss that is not finite."""
    options = dict(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        optimizer=optimizer,
        schedule=schedule,
        clip=clip,
        seed=seed,
        precision=precision,
        eval_every=eval_every,
    )
    run = start_run(net, method, data, options, select, device, keep_on_device, workers, out)
    resume_run(run, start_over=not resume)
    with retain_freed_memory(run.accelerator.device):
        train(run, progress)
    net.load_state_dict(run.kept[select].weights)
    net.eval()
    return finish(run)


def start_run(
    net: nn.Module,
    method: Method,
    data: Data,
    options: dict[str, Any],  # those that decide the numbers
    select: str,
    device: str,
    keep: bool | None,
    workers: int,
    out: Any,
) -> Run:
    """A run before its first epoch; options that make no sense raise `AvbookError`."""
    _check_request(data, options, select)
    installed = versions()  # first, so that a missing package is reported before hours of training
    accelerator = start_accelerator(device, options["precision"])
    seed_everything(options["seed"], accelerator.process_index)
    net.to(accelerator.device)
    broadcast_weights(net, accelerator)
    optimizer = make_optimizer(
        net, method, options["optimizer"], options["lr"], options["weight_decay"]
    )
    for group in optimizer.param_groups:
        group["first_lr"] = group["lr"]
    if accelerator.scaler:  # 16-bit floats: gradients are scaled, and the optimiser has to know
        optimizer = accelerator.prepare_optimizer(optimizer)
    sources = {
        name: source_of(getattr(data, name), accelerator.device, keep)
        for name in ("train", "val", "test")
    }
    # more epochs may be asked for later, except where their number shapes the schedule
    decides = {
        name: value
        for name, value in options.items()
        if name != "epochs" or options["schedule"] == "cosine"
    }
    return Run(
        net,
        method,
        data,
        options,
        accelerator,
        optimizer,
        sources,
        identity(net, method, data, decides),
        versions=installed,
        workers=workers,
        file=Path(out) / "state.safetensors" if out is not None else None,
    )


def _check_request(data: Data, options: dict[str, Any], select: str) -> None:
    if select not in SELECTIONS:
        raise AvbookError(f"select={select!r}: expected one of {', '.join(SELECTIONS)}")
    for name in ("epochs", "batch_size", "eval_every"):
        if not isinstance(options[name], (int, np.integer)) or options[name] < 1:
            raise AvbookError(f"{name}={options[name]!r}: expected a whole number, at least 1")
    for name in ("train", "val", "test"):
        if not len(getattr(data, name)):
            raise AvbookError(
                f"the data's {name} split is empty; training needs rows in train, val and test"
            )
    lr_factor(options["schedule"], 1, options["epochs"])


def train(run: Run, progress: bool) -> None:
    """Trains the run's remaining epochs. On an interruption it prints what is on disk and raises
    `KeyboardInterrupt` again."""
    epochs, main, finished = run.options["epochs"], run.accelerator.is_main_process, run.epoch
    bar = tqdm(
        total=epochs,
        initial=run.epoch,
        unit="epoch",
        disable=None if progress and main else True,
    )
    try:
        try:
            while run.epoch < epochs:
                entry = one_epoch(run)
                scores = {name: entry[name] for name in ("loss", "val") if entry[name] is not None}
                bar.set_postfix(
                    {name: f"{score:.4g}" for name, score in scores.items()}, refresh=False
                )
                bar.update()
                if run.file is not None:
                    save_run(run, every=10)  # seconds
                finished = run.epoch
        finally:
            write_waiting(run)
    except KeyboardInterrupt:
        if main:
            print(
                f"\ninterrupted in epoch {min(finished + 1, epochs)} of {epochs}: {_on_disk(run)}",
                file=sys.stderr,
                flush=True,
            )
        raise
    finally:
        bar.close()


def _on_disk(run: Run) -> str:
    if run.file is None:
        return "nothing was kept, since no folder was given (out=…)"
    if not run.saved:
        return "nothing was kept"
    return f"{run.file} holds the {run.saved} finished epochs; the same call goes on from there"


def one_epoch(run: Run) -> dict[str, Any]:
    """Trains for one more epoch and gives its entry in the history: losses, learning rate, seconds,
    and the monitored scores where the epoch has an evaluation."""
    started, options = time.perf_counter(), run.options
    factor = lr_factor(options["schedule"], run.epoch + 1, options["epochs"])
    for group in run.optimizer.param_groups:
        group["lr"] = group["first_lr"] * factor
    if isinstance(run.method, HasEpochStart):
        run.method.epoch_start(run.net, run.epoch + 1)
    losses = train_epoch(run)
    broadcast_weights(run.net, run.accelerator)
    run.epoch += 1
    entry = {
        "epoch": run.epoch,
        "loss": losses.pop("loss"),
        "losses": losses,
        "val": None,
        "test": None,
        "lr": run.optimizer.param_groups[0]["lr"],
    }
    if run.epoch % options["eval_every"] == 0 or run.epoch == options["epochs"]:
        look = evaluate_epoch(run)
        update_best(run.kept, look, run.method.monitor)
        monitor = run.method.monitor
        entry |= {"val": look.val[monitor], "test": look.test[monitor]}
    entry["seconds"] = time.perf_counter() - started
    run.seconds += entry["seconds"]
    run.history.append(entry)
    return entry
