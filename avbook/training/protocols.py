"""Requirements of training on methods, data sets and splits: protocols without base classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "Split",
    "Data",
    "HasPredict",
    "Method",
    "HasOptimizer",
    "HasBatches",
    "HasEpochStart",
    "HasState",
]


# --------------------------------------------------------------------------------------------- data
@runtime_checkable
class Split(Protocol):
    """N clips in a fixed order. Training requires only this; a method's `score` may also need the
    labels of all clips."""

    def __len__(self) -> int:
        """N, at least 1."""
        ...

    def batch(
        self,
        indices: list[int],  # rows of the split, in any order
    ) -> dict[str, Any]:
        """The B clips in that order: tensors (B, …) by name, on any device. Called once per step of
        training or evaluation, with `workers` in another process."""
        ...


@runtime_checkable
class Data(Protocol):
    """Three splits. `fit` trains on `train`, and selects the epoch on `val`; scores on `test` are
    reported. Optional `kind`, `name` and `hash` identify the data in a checkpoint."""

    @property
    def train(self) -> Split: ...

    @property
    def val(self) -> Split: ...

    @property
    def test(self) -> Split: ...


# ------------------------------------------------------------------------------------------- method
@runtime_checkable
class HasPredict(Protocol):
    """What `predict_all` requires of a method."""

    def predict(
        self,
        net: nn.Module,  # in eval mode
        batch: dict[str, Any],  # of a split, on the network's device
    ) -> Tensor | dict[str, Tensor]:
        """A row for each of the B clips, (B, …): one tensor, or several by name. Called for each
        batch of a split in order, without gradients."""
        ...


@runtime_checkable
class Method(HasPredict, Protocol):
    """What `fit` requires of a method. The classes `Has…` below are optional parts."""

    monitor: str  # the score that selects an epoch; larger is better

    def loss(
        self,
        net: nn.Module,  # in training mode
        batch: dict[str, Any],  # of `train`, on the network's device
    ) -> tuple[Tensor, dict[str, Any]]:
        """The mean loss over the batch's clips, (), with its gradient, and its parts by name, each
        a number or a tensor (), for the history. Called once per step."""
        ...

    def score(
        self,
        predictions: Any,  # from `predict` for the whole split, (N, …), on the CPU
        split: Any,  # the split of the predictions
    ) -> dict[str, float]:
        """The scores by name, including `monitor`. Called for `val` and `test` after every
        `eval_every` epochs and after the last one."""
        ...


@runtime_checkable
class HasOptimizer(Protocol):
    """A method that builds its own optimiser, for example with groups of parameters."""

    def optimizer(self, net: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """The optimiser of the network's parameters. Called once, before the first epoch, instead
        of the one named by `fit`'s `optimizer`."""
        ...


@runtime_checkable
class HasBatches(Protocol):
    """A method that defines its own batches."""

    def batches(
        self,
        split: Any,  # `data.train`
        epoch: int,  # counted from 1
        seed: int,
        batch_size: int,
    ) -> Iterable[list[int] | np.ndarray]:
        """The rows (B,) of each step, determined by the arguments only. Called before each epoch,
        instead of `shuffled_batches`."""
        ...


@runtime_checkable
class HasEpochStart(Protocol):
    """A method with an action before each epoch."""

    def epoch_start(
        self,
        net: nn.Module,
        epoch: int,  # counted from 1
    ) -> None:
        """Called before the epoch's batches are chosen, with the learning rate already set."""
        ...


@runtime_checkable
class HasState(Protocol):
    """A method with a state that lasts from batch to batch."""

    def state_dict(self) -> dict[str, Tensor]:
        """The state, by name. Called when a checkpoint is written."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> Any:
        """Restores the state from `state_dict`. Called when a run continues from a checkpoint."""
        ...
