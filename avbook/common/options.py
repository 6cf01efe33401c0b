"""Checks of an argument's value, each with one clear line when it fails."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from avbook.errors import AvbookError

__all__ = ["is_whole", "check_choice", "check_heads", "check_int", "check_seed"]


def is_whole(
    value: object,
) -> bool:
    """Whether the value is a whole number, Python's or NumPy's; `True` and 3.0 are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_choice(
    name: str,  # of the option
    value: str,  # what was given
    known: tuple[str, ...],  # what it may be
) -> None:
    """Nothing; raises `AvbookError` where the option is not one of those known."""
    if value not in known:
        raise AvbookError(
            f"{name}={value!r}: expected {', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        )


def check_heads(
    name: str,  # of the option that sets the width
    width: int,
    heads: int,
) -> None:
    """Nothing; raises `AvbookError` where the heads of an attention do not divide its width."""
    if heads < 1 or width % heads:
        raise AvbookError(
            f"{name}={width}, heads={heads}: expected a width that the heads divide evenly"
        )


def check_int(
    **options: tuple[int, int],  # by name: the value given and the least it may be
) -> None:
    """Nothing; raises `AvbookError` where a value is no whole number or too small."""
    for name, (value, least) in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise AvbookError(f"{name}={value!r}: expected a whole number, at least {least}")


def check_seed(
    seed: Any,
) -> None:
    """Nothing; raises `AvbookError` where it is no whole number from 0 to 2**32 - 1."""
    if not is_whole(seed) or not 0 <= seed < 2**32:
        raise AvbookError(f"seed {seed!r}: expected a whole number from 0 to 2**32 - 1")
