"""The network of a run, built for the sizes stored with its weights or read from their shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from avbook.errors import AvbookError
from avbook.experiments.recipe import Recipe
from avbook.training.state_dicts import first_line
from avbook.training.weights import Weights, check_fit

__all__ = ["build_network"]


def build_network(
    recipe: Recipe,
    settings: dict[str, Any],  # all settings of the recipe
    dims: dict[str, int] | None,  # sizes of the data; None: read from the weights' shapes
    weights: Weights,
) -> tuple[Any, Any, dict[str, int]]:
    """The network with the weights, its method, and the sizes of its data; nothing is allocated
    before the shapes are checked."""
    assert recipe.build is not None
    build = recipe.build

    def both(sizes: dict[str, int]) -> tuple:
        try:
            return build(settings, sizes)
        except AvbookError:
            raise
        except Exception as error:  # any error of a layer about its sizes
            raise AvbookError(
                f"{weights.where}: {recipe.name} cannot be built with the run's settings"
                f" ({first_line(error)}); run it again"
            ) from None

    def built(sizes: dict[str, int]):
        return both(sizes)[0]

    with torch.device("meta"):
        sizes = _Told(weights.where, _dims_of(built, weights) if dims is None else dims)
        check_fit(weights, built(sizes), "its settings or its weights were changed: run it again")
    with torch.random.fork_rng(devices=[]):  # its initial weights are drawn and replaced
        net, method = both(sizes)
    net.load_state_dict(weights.tensors(net.state_dict()))
    return net.eval(), method, dict(sizes)


class _Told(dict):
    """Sizes stored with the weights: a missing one that is needed is reported to the user."""

    def __init__(self, where: str, dims: Mapping[str, int]):
        super().__init__(dims)
        self.where = where

    def __missing__(self, name: str):
        raise AvbookError(f"{self.where}: its dims lack {name}; run it again")


# ----------------------------------------------------------------------------------- runs of before
_TRIAL = 2  # a size that any network may have


class _Asked(dict):
    """Made-up sizes: each size that is requested exists afterwards."""

    def __missing__(self, name: str) -> int:
        self[name] = _TRIAL
        return _TRIAL


def _dims_of(
    built: Callable[[dict[str, int]], Any],  # sizes of the data -> network
    weights: Weights,
) -> dict[str, int]:
    """Sizes of the data from the shapes of weights that do not store them.

    A size is read from an axis of a weight that grows with it: two trial networks show which.
    Whether the network of these sizes has all the shapes is checked afterwards."""
    asked = _Asked()
    trial = _shapes(built(asked))
    dims = dict(asked)
    for name in list(asked):
        grown = _shapes(built(_Asked({**asked, name: _TRIAL + 1})))
        growing = ((w, i) for w in trial for i, n in enumerate(trial[w]) if grown[w][i] != n)
        weight, axis = next(growing, ("", 0))
        if not weight:  # no weight depends on it with these settings
            continue
        shape = weights.shapes.get(weight, ())
        if len(shape) != len(trial[weight]):
            raise AvbookError(
                f"{weights.where}: {name}, a size of its data, is read from {weight}, which is"
                f" {f'of shape {shape}' if shape else 'missing'}; run it again"
            )
        step = grown[weight][axis] - trial[weight][axis]
        dims[name] = _TRIAL + (shape[axis] - trial[weight][axis]) // step
    return dims


def _shapes(net) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
