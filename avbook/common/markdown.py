"""Markdown tables: a header, an alignment per column, rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown_table"]


def markdown_table(
    head: Sequence[str],  # names of the columns
    rows: Iterable[Sequence[object]],  # one text per column
    right: Iterable[int] = (),  # columns of numbers, right-aligned
) -> str:
    """The table as Markdown, without a final line break."""
    right = set(right)
    lines = [_line(head)]
    lines.append("|" + "".join("--:|" if i in right else ":--|" for i in range(len(head))))
    lines += [_line(row) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
