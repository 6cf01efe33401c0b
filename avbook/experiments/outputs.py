"""Files of a run and of its stages: written with a description of their run, read with checks."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from avbook.common.files import check_regular, write_bytes
from avbook.common.schema import Schema, parse_json
from avbook.errors import AvbookError

__all__ = [
    "write_predictions",
    "pack_predictions",
    "read_predictions",
    "read_stage_tensors",
    "check_shape",
    "check_labels",
    "without_nan",
]


# -------------------------------------------------------------------------------------- predictions
class _Made(Schema):
    recipe: str
    seed: int
    data: str


def write_predictions(
    path: Path,  # ends in .npz
    predictions: dict[str, Any],  # selection -> array, or name -> array
    run: dict[str, Any],  # the run they belong to: recipe, seed, data (its hash)
) -> None:
    """Writes the file that `pack_predictions` makes, whole or not at all."""
    write_bytes(path, pack_predictions(predictions, run))


def pack_predictions(
    predictions: dict[str, Any],  # as for `write_predictions`, like the next
    run: dict[str, Any],
) -> bytes:
    """The content of an .npz file: the test predictions of each selection as small integers and,
    under `run`, a JSON description of their run."""
    arrays = {"run": np.array(json.dumps(run))}
    for selection, predicted in predictions.items():
        parts = predicted if isinstance(predicted, dict) else {"predicted": predicted}
        for name, values in parts.items():
            key = selection if name == "predicted" else f"{selection}.{name}"
            arrays[key] = np.asarray(values).astype(np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # the stub takes an array for a flag
    return packed.getvalue()


def read_predictions(
    path: Path,  # as written by `write_predictions`
    run: dict[str, Any] | None = None,  # the expected run; None: any
) -> dict[str, Any]:
    """The predictions as given to `write_predictions`: selection -> array, or name -> array.

    Raises `AvbookError` if the file is missing, incomplete, or belongs to another run. Files
    written before 0.2.0 do not store their run, and are accepted."""
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file}
    except Exception as error:  # a truncated archive raises one of many types
        told = " ".join(str(error).split())[:100]
        raise AvbookError(
            f"{path}: not predictions of a run ({type(error).__name__}: {told}); remove it and run"
            " again"
        ) from None
    made = arrays.pop("run", None)
    if made is not None:
        text = str(made) if made.dtype.kind == "U" and made.ndim == 0 else ""
        found = parse_json(text, _Made, str(path), "predictions of a run", "run it again")
        for name, value in (run or {}).items():
            if found.get(name) != value:
                raise AvbookError(
                    f"{path}: predictions of another run ({name} {found.get(name)}, expected"
                    f" {value}); move it away and run again"
                )
    predictions: dict[str, Any] = {}
    for key, array in arrays.items():
        selection, _, name = key.partition(".")
        if name:
            predictions.setdefault(selection, {})[name] = array
        else:
            predictions[selection] = array
    return predictions


# ------------------------------------------------------------------------------------------- stages
def read_stage_tensors(
    path: Path,  # in the folder of a finished stage
    shapes: dict[str, tuple],  # shape of each tensor; None stands for any size
) -> dict[str, Any]:
    """The tensors of a stage's file; raises `AvbookError` if the file is missing or incomplete, or
    if a tensor is missing, has another shape or a value that is not finite."""
    from avbook.training.weights import read_tensors

    check_regular(path)
    tensors, _ = read_tensors(path)
    for name, shape in shapes.items():
        check_shape(path, name, tensors.get(name), shape)
    return tensors


def check_shape(
    path: Path,  # the file of the values, in the folder of a finished stage
    name: str,
    values: Any,  # a tensor or an array; None: missing
    shape: tuple,  # None stands for any size
) -> None:
    """Raises `AvbookError` if the values are missing, have another shape or are not finite."""
    if values is None:
        fault = f"it lacks {name}"
    elif len(values.shape) != len(shape) or any(
        want is not None and have != want for have, want in zip(values.shape, shape)
    ):
        sizes = ", ".join("any" if want is None else str(want) for want in shape)
        fault = f"{name} has the shape {tuple(values.shape)}, expected ({sizes})"
    elif not np.isfinite(np.asarray(values)).all():
        fault = f"{name} is not finite"
    else:
        return
    raise _not_as_written(path, fault)


def check_labels(
    path: Path,  # as for `check_shape`, like the next
    name: str,
    values: Any,
    shape: tuple,
) -> None:
    """Raises `AvbookError` as `check_shape` does, and for a value other than the integers 0 and
    1."""
    check_shape(path, name, values, shape)
    if values.dtype.kind not in "biu" or not np.isin(values, (0, 1)).all():
        raise _not_as_written(path, f"{name} is {values.dtype}, expected the integers 0 and 1")


def _not_as_written(path: Path, fault: str) -> AvbookError:
    return AvbookError(
        f"{path}: not as its stage wrote it ({fault}); remove {path.parent} to make it again"
    )


# ------------------------------------------------------------------------------------------ scores
def without_nan(value: Any) -> Any:
    """The value with null instead of NaN for every undefined score: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
