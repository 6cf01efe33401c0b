"""The list of discrepancies between paper, code and book, with the measured effect of each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from avbook.common.markdown import markdown_table
from avbook.experiments.directions import compare
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.records import Records
from avbook.experiments.tables import Summary, format_gap
from avbook.papers import find_table
from avbook.papers.schema import Cell, Table
from avbook.show.pages import Heading, Page, source

__all__ = ["discrepancy_rows", "other_entries", "REGISTERS", "to_markdown"]

# paper -> the table of its options, the page that explains them, the recipes that have them
REGISTERS = {
    "PSP": ("psp-code", "2_supervised/06_discrepancies.ipynb", ("psp-full", "psp-weak")),
    "CMRAN": ("cmran-code", "2_supervised/02b_cmran_code.ipynb", ("cmran-full", "cmran-weak")),
    "MA": ("ma-code", "3_parsing/07_discrepancies.ipynb", ("ma", "han")),
    "CMLCL": ("cmlcl-open", "4_unsupervised/05_open_questions.ipynb", ("cmlcl",)),
}
_YARDSTICKS = {
    ("modality", "audio"),
    ("modality", "visual"),
    ("refine", "truth"),
    ("refine", "speech"),
}  # reference models in the same tables


def discrepancy_rows(
    pages: Iterable[Page],
    records: Records,
    *,
    preset: str = "quick",
) -> list[dict[str, Any]]:
    """One dict per discrepancy and recipe: paper, entry, recipe, options, place, metric, gap (a
    `Summary` or None), others, verdict.

    Reference models in the tables, simpler or with more knowledge, are not discrepancies. The gap
    is the change from the table's own row without the option, seed by seed, in the table's own
    score; `others` holds the gaps of its further scores. The verdict is "higher" or "lower" if the
    95 % interval excludes zero, else "not significant"."""
    by_path = {page.path: page for page in pages}
    out = []
    for paper, (key, path, recipes) in REGISTERS.items():
        table = find_table(key)
        cells_of = [cell for cell in table.cells if cell.recipe in recipes]
        shared = _shared(cells_of)
        groups: dict[tuple, list[Cell]] = {}
        for cell in cells_of:
            _, changed = resolve_settings(find_recipe(str(cell.recipe)), preset, cell.options)
            if not _YARDSTICKS & cell.options.items() and changed.items() - shared.items():
                groups.setdefault((cell.row, cell.recipe, str(cell.options)), []).append(cell)
        for (row, recipe, _), cells in groups.items():
            gaps = {
                cell.metric or table.metric: _gap(cell, table, records, preset, shared)
                for cell in cells
            }
            main = table.metric if table.metric in gaps else next(iter(gaps))
            out.append(
                {
                    "paper": paper,
                    "entry": row,
                    "recipe": recipe,
                    "options": cells[0].options,
                    "place": _place([by_path[p] for p in _homes(path, by_path)], row),
                    "metric": main,
                    "gap": gaps[main],
                    "others": {metric: gap for metric, gap in gaps.items() if metric != main},
                    "verdict": _verdict(gaps[main]),
                }
            )
    return out


def _shared(cells: list[Cell]) -> dict[str, Any]:
    """The options that all rows of a table share: those of CMLCL run one round."""
    first, *others = (cell.options for cell in cells)
    return {
        name: value for name, value in first.items() if all(o.get(name) == value for o in others)
    }


def _gap(
    cell: Cell, table: Table, records: Records, preset: str, shared: dict[str, Any]
) -> Summary | None:
    recipe, switch = cell.setting
    switched, ours = (records.of(recipe, options, preset=preset) for options in (switch, shared))
    return compare(switched, ours, cell.metric or table.metric, table.selection).gap


def _verdict(gap: Summary | None) -> str:
    if gap is None:
        return "not run"
    if gap.n == 1:
        return "one seed"
    return "higher" if gap.low > 0 else "lower" if gap.high < 0 else "not significant"


def _homes(path: str, by_path: dict[str, Page]) -> list[str]:
    """The paper's page of discrepancies and then the other pages of its part, if they exist."""
    part = path.partition("/")[0] + "/"
    others = [other for other in by_path if other.startswith(part) and other != path]
    return [path, *others] if path in by_path else others


def _place(pages: list[Page], row: str) -> str:
    """The section about an entry: the first one that asks for its effect, else one whose code or
    output names it; "" if there is none."""
    quoted = re.compile(rf"[\"']{re.escape(row)}[\"']")
    asked = re.compile(rf"\w*effects?\([^)]*[\"']{re.escape(row)}[\"']")
    formatted = re.compile(
        rf"f[\"']{re.escape(row.rpartition(' ')[0])} \{{"
    )  # such as f"λ = {lam}"
    for page in pages:
        for pattern in (asked, quoted, formatted):
            for i, cell in enumerate(page.cells):
                heading = page.heading_at(i)
                if (
                    cell["cell_type"] == "code"
                    and pattern.search(source(cell))
                    and heading
                    and heading.level > 1
                ):
                    return f"{page.path}#{heading.anchor}"
    for page in pages:
        for i, cell in enumerate(page.cells):
            heading = page.heading_at(i)
            if heading and any(
                row in "".join(output.get("data", {}).get("text/html", ""))
                for output in cell.get("outputs", [])
            ):
                return f"{page.path}#{heading.anchor}"
    return ""


def other_entries(
    pages: Iterable[Page],
    rows: list[dict[str, Any]],  # from `discrepancy_rows`
) -> list[tuple[str, str, Heading]]:
    """The sections of the discrepancy pages without a row: shown, argued or counted there, but not
    measured by an option."""
    taken = {row["place"] for row in rows}
    homes = {path: paper for paper, (_, path, _) in REGISTERS.items()}
    return [
        (homes[page.path], page.path, heading)
        for page in pages
        if page.path in homes
        for heading in page.headings
        if heading.level == 3 and f"{page.path}#{heading.anchor}" not in taken
    ]


def to_markdown(
    rows: list[dict[str, Any]],  # from `discrepancy_rows`
    base: str,  # prefix of links to pages, such as "../"
) -> str:
    """The rows of one paper as a Markdown table with links to the sections that show them.

    A recipe that is not named by all rows alike stands with its option."""
    lines = []
    alike = len({row["recipe"] for row in rows}) == 1
    for row in rows:
        what = f"[{row['entry']}]({base}{row['place']})" if row["place"] else row["entry"]
        option = " ".join(f"{name}={value}" for name, value in row["options"].items())
        call = f"`{option}`" if alike else f"`{row['recipe']} {option}`"
        seeds = row["gap"].n if row["gap"] else 0
        lines.append((what, call, format_gap(row["gap"]), seeds, row["verdict"]))
    head = ("difference", "option", "change, points [95 %]", "seeds", "against ours")
    return markdown_table(head, lines, right=(2, 3)) + "\n"
