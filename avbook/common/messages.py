"""Messages for a terminal: one line each, of characters that a terminal shows."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["one_line", "tell", "show_note"]

LONGEST = 1000  # characters of a message


def one_line(
    text: object,
    most: int = LONGEST,  # characters; the middle of a longer text is left out
) -> str:
    """The text without line breaks; control characters, and bytes of a name that are no text, are
    written as escapes."""
    try:
        words = " ".join(str(text).split())
    except Exception as error:  # an exception whose own message cannot be made
        words = f"({type(error).__name__} while its message was made)"
    line = _escaped(words if len(words) <= 2 * most else words[:most] + words[-most:])
    if len(line) <= most:
        return line
    tail = most // 4  # the end says what to do
    return f"{line[: most - tail - 3]} … {line[-tail:]}"


def _escaped(text: str) -> str:
    parts = [c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text]
    return "".join(parts)


def tell(
    text: object,
) -> None:
    """Prints "avbook: …", one line on standard error; a terminal that is gone hears nothing."""
    with suppress(OSError, ValueError):  # ValueError: it is closed
        print(f"avbook: {one_line(text)}", file=sys.stderr, flush=True)


def show_note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line: takes the place of `warnings.showwarning`."""
    tell(f"note: {message}")
