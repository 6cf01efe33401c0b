"""The claims ledger: the papers' numbers, orderings and figures beside our run records."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import Any

from avbook.errors import AvbookError
from avbook.experiments.directions import compare
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import RECIPES, find_recipe
from avbook.experiments.records import Records
from avbook.experiments.tables import (
    SELECTIONS,
    Summary,
    bound,
    format_number,
    get_score,
    summarise,
    verdict_notes,
    with_spread,
)
from avbook.papers import FIGURES, ORDERING_CLAIMS, TABLES
from avbook.show.pages import Page

__all__ = ["Claims", "claim_rows", "totals", "figures_shown", "to_html", "VERDICTS"]

VERDICTS = ("agrees", "disagrees", "undecided", "not run", "cited", "shown", "not shown")
_PRESETS = {
    "world": ("quick", "paper"),
    "official": ("paper",),
}  # kind of data -> presets considered; the first one fills the tables
_TRIED = {
    ("world", "quick"): "world, small settings",
    ("world", "paper"): "world, paper's settings",
    ("official", "paper"): "official",
}


class Claims:
    """Run records by setting, data set and preset, so that these are never mixed."""

    def __init__(
        self,
        records: Records,
        # kind of data -> presets considered
        presets: dict[str, tuple[str, ...]] | None = None,
    ):
        self.presets = presets or _PRESETS
        self.by_setting: dict[tuple, list[dict[str, Any]]] = {}
        self.data: dict[tuple[str, str, str], str] = {}  # (kind, name, preset) -> hash
        states: dict[tuple[str, str], str] = {}
        for record in records.all:
            kind, name, content, preset = (
                *(record["data"][part] for part in ("kind", "name", "hash")),
                record["preset"],
            )
            if preset not in self.presets.get(kind, ()):
                continue
            if states.setdefault((kind, name), content) != content:
                raise AvbookError(
                    f"{records.folder}: records of {name} come from two states of it,"
                    f" {states[kind, name]} and {content}; move one away"
                )
            self.data[kind, name, preset] = content
            key = (
                record["recipe"],
                json.dumps(record["options"], sort_keys=True),
                kind,
                name,
                preset,
            )
            self.by_setting.setdefault(key, []).append(record)

    def of(
        self,
        recipe: str | None,
        options: dict[str, Any],  # as for `--set`
        data: tuple[str, str, str],  # kind, name and preset
    ) -> list[dict[str, Any]]:
        """The records of a setting on one data set, by seed; empty for an unknown recipe."""
        if recipe not in RECIPES:
            return []
        _, changed = resolve_settings(find_recipe(recipe), data[2], options)
        return sorted(
            self.by_setting.get((recipe, json.dumps(changed, sort_keys=True), *data), []),
            key=lambda r: r["seed"],
        )

    def label(
        self,
        data: tuple[str, str, str],  # kind, name and preset
    ) -> str:
        """The data behind a row, such as "world: world-ave-small-0"; with the preset if it is not
        the first of its kind."""
        kind, name, preset = data
        return f"{kind}: {name}" + ("" if preset == self.presets[kind][0] else f", {preset} preset")


# --------------------------------------------------------------------------------------------- rows
def claim_rows(
    records: Records,
    # key of a figure -> its place in the book, from `figures_shown`
    shown: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """One dict per claim and data it was tried on: paper, kind, claim, source, printed, ours, low,
    high, seeds, data, tried, protocol, verdict, excludes, paper_gap_inside, command.

    A number is a claim about the official data, so elsewhere its verdict is "not run", although
    ours is shown beside it. A direction is evaluated wherever both settings were run, as in
    `compare`: on the world with the small settings of the quick preset, and separately with the
    paper's. An undecided row states the gap that it excludes, and each row whether the paper's gap
    lies inside our interval. A figure is "shown" if a page draws a similar one."""
    found = Claims(records)
    out = []
    for table in TABLES.values():
        for cell in table.cells:
            if cell.value is not None:
                out += _cell_rows(table, cell, found)
    for claim in ORDERING_CLAIMS:
        out += _direction_rows(claim, found)
    for drawn in FIGURES:
        place = (shown or {}).get(drawn.key)
        out.append(
            _row(
                drawn.key,
                "figure",
                drawn.shows,
                drawn.source,
                None,
                verdict="shown" if place else "not shown",
                place=place or "",
            )
        )
    return out


def _row(
    key: str, kind: str, claim: str, source: str, printed: float | None, **more
) -> dict[str, Any]:
    empty = {
        "ours": None,
        "sd": None,
        "low": None,
        "high": None,
        "seeds": 0,
        "data": "",
        "tried": "",
        "protocol": "",
        "verdict": "not run",
        "excludes": None,  # the gap that an undecided row excludes, in points
        "paper_gap_inside": None,  # whether the paper's gap lies inside our interval
        "command": "",
        "mark": "",
        "place": "",
    }
    return {
        "key": key,
        "paper": source.partition(",")[0],
        "kind": kind,
        "claim": claim,
        "source": source,
        "printed": printed,
        **empty,
        **more,
    }


def _cell_rows(table, cell, found: Claims) -> list[dict[str, Any]]:
    key, claim = f"{table.key}: {cell.row}, {cell.column}", f"{cell.row} · {cell.column}"
    if cell.recipe is None:
        return [
            _row(key, "number", claim, table.source, cell.value, mark=cell.mark, verdict="cited")
        ]
    out = []
    for data in found.data:
        if data[2] != found.presets[data[0]][0]:
            continue
        runs = found.of(cell.recipe, cell.options, data)
        ours = summarise(get_score(r, cell.metric or table.metric, table.selection) for r in runs)
        if ours is not None:
            out.append(
                _row(
                    key,
                    "number",
                    claim,
                    table.source,
                    cell.value,
                    mark=cell.mark,
                    **_spread(ours),
                    data=found.label(data),
                    protocol=SELECTIONS[table.selection],
                    verdict=_verdict(cell.value, ours, data[0]),
                    command=_command(runs),
                )
            )
    return out or [_row(key, "number", claim, table.source, cell.value, mark=cell.mark)]


def _verdict(printed: float, ours: Summary, kind: str) -> str:
    """The verdict on a paper's number; only the official data can agree or disagree with it."""
    if kind != "official":
        return "not run"
    if ours.n == 1:
        return "undecided"
    return "agrees" if ours.low <= printed <= ours.high else "disagrees"


def _direction_rows(claim, found: Claims) -> list[dict[str, Any]]:
    out = []
    for data in found.data:
        better, worse = (
            found.of(recipe, options, data) for recipe, options in (claim.better, claim.worse)
        )
        result = compare(better, worse, claim.metric, claim.selection)
        if result.gap is not None:
            out.append(
                _row(
                    claim.key,
                    "direction",
                    claim.text,
                    claim.source,
                    claim.paper_gap,
                    **_spread(result.gap),
                    data=found.label(data),
                    tried=_TRIED[data[0], data[2]],
                    protocol=SELECTIONS[claim.selection] + ", seed by seed",
                    verdict=result.verdict,
                    excludes=result.excludes,
                    paper_gap_inside=result.holds(claim.paper_gap),
                    command=f"{_command(better)}\n{_command(worse)}",
                )
            )
    return out or [_row(claim.key, "direction", claim.text, claim.source, claim.paper_gap)]


def _spread(found) -> dict[str, Any]:
    return {
        "ours": found.mean,
        "sd": found.sd,
        "low": found.low,
        "high": found.high,
        "seeds": found.n,
    }


def _command(runs: list[dict[str, Any]]) -> str:
    return f"{runs[0]['command'].rsplit(' --seed', 1)[0]} --seeds {len(runs)}"


def figures_shown(
    pages: Iterable[Page],
    folders: dict[str, str],  # paper -> the folder of its pages
) -> dict[str, str]:
    """For each figure of a paper the page and heading that draw a similar one: a heading that names
    it, as in "Figure 4" or "Figures 4 and 5"."""
    out = {}
    for drawn in FIGURES:
        paper, number_ = drawn.source.split(", Fig. ")
        named = re.compile(rf"\bFig(?:ure|\.)s?\s(?:[\d]+(?:, | and ))*{re.escape(number_)}\b")
        for page in pages:
            if page.path.startswith(folders[paper.lower()]):
                heading = next((h for h in page.headings[1:] if named.search(h.text)), None)
                if heading:
                    out[drawn.key] = f"{page.path}#{heading.anchor}"
                    break
    return out


def totals(
    rows: list[dict[str, Any]],  # from `claim_rows`
) -> list[dict[str, Any]]:
    """One dict per paper, kind of claim and, for directions, the data tried: their number, and how
    many have each verdict."""
    papers, kinds = (
        list(dict.fromkeys(r["paper"] for r in rows)),
        {
            "number": "numbers",
            "direction": "directions",
            "figure": "figures",
        },
    )
    tried = ["", *_TRIED.values()]

    def order(r: dict[str, Any]) -> tuple[int, int, int]:
        return (
            papers.index(r["paper"]),
            list(kinds).index(r["kind"]),
            tried.index(r["tried"]),
        )

    out = []
    for _, some in groupby(sorted(rows, key=order), key=order):
        group = list(some)
        count = Counter(r["verdict"] for r in group)
        out.append(
            {
                "paper": group[0]["paper"],
                "claims": kinds[group[0]["kind"]],
                "tried on": group[0]["tried"],
                "in all": len(group),
                **{verdict: count[verdict] for verdict in VERDICTS},
            }
        )
    return out


# --------------------------------------------------------------------------------------------- page
def to_html(
    rows: list[dict[str, Any]],  # from `claim_rows`
    base: str = "",  # prefix of links into the book, such as "../"
    name: str = "claims",  # name of the table; a word, unique on its page
) -> str:
    """The rows as an HTML table with a short inline script for filtering and sorting; without
    scripts it is a plain table."""
    head = "".join(
        f'<th scope="col">{text}</th>'
        for text in ("claim", "paper", "ours", "95 %", "seeds", "data and protocol", "verdict")
    )
    body = "\n".join(_html_row(row, base) for row in rows)
    return (
        f'<div class="ledger" id="{name}">\n<table data-quarto-disable-processing="true">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        f"<script>\n{_SCRIPT.replace('NAME', name)}</script>\n"
    )


def _html_row(row: dict[str, Any], base: str) -> str:
    direction = row["kind"] == "direction"
    interval = (
        ""
        if row["low"] is None or math.isnan(row["low"])
        else " … ".join(
            (bound if direction else format_number)(row[end]) for end in ("low", "high")
        )
    )
    ours = "" if row["ours"] is None else with_spread(row["ours"], row["sd"], direction)
    printed = (
        "" if row["printed"] is None else format_number(row["printed"], direction) + row["mark"]
    )
    claim = (
        f'<a href="{escape(base + row["place"])}">{escape(row["claim"])}</a>'
        if row["place"]
        else escape(row["claim"])
    )
    kind, _, data = row["data"].partition(": ")
    how = (
        f"{escape(data if data.startswith(kind) else row['data'])}, {escape(row['protocol'])}"
        if row["data"]
        else ""
    )
    if row["command"]:
        how += f"<details><summary>command</summary><pre>{escape(row['command'])}</pre></details>"
    cells = (
        f"{claim}<br><small>{escape(row['source'])} · {row['kind']}</small>",
        printed,
        ours,
        interval,
        str(row["seeds"] or ""),
        how,
        "<br>".join([row["verdict"], *(f"<small>{note}</small>" for note in verdict_notes(row))]),
    )
    keys = (
        row["claim"],
        *(
            "" if row[k] is None or row[k] != row[k] else f"{row[k]:.4f}"
            for k in ("printed", "ours", "low")
        ),
        str(row["seeds"]),
        row["data"],
        row["verdict"],
    )
    tds = "".join(f'<td data-sort="{escape(key)}">{cell}</td>' for key, cell in zip(keys, cells))
    return (
        f'<tr data-paper="{escape(row["paper"])}" data-kind="{row["kind"]}"'
        f' data-verdict="{row["verdict"]}" data-data="{escape(row["data"] or "none")}">{tds}</tr>'
    )


_SCRIPT = """(function () {
  const box = document.getElementById("NAME"), body = box.querySelector("tbody");
  const rows = Array.from(body.rows);
  const bar = document.createElement("div"), count = document.createElement("span"), filters = [];
  bar.className = "ledger-bar";
  count.setAttribute("role", "status");
  ["paper", "kind", "verdict", "data"].forEach(function (field) {
    const select = document.createElement("select"), label = document.createElement("label");
    select.append(new Option("all", ""));
    const values = Array.from(new Set(rows.map(r => r.dataset[field])));
    values.forEach(value => select.append(new Option(value, value)));
    label.append(field + " ", select);
    bar.append(label);
    filters.push(row => !select.value || row.dataset[field] === select.value);
    select.addEventListener("change", show);
  });
  const words = document.createElement("input"), label = document.createElement("label");
  words.type = "search";
  label.append("words ", words);
  bar.append(label, count);
  filters.push(function (row) {
    const text = row.textContent.toLowerCase();
    return words.value.toLowerCase().split(/\\s+/).every(word => text.includes(word));
  });
  words.addEventListener("input", show);
  function show() {
    let shown = 0;
    rows.forEach(row => { row.hidden = !filters.every(fits => fits(row)); shown += !row.hidden; });
    count.textContent = shown + " of " + rows.length + " rows";
  }
  box.querySelectorAll("th").forEach(function (head, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", function () {
      const down = head.getAttribute("aria-sort") === "ascending";
      box.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[column].dataset.sort;
      rows.sort(function (a, b) {
        if (!key(a) || !key(b)) return !key(a) - !key(b);
        const order = key(a).localeCompare(key(b), undefined, {numeric: false});
        const x = Number(key(a)), y = Number(key(b));
        return (isNaN(x) || isNaN(y) ? order : x - y) * (down ? -1 : 1);
      });
      body.append(...rows);
    });
  });
  box.prepend(bar);
  show();
})();
"""
