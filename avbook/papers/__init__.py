"""The content of the three papers: every number, stated ordering, figure and numbered equation.

A paper's numbers are in its own file (`psp`, `ma`, `cmlcl`) and nowhere else. CMRAN, which two of
them quote, has a table on its released code (`cmran`).
"""

from __future__ import annotations

from collections.abc import Iterable

from avbook.errors import AvbookError
from avbook.papers import cmlcl, cmran, ma, psp
from avbook.papers.schema import PAPERS, Figure, OrderingClaim, Table

__all__ = ["EQUATIONS", "TABLES", "ORDERING_CLAIMS", "FIGURES", "find_table", "find_tables"]

_FILES = {"psp": psp, "ma": ma, "cmlcl": cmlcl}
_TABLES = {**{key: file.TABLES for key, file in _FILES.items()}, "cmran": cmran.TABLES}

EQUATIONS: dict[str, dict[int, str]] = {
    key: _FILES[key].EQUATIONS for key in PAPERS
}  # in our words
TABLES: dict[str, Table] = {
    key: table for tables in _TABLES.values() for key, table in tables.items()
}
ORDERING_CLAIMS: list[OrderingClaim] = [
    direction for key in PAPERS for direction in _FILES[key].ORDERING_CLAIMS
]
FIGURES: list[Figure] = [figure for key in PAPERS for figure in _FILES[key].FIGURES]


def find_table(
    key: str,  # such as "psp-1"
) -> Table:
    """The table with this key; raises `AvbookError` with the known keys."""
    if key not in TABLES:
        raise AvbookError(
            f"table {key!r} is not known: expected one of {', '.join([*_TABLES, *TABLES])}"
        )
    return TABLES[key]


def find_tables(
    keys: Iterable[str],  # keys of tables, such as "psp-1", or of papers, such as "psp"
) -> list[Table]:
    """The tables with these keys, each once; the key of a paper means all of its tables."""
    found: dict[str, Table] = {}
    for key in keys:
        tables = _TABLES[key].values() if key in _TABLES else [find_table(key)]
        found |= {table.key: table for table in tables}
    return list(found.values())
