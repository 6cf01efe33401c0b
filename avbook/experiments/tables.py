"""Tables from run records: the paper's number, ours over seeds with its spread, a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from avbook.common.files import write_text
from avbook.common.markdown import markdown_table
from avbook.errors import AvbookError
from avbook.experiments.records import Records, check_one_data_set
from avbook.papers.schema import Cell, Table

__all__ = [
    "Summary",
    "summarise",
    "get_score",
    "table_rows",
    "format_gap",
    "with_interval",
    "with_spread",
    "format_cell",
    "verdict_notes",
    "verdict_text",
    "caption",
    "split_levels",
    "layout",
    "to_markdown",
    "write_csv",
    "SELECTIONS",
]

SELECTIONS = {
    "val_selected": "best epoch on validation",
    "last": "last epoch",
    "test_selected": "best epoch on test (for comparison only)",
}


@dataclass(frozen=True)
class Summary:
    """Mean over seeds, standard deviation (n - 1) and 95 % interval of the mean (Student's t)."""

    n: int
    mean: float
    sd: float  # nan for one seed
    low: float
    high: float

    def __str__(self) -> str:
        return with_spread(self.mean, self.sd)


def summarise(
    values: Iterable[float],  # one score per seed
) -> Summary | None:
    """The `Summary` of the seeds' scores, or None without scores; undefined scores (NaN) are left
    out."""
    from statistics import fmean, stdev

    values = [float(v) for v in values if not math.isnan(v)]
    n = len(values)
    if n == 0:
        return None
    mean = fmean(values)
    if n == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan)
    sd = stdev(values)
    half = _t_quantile(n - 1) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def _t_quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def get_score(
    record: dict[str, Any],
    metric: str,
    selection: str,
) -> float:
    """One test score of a record, NaN if it is undefined; raises `AvbookError` if the record does
    not have it."""
    try:
        value = record["metrics"]["test"][selection][metric]
    except KeyError as error:
        raise AvbookError(
            f"{record.get('path', 'a record')}: no score {error} under"
            f" metrics.test.{selection}.{metric}"
        ) from None
    return math.nan if value is None else float(value)


# ------------------------------------------------------------------------------------------- tables
def table_rows(
    table: Table,
    records: Records,
    *,
    preset: str = "quick",
    data: str | None = None,  # hash or name of the data set; None: any, if all records agree
    selection: str | None = None,  # None: the table's own
    only: str | None = None,  # a column
    extra: dict[str, Any] | None = None,  # options of all cells in addition to their own
) -> list[dict[str, Any]]:
    """One dict per cell: row, column, paper, ours, sd, low, high, seeds, data, preset, selection,
    verdict, command.

    The verdict compares with the paper's number only on official data: it is "agrees" if the
    interval over seeds contains the number. It is "undefined" if the score is undefined for every
    seed, such as the precision of a class that is never predicted. On the world absolute numbers
    are not comparable, so a cell says "world" and the directions carry the verdicts."""
    out, selection = [], selection or table.selection
    cells = [cell for cell in table.cells if not only or cell.column == only]
    ours = [
        records.of(cell.recipe, {**cell.options, **(extra or {})}, preset=preset, data=data)
        if cell.recipe and _known(cell)
        else []
        for cell in cells
    ]
    check_one_data_set(sum(ours, []), f"{records.folder}: the records of table {table.key}")
    for cell, found in zip(cells, ours):
        summary = summarise(get_score(r, cell.metric or table.metric, selection) for r in found)
        out.append(
            {
                "row": cell.row,
                "column": cell.column,
                "paper": cell.value,
                "mark": cell.mark,
                "ours": summary.mean if summary else None,
                "sd": summary.sd if summary else None,
                "low": summary.low if summary else None,
                "high": summary.high if summary else None,
                "seeds": [r["seed"] for r in found],
                "data": f"{found[0]['data']['kind']}: {found[0]['data']['name']}" if found else "",
                "preset": preset if found else "",
                "selection": selection if found else "",
                "verdict": _cell_verdict(cell, found, summary),
                "command": (
                    found[0]["command"].rsplit(" --seed", 1)[0] + f" --seeds {len(found)}"
                    if found
                    else ""
                ),
            }
        )
    return out


def _known(cell: Cell) -> bool:
    from avbook.experiments.recipes import RECIPES

    return cell.recipe in RECIPES


def _cell_verdict(cell: Cell, found: list[dict], summary: Summary | None) -> str:
    if cell.recipe is None:
        return "cited"
    if summary is None:
        return "undefined" if found else "not run"
    kinds = {r["data"]["kind"] for r in found}
    if kinds != {"official"}:
        return "/".join(sorted(kinds))
    if cell.value is None or summary.n == 1:
        return "undecided"
    return "agrees" if summary.low <= cell.value <= summary.high else "disagrees"


# ------------------------------------------------------------------------------------------ showing
NBSP = "\N{NO-BREAK SPACE}"  # keeps a score and its spread on one line in a narrow column
BESIDE = 3  # up to so many columns paper and ours stand side by side, else ours below
PAGE = 6  # columns that fit a page


def format_number(
    value: float | None,  # percent or points
    sign: bool = False,
) -> str:
    """A number with one decimal, or a dash if there is none; a value that rounds to zero has no
    sign."""
    if value is None or math.isnan(value):
        return "–"
    value = round(value, 1) + 0.0  # -0.0 + 0.0 is 0.0
    return f"{value:+.1f}" if sign and value else f"{value:.1f}"


def with_spread(
    mean: float,
    sd: float | None,  # standard deviation over seeds; None or NaN: none
    sign: bool = False,
) -> str:
    """A mean and its standard deviation, such as 72.0 ± 2.0, kept on one line."""
    return format_number(mean, sign) + (
        "" if sd is None or math.isnan(sd) else f"{NBSP}±{NBSP}{sd:.1f}"
    )


def with_interval(
    mean: float | None,
    low: float | None,  # None or NaN: no interval
    high: float | None,
) -> str:
    """A signed difference and its interval, such as -0.5 [-2.3, +1.3], or a dash without a run.

    The interval stays on one line, and its bounds show on which side of zero they lie, as in [-4.0,
    -0.03]."""
    if mean is None:
        return "–"
    return format_number(mean, True) + (
        ""
        if low is None or high is None or math.isnan(low)
        else f" [{bound(low)},{NBSP}{bound(high)}]"
    )


def bound(
    value: float,  # bound of an interval of differences
) -> str:
    """A signed bound with one decimal, or with as many as are needed to show its side of zero."""
    return f"{value:+.1g}" if 0.001 <= abs(value) < 0.05 else format_number(value, True)


def format_gap(
    gap: Summary | None,  # differences between two settings, seed by seed
) -> str:
    """A gap with its interval, in points, or "not run"."""
    if gap is None:
        return "not run"
    return with_interval(gap.mean, gap.low, gap.high) + (" (one seed)" if gap.n == 1 else "")


def split_levels(
    table: Table,
    cells: list[dict[str, Any]],  # from `table_rows`
) -> list[list[dict[str, Any]]]:
    """The cells of a table, level by level (segments, then events) if it has more columns than fit
    a page."""
    names = _columns(table, cells)
    if len(names) <= PAGE or not all(": " in name for name in names):
        return [cells]
    levels = dict.fromkeys(name.split(": ")[0] for name in names)
    return [[cell for cell in cells if cell["column"].startswith(f"{level}: ")] for level in levels]


def caption(
    table: Table,
    cells: list[dict[str, Any]],  # from `table_rows`
) -> str:
    """The source of a table and the unit of its numbers; also the metric, if all columns share it,
    and the level, if all columns have the same."""
    names = _columns(table, cells)
    metrics = {cell.metric or table.metric for cell in table.cells if cell.column in names}
    level = f"{names[0].split(': ')[0]} level, " if _one_level(names) else ""
    metric = metrics.pop().replace("_", " ") + " " if len(metrics) == 1 else ""
    return f"{table.source}, {level}{metric}in %"


def layout(
    table: Table,
    cells: list[dict[str, Any]],  # from `table_rows`
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table, as strings.

    With up to three columns the paper's number and ours stand side by side. With more, the paper's
    numbers are one line of a row and ours the next, and a row that only cites other work has one
    line. If the paper has no numbers at all, only ours are shown."""
    columns = _columns(table, cells)
    at = {(cell["row"], cell["column"]): cell for cell in cells}
    names = [c.split(": ")[1] for c in columns] if _one_level(columns) else columns
    pairs = {row: [format_cell(at.get((row, column))) for column in columns] for row in table.rows}
    label = {row: row.replace(" ", NBSP) if len(row) <= 16 else row for row in table.rows}
    if all(cell["paper"] is None for cell in cells):
        return ["", *names], [
            [label[row], *(ours for _, ours in pair)] for row, pair in pairs.items()
        ]
    if len(columns) <= BESIDE:
        head = ["", *(f"{name}: {whose}" for name in names for whose in ("paper", "ours"))]
        return head, [
            [label[row], *(text for pair in pairs[row] for text in pair)] for row in table.rows
        ]
    lines = []
    for row, pair in pairs.items():
        printed, ours = zip(*pair)
        both = []
        if set(printed) != {"–"}:
            both.append(("paper", printed))
        if not set(ours) <= {"cited", "–"}:
            both.append(("ours", ours))
        lines += [
            [label[row] if k == 0 else "", whose, *texts] for k, (whose, texts) in enumerate(both)
        ]
    return ["", "", *names], lines


def _columns(table: Table, cells: list[dict[str, Any]]) -> list[str]:
    return [c for c in table.columns if any(cell["column"] == c for cell in cells)]


def _one_level(columns: list[str]) -> bool:
    """Whether all columns have the same level, as "segment: Audio" and "segment: Visual" do."""
    return len({c.split(": ")[0] for c in columns}) == 1 and all(": " in c for c in columns)


def to_markdown(
    table: Table,
    cells: list[dict[str, Any]],  # from `table_rows`
    directions: Sequence[dict[str, Any]] = (),  # from `ordering_rows`
) -> str:
    """A table as Markdown: the `layout` of its `split_levels`, the provenance of our numbers, then
    the directions."""
    lines = []
    for part in split_levels(table, cells):
        head, body = layout(table, part)
        left = head.count("")  # columns of text
        numbers = range(left, len(head))
        lines += [f"**{table.title}** ({caption(table, part)})", ""]
        lines += [markdown_table(head, body, numbers), ""]
    lines += [provenance(cells)]
    if table.note:
        lines += ["", table.note]
    if directions:
        rows = []
        for claim in directions:
            gap = format_number(claim["paper"], True)
            told = (claim["claim"], gap, gap_text(claim), claim["seeds"], verdict_text(claim))
            rows.append(told)
        names = ("claim", "paper's gap", "ours [95 %]", "seeds", "verdict")
        lines += ["", markdown_table(names, rows, right=(1, 2, 3))]
    return "\n".join(lines) + "\n"


def format_cell(cell: dict[str, Any] | None) -> tuple[str, str]:
    """The content of a cell for the paper and for us: a number, "not run", "undefined", "cited" or
    a dash."""
    if cell is None:
        return "–", "–"
    return format_number(cell["paper"]) + cell["mark"], (
        cell["verdict"] if cell["ours"] is None else with_spread(cell["ours"], cell["sd"])
    )


def gap_text(direction: dict[str, Any]) -> str:
    """A difference with its interval, or a dash."""
    return with_interval(direction["ours"], direction["low"], direction["high"])


def verdict_notes(
    direction: dict[str, Any],  # from `ordering_rows` or `claim_rows`
) -> list[str]:
    """Notes on a direction's verdict: the size of the gaps that an undecided one excludes, and
    whether the paper's gap lies inside our interval.

    The size is rounded up, so that the sentence is true of the number shown."""
    notes = []
    if direction["excludes"] is not None:
        points = math.ceil(round(10 * direction["excludes"], 6)) / 10
        notes.append(f"less than {points:.1f} points either way")
    if direction["paper_gap_inside"]:
        notes.append("paper's gap inside")
    return notes


def verdict_text(
    direction: dict[str, Any],  # from `ordering_rows`
) -> str:
    """A verdict with its notes, such as "undecided (less than 1.2 points either way)"."""
    notes = "; ".join(verdict_notes(direction))
    return direction["verdict"] + (f" ({notes})" if notes else "")


def provenance(cells: list[dict[str, Any]]) -> str:
    """One line on the data, selection and seeds of our numbers, and on the paper's sizes if they
    were used in the world."""
    run = [cell for cell in cells if cell["ours"] is not None]
    if not run:
        return "Ours: not run."
    data = " and ".join(
        sorted(
            {
                cell["data"]
                + (
                    ", paper preset"
                    if cell["preset"] == "paper" and cell["data"].startswith("world")
                    else ""
                )
                for cell in run
            }
        )
    )
    counts = sorted({len(cell["seeds"]) for cell in run})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    spread = "" if counts[-1] == 1 else ", mean ± standard deviation"
    plural = "" if counts == [1] else "s"
    return f"Ours: data {data}; {seeds} seed{plural}{spread}; {SELECTIONS[run[0]['selection']]}."


def write_csv(
    path: str | os.PathLike,
    cells: list[dict[str, Any]],  # from `table_rows`
) -> None:
    """Writes a table's cells, one per line, whole or not at all."""
    import pandas

    frame = pandas.DataFrame(cells)
    frame["seeds"] = [" ".join(map(str, seeds)) for seeds in frame["seeds"]]
    write_text(path, frame.to_csv(index=False, float_format="%.4f"))
