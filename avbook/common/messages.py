"""Messages for a terminal: one line each, of printable characters."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

__all__ = ["one_line", "tell", "show_note"]

LONGEST = 1000  # characters of a message


def one_line(
    text: object,
    most: int = LONGEST,  # characters; a longer text loses its middle
) -> str:
    """The text without line breaks; control characters and undecodable bytes of names are
    escaped."""
    try:
        words = " ".join(str(text).split())
    except Exception as error:  # an exception whose message cannot be made
        words = f"({type(error).__name__} while its message was made)"
    line = _escaped(words if len(words) <= 2 * most else words[:most] + words[-most:])
    if len(line) <= most:
        return line
    tail = most // 4  # the end of a message says what to do
    return f"{line[: most - tail - 3]} … {line[-tail:]}"


def _escaped(text: str) -> str:
    parts = [c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text]
    return "".join(parts)


def tell(
    text: object,
) -> None:
    """Prints "avbook: …" as one line on standard error; does nothing if the terminal is gone."""
    with suppress(OSError, ValueError):  # ValueError: the stream is closed
        print(f"avbook: {one_line(text)}", file=sys.stderr, flush=True)


def show_note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Shows a warning as one line: a replacement for `warnings.showwarning`."""
    tell(f"note: {message}")
