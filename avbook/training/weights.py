"""Weights in safetensors files: written whole or not at all, read without pickle, checked."""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.lib.npyio import NpzFile
from torch import Tensor, nn

from avbook.common.files import check_regular, os_fault, write_bytes
from avbook.errors import AvbookError
from avbook.training.state_dicts import (
    FORMS,
    MOST,
    as_tensors,
    check_arrays,
    first_line,
    plain_names,
    unwrap,
    word,
)
from avbook.training.weight_files import NpzArrays, read_torch

__all__ = [
    "write_tensors",
    "pack_tensors",
    "read_tensors",
    "Weights",
    "read_weights",
    "save_weights",
    "load_weights",
    "check_fit",
    "differences",
    "some_of",
]


# -------------------------------------------------------------------------------------------- files
def write_tensors(
    path: str | os.PathLike,  # of the file; its folder is made
    tensors: dict[str, Tensor],  # tensors to store, on any device
    meta: dict[str, Any],  # metadata: any JSON value
) -> Path:
    """Writes the file whole and returns its path; a reader sees the old file or the new one, never
    a part.

    Raises `AvbookError` if the file cannot be written (a full disk, no permission) and leaves
    nothing behind."""
    path = Path(path)
    content = pack_tensors(tensors, meta)
    try:
        write_bytes(path, content)
    except OSError as error:
        raise os_fault(path, error) from error
    return path


def pack_tensors(
    tensors: dict[str, Tensor],  # tensors to store, on any device
    meta: dict[str, Any],  # metadata: any JSON value
) -> bytes:
    """The content of the file that `write_tensors` writes."""
    from safetensors.torch import save

    # a copy of each: safetensors refuses two names for one memory, which occur when a module is
    # used twice
    plain = {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }
    return _steady(save(plain, metadata={"format": "pt", "avbook": json.dumps(meta)}))


def _steady(
    data: bytes,  # content of a safetensors file
) -> bytes:
    """The same content with sorted metadata: safetensors writes it in another order each time, so
    the bytes would differ between runs."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    meta = header.pop("__metadata__")
    text = json.dumps({"__metadata__": dict(sorted(meta.items())), **header}, separators=(",", ":"))
    text += " " * (-len(text) % 8)  # the values start at a multiple of 8, as before
    return b"".join((struct.pack("<Q", len(text)), text.encode(), memoryview(data)[8 + length :]))


def read_tensors(
    path: str | os.PathLike,  # a safetensors file, ours or not
    most: int | None = None,  # limit of values in all tensors; None: none
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, on the CPU, and the metadata of `write_tensors` ({} if another program
    wrote it).

    Raises `AvbookError` if the file is not a regular file, not a complete safetensors file, larger
    than `most` by its header, or has metadata that `write_tensors` never writes."""
    from safetensors import safe_open

    check_regular(path)
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            meta = _parse_meta((file.metadata() or {}).get("avbook", "{}"))
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]
            numbers = sum(math.prod(shape) for shape in shapes)
            if most is not None and numbers > most:
                raise ValueError(f"{numbers:,} numbers; expected at most {most:,}")
            # copies: a tensor of the file itself would change with the file
            return {name: file.get_tensor(name).clone() for name in file.keys()}, meta
    except Exception as error:  # many types: of the library, of PyTorch for a missing type
        raise AvbookError(
            f"{path}: not a whole safetensors file ({first_line(error)}); write it again or remove"
            " it"
        ) from None


def _parse_meta(text: str) -> dict[str, Any]:
    """The metadata; NaN is an undefined score."""

    def refuse(word: str) -> float:
        if word == "NaN":
            return math.nan
        raise ValueError(f"its metadata has {word}")

    def finite(word: str) -> float:
        return number if math.isfinite(number := float(word)) else refuse(word[:20])

    meta = json.loads(text, parse_constant=refuse, parse_float=finite)
    if not isinstance(meta, dict):
        raise ValueError("its metadata is not an object")
    return meta


# ------------------------------------------------------------------------------------------ weights
LONGEST = 4096  # longest path in characters: a longer text is the content of a file
TORCH = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class Weights:
    """Weights by the given names, each an array of floating-point numbers of possible size."""

    where: str  # start of messages, such as the file
    arrays: Mapping[str, Any]  # name, without prefixes -> tensor or array
    meta: dict[str, Any]  # metadata of `write_tensors`

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.arrays.items()}

    def tensors(
        self,
        own: Mapping[str, Tensor],  # the network's weights, by the same names: their types are used
    ) -> dict[str, Tensor]:
        """Copies of the network's weights; raises `AvbookError` if one is not finite."""
        wanted = {name: value for name, value in self.arrays.items() if name in own}
        return as_tensors(wanted, self.where, own)


def read_weights(
    # a file (.safetensors, .npz, or of `torch.save`); a state dict of tensors or arrays; a network;
    # a dict with one of these under one of the usual keys, such as "state_dict"
    source: Any,
    what: str = "weights",  # name in messages
    known: tuple[str, ...] = (),  # prefixes of the network's own names, which stay
    unused: tuple[str, ...] = (),  # how names begin that are not to be read
    own: Mapping[str, Tensor] | None = None,  # the network's, for its counters and empty weights
) -> Weights:
    """The weights in any of these forms, without the prefixes `module.`, `_orig_mod.`, `model.` and
    `net.` if all names have them.

    Nothing is unpickled. Raises `AvbookError` for every other form, for values that are not arrays
    of floating-point numbers, and if they are too large; `Weights.tensors` raises for values that
    are not finite."""
    where, found, meta = _opened(source, what)
    weights = found if isinstance(found, NpzArrays) else unwrap(found, where)
    names = plain_names(weights.keys(), where, known)
    arrays = {name: weights[key] for name, key in names.items() if not name.startswith(unused)}
    check_arrays(arrays, where, own)
    return Weights(where, arrays, meta)


def _opened(source: Any, what: str) -> tuple[str, Any, dict[str, Any]]:
    """The start of messages, the content of a file (or the source itself), and its metadata."""
    if isinstance(source, NpzFile):
        if not isinstance(source.zip, zipfile.ZipFile):
            raise AvbookError(f"{what}: the .npz file is closed; pass its path")
        return what, NpzArrays(source.zip, what), {}
    if not isinstance(source, (str, os.PathLike)):
        return what, source, {}
    path = Path(source)
    if len(str(path).splitlines()) > 1 or len(str(path)) > LONGEST:
        raise AvbookError(f"{what}: found {word(source, quoted=True)}; {FORMS}")
    where = str(path) if what == "weights" else f"{path}: {what}"
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return where, *read_tensors(path, MOST)
    if suffix == ".npz":
        return where, NpzArrays.of_path(path), {}
    check_regular(path)
    if suffix not in TORCH:
        raise AvbookError(
            f"{path}: not known as a file of weights; expected .safetensors, .npz or"
            f" {', '.join(TORCH)}"
        )
    return where, read_torch(path), {}


def save_weights(
    net: nn.Module,  # any network
    path: str | os.PathLike,  # the file, ending in .safetensors
    # metadata stored with the weights, such as the options of the network
    meta: dict[str, Any] | None = None,
) -> Path:
    """Writes the network's weights, its class name and `meta`, and returns the path of the file."""
    return write_tensors(path, net.state_dict(), {"class": type(net).__name__, **(meta or {})})


def load_weights(
    net: nn.Module,  # built with the options of the training
    # a file of `save_weights`, or any other form of `read_weights`, with the same names
    source: Any,
) -> dict[str, Any]:
    """Loads the weights into the network and returns the metadata stored with them.

    Raises `AvbookError` if the file belongs to another class, if names or shapes differ, and as
    `read_weights` does; the network is then unchanged."""
    own = net.state_dict()
    weights = read_weights(source, known=tuple(own), own=own)
    check_fit(weights, net)
    net.load_state_dict(weights.tensors(own))
    return weights.meta


def check_fit(
    weights: Weights,
    net: nn.Module,  # its values are not used: it may be on the meta device
    advice: str = "build it with the options of that run",
) -> None:
    """Raises `AvbookError` if class, names or shapes are not the network's."""
    kind = type(net).__name__
    if weights.meta.get("class", kind) != kind:
        told = word(weights.meta["class"])
        raise AvbookError(f"{weights.where}: holds weights of {told}, expected {kind}")
    found = differences(
        {name: list(tensor.shape) for name, tensor in net.state_dict().items()},
        {name: list(shape) for name, shape in weights.shapes.items()},
        was="in the network",
        now="in the file" if weights.where != "weights" else "given",
    )
    if found:
        told = some_of([word(phrase, longest=300) for phrase in found])
        raise AvbookError(f"{weights.where}: weights do not fit {kind}: {told}; {advice}")


# ------------------------------------------------------------------------------------------ phrases
def differences(
    before: dict[str, Any],  # nested to any depth
    after: dict[str, Any],
    was: str = "was",
    now: str = "now",
) -> list[str]:
    """One phrase for each entry that differs, such as `options.lr was 0.001, now 0.01`; [] if there
    is none."""
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
    found: list[str],  # phrases of `differences`
    most: int = 3,
) -> str:
    """The first few phrases in one line, and the number of further ones."""
    return "; ".join(found[:most]) + (
        f"; and {len(found) - most} more" if len(found) > most else ""
    )
