"""The papers as data: what each claims, and which of our functions implements which equation."""
from __future__ import annotations

from collections import defaultdict

__all__ = ["paper", "implementations"]

_IMPLEMENTATIONS: dict[tuple[str, int], list[str]] = defaultdict(list)


def paper(
    key: str,  # the paper: "psp", "ma" or "cmlcl"
    *,
    eq: int | tuple[int, ...],  # the equation's number, or several
):
    """A decorator that notes which numbered equations a function or class implements and returns it unchanged."""
    numbers = (eq,) if isinstance(eq, int) else tuple(eq)

    def note(thing):
        for number in numbers:
            name = f"{thing.__module__}.{thing.__qualname__}"
            if name not in _IMPLEMENTATIONS[key, number]:
                _IMPLEMENTATIONS[key, number].append(name)
        return thing

    return note


def implementations(
    key: str,  # the paper
    eq: int,  # the equation's number
) -> list[str]:
    """The dotted names that `paper(key, eq=…)` was put on, in the order they were imported."""
    return list(_IMPLEMENTATIONS.get((key, eq), []))
