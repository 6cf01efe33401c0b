"""Types of a paper's claims (tables, cells, orderings, figures); `@paper` marks an equation.

A `Table` holds the cells that a paper prints; a cell that we can run has a recipe and options. An
`OrderingClaim` is a statement such as "PSP beats ASP" that can be checked on any data set.
`experiments.tables` joins both with run records."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from avbook.errors import AvbookError

__all__ = ["paper", "implementations", "Cell", "Table", "OrderingClaim", "Figure", "PAPERS"]

PAPERS = {
    "psp": (
        "Zhou, Zheng, Zhong, Hao, Wang: Positive Sample Propagation along the Audio-Visual Event"
        " Line. CVPR 2021"
    ),
    "ma": (
        "Wu, Yang: Exploring Heterogeneous Clues for Weakly-Supervised Audio-Visual Video Parsing."
        " CVPR 2021"
    ),
    "cmlcl": (
        "Bao, Yang, Ng, Er, Kot: Cross-Modal Label Contrastive Learning for Unsupervised"
        " Audio-Visual Event Localization. AAAI 2023"
    ),
}

# ---------------------------------------------------------------------------------------- equations
_IMPLEMENTATIONS: dict[tuple[str, int], list[str]] = defaultdict(list)


def paper(
    key: str,  # the paper: "psp", "ma" or "cmlcl"
    *,
    eq: int | tuple[int, ...],  # the equation's number, or several
):
    """A decorator that records which numbered equations a function or class implements; it returns
    the function or class unchanged."""
    if key not in PAPERS:
        raise AvbookError(f"paper({key!r}): expected one of {', '.join(PAPERS)}")
    numbers = (eq,) if isinstance(eq, int) else tuple(eq)

    def note(thing):
        name = f"{thing.__module__}.{thing.__qualname__}"
        for number in numbers:
            if name not in _IMPLEMENTATIONS[key, number]:
                _IMPLEMENTATIONS[key, number].append(name)
        return thing

    return note


def implementations(
    key: str,  # the paper
    eq: int,  # the equation's number
) -> list[str]:
    """The dotted names decorated with `@paper(key, eq=…)`, in the order of their import."""
    return list(_IMPLEMENTATIONS.get((key, eq), []))


# ------------------------------------------------------------------------------------------- tables
@dataclass(frozen=True)
class Cell:
    """One number of a table: the paper's value and, if we can run it, recipe and options."""

    row: str
    column: str
    value: float | None  # percent, as printed; None where the paper prints a dash
    recipe: str | None = None  # None: another method, not rebuilt
    options: dict[str, Any] = field(default_factory=dict)
    mark: str = ""  # the paper's mark on the number, such as * for "reproduced by the authors"
    metric: str | None = None  # the score in a record; None: the table's

    @property
    def setting(self) -> tuple[str, dict[str, Any]]:
        """Recipe and options of a cell that we can run."""
        assert self.recipe is not None, f"{self.row}, {self.column}: no recipe"
        return self.recipe, self.options

    def gap_to(self, other: Cell, digits: int = 1) -> float | None:
        """The difference between this cell and another in the paper, in points; None for a dash."""
        if self.value is None or other.value is None:
            return None
        return round(self.value - other.value, digits)


@dataclass(frozen=True)
class Table:
    """A table of a paper: its cells in reading order and its subject."""

    key: str  # "psp-1"
    title: str
    source: str  # its place in the paper
    metric: str  # the score in a record
    cells: tuple[Cell, ...]
    note: str = ""
    # the reported epoch; "last" if the paper reports the last one
    selection: str = "val_selected"

    @property
    def rows(self) -> list[str]:
        """Row names in the paper's order."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """Column names in the paper's order."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    def cell(self, row: str, column: str) -> Cell | None:
        """The cell at a row and a column, or None if the table has no such cell."""
        return next((c for c in self.cells if c.row == row and c.column == column), None)


@dataclass(frozen=True)
class OrderingClaim:
    """A claim that one setting scores higher than another on the same data."""

    key: str
    text: str
    source: str
    metric: str
    better: tuple[str, dict[str, Any]]  # recipe and options
    worse: tuple[str, dict[str, Any]]
    paper_gap: float | None = None  # points, from the paper's own cells
    selection: str = "val_selected"  # the reported epoch


@dataclass(frozen=True)
class Figure:
    """A figure of a paper and what it shows."""

    key: str
    source: str
    shows: str
