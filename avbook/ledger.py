"""From run records to tables: the paper's number, ours over seeds with its spread, the data, the selection and a verdict."""
from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable

from .errors import AvbookError
from .paper import DIRECTIONS, Cell, Direction, Table
from .recipes import find_recipe, read_record, settle, write_text

__all__ = ["Records", "Summary", "summarise", "compare", "Comparison", "table_rows", "direction_rows", "to_markdown", "write_csv", "SELECTIONS"]

SELECTIONS = {"val_selected": "best epoch on validation", "last": "last epoch", "test_selected": "best epoch on test (for comparison only)"}


class Records:
    """All run records under a folder, to be asked for by setting."""

    def __init__(
        self,
        folder: str | os.PathLike,  # the folder that `avbook run --out` wrote
    ):
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("*/*/seed-*.json"))
        self.all = [read_record(path) | {"path": str(path)} for path in self.paths]

    def of(
        self,
        recipe: str,
        options: dict[str, Any] | None = None,  # as `--set` would take them
        *,
        preset: str = "quick",
        data: str | None = None,  # the data set's name; None: whichever, if all agree
    ) -> list[dict[str, Any]]:
        """The records of one setting, ordered by seed; raises `AvbookError` where they are of several data sets."""
        _, changed = settle(find_recipe(recipe), preset, options or {})
        found = [r for r in self.all if r["recipe"] == recipe and r["preset"] == preset and r["options"] == changed
                 and (data is None or r["data"]["name"] == data)]
        hashes = {r["data"]["hash"] for r in found}
        if len(hashes) > 1:
            names = sorted({f"{r['data']['name']} ({r['data']['hash']})" for r in found})
            raise AvbookError(f"{self.folder}: records of {recipe} {changed} come from {len(hashes)} data sets, {', '.join(names)}; name one with --data")
        return sorted(found, key=lambda r: r["seed"])


@dataclass(frozen=True)
class Summary:
    """Mean over seeds, standard deviation (n - 1) and a 95 % interval of the mean (Student's t)."""

    n: int
    mean: float
    sd: float  # nan for one seed
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.n == 1 else f"{self.mean:.1f} ± {self.sd:.1f}"


def summarise(
    values: Iterable[float],  # one figure a seed
) -> Summary | None:
    """The `Summary` of some seeds' figures, or None where there are none; a seed whose figure had nothing to count (NaN) is left out."""
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


@dataclass(frozen=True)
class Comparison:
    """Two settings on the same seeds: the mean of the differences, its 95 % interval, and what that says of a claim."""

    gap: Summary | None
    verdict: str  # agrees | disagrees | undecided | not run


def compare(
    better: list[dict[str, Any]],  # records of the setting that is claimed to be better
    worse: list[dict[str, Any]],
    metric: str = "accuracy",
    selection: str = "val_selected",
) -> Comparison:
    """Whether one setting beats another, seed by seed.

    "agrees" where the interval of the mean difference lies above zero, "disagrees" where it lies below, "undecided" where it
    holds zero or fewer than two seeds are shared, "not run" where either has no record.
    """
    left = {r["seed"]: figure(r, metric, selection) for r in better}
    right = {r["seed"]: figure(r, metric, selection) for r in worse}
    shared = sorted(left.keys() & right.keys())
    gap = summarise(left[s] - right[s] for s in shared)
    if gap is None:
        return Comparison(None, "not run")
    if gap.n == 1 or gap.low <= 0 <= gap.high:
        return Comparison(gap, "undecided")
    return Comparison(gap, "agrees" if gap.low > 0 else "disagrees")


def figure(
    record: dict[str, Any],
    metric: str,
    selection: str,
) -> float:
    """One figure of a record's test scores, NaN where it had nothing to count; raises `AvbookError` where the record lacks it."""
    try:
        value = record["metrics"]["test"][selection][metric]
    except KeyError as error:
        raise AvbookError(f"{record.get('path', 'a record')}: no figure {error} under metrics.test.{selection}.{metric}") from None
    return math.nan if value is None else float(value)


# ------------------------------------------------------------------------------------------------------------- tables
def table_rows(
    table: Table,
    records: Records,
    *,
    preset: str = "quick",
    data: str | None = None,
    selection: str | None = None,  # None: the table's own
    only: str | None = None,  # a column
    extra: dict[str, Any] | None = None,  # options every cell was run with besides its own
) -> list[dict[str, Any]]:
    """One dict a cell: row, column, paper, ours, sd, low, high, seeds, data, selection, verdict, command.

    The verdict compares with the paper's number only on official data: it "agrees" where the interval over seeds holds it.
    On the world the absolute numbers are another task's, so a cell says "world" and the directions carry the verdicts.
    """
    out, selection = [], selection or table.selection
    for cell in table.cells:
        if only and cell.column != only:
            continue
        found = records.of(cell.recipe, {**cell.options, **(extra or {})}, preset=preset, data=data) if cell.recipe and _known(cell) else []
        summary = summarise(figure(r, cell.metric or table.metric, selection) for r in found)
        out.append({
            "row": cell.row, "column": cell.column, "paper": cell.value, "mark": cell.mark,
            "ours": summary.mean if summary else None, "sd": summary.sd if summary else None,
            "low": summary.low if summary else None, "high": summary.high if summary else None,
            "seeds": [r["seed"] for r in found], "data": f"{found[0]['data']['kind']}: {found[0]['data']['name']}" if found else "",
            "selection": selection if found else "", "verdict": _cell_verdict(cell, found, summary),
            "command": found[0]["command"].rsplit(" --seed", 1)[0] + f" --seeds {len(found)}" if found else "",
        })
    return out


def _known(cell: Cell) -> bool:
    from .recipes import RECIPES

    return cell.recipe in RECIPES


def _cell_verdict(cell: Cell, found: list[dict], summary: Summary | None) -> str:
    if cell.recipe is None:
        return "cited"
    if summary is None:
        return "not run"
    kinds = {r["data"]["kind"] for r in found}
    if kinds != {"official"}:
        return "/".join(sorted(kinds))
    if cell.value is None or summary.n == 1:
        return "undecided"
    return "agrees" if summary.low <= cell.value <= summary.high else "disagrees"


def direction_rows(
    prefix: str,  # a table's key, such as "psp-1", or a paper's, "psp"
    records: Records,
    *,
    preset: str = "quick",
    data: str | None = None,
    selection: str | None = None,  # None: the claim's own
    only: str | None = None,
    extra: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """One dict a stated direction: claim, source, the paper's gap, ours with interval, seeds, verdict."""
    out = []
    for claim in DIRECTIONS:
        if not claim.key.startswith(prefix + "-") or (only and f"-{only}-" not in claim.key and not claim.text.endswith(f"({only})")):
            continue
        result = _judge(claim, records, preset, data, selection or claim.selection, extra or {})
        gap = result.gap
        out.append({"claim": claim.text, "source": claim.source, "paper": claim.paper_gap, "ours": gap.mean if gap else None,
                    "low": gap.low if gap else None, "high": gap.high if gap else None, "seeds": gap.n if gap else 0,
                    "verdict": result.verdict})
    return out


def _judge(claim: Direction, records: Records, preset: str, data: str | None, selection: str, extra: dict) -> Comparison:
    from .recipes import RECIPES

    if claim.better[0] not in RECIPES or claim.worse[0] not in RECIPES:
        return Comparison(None, "not run")
    better, worse = (records.of(recipe, {**options, **extra}, preset=preset, data=data) for recipe, options in (claim.better, claim.worse))
    return compare(better, worse, claim.metric, selection)


# ------------------------------------------------------------------------------------------------------------ showing
def number(
    value: float | None,  # percent or points
    sign: bool = False,
) -> str:
    """A figure with one decimal, or a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:+.1f}" if sign else f"{value:.1f}"


def to_markdown(
    table: Table,
    cells: list[dict[str, Any]],  # from `table_rows`
    directions: list[dict[str, Any]] = (),  # from `direction_rows`
) -> str:
    """A table as Markdown: a line a row, paper and ours side by side a column, what it stands on, then the directions."""
    columns = [c for c in table.columns if any(cell["column"] == c for cell in cells)]
    head = "| | " + " | ".join(f"{c}: paper | {c}: ours" for c in columns) + " |"
    lines = [f"**{table.title}** ({table.source}, {table.metric} in %)", "", head, "|:--|" + "--:|--:|" * len(columns)]
    at = {(cell["row"], cell["column"]): cell for cell in cells}
    for row in table.rows:
        parts = [shown(at.get((row, column))) for column in columns]
        lines.append(f"| {row} | " + " | ".join(f"{paper} | {ours}" for paper, ours in parts) + " |")
    lines += ["", provenance(cells)]
    if table.note:
        lines += ["", table.note]
    if directions:
        lines += ["", "| claim | paper's gap | ours [95 %] | seeds | verdict |", "|:--|--:|--:|--:|:--|"]
        lines += [f"| {d['claim']} | {number(d['paper'], True)} | {gap_text(d)} | {d['seeds']} | {d['verdict']} |" for d in directions]
    return "\n".join(lines) + "\n"


def shown(cell: dict[str, Any] | None) -> tuple[str, str]:
    """What a cell shows for the paper and for us: a figure, "not run", "cited" or a dash."""
    if cell is None:
        return "–", "–"
    printed = number(cell["paper"]) + cell["mark"]
    if cell["ours"] is None:
        return printed, cell["verdict"]
    spread = "" if cell["sd"] is None or math.isnan(cell["sd"]) else f" ± {cell['sd']:.1f}"
    return printed, f"{cell['ours']:.1f}{spread}"


def gap_text(direction: dict[str, Any]) -> str:
    """A difference with its interval, or a dash."""
    if direction["ours"] is None:
        return "–"
    interval = "" if direction["low"] is None or math.isnan(direction["low"]) else f" [{direction['low']:+.1f}, {direction['high']:+.1f}]"
    return number(direction["ours"], True) + interval


def provenance(cells: list[dict[str, Any]]) -> str:
    """One line that says on which data, how selected and over how many seeds our numbers stand."""
    run = [cell for cell in cells if cell["ours"] is not None]
    if not run:
        return "Ours: not run."
    data = " and ".join(sorted({cell["data"] for cell in run}))
    counts = sorted({len(cell["seeds"]) for cell in run})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    spread = "" if counts[-1] == 1 else ", mean ± standard deviation"
    plural = "" if counts == [1] else "s"
    return f"Ours: data {data}; {seeds} seed{plural}{spread}; {SELECTIONS[run[0]['selection']]}."


def write_csv(
    path: str | os.PathLike,
    cells: list[dict[str, Any]],  # from `table_rows`
) -> None:
    """Writes a table's cells, one a line, whole or not at all."""
    import pandas

    frame = pandas.DataFrame(cells)
    frame["seeds"] = [" ".join(map(str, seeds)) for seeds in frame["seeds"]]
    write_text(path, frame.to_csv(index=False, float_format="%.4f"))
