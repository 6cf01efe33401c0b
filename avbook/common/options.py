"""Checks of arguments, each with a one-line error."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from avbook.errors import AvbookError

__all__ = ["is_whole", "check_choice", "check_heads", "check_int", "check_seed"]


def is_whole(
    value: object,
) -> bool:
    """Whether the value is an integer of Python or NumPy; `True` and 3.0 are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_choice(
    name: str,  # name of the option
    value: str,  # value given
    known: tuple[str, ...],  # allowed values
) -> None:
    """Raises `AvbookError` if the option is not one of the known values."""
    if value not in known:
        raise AvbookError(
            f"{name}={value!r}: expected {', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        )


def check_heads(
    name: str,  # name of the option that sets the width
    width: int,
    heads: int,
) -> None:
    """Raises `AvbookError` if the number of attention heads does not divide the width."""
    if heads < 1 or width % heads:
        raise AvbookError(
            f"{name}={width}, heads={heads}: expected a width divisible by the number of heads"
        )


def check_int(
    **options: tuple[int, int],  # name -> (value given, smallest allowed value)
) -> None:
    """Raises `AvbookError` if a value is not an integer or is too small."""
    for name, (value, least) in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise AvbookError(f"{name}={value!r}: expected a whole number, at least {least}")


def check_seed(
    seed: Any,
) -> None:
    """Raises `AvbookError` if the seed is not an integer from 0 to 2**32 - 1."""
    if not is_whole(seed) or not 0 <= seed < 2**32:
        raise AvbookError(f"seed {seed!r}: expected a whole number from 0 to 2**32 - 1")
