"""Steps of training: the batches of an epoch, the learning rate, the optimiser, and an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avbook.errors import AvbookError
from avbook.training.batches import batches_of
from avbook.training.checkpoints import Run
from avbook.training.device import all_reduce_gradients
from avbook.training.protocols import HasBatches, HasOptimizer, Method

__all__ = [
    "shuffled_batches",
    "shard_batch",
    "lr_factor",
    "make_optimizer",
    "train_epoch",
    "epoch_batches",
    "what_went_wrong",
]


# ------------------------------------------------------------------------------------------ batches
def shuffled_batches(
    n: int,  # rows of the split
    batch_size: int,
    seed: int,
    epoch: int,  # counted from 1
) -> list[np.ndarray]:
    """The epoch's batches as arrays of row indices, each row once. Seed and epoch alone decide the
    order. The last batch may be short."""
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]


def shard_batch(
    indices: np.ndarray,  # one batch, over all processes
    process: int,
    processes: int,
) -> tuple[np.ndarray, float]:
    """This process's rows of a batch, and the fraction of the batch that they are.

    The fractions of all processes sum to 1. Where there are fewer rows than processes, a process
    without a row gets the first one with a fraction of 0, since every process takes part in every
    step."""
    mine = np.array_split(np.asarray(indices), processes)[process]
    if len(mine) == 0:
        return np.asarray(indices)[:1], 0.0
    return mine, len(mine) / len(indices)


# --------------------------------------------------------------------- learning rate and optimiser
def lr_factor(
    # None, "cosine", ("step", size, factor[, until]) or ("milestones", epochs, factor)
    schedule: tuple | list | str | None,
    epoch: int,  # counted from 1
    epochs: int,  # of the whole run
) -> float:
    """The factor on the first learning rate in this epoch; an unknown schedule raises
    `AvbookError`.

    "step" multiplies by `factor` after every `size` epochs, up to epoch `until`; "milestones" after
    each of the epochs listed; "cosine" falls from 1 towards 0 over the run."""
    if schedule is None:
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + float(np.cos(np.pi * (epoch - 1) / epochs)))
    if isinstance(schedule, (tuple, list)) and schedule:
        kind, *more = schedule
        if kind == "step" and len(more) in (2, 3):
            size, factor = more[:2]
            until = more[2] if len(more) == 3 else epochs
            if size >= 1:
                return float(factor ** (min(epoch - 1, until) // size))
        if kind == "milestones" and len(more) == 2:
            milestones, factor = more
            if isinstance(milestones, (tuple, list)):
                return float(factor ** sum(epoch > milestone for milestone in milestones))
    raise AvbookError(
        f"schedule {schedule!r}: expected None, 'cosine', ('step', size, factor, until), size at"
        " least 1, or ('milestones', epochs, factor)"
    )


def make_optimizer(
    net: nn.Module,
    method: Method | None,  # asked first, where it is a `HasOptimizer`
    name: str,  # "adam", "adamw" or "sgd" (with momentum 0.9)
    lr: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """The optimiser of the network's trainable parameters; an unknown name raises `AvbookError`.

    Adam and AdamW run as one fused kernel where the device has it."""
    if isinstance(method, HasOptimizer):
        return method.optimizer(net, lr=lr, weight_decay=weight_decay)
    parameters = [p for p in net.parameters() if p.requires_grad]
    fusible = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    fused = fusible or None
    # no fused SGD: PyTorch's fails on a parameter whose first gradient comes later than the others'
    kinds: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
        "adam": (torch.optim.Adam, {"fused": fused}),
        "adamw": (torch.optim.AdamW, {"fused": fused}),
        "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    }
    if name not in kinds:
        raise AvbookError(f"optimizer {name!r}: expected one of {', '.join(kinds)}")
    kind, more = kinds[name]
    return kind(parameters, lr=lr, weight_decay=weight_decay, **more)


# -------------------------------------------------------------------------------------------- epoch
def train_epoch(
    run: Run,  # its `epoch` counts the finished ones
) -> dict[str, float]:
    """Trains for one epoch. Gives the mean over the split's rows of the loss, as `loss`, and of
    each part of it that the method names.

    A loss that is not finite raises `AvbookError` with its epoch and step."""
    net, method, accelerator = run.net.train(), run.method, run.accelerator
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    batches = epoch_batches(run)
    if not batches:
        raise AvbookError(
            f"epoch {run.epoch + 1}: {type(method).__name__}.batches gave no batch, expected lists"
            " of rows"
        )
    process, processes = accelerator.process_index, accelerator.num_processes
    mine, shares = zip(*(shard_batch(rows, process, processes) for rows in batches))
    # Accelerate's own `backward` costs half a millisecond, and only a scaler needs it
    backward = accelerator.backward if accelerator.scaler else Tensor.backward
    steps = []  # (names,) each: the losses of a step, weighted by this process's share of its rows
    names: tuple[str, ...] = ()
    loaded = batches_of(run.sources["train"], mine, accelerator.device, run.workers)
    for share, batch in zip(shares, loaded):
        with accelerator.autocast():
            loss, parts = method.loss(net, batch)
        backward(loss * share)
        if processes > 1:
            all_reduce_gradients(parameters, accelerator)
        if run.options["clip"] is not None:
            accelerator.clip_grad_norm_(parameters, run.options["clip"])
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        parts = {**parts, "loss": loss}
        names = tuple(parts)
        values = [torch.as_tensor(v, device=loss.device).detach().float() for v in parts.values()]
        steps.append(torch.stack(values) * share)
    # read once an epoch: reading a loss from a GPU in every step would make it wait
    means = accelerator.reduce(torch.stack(steps), reduction="sum").cpu().double()  # (steps, names)
    losses = means[:, names.index("loss")]
    if not losses.isfinite().all():
        raise AvbookError(what_went_wrong(run, batches, losses))
    rows = torch.tensor([len(rows) for rows in batches], dtype=torch.float64)
    return dict(zip(names, ((means * rows[:, None]).sum(0) / rows.sum()).tolist()))


def epoch_batches(run: Run) -> list:
    """The rows of each batch of the next epoch: `method.batches(split, epoch, seed, batch_size)`
    where the method is a `HasBatches`, otherwise `shuffled_batches`."""
    epoch, seed, batch_size = run.epoch + 1, run.options["seed"], run.options["batch_size"]
    if isinstance(run.method, HasBatches):
        return list(run.method.batches(run.data.train, epoch, seed, batch_size))
    return shuffled_batches(len(run.data.train), batch_size, seed, epoch)


def what_went_wrong(
    run: Run,
    batches: list,  # the rows of each step
    losses: Tensor,  # (steps,)
) -> str:
    """One line on the first loss that is not finite: its epoch and step, whether the data of that
    batch is finite, and what to try."""
    step = int((~losses.isfinite()).nonzero()[0])
    batch = run.data.train.batch([int(i) for i in batches[step]])
    broken = [
        name
        for name, part in batch.items()
        if isinstance(part, Tensor) and not part.isfinite().all()
    ]
    if broken:
        cause = (
            f"the batch itself is not finite in {', '.join(broken)}; run `avbook data check` on the"
            " folder"
        )
    else:
        cause = f"the data of this batch is finite; try a smaller lr than {run.options['lr']:g}"
        cause += "" if run.options["precision"] == "no" else ", or precision='no'"
    where = f"epoch {run.epoch + 1}, step {step + 1} of {len(batches)}"
    return f"{where}: the loss is {losses[step].item()}; {cause}"
