"""Weights in safetensors files: written whole or not at all, read without pickle, checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avbook.common.files import written_whole
from avbook.errors import AvbookError

__all__ = [
    "write_tensors",
    "read_tensors",
    "save_weights",
    "load_weights",
    "differences",
    "some_of",
]


# -------------------------------------------------------------------------------------------- files
def write_tensors(
    path: str | os.PathLike,  # where the file shall stand; its folder is made
    tensors: dict[str, Tensor],  # what to keep, on any device
    meta: dict[str, Any],  # what else to keep: anything JSON can say
) -> Path:
    """The path, once the file stands there whole; a reader sees the old file or the new one, never
    a part.

    Raises `AvbookError` where the file cannot be written (a full disk, no permission) and leaves
    nothing behind."""
    from safetensors.torch import save

    path = Path(path)
    # a copy of each: safetensors refuses two names for one memory, and a module that is used
    # twice has just that
    plain = {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }
    try:
        with written_whole(path) as partial:
            partial.write_bytes(save(plain, metadata={"format": "pt", "avbook": json.dumps(meta)}))
    except OSError as error:
        raise AvbookError(
            f"{path}: could not be written ({error}); free some space or choose another folder"
        ) from error
    return path


def read_tensors(
    path: str | os.PathLike,  # a safetensors file, ours or not
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, on the CPU, and what `write_tensors` was told beside them ({} where
    another program wrote it)."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            meta = (file.metadata() or {}).get("avbook", "{}")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(meta)
    except FileNotFoundError:
        raise AvbookError(
            f"{path}: no such file; expected weights that `save_weights` or `fit(out=…)` wrote"
        ) from None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise AvbookError(
            f"{path}: not a whole safetensors file ({error}); write it again or remove it"
        ) from None


def save_weights(
    net: nn.Module,  # any network
    path: str | os.PathLike,  # the file, ending in .safetensors
    # kept beside the weights, such as the options the network was built with
    meta: dict[str, Any] | None = None,
) -> Path:
    """The path of the file that now holds the network's weights, its class's name and `meta`."""
    return write_tensors(path, net.state_dict(), {"class": type(net).__name__, **(meta or {})})


def load_weights(
    net: nn.Module,  # built with the options the weights were trained with
    # a file of `save_weights`, or any safetensors file with the same names
    path: str | os.PathLike,
) -> dict[str, Any]:
    """What was kept beside the weights; the network holds them afterwards.

    Raises `AvbookError` where the file is of another class or where names or shapes differ, and
    says which; the network is then as it was."""
    tensors, meta = read_tensors(path)
    if meta.get("class", type(net).__name__) != type(net).__name__:
        raise AvbookError(
            f"{path}: holds weights of {meta['class']}, expected {type(net).__name__}"
        )
    found = differences(
        {n: list(t.shape) for n, t in net.state_dict().items()},
        {n: list(t.shape) for n, t in tensors.items()},
        was="in the network",
        now="in the file",
    )
    if found:
        raise AvbookError(
            f"{path}: weights do not fit {type(net).__name__}: {some_of(found)}; build it with the"
            " options of that run"
        )
    net.load_state_dict(tensors)
    return meta


def differences(
    before: dict[str, Any],  # nested at will
    after: dict[str, Any],
    was: str = "was",
    now: str = "now",
) -> list[str]:
    """One phrase for each entry that differs, such as `options.lr was 0.001, now 0.01`; [] where
    both say the same."""
    found = []
    for key in [*before, *(key for key in after if key not in before)]:
        if isinstance(before.get(key), dict) and isinstance(after.get(key), dict):
            found += [
                f"{key}.{phrase}" for phrase in differences(before[key], after[key], was, now)
            ]
        elif key not in after:
            found.append(f"{key} only {was}")
        elif key not in before:
            found.append(f"{key} only {now}")
        elif before[key] != after[key]:
            found.append(f"{key} {was} {before[key]}, {now} {after[key]}")
    return found


def some_of(
    found: list[str],  # of `differences`
    most: int = 3,
) -> str:
    """The first few phrases in one line, and how many more there are."""
    return "; ".join(found[:most]) + (
        f"; and {len(found) - most} more" if len(found) > most else ""
    )
