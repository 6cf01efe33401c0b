"""Networks that a run trained, read back: built as its record says, with the weights that
validation chose."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from avbook.common.files import check_regular
from avbook.common.schema import Schema, parse_json, read_json
from avbook.errors import AvbookError
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes import RECIPES, find_recipe
from avbook.training.state_dicts import first_line
from avbook.training.weights import Weights, check_fit, differences, read_weights, some_of

__all__ = ["load_model"]

_SUFFIXES = (".json", ".safetensors", ".npz")  # of a run's files: record, weights, predictions


# ---------------------------------------------------------------------------------- what a run says
class _Data(Schema):
    hash: str


class _Weights(Schema):
    """What weights say of their run; those of before 0.2.0 say none of it."""

    recipe: str | None = None
    seed: int | None = None
    settings: dict[str, Any] | None = None
    data: _Data | None = None
    dims: dict[str, Annotated[int, Field(ge=1)]] | None = None


class _Run(Schema):
    """What must be known of a run to build its network, from its record or its weights."""

    recipe: str
    seed: int
    settings: dict[str, Any]
    data: _Data


# ---------------------------------------------------------------------------------------- the model
def load_model(
    path: str | os.PathLike,  # of the run's record, its weights, or both without their ending
):
    """The network that a run trained, with the weights that validation chose, on the CPU and in
    eval mode.

    The weights (`seed-N.safetensors`) may stand alone, where they say what run they are of; of runs
    before 0.2.0 they need the record (`seed-N.json`) beside them. Raises `AvbookError` where a file
    is missing or broken, where the recipe trains no single network, where record and weights are of
    different runs, and for all that `load_weights` refuses."""
    record_file, weights_file = _files(path)
    run = _read_run(record_file) if os.path.lexists(record_file) else None
    recipe = _recipe(run, record_file) if run else None
    try:
        check_regular(weights_file)
    except AvbookError as error:
        raise AvbookError(
            f"{error}; expected the weights beside the record of a finished run"
        ) from None
    weights = read_weights(weights_file)
    told = _told(weights)
    if run and recipe:
        _check_same_run(run, weights, told, record_file)
    else:
        run = _run_of_weights(told, weights, record_file)
        recipe = _recipe(run, weights_file)
    return _network(recipe, recipe.check(run["settings"]), told.get("dims"), weights)


def _files(path: str | os.PathLike) -> tuple[Path, Path]:
    """The record and the weights of the run, whichever of them was named."""
    if not isinstance(path, (str, os.PathLike)):
        raise AvbookError(
            f"a run: found {type(path).__name__}; expected the path of its record, such as"
            " runs/psp-full/KEY/seed-0.json (a network and its weights: load_weights)"
        )
    path = Path(path)
    if path.suffix in _SUFFIXES:
        check_regular(path)
        path = path.with_suffix("")
    record, weights = (path.with_name(path.name + suffix) for suffix in _SUFFIXES[:2])
    if not (os.path.lexists(record) or os.path.lexists(weights)):
        inside = sorted(p.name for p in path.glob("seed-*.json")) if path.is_dir() else []
        if inside:
            raise AvbookError(
                f"{path}: is a folder of {len(inside)} runs; give one, such as {path / inside[0]}"
            )
        raise AvbookError(
            f"{path}: no finished run ({record.name} and {weights.name} are missing); expected the"
            " path of a record, such as runs/psp-full/KEY/seed-0.json"
        )
    return record, weights


def _read_run(record_file: Path) -> dict[str, Any]:
    return read_json(record_file, _Run, "a run record", "give the record of a finished run")


def _told(weights: Weights) -> dict[str, Any]:
    """What the weights say of their run: fields of `_Weights`."""
    about = {name: weights.meta[name] for name in _Weights.model_fields if name in weights.meta}
    return _parsed(about, _Weights, weights.where, "weights of a run", "run it again")


def _run_of_weights(told: dict[str, Any], weights: Weights, record_file: Path) -> dict[str, Any]:
    return _parsed(
        told,
        _Run,
        weights.where,
        "weights that say their run",
        f"put its record beside them as {record_file.name}, or build the network and use"
        " load_weights",
    )


def _parsed(about: dict[str, Any], schema: type[Schema], where: str, what: str, advice: str):
    try:
        text = json.dumps(about)
    except RecursionError:
        raise AvbookError(f"{where}: not {what} (nested too deeply); {advice}") from None
    return parse_json(text, schema, where, what, advice)


# ---------------------------------------------------------------------------------- of the same run
def _check_same_run(
    run: dict[str, Any],  # the record
    weights: Weights,
    told: dict[str, Any],  # what the weights say of their run
    record_file: Path,
) -> None:
    """Nothing; raises `AvbookError` where record and weights differ in what both say."""
    selection = weights.meta.get("selection", "val_selected")
    recorded = {
        "recipe": run["recipe"],
        "seed": run["seed"],
        "settings": run["settings"],
        "data": {"hash": run["data"]["hash"]},
        "epoch": _entry(run, "epochs", selection),
        "test": _entry(run, "metrics", "test", selection),
    }
    found = {**told, **{name: weights.meta.get(name) for name in ("epoch", "test")}}
    if found.get("data"):
        found["data"] = {"hash": found["data"]["hash"]}
    both = [n for n in recorded if recorded[n] is not None and found.get(n) is not None]
    differing = differences(
        {name: _without_nan(recorded[name]) for name in both},
        {name: _without_nan(found[name]) for name in both},
        was="in the record",
        now="in the weights",
    )
    if differing:
        raise AvbookError(
            f"{weights.where}: not of the run of {record_file.name}: {some_of(differing)}; put"
            " files of one run side by side"
        )


def _entry(tree: Any, *keys: Any) -> Any:
    """The value under those keys, one within the other; None where there is none."""
    for key in keys:
        if not isinstance(tree, dict) or not isinstance(key, str):
            return None
        tree = tree.get(key)
    return tree


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, as a record writes it; NaN would differ from itself."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


# ----------------------------------------------------------------------------------------- building
def _recipe(run: dict[str, Any], where: Path) -> Recipe:
    """The run's recipe, once it has a network and knows all the settings."""
    try:
        recipe = find_recipe(run["recipe"])
        recipe.check(run["settings"])
    except AvbookError as error:
        raise AvbookError(f"{where}: {error}") from None
    if recipe.build is None:
        others = [name for name, other in RECIPES.items() if other.build is not None]
        raise AvbookError(
            f"{where}: {recipe.name} trains no single network that could be loaded; expected a run"
            f" of {', '.join(others)}"
        )
    missing = [name for name in recipe.options if name not in run["settings"]]
    if missing:
        raise AvbookError(
            f"{where}: its settings lack {', '.join(missing)}; it is of another version: run it"
            " again"
        )
    return recipe


def _network(
    recipe: Recipe,
    settings: dict[str, Any],
    dims: dict[str, int] | None,  # sizes of the data; None: read from the weights' shapes
    weights: Weights,
):
    """The network with the weights; nothing is allocated before they fit."""
    assert recipe.build is not None
    build = recipe.build

    def built(sizes: dict[str, int]):
        try:
            return build(settings, sizes)[0]
        except AvbookError:
            raise
        except Exception as error:  # whatever a layer says to its sizes
            raise AvbookError(
                f"{weights.where}: {recipe.name} cannot be built with the run's settings"
                f" ({first_line(error)}); run it again"
            ) from None

    with torch.device("meta"):
        sizes = _Told(weights.where, _dims_of(built, weights) if dims is None else dims)
        check_fit(weights, built(sizes), "its settings or its weights were changed: run it again")
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and not kept
        net = built(sizes)
    net.load_state_dict(weights.tensors(net.state_dict()))
    return net.eval()


class _Told(dict):
    """Sizes that the weights say: one that is asked for and missing is the user's to know."""

    def __init__(self, where: str, dims: Mapping[str, int]):
        super().__init__(dims)
        self.where = where

    def __missing__(self, name: str):
        raise AvbookError(f"{self.where}: its dims lack {name}; run it again")


# ----------------------------------------------------------------------------------- runs of before
_TRIAL = 2  # a size that any network may have


class _Asked(dict):
    """Sizes that are made up: each that is asked for is there afterwards."""

    def __missing__(self, name: str) -> int:
        self[name] = _TRIAL
        return _TRIAL


def _dims_of(
    built: Callable[[dict[str, int]], Any],  # sizes of the data -> network
    weights: Weights,
) -> dict[str, int]:
    """Sizes of the data by the shapes of weights that do not say them.

    A size is what one axis of one weight grows with: two trial networks show which. Whether the
    network of all sizes has all the shapes is checked afterwards."""
    asked = _Asked()
    trial = _shapes(built(asked))
    dims = dict(asked)
    for name in list(asked):
        grown = _shapes(built(_Asked({**asked, name: _TRIAL + 1})))
        growing = ((w, i) for w in trial for i, n in enumerate(trial[w]) if grown[w][i] != n)
        weight, axis = next(growing, ("", 0))
        if not weight:  # no weight depends on it in these settings
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
