"""Printed output of the commands: terminal tables, and which results were read or run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer

from avbook.common.messages import one_line

SELECTIONS = ("val_selected", "last", "test_selected")


# ------------------------------------------------------------------------------------ read, or ran
def say_outcome(
    outcome: Any,  # of a run: record, path, whether it was read
    done: int,
    of: int,
) -> None:
    """Prints one line on standard error per run: that it was read and from where, or that it
    ran."""
    if outcome.read:
        when = outcome.record.get("finished") or "an unknown date"
        _say(f"{_name(outcome, done, of)}: read from {outcome.path}, finished on {when}; not run")
    else:
        _say(f"{_name(outcome, done, of)}: {_score(outcome.record)}; ran: {outcome.path}")


def say_trained(outcome: Any, done: int, of: int) -> None:
    """Prints one line on standard error per run that was executed; tables read many from
    records."""
    if not outcome.read:
        _say(f"{_name(outcome, done, of)}: {_score(outcome.record)}")


def say_totals(
    ran: int,
    read: int,
    out: Path,  # the folder of the records
) -> None:
    """Prints how many records were run now and how many were read, on standard error."""
    _say(f"{ran} run now, {read} read from {out}")


def say_undecided(
    claims: int,  # claims that the first seeds leave undecided
    seeds: int,  # the first seeds
    most: int,  # seeds that their settings get
    runs: int,
) -> None:
    """Prints how many claims get more seeds, on standard error."""
    _say(
        f"{claims} direction{'s' * (claims != 1)} undecided on {seeds} seeds"
        + (f": {runs} more runs, up to {most} seeds" if runs else "")
    )


def say_left_out(
    told: list[dict[str, Any]],  # the data of each record
    out: Path,  # their folder
) -> None:
    """Reports records of other data in the folder, with the data's names, on standard error; prints
    nothing if there are none."""
    names = {f"{data['name']} ({data['hash']})" for data in told}
    if names:
        _say(f"left out: {len(told)} records in {out} of other data, {', '.join(sorted(names))}")


def _say(text: str) -> None:
    typer.echo(one_line(text), err=True)


def _name(outcome: Any, done: int, of: int) -> str:
    record = outcome.record
    options = "".join(f" {k}={v}" for k, v in record.get("options", {}).items())
    return f"[{done}/{of}] {record['recipe']}{options} seed {record['seed']}"


def _score(record: dict[str, Any]) -> str:
    scores = record["metrics"]["test"]["last"]
    score = scores.get("accuracy", scores.get("segment_type"))
    score = math.nan if score is None else score
    return f"{score:.1f} at the last epoch ({record['seconds']:.0f} s)"


def print_scores(records: list[dict[str, Any]]) -> None:
    """Prints the score of each selection over the seeds."""
    from avbook.experiments.tables import get_score, summarise

    known = records[0]["metrics"]["test"]["last"]
    monitor = next(name for name in ("accuracy", "segment_type") if name in known)
    for selection in SELECTIONS:
        note = " (for comparison only)" if selection == "test_selected" else ""
        score = summarise(get_score(record, monitor, selection) for record in records)
        typer.echo(f"test {monitor}, {selection}: {score}{note}")


# ------------------------------------------------------------------------------------------ tables
def print_recipes(
    found: list,
) -> None:
    """Prints the recipes, each with its data and what it trains."""
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("recipe", "data", "what it trains"):
        grid.add_column(name)
    for recipe in found:
        grid.add_row(recipe.name, recipe.task.upper(), recipe.about)
    console = Console(highlight=False)
    console.print(grid)
    console.print("\nOptions of one: avbook recipes NAME", markup=False)


def print_options(
    recipe: Any,
) -> None:
    """Prints the options of a recipe with ranges, defaults and meanings."""
    from rich.console import Console
    from rich.table import Table as Grid

    from avbook.experiments.options import as_word

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    console = Console(highlight=False)
    grid.add_column("option")
    grid.add_column("values", max_width=console.width // 5)
    grid.add_column("paper", justify="right")
    grid.add_column("quick", justify="right")
    grid.add_column("meaning")
    for option in recipe.options.values():
        quick = as_word(recipe.quick[option.name]) if option.name in recipe.quick else ""
        grid.add_row(option.name, option.range, as_word(option.default), quick, option.meaning)
    console.print(f"{recipe.name} ({recipe.task.upper()}): {recipe.about}\n", markup=False)
    console.print(grid)
    console.print(
        f"\nEmpty under quick: as in paper. Change one: avbook run {recipe.name} --set NAME=VALUE",
        markup=False,
    )


def print_table(
    found: Any,  # a `Table` of a paper
    rows: list[dict],  # its cells, paper's and ours
    directions: list[dict],  # the paper's claims about it
) -> None:
    """Prints a table, our rows below the paper's, and the verdicts on the paper's claims."""
    from rich.console import Console
    from rich.table import Table as Grid

    from avbook.experiments import tables as ledger

    console = Console()
    for part in ledger.split_levels(found, rows):
        head, body = ledger.layout(found, part)
        grid = Grid(title=f"{found.title} ({ledger.caption(found, part)})", title_justify="left")
        for name in head:
            grid.add_column(name, justify="right" if name else "left")
        for line in body:
            grid.add_row(*line)
        console.print(grid)
    console.print(ledger.provenance(rows), soft_wrap=True)
    if directions:
        claims = Grid(title="The paper's claims", title_justify="left")
        for name in ("claim", "paper", "ours [95 %]", "seeds", "verdict"):
            claims.add_column(name, justify="left" if name in ("claim", "verdict") else "right")
        for d in directions:
            claims.add_row(
                d["claim"],
                ledger.format_number(d["paper"], True),
                ledger.gap_text(d).replace("[", r"\["),
                str(d["seeds"]),
                ledger.verdict_text(d),
            )
        console.print(claims)


def print_verdicts(
    directions: list[dict[str, Any]],  # from `ordering_rows`
) -> None:
    """Prints how many of the claims have each verdict."""
    from collections import Counter

    if not directions:
        return
    count = Counter(direction["verdict"] for direction in directions)
    told = ", ".join(
        f"{count[verdict]} {words}"
        for verdict, words in (
            ("agrees", "agree"),
            ("disagrees", "disagree"),
            ("undecided", "undecided"),
            ("not run", "not run"),
        )
    )
    typer.echo(f"directions: {len(directions)} in all, {told}")
