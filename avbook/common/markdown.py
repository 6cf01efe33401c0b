"""Markdown tables: a head, an alignment a column, rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown_table"]


def markdown_table(
    head: Sequence[str],  # names of the columns
    rows: Iterable[Sequence[object]],  # one text a column
    right: Iterable[int] = (),  # columns of numbers, set to the right
) -> str:
    """The table as Markdown, without a line break at its end."""
    right = set(right)
    lines = [_line(head)]
    lines.append("|" + "".join("--:|" if i in right else ":--|" for i in range(len(head))))
    lines += [_line(row) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
