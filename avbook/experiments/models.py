"""Trained networks read back: built as the run's record says, with the weights selected on
validation."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from avbook.common.files import check_regular
from avbook.common.schema import Schema, parse_json, read_json
from avbook.data.spec import find_spec
from avbook.errors import AvbookError
from avbook.experiments.building import build_network
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes import RECIPES, find_recipe
from avbook.training.weights import (
    Weights,
    differences,
    read_weights,
    some_of,
)

__all__ = ["EXPORT", "TrainedModel", "load_model", "read_model"]

EXPORT = {"kind": "avbook model", "version": 1}  # header of an exported file
_SUFFIXES = (".json", ".safetensors", ".npz")  # files of a run: record, weights, predictions


# ---------------------------------------------------------------------------------- what a run says
class _Data(Schema):
    hash: str
    kind: str | None = None
    name: str | None = None
    features: dict[str, Any] | None = None  # the extractors; None: not stored


class _Weights(Schema):
    """The fields that weights store about their run; weights written before 0.2.0 have none."""

    recipe: str | None = None
    seed: int | None = None
    settings: dict[str, Any] | None = None
    data: _Data | None = None
    dims: dict[str, Annotated[int, Field(ge=1)]] | None = None
    categories: Annotated[list[str], Field(min_length=1)] | None = None


class _Run(Schema):
    """The fields needed to build a run's network, from its record or its weights."""

    recipe: str
    seed: int
    settings: dict[str, Any]
    data: _Data


# ---------------------------------------------------------------------------------------- the model
@dataclass(frozen=True)
class TrainedModel:
    """A run's network, with all that is needed to apply it to other clips."""

    where: str  # file of the model, for messages
    net: Any  # with the weights selected on validation, in eval mode
    method: Any  # method of its recipe: `predict(net, batch)`
    recipe: Recipe
    settings: dict[str, Any]
    seed: int
    categories: tuple[str, ...] | None  # None: not stored
    data: dict[str, Any]  # training data: hash; kind, name, features if stored
    dims: dict[str, int]  # sizes of the data; not stored before 0.2.0
    meta: dict[str, Any]  # all metadata of the weights

    @property
    def task(self) -> str:
        """ "ave" or "llp"."""
        return self.recipe.task

    @property
    def name(self) -> str:
        """Recipe, seed and a hash of the weights, which identifies the training run."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.net.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"{self.recipe.name} seed {self.seed}, weights {digest.hexdigest()[:8]}"


def load_model(
    # an exported file; or a run's record, its weights, or both without suffix
    path: str | os.PathLike,
):
    """The trained network of a run, with the weights selected on validation, on the CPU and in eval
    mode.

    The weights (`seed-N.safetensors`) suffice if they store their run; those written before 0.2.0
    need the record (`seed-N.json`) beside them. Raises `AvbookError` if a file is missing or
    broken, if the recipe trains no single network, if record and weights belong to different runs,
    and as `load_weights` does."""
    return read_model(path).net


def read_model(
    path: str | os.PathLike,  # as for `load_model`
) -> TrainedModel:
    """The network with its method, settings, categories and data. Raises `AvbookError` as
    `load_model` does."""
    record_file, weights_file = _files(path)
    weights = _weights(weights_file) if _is_exported(weights_file) else None
    run = None
    if weights is None and os.path.lexists(record_file):
        run = _read_run(record_file)
    recipe = _recipe(run, record_file) if run else None
    weights = weights or _weights(weights_file)
    told = _told(weights)
    if run and recipe:
        _check_same_run(run, weights, told, record_file)
    else:
        run = _run_of_weights(told, weights, record_file)
        recipe = _recipe(run, weights_file)
    settings = recipe.check(run["settings"])
    net, method, dims = build_network(recipe, settings, told.get("dims"), weights)
    return TrainedModel(
        where=weights.where,
        net=net,
        method=method,
        recipe=recipe,
        settings=settings,
        seed=run["seed"],
        categories=_categories(told, run, recipe, dims, weights.where),
        data=run["data"],
        dims=dims,
        meta=weights.meta,
    )


def _weights(weights_file: Path) -> Weights:
    try:
        check_regular(weights_file)
    except AvbookError as error:
        raise AvbookError(
            f"{error}; expected the weights beside the record of a finished run"
        ) from None
    return read_weights(weights_file)


def _is_exported(weights_file: Path) -> bool:
    """Whether the file is an exported model; a JSON file of the same name then has nothing to do
    with it. Raises `AvbookError` for one of another version."""
    from safetensors import safe_open

    try:
        check_regular(weights_file)
        with safe_open(os.fspath(weights_file), framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("avbook", "{}"))
        found = {name: meta.get(name) for name in EXPORT}
    except Exception:  # a broken file is reported when it is read
        return False
    if found["kind"] == EXPORT["kind"] and found != EXPORT:
        raise AvbookError(
            f"{weights_file}: a model of version {str(found['version'])[:20]}; this avbook reads"
            f" version {EXPORT['version']}: use the avbook that wrote it, or export it again"
        )
    return found == EXPORT


def _categories(
    told: dict[str, Any],  # metadata of the weights
    run: dict[str, Any],  # fields of the record or the weights
    recipe: Recipe,
    dims: dict[str, int],
    where: str,
) -> tuple[str, ...] | None:
    """The names of the network's classes. Runs that do not store them use those of the data set if
    it is official or the world."""
    names = told.get("categories")
    if names is not None:
        if len(names) != dims.get("categories"):
            raise AvbookError(
                f"{where}: {len(names)} categories, but sizes for {dims.get('categories')}; it was"
                " changed: run it again"
            )
        return tuple(names)
    own = find_spec(recipe.task).categories
    if run["data"].get("kind") in ("official", "world") and dims.get("categories") == len(own):
        return own
    return None


# ------------------------------------------------------------------------------------ finding files
def _files(path: str | os.PathLike) -> tuple[Path, Path]:
    """The record and the weights of the run, from the path of either."""
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
    """The fields of `_Weights` that the weights store about their run."""
    about = {name: weights.meta[name] for name in _Weights.model_fields if name in weights.meta}
    return _parsed(about, _Weights, weights.where, "weights of a run", "run it again")


def _run_of_weights(told: dict[str, Any], weights: Weights, record_file: Path) -> dict[str, Any]:
    return _parsed(
        told,
        _Run,
        weights.where,
        "weights that store their run",
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
    run: dict[str, Any],  # record of the run
    weights: Weights,
    told: dict[str, Any],  # the weights' own description of their run
    record_file: Path,
) -> None:
    """Raises `AvbookError` if record and weights differ in a field that both have."""
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
            " the files of one run together"
        )


def _entry(tree: Any, *keys: Any) -> Any:
    """The value under these nested keys; None if there is none."""
    for key in keys:
        if not isinstance(tree, dict) or not isinstance(key, str):
            return None
        tree = tree.get(key)
    return tree


def _without_nan(value: Any) -> Any:
    """The value with None instead of NaN, as in a record; NaN would differ from itself."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


# ----------------------------------------------------------------------------------------- building
def _recipe(run: dict[str, Any], where: Path) -> Recipe:
    """The run's recipe, after checks that it has a network and knows all the settings."""
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
