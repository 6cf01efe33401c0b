"""Checkpoints of a training run: its state, its identity, and the file that holds both."""

from __future__ import annotations

import json
import math
import random
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, Field, ValidationError
from torch import Tensor, nn

from avbook.common.files import check_regular
from avbook.common.schema import Schema
from avbook.errors import AvbookError
from avbook.training.device import seed_everything
from avbook.training.protocols import Data, HasState, Method, Split
from avbook.training.weights import differences, read_tensors, some_of, write_tensors

__all__ = [
    "EpochEval",
    "Run",
    "identity",
    "rng_tensors",
    "restore_rng",
    "optimizer_tensors",
    "restore_optimizer",
    "save_run",
    "write_waiting",
    "resume_run",
]


@dataclass
class EpochEval:
    """One epoch's evaluation: scores on validation and test, and what is needed to keep that
    model."""

    epoch: int  # counted from 1
    val: dict[str, float]
    test: dict[str, float]
    weights: dict[str, Tensor] = field(repr=False)
    predictions: Any = field(
        repr=False
    )  # predictions on test: a tensor or a dict of tensors, on the CPU


@dataclass
class Run:
    """A run in progress: its parts and its state."""

    net: nn.Module
    method: Method
    data: Data
    options: dict[str, Any]  # options that decide the numbers: epochs, batch_size, lr, …
    accelerator: Any
    optimizer: Any
    sources: dict[str, Split]  # split -> source of its batches
    identity: dict[str, Any]  # must agree for this run to continue elsewhere
    versions: dict[str, str] = field(default_factory=dict)  # read before the first epoch
    workers: int = 0
    file: Path | None = None  # the checkpoint
    epoch: int = 0  # finished epochs
    seconds: float = 0.0  # seconds spent on them
    history: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, EpochEval] = field(default_factory=dict)
    waiting: tuple[dict[str, Tensor], dict[str, Any]] | None = (
        None  # a checkpoint waiting to be written
    )
    saved: int = 0  # finished epochs in the file
    saved_at: float = -math.inf  # time of this process's last write, in seconds


# ----------------------------------------------------------------------------------------- identity
def identity(
    net: nn.Module,
    method: Method,
    data: Data,  # identified by its `hash`, or without one by its `kind` and `name`
    options: dict[str, Any],  # the options of training that decide the numbers
) -> dict[str, Any]:
    """What must agree for an interrupted run to continue: network, method, data and options, as
    JSON values.

    For the network: class, names and shapes of the weights, and every number or string set on it or
    on a submodule (a dropout's p, a threshold). For the method: class and such attributes; names
    that begin with "_" are private and ignored."""
    modules = {
        f"{name}.{key}".strip("."): value
        for name, module in net.named_modules()
        for key, value in _settings(module).items()
    }
    described = {
        "network": {"class": type(net).__name__, **modules},
        "weights": {name: list(tensor.shape) for name, tensor in net.state_dict().items()},
        "method": {"class": type(method).__name__, **_settings(method)},
        "data": {
            **{key: getattr(data, key) for key in _told_by(data)},
            **{name: len(getattr(data, name)) for name in ("train", "val", "test")},
        },
        "options": options,
    }
    return json.loads(json.dumps(described, default=str))  # tuples become lists, as in the file


def _told_by(data: Data) -> list[str]:
    """The attributes that identify data: a copy under another name is the same data."""
    if hasattr(data, "hash"):
        return ["hash"]
    return [key for key in ("kind", "name") if hasattr(data, key)]


def _settings(thing: Any) -> dict[str, Any]:
    plain = (int, float, str, bool, type(None))

    def says_itself(value):
        return isinstance(value, plain) or (
            isinstance(value, (tuple, list)) and all(isinstance(v, plain) for v in value)
        )

    return {
        key: value
        for key, value in getattr(thing, "__dict__", {}).items()
        if not key.startswith("_")
        and key not in ("training", "call_super_init", "dump_patches")
        and says_itself(value)
    }


# ------------------------------------------------------------------------ random numbers, optimiser
def rng_tensors(
    device: torch.device,  # device of the training; its own generator is included
) -> dict[str, Tensor]:
    """The state of every global random number generator (torch, NumPy, Python, the device's), as
    tensors."""
    numpy_state = np.random.get_state(legacy=False)
    keys, position = numpy_state["state"]["key"], numpy_state["state"]["pos"]
    _, words, python_gauss = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*keys.tolist(), position, numpy_state["has_gauss"]]),
        "python": torch.tensor(words),
        "gauss": torch.tensor(
            [numpy_state["gauss"], float("nan") if python_gauss is None else python_gauss],
            dtype=torch.float64,
        ),
    }
    if device.type in ("cuda", "mps"):
        state["device"] = getattr(torch, device.type).get_rng_state()
    return state


def restore_rng(
    state: dict[str, Tensor],  # from `rng_tensors`
    device: torch.device,
) -> None:
    """Restores every generator; the device's only if the state was taken on such a device."""
    numpy_words, gauss = state["numpy"].tolist(), state["gauss"].tolist()
    torch.set_rng_state(
        state["torch"].clone()
    )  # from a view into a larger tensor PyTorch would read the wrong bytes
    np.random.set_state(
        ("MT19937", np.array(numpy_words[:-2], dtype=np.uint32), *numpy_words[-2:], gauss[0])
    )
    random.setstate(
        (3, tuple(state["python"].tolist()), None if gauss[1] != gauss[1] else gauss[1])
    )
    if device.type in ("cuda", "mps") and "device" in state:
        getattr(torch, device.type).set_rng_state(state["device"].cpu().clone())


def optimizer_tensors(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's moments by name (`INDEX.NAME`), and the rest of its state (groups, plain
    numbers) as JSON values."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            (tensors if isinstance(value, Tensor) else plain)[f"{index}.{name}"] = value
    return tensors, {"groups": state["param_groups"], "plain": plain}


# moments of Adam and SGD with the shape of their parameter
_LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")


def restore_optimizer(
    optimizer: torch.optim.Optimizer,  # built as the stored one
    tensors: dict[str, Tensor],
    rest: dict[str, Any],
) -> None:
    """Gives the optimiser the moments and groups that `optimizer_tensors` took from another.

    Raises `ValueError` for moments whose shape differs from their parameter's: PyTorch's fused
    kernels would read foreign memory."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        shape = parameters[int(index)].shape if name in _LIKE_PARAMETER else tensor.shape
        if tensor.shape != shape or (name == "step" and tensor.numel() != 1):
            raise ValueError(f"optimizer.{key} has the shape {tuple(tensor.shape)}")
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **rest["plain"]}.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in rest["groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


# ----------------------------------------------------------------------------------------- one file
def save_run(
    run: Run,
    every: float = 0.0,  # seconds between writes; meanwhile the checkpoint waits
) -> None:
    """Takes the run's checkpoint, and writes it whole or not at all, as `write_waiting` does, if
    the last one is old enough (the first process does this for all)."""
    accelerator = run.accelerator
    streams = {
        name: state[None] for name, state in rng_tensors(accelerator.device).items()
    }  # (processes, words)
    if accelerator.num_processes > 1:
        streams = {
            name: accelerator.gather(state.to(accelerator.device))
            for name, state in streams.items()
        }
    if accelerator.is_main_process:
        moments, optimizer = optimizer_tensors(run.optimizer)
        tensors = {f"net.{name}": tensor for name, tensor in run.net.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
        tensors |= {f"rng.{name}": state for name, state in streams.items()}
        if isinstance(run.method, HasState):
            tensors |= {
                f"method.{name}": tensor for name, tensor in run.method.state_dict().items()
            }
        # copies, since training continues while they wait
        tensors = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        looks = {look.epoch: look for look in run.kept.values()}
        for epoch, look in looks.items():
            if epoch != run.epoch:
                tensors |= {
                    f"look{epoch}.weights.{name}": tensor for name, tensor in look.weights.items()
                }
            predicted = (
                look.predictions if isinstance(look.predictions, dict) else {"": look.predictions}
            )
            tensors |= {
                f"look{epoch}.predictions.{name}": tensor for name, tensor in predicted.items()
            }
        meta = {
            "identity": run.identity,
            "epoch": run.epoch,
            "seconds": run.seconds,
            "history": [*run.history],
            "optimizer": optimizer,
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
            "looks": {epoch: {"val": look.val, "test": look.test} for epoch, look in looks.items()},
            "kept": {name: look.epoch for name, look in run.kept.items()},
        }
        run.waiting = tensors, meta
        if time.monotonic() - run.saved_at >= every:
            write_waiting(run)


def write_waiting(run: Run) -> None:
    """Writes the checkpoint that `save_run` took and left waiting, if there is one."""
    waiting, run.waiting = run.waiting, None
    if waiting is not None:
        assert run.file is not None
        tensors, meta = waiting
        _write(run.file, tensors, meta | {"sums": _sums(tensors, meta)})
        run.saved, run.saved_at = meta["epoch"], time.monotonic()


def _write(file: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    try:
        write_tensors(file, tensors, meta)
    except AvbookError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        # made again, since another process may have finished the run and removed it
        write_tensors(file, tensors, meta)


def _sums(tensors: dict[str, Tensor], meta: dict[str, Any]) -> dict[str, int]:
    """A checksum of each tensor with its shape and type, and under "" one of the metadata."""
    sums = {"": zlib.crc32(json.dumps(json.loads(json.dumps(meta)), sort_keys=True).encode())}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        kind = f"{plain.dtype} {list(plain.shape)}".encode()
        sums[name] = zlib.crc32(plain.reshape(-1).view(torch.uint8).numpy(), zlib.crc32(kind))
    return sums


# ---------------------------------------------------------------------------------------- resuming
class _Part(Schema):
    """A base with scores and losses that may be NaN, which means undefined."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=True)


class _Look(_Part):
    val: dict[str, float]
    test: dict[str, float]


class _Entry(_Part):
    epoch: int
    loss: float
    losses: dict[str, float]
    val: float | None
    test: float | None
    lr: float
    seconds: float


class _Optimizer(_Part):
    groups: list[dict[str, Any]]
    plain: dict[str, Any]


class _Checkpoint(_Part):
    identity: dict[str, Any]
    epoch: int = Field(ge=1)
    seconds: float = Field(ge=0)
    history: list[_Entry]
    optimizer: _Optimizer
    scaler: dict[str, Any] | None
    looks: dict[str, _Look]
    kept: dict[str, int]
    sums: dict[str, int]


def resume_run(
    run: Run,
    start_over: bool = False,  # remove the checkpoint instead
) -> None:
    """Restores the run from its checkpoint, if there is one.

    Raises `AvbookError`, naming what differs, if the checkpoint belongs to another network, method,
    data or options, or is further on; and if its content is not what `save_run` wrote."""
    if run.file is None or not run.file.exists():
        return
    if start_over:
        run.accelerator.wait_for_everyone()  # all processes have seen it
        if run.accelerator.is_main_process:
            run.file.unlink(missing_ok=True)
        return
    tensors, meta = _read(run.file)
    found = differences(meta["identity"], run.identity)
    if found:
        raise AvbookError(
            f"{run.file}: a checkpoint of another run: {some_of(found)}; use another folder, or"
            " resume=False to start over"
        )
    if meta["epoch"] > run.options["epochs"]:
        raise AvbookError(
            f"{run.file}: {meta['epoch']} epochs are done, {run.options['epochs']} were requested;"
            " request more, or use another folder"
        )
    try:
        _restore(run, tensors, meta)
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        # complete but unusable: written by another version of PyTorch or avbook
        raise _no_checkpoint(run.file, f"{type(error).__name__}: {error}") from error


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a checkpoint, as they were written; raises `AvbookError` for anything
    else."""
    check_regular(file)
    try:
        tensors, meta = read_tensors(file)
        _Checkpoint.model_validate(meta)
    except ValidationError as error:
        first = error.errors()[0]
        raise _no_checkpoint(
            file, f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
        ) from None
    except RecursionError:
        raise _no_checkpoint(file, "nested too deeply") from None
    sums = meta.pop("sums")
    found = _sums(tensors, meta)
    for name in [*sums, *(name for name in found if name not in sums)]:
        if name not in found:
            raise _no_checkpoint(file, f"it lacks {name}")
        if sums.get(name) != found[name]:
            raise _no_checkpoint(file, f"{name or 'its header'} is not what was written")
    return tensors, meta


def _no_checkpoint(file: Path, fault: str) -> AvbookError:
    told = " ".join(fault.split())[:200]
    return AvbookError(f"{file}: not a checkpoint of avbook ({told}); remove it to start over")


def _restore(run: Run, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    def under(prefix: str) -> dict[str, Tensor]:
        return {
            name[len(prefix) :]: tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    looks = {}
    for epoch, scores in meta["looks"].items():
        predicted = under(f"look{epoch}.predictions.")
        weights = under("net." if int(epoch) == meta["epoch"] else f"look{epoch}.weights.")
        looks[int(epoch)] = EpochEval(
            int(epoch), scores["val"], scores["test"], weights, predicted.get("", predicted)
        )
    kept = {name: looks[epoch] for name, epoch in meta["kept"].items()}
    restore_optimizer(run.optimizer, under("optimizer."), meta["optimizer"])
    run.net.load_state_dict(under("net."))
    if isinstance(run.method, HasState):
        run.method.load_state_dict(under("method."))
    if run.accelerator.scaler and meta["scaler"]:
        run.accelerator.scaler.load_state_dict(meta["scaler"])
    streams = under("rng.")
    if len(streams["torch"]) == run.accelerator.num_processes:
        restore_rng(
            {name: states[run.accelerator.process_index] for name, states in streams.items()},
            run.accelerator.device,
        )
    else:  # other processes than before: a new stream, still determined by the seed
        seed_everything(
            (run.options["seed"] + 104729 * meta["epoch"]) % 2**32, run.accelerator.process_index
        )
    run.epoch, run.seconds, run.history = meta["epoch"], meta["seconds"], meta["history"]
    run.kept, run.saved = kept, run.epoch
