"""Weights by name, in any of the forms they are given in: unwrapped, without prefixes, checked
before they are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avbook.errors import AvbookError

__all__ = [
    "MOST",
    "unwrap",
    "plain_names",
    "check_arrays",
    "as_tensors",
    "listed",
    "word",
    "first_line",
]

MOST = 2**30  # values in all weights together: 4 GiB of float32, a hundred times our largest
ARRAYS = (Tensor, np.ndarray)
FORMS = "expected a path, a state dict (names to tensors or arrays) or a network"
# keys under which training programs store a state dict beside other things
WRAPPINGS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "network",
    "net",
    "weights",
)
DEPTH = 4  # levels of nesting
WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
PREFIXES = (*WRAPPERS, "model.", "net.")


# ----------------------------------------------------------------------------------------- wrapping
def unwrap(
    given: Any,  # a state dict, a network, or either under one of the usual keys
    where: str,  # start of messages
) -> Mapping[str, Any]:
    """The state dict inside: names to values of any type.

    Raises `AvbookError` if two keys hold weights, and if a dict of dicts has none of the usual
    keys."""
    for _ in range(DEPTH):
        weights = _mapping(given, where)
        values = _values(weights, where)
        inner = {key: value for key, value in values.items() if _holds_weights(value)}
        known = [key for key in inner if key in WRAPPINGS]
        if len(known) > 1:
            raise AvbookError(
                f"{where}: {listed(known)} hold weights each; pass one of them, such as"
                f" x[{known[0]!r}]"
            )
        if not known:
            if inner and not any(isinstance(value, ARRAYS) for value in values.values()):
                raise AvbookError(
                    f"{where}: looks nested ({listed(inner)}); pass one part, such as"
                    f" x[{word(next(iter(inner)), quoted=True)}]"
                )
            return weights
        given = inner[known[0]]
    raise AvbookError(f"{where}: a state dict within {DEPTH} others; pass the innermost")


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if isinstance(given, nn.Module):
        try:
            return given.state_dict()
        except Exception as error:  # a layer of unknown size, a method of the user
            raise AvbookError(
                f"{where}: the state_dict of {type(given).__name__} cannot be read"
                f" ({first_line(error)}); {FORMS}"
            ) from None
    if isinstance(given, type) or not isinstance(given, Mapping):
        kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise AvbookError(f"{where}: found {kind}; {FORMS}")
    return given


def _values(weights: Mapping[str, Any], where: str) -> dict[Any, Any]:
    try:
        return {key: weights[key] for key in weights.keys()}
    except Exception as error:  # an object of the user's may raise anything
        raise AvbookError(
            f"{where}: {type(weights).__name__} cannot be read ({first_line(error)}); {FORMS}"
        ) from None


def _holds_weights(value: Any, depth: int = DEPTH) -> bool:
    """Whether a dict, or a dict nested in it, holds tensors or arrays."""
    if isinstance(value, nn.Module):
        return True
    if not isinstance(value, Mapping) or not depth:
        return False
    try:
        parts = list(value.values())
    except Exception:  # an object of the user's may raise anything: then it holds none
        return False
    return any(isinstance(part, ARRAYS) or _holds_weights(part, depth - 1) for part in parts)


# -------------------------------------------------------------------------------------------- names
def plain_names(
    keys: Iterable[str],
    where: str,  # start of messages
    known: tuple[str, ...] = (),  # prefixes of the network's own names, which stay
) -> dict[str, str]:
    """Name without prefixes -> key.

    Golden files mark weights by "sd/": then only those count. `module.`, `_orig_mod.`, `model.` and
    `net.` are removed repeatedly while all names have them. Raises `AvbookError` for names that are
    not strings, and if only some have `module.` or `_orig_mod.`: those are two networks."""
    keys = list(keys)
    strange = [key for key in keys if not isinstance(key, str)]
    if strange:
        raise AvbookError(
            f"{where}: {len(strange)} of {len(keys)} names are not strings, such as"
            f" {word(strange[0], quoted=True)}; {FORMS}"
        )
    if marked := [key for key in keys if key.startswith("sd/")]:
        names = {key[len("sd/") :]: key for key in marked}
    else:
        names = dict(zip(keys, keys))
    while prefix := _shared_prefix(names, known):
        names = {name[len(prefix) :]: key for name, key in names.items()}
    for prefix in WRAPPERS:
        wrapped = [n for n in names if n.startswith(prefix) and not n.startswith(known)]
        if wrapped:
            twice = [name for name in wrapped if name[len(prefix) :] in names]
            told = f"{word(twice[0][len(prefix) :])} both with and without it" if twice else ""
            raise AvbookError(
                f"{where}: {prefix} stands before {len(wrapped)} of {len(names)} names"
                f"{told and ', ' + told}; expected before all or none: are these two networks?"
            )
    return names


def _shared_prefix(names: Iterable[str], known: tuple[str, ...]) -> str:
    """A prefix that every name has and that is not the network's own; "" if there is none."""
    names = list(names)
    if not names or any(name.startswith(known) for name in names):
        return ""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) and name != prefix for name in names):
            return prefix
    return ""


# ------------------------------------------------------------------------------------------- values
def check_arrays(
    arrays: Mapping[str, Any],  # by name
    where: str,  # start of messages
    own: Mapping[str, Tensor] | None = None,  # the network's weights, by the same names
) -> None:
    """Checks that each value is an array of floating-point numbers of possible size; decided by
    shape and type, before anything is copied.

    Integers are allowed where the network's own weight has the same type, such as counters, and any
    value where its own is empty. Raises `AvbookError` with the names of each kind of fault."""
    faults: dict[str, list[str]] = {}
    for name, value in arrays.items():
        if fault := _fault(value, None if own is None else own.get(name)):
            faults.setdefault(fault, []).append(name)
    if faults:
        told = "; ".join(f"{fault}: {listed(names, 5)}" for fault, names in faults.items())
        raise AvbookError(
            f"{where}: {told}; expected tensors or arrays of finite floating-point numbers"
        )
    numbers = sum(math.prod(value.shape) for value in arrays.values())
    if numbers > MOST:
        largest = max(arrays, key=lambda name: math.prod(arrays[name].shape))
        raise AvbookError(
            f"{where}: {numbers:,} numbers, such as {word(largest)}"
            f" {tuple(arrays[largest].shape)}; expected at most {MOST:,} in all weights together"
        )


def _fault(value: Any, own: Tensor | None) -> str:
    """What is wrong with a value, in words; "" if nothing is."""
    if isinstance(value, Tensor):
        fault, kind = _tensor_fault(value), str(value.dtype).removeprefix("torch.")
    elif isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        fault, kind = "", str(value.dtype)
    else:
        return f"not an array ({type(value).__name__})"
    if fault:
        return fault
    floating = value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind == "f"
    if own is not None and not own.is_floating_point():
        wanted = str(own.dtype).removeprefix("torch.")
        return "" if kind == wanted else f"{word(kind)} instead of {wanted}"
    if not floating:
        return f"not floating-point numbers ({word(kind)})"
    if 0 in value.shape and (own is None or 0 not in own.shape):
        return "empty"
    return ""


def _tensor_fault(tensor: Tensor) -> str:
    if nn.parameter.is_lazy(tensor):
        return "of unknown size (a lazy layer)"
    if tensor.is_meta:
        return "without values (on the meta device)"
    if tensor.is_quantized:
        return "quantised"
    if tensor.is_nested or tensor.layout != torch.strided:
        return "sparse or nested"
    return ""


def as_tensors(
    arrays: Mapping[str, Any],  # checked by `check_arrays`
    where: str,  # start of messages
    own: Mapping[str, Tensor],  # the network's weights, by the same names: their types are used
) -> dict[str, Tensor]:
    """Copies on the CPU. Raises `AvbookError` with the names of those that are not finite, such as
    1e300 if the network has float32."""
    found, infinite = {}, []
    for name, value in arrays.items():
        try:
            found[name] = _copied(value, own[name].dtype)
            finite = bool(found[name].isfinite().all())
        except Exception as error:  # out of memory, a tensor of another library
            raise AvbookError(
                f"{where}: {word(name)} cannot be read ({first_line(error)})"
            ) from None
        if not finite:
            infinite.append(name)
    if infinite:
        raise AvbookError(
            f"{where}: not finite: {listed(infinite, 5)}; expected finite numbers: use the weights"
            " of an earlier epoch, or get the file again"
        )
    return found


def _copied(value: Any, dtype: torch.dtype) -> Tensor:
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and value.dtype.str not in ("<f2", "<f4", "<f8"):
            with np.errstate(over="ignore"):  # of another byte order, or a type that PyTorch lacks
                value = value.astype(np.float64)
        value = torch.from_numpy(np.array(value))
    return value.detach().to(device="cpu", dtype=dtype, copy=True)


# -------------------------------------------------------------------------------------------- words
def listed(
    names: Iterable[Any],
    most: int = 40,
) -> str:
    """The names in one line; only the first ones if there are very many."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(word(name) for name in names[:most]) + more


def word(
    name: Any,
    quoted: bool = False,  # as Python's repr
    longest: int = 120,  # characters
) -> str:
    """A name in one line: unchanged if it is an ordinary one."""
    try:
        text = repr(name) if quoted or not str(name).isprintable() else str(name)
    except Exception:  # a user's key whose repr fails
        text = type(name).__name__
    text = " ".join(text.split())  # the repr of an array has several lines
    return text if len(text) <= longest else f"{text[:longest]}…"


def first_line(
    error: Exception,
) -> str:
    """An exception in one line of limited length."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:200]
